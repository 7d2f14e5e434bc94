#include "common/crypto/jwt.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/key.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * We read only tokens that we made, so the header has one exact spelling and is compared, not parsed: another
 * alg, a crit, a jwk or a repeated member cannot even be said.
 */
static const char jwt_head[] = "{\"alg\":\"EdDSA\",\"kid\":\"";
static const char jwt_tail[] = "\",\"typ\":\"JWT\"}";
enum { JWT_HEADER_MAX = sizeof jwt_head + sizeof jwt_tail + JWT_KID_MAX };

/* The three dot-separated parts, as views into the token. */
struct jwt_parts {
	const char *header, *claims, *signature;
	size_t header_n, claims_n, signature_n;
	size_t signed_n; /* bytes of "header.claims" */
};

static int jwt_refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: %s", why);
}

static bool jwt_kid_ok(const char *kid, size_t n)
{
	return n > 0 && n < JWT_KID_MAX &&
	       strspn(kid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") >= n;
}

static int jwt_split(struct jwt_parts *p, const char *token, struct err *e)
{
	size_t n = strnlen(token, JWT_MAX + 1);
	const char *dot1 = n <= JWT_MAX ? memchr(token, '.', n) : NULL;
	const char *dot2 = dot1 != NULL ? strchr(dot1 + 1, '.') : NULL;

	if (dot2 == NULL || strchr(dot2 + 1, '.') != NULL)
		return jwt_refuse(e, "not three parts of at most 4096 bytes");
	*p = (struct jwt_parts){
		.header = token,
		.header_n = (size_t)(dot1 - token),
		.claims = dot1 + 1,
		.claims_n = (size_t)(dot2 - dot1 - 1),
		.signature = dot2 + 1,
		.signature_n = n - (size_t)(dot2 + 1 - token),
		.signed_n = (size_t)(dot2 - token),
	};
	return 0;
}

char *jwt_sign(const struct key *k, const char *kid, const char *claims_json, struct err *e)
{
	char header[JWT_HEADER_MAX];
	uint8_t sig[KEY_SIGNATURE_SIZE];
	size_t claims_n = strlen(claims_json), header_n, total;
	char *token, *p;

	if (!jwt_kid_ok(kid, strlen(kid))) {
		err_set(e, ERR_INTERNAL, NULL, "sign a token: kid '%s' is not a key id", kid);
		return NULL;
	}
	header_n = (size_t)snprintf(header, sizeof header, "%s%s%s", jwt_head, kid, jwt_tail);
	total = str_b64url_len(header_n) + str_b64url_len(claims_n) + str_b64url_len(sizeof sig) + 2;
	if (total > JWT_MAX || (token = malloc(total + 1)) == NULL) {
		err_set(e, ERR_INTERNAL, NULL, "sign a token: %zu bytes are too many", total);
		return NULL;
	}
	str_b64url(token, header, header_n);
	p = token + str_b64url_len(header_n);
	*p++ = '.';
	str_b64url(p, claims_json, claims_n);
	p += str_b64url_len(claims_n);
	if (key_sign(k, token, (size_t)(p - token), sig) != 0) {
		free(token);
		err_set(e, ERR_CRYPTO, NULL, "sign a token: signing failed");
		return NULL;
	}
	*p++ = '.';
	str_b64url(p, sig, sizeof sig);
	return token;
}

static int jwt_read_kid(const struct jwt_parts *p, char kid[JWT_KID_MAX], struct err *e)
{
	char header[JWT_HEADER_MAX];
	size_t head_n = sizeof jwt_head - 1, tail_n = sizeof jwt_tail - 1, kid_n;
	int n = str_unb64url(header, sizeof header, p->header, p->header_n);

	if (n < (int)(head_n + tail_n) || memcmp(header, jwt_head, head_n) != 0 ||
		memcmp(header + (size_t)n - tail_n, jwt_tail, tail_n) != 0)
		return jwt_refuse(e, "header is not ours");
	kid_n = (size_t)n - head_n - tail_n;
	if (memchr(header + head_n, '\0', kid_n) != NULL)
		return jwt_refuse(e, "key id");
	header[head_n + kid_n] = '\0';
	if (!jwt_kid_ok(header + head_n, kid_n))
		return jwt_refuse(e, "key id");
	return str_copy(kid, JWT_KID_MAX, header + head_n);
}

int jwt_kid(const char *token, char kid[JWT_KID_MAX], struct err *e)
{
	struct jwt_parts p;

	return jwt_split(&p, token, e) == 0 ? jwt_read_kid(&p, kid, e) : -1;
}

int jwt_verify(const struct key *k, const char *token, char **claims_json, struct err *e)
{
	struct jwt_parts p;
	char kid[JWT_KID_MAX];
	uint8_t sig[KEY_SIGNATURE_SIZE];
	char *claims;
	int n;

	if (jwt_split(&p, token, e) != 0 || jwt_read_kid(&p, kid, e) != 0)
		return -1;
	if (str_unb64url(sig, sizeof sig, p.signature, p.signature_n) != (int)sizeof sig ||
		!key_verify(k, token, p.signed_n, sig))
		return jwt_refuse(e, "signature");
	if ((claims = malloc(p.claims_n + 1)) == NULL)
		return err_set(e, ERR_NOMEM, NULL, "read a token: out of memory");
	n = str_unb64url(claims, p.claims_n, p.claims, p.claims_n);
	if (n < 0 || memchr(claims, '\0', (size_t)n) != NULL) {
		free(claims);
		return jwt_refuse(e, "claims");
	}
	claims[n] = '\0';
	*claims_json = claims;
	return 0;
}
