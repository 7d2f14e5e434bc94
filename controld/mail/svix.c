#include "controld/mail/svix.h"

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"

#include <string.h>

#define PREFIX     "whsec_"
#define SECRET_MAX 128 /* bytes */
#define BODY_MAX   (1u << 20)

/* base64 as it was meant first: into that of URLs, without its end. */
static int unbase64(uint8_t *dst, size_t size, const char *s, size_t n)
{
	char text[2 * SECRET_MAX];

	while (n > 0 && s[n - 1] == '=')
		n--;
	if (n >= sizeof text)
		return -1;
	for (size_t i = 0; i < n; i++)
		text[i] = (char)(s[i] == '+' ? '-' : s[i] == '/' ? '_' : s[i]);
	return str_unb64url(dst, size, text, n);
}

/* One of those that the header holds, by blanks: "v1,<base64>". */
static bool matches(const char *one, size_t n, const uint8_t digest[SHA256_SIZE])
{
	uint8_t given[SHA256_SIZE + 1];
	uint8_t differ = 0;

	if (n < 3 || strncmp(one, "v1,", 3) != 0 || unbase64(given, sizeof given, one + 3, n - 3) != SHA256_SIZE)
		return false;
	for (size_t i = 0; i < SHA256_SIZE; i++)
		differ |= given[i] ^ digest[i];
	return differ == 0;
}

bool svix_verify(const char *secret, const struct svix_message *m, int64_t now_s)
{
	uint8_t key[SECRET_MAX], digest[SHA256_SIZE];
	bool good = false;
	int64_t at_s;
	struct buf b;
	int n;

	if (m->id == NULL || m->timestamp == NULL || m->signature == NULL || m->n > BODY_MAX ||
		!str_starts(secret, PREFIX) || str_to_i64(m->timestamp, 0, INT64_MAX / 2, &at_s) != 0 ||
		at_s < now_s - SVIX_TOLERANCE_S || at_s > now_s + SVIX_TOLERANCE_S)
		return false;
	if ((n = unbase64(key, sizeof key, secret + strlen(PREFIX), strlen(secret) - strlen(PREFIX))) <= 0)
		return false;
	buf_init(&b, 2 * BODY_MAX);
	buf_printf(&b, "%s.%s.", m->id, m->timestamp);
	buf_put(&b, m->body, m->n);
	if (!b.failed) {
		seal_hmac_sha256(key, (size_t)n, b.data, b.len, digest);
		for (const char *at = m->signature; *at != '\0' && !good; at += at[strcspn(at, " ")] == ' ') {
			good = matches(at, strcspn(at, " "), digest);
			at += strcspn(at, " ");
		}
	}
	buf_free(&b);
	seal_wipe(key, sizeof key);
	return good;
}
