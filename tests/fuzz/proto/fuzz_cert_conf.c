/* The body of a certificate, as it travels and as it lies in a relay's last good snapshot. */
#include "proto/cert_conf.h"
#include "proto/msg.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cert_conf c;
	struct buf b;

	if (cert_conf_decode(&c, data, size) != 0)
		return 0;
	buf_init(&b, PROTO_MSG_MAX);
	cert_conf_encode(&c, &b);
	cert_conf_fini(&c);
	fuzz_check_same(&b, data, size);
	return 0;
}
