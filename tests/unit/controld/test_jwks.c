/* jwks, key_cache: key sets as others publish them, tokens checked against them, and when a set is fetched. */
#include "controld/device_login/jwks.h"

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "controld/device_login/key_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8037, appendix A. */
#define RFC_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RFC_TOKEN                                                                                           \
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIb" \
	"QR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

static int parse(struct jwks *set, const char *text, struct err *e)
{
	return jwks_parse(set, text, strlen(text), e);
}

static void test_sets(void **state)
{
	static const struct {
		const char *text;
		int n; /* -1: refused */
	} cases[] = {
		{ "{\"keys\":[]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC_X "\"}]}", 1 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC_X
		  "\",\"kid\":\"a\",\"use\":\"sig\",\"alg\":\"EdDSA\",\"more\":[1]}],\"x\":1}",
			1 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC_X "\",\"alg\":\"Ed25519\"}]}", 1 },
		/* not for this: passed over */
		{ "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"kid\":\"r\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" RFC_X "\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC_X "\",\"use\":\"enc\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" RFC_X "\",\"alg\":\"RS256\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}", 0 },
		{ "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":7},null,[],\"a\",7]}", 0 },
		{ "{\"keys\":{}}", -1 },
		{ "[]", -1 },
		{ "", -1 },
		{ "{\"keys\":[", -1 },
		{ "<html>", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct jwks set = { .n = 99 };
		struct err e = { 0 };
		const int rc = parse(&set, cases[i].text, &e);

		if ((rc == 0) != (cases[i].n >= 0) || (rc == 0 && set.n != (size_t)cases[i].n))
			fail_msg("%s: %d, %zu keys", cases[i].text, rc, set.n);
		if (rc != 0)
			assert_int_equal(set.n, 99); /* untouched */
	}
}

static void test_too_many_keys(void **state)
{
	char *text = malloc(JWKS_BYTES_MAX + 2), *p = text;
	struct jwks set;

	(void)state;
	p += sprintf(p, "{\"keys\":[");
	for (int i = 0; i < 100; i++)
		p += sprintf(p, "%s{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k%d\",\"x\":\"" RFC_X "\"}",
			i > 0 ? "," : "", i);
	sprintf(p, "]}");
	assert_int_equal(parse(&set, text, NULL), 0);
	assert_int_equal(set.n, JWKS_KEYS_MAX);
	assert_non_null(jwks_find(&set, "k3"));
	assert_null(jwks_find(&set, "k99"));
	assert_null(jwks_find(&set, "")); /* which one? */
	memset(text, ' ', JWKS_BYTES_MAX + 1);
	assert_int_equal(jwks_parse(&set, text, JWKS_BYTES_MAX + 1, NULL), -1);
	free(text);
}

static void rfc_key(struct jwks_key *k)
{
	memset(k, 0, sizeof *k);
	assert_int_equal(str_unb64url(k->x, sizeof k->x, RFC_X, strlen(RFC_X)), (int)sizeof k->x);
}

/* The payload of the RFC is no JSON, so the signature holds and the claims do not. */
static void test_the_vector(void **state)
{
	struct jwks_key k;
	json_t *claims;
	struct err e = { 0 };
	char token[] = RFC_TOKEN;

	(void)state;
	rfc_key(&k);
	assert_int_equal(jwks_check(&k, token, 0, &claims, &e), -1);
	assert_non_null(strstr(e.msg, "claims"));
	token[sizeof token - 5] ^= 1;
	assert_int_equal(jwks_check(&k, token, 0, &claims, &e), -1);
	assert_non_null(strstr(e.msg, "signature"));
}

/* ---- tokens of our own ----------------------------------------------------------------------------------------------- */

static void make_token(char *dst, size_t size, struct key *key, const char *head, const char *claims)
{
	uint8_t sig[KEY_SIGNATURE_SIZE];
	char h[1024], c[1024], s[128];

	str_b64url(h, head, strlen(head));
	str_b64url(c, claims, strlen(claims));
	assert_int_equal(str_fmt(dst, size, "%s.%s", h, c), 0);
	assert_int_equal(key_sign(key, dst, strlen(dst), sig), 0);
	str_b64url(s, sig, sizeof sig);
	assert_int_equal(str_fmt(dst + strlen(dst), size - strlen(dst), ".%s", s), 0);
}

