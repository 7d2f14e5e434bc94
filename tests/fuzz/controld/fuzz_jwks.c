/* Key sets and tokens of others: up to the first newline a set, behind it a token. What is accepted is printed and read again as
 * the same keys; no token is good for a key that did not sign it. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/device_login/jwks.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_again(const struct jwks *set)
{
	json_t *keys = json_array(), *whole = json_pack("{s:o}", "keys", keys);
	struct jwks again;
	char *text;

	for (size_t i = 0; i < set->n; i++) {
		char x[64];
		json_t *k = json_pack("{s:s, s:s}", "kty", "OKP", "crv", "Ed25519");

		str_b64url(x, set->keys[i].x, sizeof set->keys[i].x);
		json_object_set_new(k, "x", json_string(x));
		if (set->keys[i].kid[0] != '\0')
			json_object_set_new(k, "kid", json_string(set->keys[i].kid));
		json_array_append_new(keys, k);
	}
	text = json_dumps(whole, 0);
	json_decref(whole);
	FUZZ_CHECK(text != NULL && jwks_parse(&again, text, strlen(text), NULL) == 0);
	FUZZ_CHECK(again.n == set->n);
	for (size_t i = 0; i < set->n; i++) {
		FUZZ_CHECK(str_eq(again.keys[i].kid, set->keys[i].kid));
		FUZZ_CHECK(memcmp(again.keys[i].x, set->keys[i].x, sizeof set->keys[i].x) == 0);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = fuzz_string(data, size), *token, kid[JWKS_KID_MAX + 1];
	const struct jwks_key *k;
	struct jwks set = { .n = 0 };
	json_t *claims;

	if (s == NULL)
		return 0;
	token = s + strcspn(s, "\n");
	if (*token != '\0')
		*token++ = '\0';
	if (jwks_parse(&set, s, strlen(s), NULL) == 0)
		check_again(&set);
	json_decref(jwks_unchecked(token));
	if (jwks_token_kid(token, kid, NULL) == 0 && (k = jwks_find(&set, kid)) != NULL &&
		jwks_check(k, token, 1000, &claims, NULL) == 0) {
		FUZZ_CHECK(json_is_object(claims));
		json_decref(claims);
	}
	free(s);
	return 0;
}
