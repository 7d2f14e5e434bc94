/* acme_reply, acme_jws: what a CA answers is read or refused by its rules; what it is asked is signed as RFC 8555 has it. */
#include "controld/acme/acme_reply.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "common/crypto/es256.h"
#include "common/crypto/seal.h"
#include "controld/acme/acme_jws.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define U "https://ca.example/"

static int order_of(struct acme_order *o, const char *text)
{
	return acme_reply_order(o, text, strlen(text), NULL);
}

static int authorization_of(struct acme_authorization *a, const char *text)
{
	return acme_reply_authorization(a, text, strlen(text), NULL);
}

static void directories(void **state)
{
	static const char good[] = "{\"newNonce\":\"" U "n\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U "o\"}";
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"<html>",
		"{\"newNonce\":\"" U "n\",\"newAccount\":\"" U "a\"}",
		"{\"newNonce\":\"http://ca.example/n\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U "o\"}",
		"{\"newNonce\":\"https:///n\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U "o\"}",
		"{\"newNonce\":\"" U "n n\",\"newAccount\":\"" U "a\",\"newOrder\":\"" U "o\"}",
		"{\"newNonce\":7,\"newAccount\":\"" U "a\",\"newOrder\":\"" U "o\"}",
	};
	struct acme_directory d;
	struct err e;

	(void)state;
	assert_int_equal(acme_reply_directory(&d, good, strlen(good), NULL), 0);
	assert_string_equal(d.new_order, U "o");
	assert_false(d.binding_required);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (acme_reply_directory(&d, bad[i], strlen(bad[i]), &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.code, ERR_PROTOCOL);
	}
}

static void orders(void **state)
{
	static const char *const bad[] = {
		"{\"status\":\"pending\",\"finalize\":\"" U "f\"}",
		"{\"status\":\"pending\",\"finalize\":\"" U "f\",\"authorizations\":[]}",
		"{\"status\":\"pending\",\"finalize\":\"" U "f\",\"authorizations\":[\"ftp://x\"]}",
		"{\"status\":\"pending\",\"finalize\":\"" U "f\",\"authorizations\":[7]}",
		"{\"status\":\"odd\",\"finalize\":\"" U "f\",\"authorizations\":[\"" U "1\"]}",
		"{\"status\":\"valid\",\"finalize\":\"" U "f\",\"authorizations\":[\"" U
		"1\"],\"certificate\":\"file:///x\"}",
		"{\"status\":\"pending\",\"status\":\"valid\",\"finalize\":\"" U "f\",\"authorizations\":[\"" U "1\"]}",
	};
	struct acme_order *o = malloc(sizeof *o);
	struct buf many;

	(void)state;
	assert_int_equal(
		order_of(o, "{\"status\":\"valid\",\"finalize\":\"" U "f\",\"authorizations\":[\"" U "1\",\"" U
			    "2\"],\"certificate\":\"" U "c\",\"error\":{\"type\":\"urn:ietf:params:acme:error:dns\","
			    "\"detail\":\"a\\nb\"}}"),
		0);
	assert_int_equal(o->status, ACME_VALID);
	assert_int_equal(o->n, 2);
	assert_string_equal(o->certificate, U "c");
	assert_string_equal(o->problem.type, "dns");
	assert_string_equal(o->problem.detail, "a b");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (order_of(o, bad[i]) == 0)
			fail_msg("taken: %s", bad[i]);
	buf_init(&many, 1 << 20);
	buf_printf(&many, "{\"status\":\"pending\",\"finalize\":\"" U "f\",\"authorizations\":[\"" U "0\"");
	for (int i = 0; i < ACME_ORDER_NAMES; i++)
		buf_printf(&many, ",\"" U "%d\"", i);
	buf_printf(&many, "]}");
	assert_int_equal(order_of(o, buf_cstr(&many)), -1); /* one too many */
	buf_free(&many);
	free(o);
}

#define HTTP_01(token) "{\"type\":\"http-01\",\"status\":\"pending\",\"url\":\"" U "h\",\"token\":\"" token "\"}"
#define OF(host, challenges)                                                                                           \
	"{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"" host "\"},\"challenges\":[" challenges \
	"]}"

static void authorizations(void **state)
{
	static const char *const bad[] = {
		OF("a b", HTTP_01("t")),
		OF("*.a.example", HTTP_01("t")),
		OF("a.example", HTTP_01("../../x")),
		OF("a.example", HTTP_01("")),
		OF("a.example", HTTP_01("t") "," HTTP_01("u")),
		"{\"status\":\"pending\",\"identifier\":{\"type\":\"ip\",\"value\":\"a.example\"},\"challenges\":[]}",
	};
	struct acme_authorization a;

	(void)state;
	assert_int_equal(authorization_of(&a, OF("A.Example", HTTP_01("tO-k_1") ",{\"type\":\"dns-01\"}")), 0);
	assert_string_equal(a.host, "a.example");
	assert_true(a.http.offered);
	assert_string_equal(a.http.token, "tO-k_1");
	assert_false(a.tls.offered);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (authorization_of(&a, bad[i]) == 0)
			fail_msg("taken: %s", bad[i]);
}