static void test_tokens(void **state)
{
	static const struct {
		const char *head, *claims;
		int64_t now;
		enum err_code want; /* ERR_NONE: it is good */
	} cases[] = {
		{ "{\"alg\":\"EdDSA\"}", "{}", 1000, ERR_NONE },
		{ "{\"alg\":\"Ed25519\",\"kid\":\"a\"}", "{\"exp\":2000,\"nbf\":500}", 1000, ERR_NONE },
		{ "{\"alg\":\"EdDSA\"}", "{\"exp\":1000.5}", 1060, ERR_NONE }, /* clocks differ */
		{ "{\"alg\":\"EdDSA\"}", "{\"exp\":1000}", 1060, ERR_TOKEN_EXPIRED },
		{ "{\"alg\":\"EdDSA\"}", "{\"nbf\":1061}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"EdDSA\"}", "{\"exp\":\"never\"}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"EdDSA\"}", "[]", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"EdDSA\"}", "{\"sub\":\"a\",\"sub\":\"b\"}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"none\"}", "{}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"HS256\"}", "{}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"RS256\"}", "{}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"EdDSA\",\"alg\":\"none\"}", "{}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":\"EdDSA\",\"crit\":[\"exp\"]}", "{}", 1000, ERR_INVALID_TOKEN },
		{ "{\"alg\":[\"EdDSA\"]}", "{}", 1000, ERR_INVALID_TOKEN },
		{ "[]", "{}", 1000, ERR_INVALID_TOKEN },
	};
	struct jwks_key k = { .kid = "a" };
	struct key *key;

	(void)state;
	assert_int_equal(key_generate(&key, NULL), 0);
	key_public(key, k.x);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *claims = NULL;
		struct err e = { 0 };
		char token[4096];
		int rc;

		make_token(token, sizeof token, key, cases[i].head, cases[i].claims);
		rc = jwks_check(&k, token, cases[i].now, &claims, &e);
		if ((rc == 0) != (cases[i].want == ERR_NONE) || (rc != 0 && e.code != cases[i].want))
			fail_msg("%s %s: %d, %s", cases[i].head, cases[i].claims, rc, e.msg);
		json_decref(claims);
	}
	key_free(key);
}

static void test_shapes(void **state)
{
	static const char *const wrong[] = { "", ".", "..", "a", "a.b", "a.b.c.d", "e30.e30.", "!!.e30.AA",
		"eyJhbGciOiJFZERTQSJ9.." };
	char kid[JWKS_KID_MAX + 1], *big = malloc(JWKS_TOKEN_MAX + 10);
	struct jwks_key k;
	json_t *claims;

	(void)state;
	rfc_key(&k);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(jwks_check(&k, wrong[i], 0, &claims, NULL), -1);
	memset(big, '.', JWKS_TOKEN_MAX + 9);
	big[JWKS_TOKEN_MAX + 9] = '\0';
	assert_int_equal(jwks_token_kid(big, kid, NULL), -1);
	free(big);
	assert_int_equal(jwks_token_kid(RFC_TOKEN, kid, NULL), 0);
	assert_string_equal(kid, "");
}

/* ---- when a set is fetched -------------------------------------------------------------------------------------------- */

struct service {
	struct key *keys[3];
	size_t published; /* of these */
	atomic_uint fetches;
	bool away;
};
static atomic_uint_fast64_t clock_now;

static uint64_t now_ms(void)
{
	return atomic_load(&clock_now);
}

static int fetch(void *self, struct jwks *out, struct err *e)
{
	struct service *s = self;

	atomic_fetch_add(&s->fetches, 1);
	if (s->away)
		return err_set(e, ERR_UNAVAILABLE, NULL, "away");
	memset(out, 0, sizeof *out);
	for (; out->n < s->published; out->n++) {
		(void)str_fmt(out->keys[out->n].kid, sizeof out->keys[0].kid, "k%zu", out->n);
		key_public(s->keys[out->n], out->keys[out->n].x);
	}
	return 0;
}

