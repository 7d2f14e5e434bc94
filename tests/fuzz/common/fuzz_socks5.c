/* A SOCKS5 client's bytes: what is asked for grows to the message's end and stays there; nothing beyond it is looked at. */
#include "common/net/socks5.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_whole(enum socks5_msg what, const uint8_t *p)
{
	struct socks5_request r;
	char user[256], password[256];

	if (what == SOCKS5_GREETING)
		socks5_offers(p, SOCKS5_PASSWORD);
	else if (what == SOCKS5_LOGIN)
		(void)!socks5_login(p, user, password);
	else if (socks5_request(&r, p) == 0)
		FUZZ_CHECK(r.host[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum socks5_msg what = size > 0 ? data[0] % 3 : SOCKS5_GREETING;
	int need = 0;

	for (size_t n = 0; n + 1 <= size; n++) {
		uint8_t *exact = malloc(n + 1); /* a read beyond what is there is seen */

		if (exact == NULL)
			return 0;
		memcpy(exact, data + 1, n);
		need = socks5_need(what, exact, n);
		if (need == (int)n)
			fuzz_whole(what, exact);
		free(exact);
		if (need <= (int)n)
			break;
		FUZZ_CHECK(need <= SOCKS5_MSG_MAX);
	}
	FUZZ_CHECK(need >= -1);
	return 0;
}