static void when_to_come_again(void **state)
{
	static const struct {
		const char *value;
		uint64_t ms;
	} cases[] = {
		{ "", 0 },
		{ "soon", 0 },
		{ "0", 0 },
		{ "120", 120000 },
		{ "99999999999", 86400000 },
		{ "-5", 0 },
		{ "Thu, 01 Jan 1970 00:01:00 GMT", 50000 },
		{ "Thu, 01 Jan 1970 00:00:05 GMT", 0 },
		{ "Fri, 31 Dec 2100 23:59:59 GMT", 86400000 },
		{ "Thu, 01 Jan 1970 00:01:00 GMT and more", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (acme_reply_retry_after(cases[i].value, 10000) != cases[i].ms)
			fail_msg("'%s'", cases[i].value);
}

/* The part of this name, decoded. */
static json_t *part(const json_t *jws, const char *name)
{
	const char *text = json_string_value(json_object_get(jws, name));
	char plain[4096];
	const int n = str_unb64url(plain, sizeof plain - 1, text, strlen(text));

	assert_true(n >= 0);
	return json_loadb(plain, (size_t)n, 0, NULL);
}

static void requests_are_signed(void **state)
{
	struct acme_jws about = { U "o", "nonce_1", "" };
	struct es256 *key;
	json_t *jws, *head, *payload;
	struct buf b;

	(void)state;
	assert_int_equal(es256_generate(&key, NULL), 0);
	for (int known = 0; known < 2; known++) {
		about.kid = known ? U "acct/1" : "";
		buf_init(&b, 65536);
		assert_int_equal(acme_jws_sign(&b, key, &about, "{\"a\":1}", NULL), 0);
		jws = json_loadb((const char *)b.data, b.len, 0, NULL);
		head = part(jws, "protected");
		payload = part(jws, "payload");
		assert_string_equal(json_string_value(json_object_get(head, "alg")), "ES256");
		assert_string_equal(json_string_value(json_object_get(head, "nonce")), "nonce_1");
		assert_string_equal(json_string_value(json_object_get(head, "url")), U "o");
		assert_int_equal(json_object_get(head, "jwk") != NULL, !known); /* one of the two (section 6.2) */
		assert_int_equal(json_object_get(head, "kid") != NULL, known);
		assert_int_equal(json_integer_value(json_object_get(payload, "a")), 1);
		assert_int_equal(strlen(json_string_value(json_object_get(jws, "signature"))), 86);
		json_decref(payload);
		json_decref(head);
		json_decref(jws);
		buf_free(&b);
	}
	es256_free(key);
}

static void an_account_elsewhere_is_bound(void **state)
{
	uint8_t mac[SHA256_SIZE], got[SHA256_SIZE];
	char input[4096];
	const char *sig;
	struct es256 *key;
	json_t *jws, *head;
	struct buf b;
	struct err e;

	(void)state;
	assert_int_equal(es256_generate(&key, NULL), 0);
	buf_init(&b, 65536);
	assert_int_equal(acme_jws_bind(&b, key, U "a", "kid-1", "no base64url!", &e), -1);
	assert_string_equal(e.field, "acme.eab_key");
	assert_int_equal(acme_jws_bind(&b, key, U "a", "kid-1", "c2VjcmV0", NULL), 0); /* "secret" */
	jws = json_loadb((const char *)b.data, b.len, 0, NULL);
	head = part(jws, "protected");
	assert_string_equal(json_string_value(json_object_get(head, "alg")), "HS256");
	assert_string_equal(json_string_value(json_object_get(head, "kid")), "kid-1");
	assert_null(json_object_get(head, "nonce"));
	str_fmt(input, sizeof input, "%s.%s", json_string_value(json_object_get(jws, "protected")),
		json_string_value(json_object_get(jws, "payload")));
	seal_hmac_sha256("secret", 6, input, strlen(input), mac);
	sig = json_string_value(json_object_get(jws, "signature"));
	assert_int_equal(str_unb64url(got, sizeof got, sig, strlen(sig)), SHA256_SIZE);
	assert_memory_equal(got, mac, sizeof mac);
	json_decref(head);
	json_decref(jws);
	buf_free(&b);
	es256_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories),
		cmocka_unit_test(orders),
		cmocka_unit_test(authorizations),
		cmocka_unit_test(when_to_come_again),
		cmocka_unit_test(requests_are_signed),
		cmocka_unit_test(an_account_elsewhere_is_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
