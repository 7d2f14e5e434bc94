/* What an agent reads of people and proxies: the first byte picks the reader. */
#include "client/agent/credential.h"
#include "client/agent/relay/http_proxy.h"
#include "client/agent/settings.h"
#include "common/base/buf.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "tests/fuzz/fuzz.h"

#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void fuzz_allow(const char *s)
{
	struct allow *a;
	struct addr addr;

	if (allow_parse(&a, "allow", s, NULL) != 0)
		return;
	if (addr_parse(&addr, "127.0.0.1:22") == 0)
		allow_has_addr(a, &addr);
	allow_has_name(a, s, 22);
	allow_unref(a);
}

static void fuzz_credential(const char *s)
{
	struct credential c;

	if (credential_from_token(&c, s, NULL) != 0)
		return;
	FUZZ_CHECK(strlen(c.ca_fingerprint) == CERT_FINGERPRINT_SIZE - 1 && c.key != NULL);
	credential_fini(&c);
}

/* A certificate and a key, with a NUL's place taken by '|'. */
static void fuzz_certificate(char *s)
{
	char *bar = strchr(s, '|');
	struct credential c;

	if (bar == NULL)
		return;
	*bar = '\0';
	if (credential_from_certificate(&c, "42", &(struct credential_pem){ s, bar + 1 }, FINGERPRINT, NULL) != 0)
		return;
	FUZZ_CHECK(c.key != NULL && cert_is_for(s, c.key));
	credential_fini(&c);
}

static void fuzz_proxy(const char *s)
{
	struct http_proxy p;
	struct buf b;

	if (s[0] == '\0' || http_proxy_parse(&p, s, NULL) != 0)
		return;
	http_proxy_passes_by(&p, s, s);
	buf_init(&b, 4096);
	http_proxy_request(&p, "relay.example", 7500, &b);
	FUZZ_CHECK(!b.failed &&
		   strstr(buf_cstr(&b), "\r\n\r\n") == (char *)b.data + b.len - 4); /* nothing is slipped in */
	buf_free(&b);
}

/* More of an answer never makes a good one bad, and its head ends where it says. */
static void fuzz_answer(const uint8_t *p, size_t n)
{
	int whole = n > 0 ? http_proxy_answer(p, n, NULL) : 0;

	for (size_t part = 1; part < n && whole > 0; part++)
		FUZZ_CHECK(http_proxy_answer(p, part, NULL) == (part < (size_t)whole ? 0 : whole));
	FUZZ_CHECK(whole <= (int)n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s;

	if (size == 0)
		return 0;
	s = fuzz_string(data + 1, size - 1);
	if (s == NULL)
		return 0;
	switch (data[0]) {
	case 'a':
		fuzz_allow(s);
		break;
	case 'c':
		fuzz_credential(s);
		break;
	case 'k':
		fuzz_certificate(s);
		break;
	case 'p':
		fuzz_proxy(s);
		break;
	case 'r':
		(void)!settings_each_relay(s, NULL, NULL, NULL);
		break;
	default:
		fuzz_answer(data + 1, size - 1);
	}
	free(s);
	return 0;
}