static int check(struct key_cache *c, const struct service *s, size_t key, struct err *e)
{
	char token[1024], head[64];
	json_t *claims;

	(void)str_fmt(head, sizeof head, "{\"alg\":\"EdDSA\",\"kid\":\"k%zu\"}", key);
	make_token(token, sizeof token, s->keys[key], head, "{}");
	if (key_cache_check(c, token, 0, &claims, e) != 0)
		return -1;
	json_decref(claims);
	return 0;
}

static struct key_cache *world_new(struct service *s)
{
	const struct key_cache_conf conf = { fetch, s, now_ms };
	struct key_cache *c;

	memset(s, 0, sizeof *s);
	atomic_store(&clock_now, 1000000);
	for (size_t i = 0; i < ARRAY_LEN(s->keys); i++)
		assert_int_equal(key_generate(&s->keys[i], NULL), 0);
	s->published = 1;
	assert_int_equal(key_cache_new(&c, &conf, NULL), 0);
	return c;
}

static void world_free(struct key_cache *c, struct service *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->keys); i++)
		key_free(s->keys[i]);
	key_cache_free(c);
}

static void test_a_set_is_kept(void **state)
{
	struct service s;
	struct key_cache *c = world_new(&s);
	struct err e = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(check(c, &s, 0, &e), 0);
	assert_int_equal(s.fetches, 1);
	atomic_fetch_add(&clock_now, KEY_CACHE_FRESH_MS - 1);
	assert_int_equal(check(c, &s, 0, &e), 0);
	assert_int_equal(s.fetches, 1);
	atomic_fetch_add(&clock_now, 1);
	assert_int_equal(check(c, &s, 0, &e), 0);
	assert_int_equal(s.fetches, 2);
	/* an old one is better than none */
	s.away = true;
	atomic_fetch_add(&clock_now, KEY_CACHE_FRESH_MS);
	assert_int_equal(check(c, &s, 0, &e), 0);
	assert_int_equal(check(c, &s, 0, &e), 0);
	assert_int_equal(s.fetches, 3);
	key_cache_forget(c);
	assert_int_equal(check(c, &s, 0, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	world_free(c, &s);
}

static void test_an_unknown_key(void **state)
{
	struct service s;
	struct key_cache *c = world_new(&s);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(check(c, &s, 0, &e), 0);
	atomic_fetch_add(&clock_now, KEY_CACHE_AGAIN_MS);
	s.published = 2;
	assert_int_equal(check(c, &s, 1, &e), 0); /* fetched at once */
	assert_int_equal(s.fetches, 2);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(check(c, &s, 2, &e), -1);
		assert_int_equal(e.code, ERR_INVALID_TOKEN);
	}
	assert_int_equal(s.fetches, 2);
	atomic_fetch_add(&clock_now, KEY_CACHE_AGAIN_MS);
	for (int i = 0; i < 100; i++)
		assert_int_equal(check(c, &s, 2, &e), -1);
	assert_int_equal(s.fetches, 3);
	assert_int_equal(check(c, &s, 0, &e), 0); /* others are not disturbed */
	world_free(c, &s);
}

struct crowd {
	struct key_cache *cache;
	const struct service *service;
	size_t key;
	int good;
};

static void *work_check(void *arg)
{
	struct crowd *m = arg;
	struct err e;

	for (int i = 0; i < 50; i++)
		m->good += check(m->cache, m->service, m->key, &e) == 0;
	return NULL;
}

static void test_a_crowd_is_one_fetch(void **state)
{
	struct service s;
	struct key_cache *c = world_new(&s);
	struct crowd all[8];
	pthread_t threads[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = (struct crowd){ c, &s, i % 2, 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, work_check, &all[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(all[i].good, i % 2 == 0 ? 50 : 0);
	}
	assert_int_equal(s.fetches, 1);
	world_free(c, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_too_many_keys),
		cmocka_unit_test(test_the_vector),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_a_set_is_kept),
		cmocka_unit_test(test_an_unknown_key),
		cmocka_unit_test(test_a_crowd_is_one_fetch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
