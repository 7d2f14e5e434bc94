#include "relayd/lb/lb_sticky.h"

#include "common/base/cursor.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"

#include <string.h>

#define VERSION   1
#define SIGNED    13
#define MAC       16
#define RAW       (SIGNED + MAC)
#define POOL_MAX  64
#define MINUTE_MS 60000

static void sign(uint8_t mac[MAC], const uint8_t secret[LB_STICKY_SECRET], const char *pool, const uint8_t raw[SIGNED])
{
	uint8_t text[SIGNED + POOL_MAX], whole[SHA256_SIZE];
	const size_t n = strnlen(pool, POOL_MAX);

	memcpy(text, raw, SIGNED); /* of fixed length, so that what follows is the pool and nothing else */
	memcpy(text + SIGNED, pool, n);
	seal_hmac_sha256(secret, LB_STICKY_SECRET, text, SIGNED + n, whole);
	memcpy(mac, whole, MAC);
}

void lb_sticky_make(char out[LB_STICKY_LEN + 1], const uint8_t secret[LB_STICKY_SECRET], const char *pool, uint64_t key,
	int64_t ends_ms)
{
	const uint32_t minutes = (uint32_t)(ends_ms / MINUTE_MS);
	uint8_t raw[RAW] = { VERSION };

	for (int i = 0; i < 8; i++)
		raw[1 + i] = (uint8_t)(key >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		raw[9 + i] = (uint8_t)(minutes >> (24 - 8 * i));
	sign(raw + SIGNED, secret, pool, raw);
	str_b64url(out, raw, RAW);
}

/* The time of comparing says nothing about where they differ. */
static bool same_mac(const uint8_t a[MAC], const uint8_t b[MAC])
{
	uint8_t differ = 0;

	for (int i = 0; i < MAC; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

int lb_sticky_read(uint64_t *key, const uint8_t secret[LB_STICKY_SECRET], const char *pool, const char *p, size_t n,
	int64_t now_ms)
{
	uint8_t raw[RAW], mac[MAC];
	struct cursor c;
	uint64_t named;
	uint32_t minutes;

	if (n != LB_STICKY_LEN || str_unb64url(raw, sizeof raw, p, n) != RAW || raw[0] != VERSION)
		return -1;
	sign(mac, secret, pool, raw);
	if (!same_mac(mac, raw + SIGNED))
		return -1;
	cursor_init(&c, raw + 1, SIGNED - 1);
	named = cursor_u64(&c);
	minutes = cursor_u32(&c);
	if ((int64_t)minutes * MINUTE_MS < now_ms)
		return -1;
	*key = named;
	return 0;
}
