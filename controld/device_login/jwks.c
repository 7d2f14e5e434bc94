#include "controld/device_login/jwks.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

/* ---- the set ----------------------------------------------------------------------------------------------------- */

static bool is(const json_t *object, const char *name, const char *value)
{
	return str_eq(json_string_value(json_object_get(object, name)), value);
}

/* False: not one of ours. "use" and "alg" may be missing. */
static bool take_key(struct jwks_key *out, const json_t *k)
{
	const char *kid = json_string_value(json_object_get(k, "kid"));
	const char *x = json_string_value(json_object_get(k, "x"));
	const json_t *use = json_object_get(k, "use"), *alg = json_object_get(k, "alg");

	if (!is(k, "kty", "OKP") || !is(k, "crv", "Ed25519") || (use != NULL && !is(k, "use", "sig")) ||
		(alg != NULL && !is(k, "alg", "EdDSA") && !is(k, "alg", "Ed25519")))
		return false;
	if (x == NULL || str_unb64url(out->x, sizeof out->x, x, strlen(x)) != (int)sizeof out->x)
		return false;
	return str_copy(out->kid, sizeof out->kid, kid != NULL ? kid : "") == 0;
}

int jwks_parse(struct jwks *out, const char *text, size_t n, struct err *e)
{
	json_t *set = n <= JWKS_BYTES_MAX ? json_loadb(text, n, 0, NULL) : NULL;
	const json_t *keys = json_object_get(set, "keys"), *k;
	struct jwks found = { .n = 0 };
	size_t i;

	if (!json_is_array(keys)) {
		json_decref(set);
		return err_set(e, ERR_PROTOCOL, NULL, "key set: no JSON object with an array \"keys\"");
	}
	json_array_foreach(keys, i, k) if (found.n < JWKS_KEYS_MAX && take_key(&found.keys[found.n], k)) found.n++;
	json_decref(set);
	*out = found;
	return 0;
}

const struct jwks_key *jwks_find(const struct jwks *set, const char *kid)
{
	if (kid[0] == '\0')
		return set->n == 1 ? &set->keys[0] : NULL;
	for (size_t i = 0; i < set->n; i++)
		if (str_eq(set->keys[i].kid, kid))
			return &set->keys[i];
	return NULL;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* Views into a token. */
struct parts {
	const char *head, *claims, *signature;
	size_t head_n, claims_n, signature_n, signed_n;
};

static int refuse(struct err *e, const char *why)
{
	return err_set(e, ERR_INVALID_TOKEN, NULL, "the service's token is not valid: %s", why);
}

static int split(struct parts *p, const char *token, struct err *e)
{
	const size_t n = strnlen(token, JWKS_TOKEN_MAX + 1);
	const char *dot1 = n <= JWKS_TOKEN_MAX ? memchr(token, '.', n) : NULL;
	const char *dot2 = dot1 != NULL ? strchr(dot1 + 1, '.') : NULL;

	if (dot2 == NULL || strchr(dot2 + 1, '.') != NULL)
		return refuse(e, "it has not three parts");
	*p = (struct parts){ .head = token,
		.head_n = (size_t)(dot1 - token),
		.claims = dot1 + 1,
		.claims_n = (size_t)(dot2 - dot1 - 1),
		.signature = dot2 + 1,
		.signature_n = n - (size_t)(dot2 + 1 - token),
		.signed_n = (size_t)(dot2 - token) };
	return 0;
}

/* A JSON object; NULL when it is none, or says something twice. */
static json_t *decode(const char *p, size_t n)
{
	char *text = malloc(n + 1);
	json_t *object = NULL;
	int len;

	if (text == NULL)
		return NULL;
	if ((len = str_unb64url(text, n, p, n)) > 0)
		object = json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (!json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* Keys that a token brings along (jwk, jku, x5c) are not looked at; what must be understood (crit) is not. */
static int read_head(const struct parts *p, char kid[JWKS_KID_MAX + 1], struct err *e)
{
	json_t *head = decode(p->head, p->head_n);
	const char *named = json_string_value(json_object_get(head, "kid"));
	int rc = 0;

	if (head == NULL)
		rc = refuse(e, "its header is no JSON object");
	else if (!is(head, "alg", "EdDSA") && !is(head, "alg", "Ed25519"))
		rc = refuse(e, "it is not signed with Ed25519");
	else if (json_object_get(head, "crit") != NULL)
		rc = refuse(e, "its header has something critical");
	else if (str_copy(kid, JWKS_KID_MAX + 1, named != NULL ? named : "") != 0)
		rc = refuse(e, "its kid is too long");
	json_decref(head);
	return rc;
}

int jwks_token_kid(const char *token, char kid[JWKS_KID_MAX + 1], struct err *e)
{
	struct parts p;

	return split(&p, token, e) == 0 ? read_head(&p, kid, e) : -1;
}

static bool signature_holds(const struct jwks_key *k, const char *token, const struct parts *p)
{
	uint8_t sig[KEY_SIGNATURE_SIZE];
	struct key *key;
	bool good;

	if (str_unb64url(sig, sizeof sig, p->signature, p->signature_n) != (int)sizeof sig ||
		key_from_public(&key, k->x, NULL) != 0)
		return false;
	good = key_verify(key, token, p->signed_n, sig);
	key_free(key);
	return good;
}

/* NumericDate may have a fraction. */
static int check_times(const json_t *claims, int64_t now_s, struct err *e)
{
	const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");

	if ((exp != NULL && !json_is_number(exp)) || (nbf != NULL && !json_is_number(nbf)))
		return refuse(e, "its times are no numbers");
	if (exp != NULL && (double)now_s >= json_number_value(exp) + JWKS_SKEW_S)
		return err_set(e, ERR_TOKEN_EXPIRED, NULL, "the service's token has expired");
	if (nbf != NULL && (double)now_s < json_number_value(nbf) - JWKS_SKEW_S)
		return refuse(e, "it is not valid yet");
	return 0;
}

int jwks_check(const struct jwks_key *k, const char *token, int64_t now_s, json_t **claims, struct err *e)
{
	char kid[JWKS_KID_MAX + 1];
	struct parts p;
	json_t *found;

	if (split(&p, token, e) != 0 || read_head(&p, kid, e) != 0)
		return -1;
	if (!signature_holds(k, token, &p))
		return refuse(e, "its signature");
	if ((found = decode(p.claims, p.claims_n)) == NULL)
		return refuse(e, "its claims are no JSON object");
	if (check_times(found, now_s, e) != 0) {
		json_decref(found);
		return -1;
	}
	*claims = found;
	return 0;
}

json_t *jwks_unchecked(const char *token)
{
	struct parts p;

	return split(&p, token, NULL) == 0 ? decode(p.claims, p.claims_n) : NULL;
}
