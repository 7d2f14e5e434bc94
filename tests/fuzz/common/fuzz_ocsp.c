/* What people upload as the answer of a CA: none but that of this CA, about this certificate, is taken. */
#include "common/crypto/site_cert.h"
#include "tests/fuzz/fuzz.h"

/* Made for this once, with a key that nobody has any more. */
static const char chain[] = "-----BEGIN CERTIFICATE-----\n"
			    "MIIBdTCCARugAwIBAgIULCqvccyN7R4jOYCysAc/oz6if1kwCgYIKoZIzj0EAwIw\n"
			    "DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjgyMDM0NDNaGA8yMTI2MTEwNDIwMzQ0\n"
			    "M1owDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJXx\n"
			    "7Pl5N4gqQ2m3a+rSpzLtlRqG1687d+uiGGktbpuM1hUtO3A1kBNjBRKPLZ27rzxR\n"
			    "gcKp5rwQIkCGzyT8IBmjUzBRMB0GA1UdDgQWBBRMVbkkSfKtFCgDIayRq0q+BUWO\n"
			    "HzAfBgNVHSMEGDAWgBRMVbkkSfKtFCgDIayRq0q+BUWOHzAPBgNVHRMBAf8EBTAD\n"
			    "AQH/MAoGCCqGSM49BAMCA0gAMEUCIA77wDddS2yQ9YeB0GnAgag1ulW2U4qibZVy\n"
			    "JIF2l8f/AiEA19auS/h8CBkGzQ4d+8+zfuExsZESaCUX3rtxb0qJXhA=\n"
			    "-----END CERTIFICATE-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t until;

	FUZZ_CHECK(site_cert_check_ocsp(chain, data, size, 1900000000000, &until, NULL) != 0);
	return 0;
}
