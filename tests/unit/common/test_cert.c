#include "common/crypto/cert.h"

#include "common/base/err.h"
#include "common/crypto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };
static const int64_t now_ms = 1800000000000;

static struct {
	struct key *ca_key;
	struct key *node_key;
	char *ca;
} house;

static int build(void **state)
{
	(void)state;
	if (key_generate(&house.ca_key, NULL) != 0 || key_generate(&house.node_key, NULL) != 0)
		return -1;
	house.ca = cert_make_ca(house.ca_key, "Portway CA", now_ms, 3650, NULL);
	return house.ca != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	key_free(house.ca_key);
	key_free(house.node_key);
	free(house.ca);
	return 0;
}

static void the_ca_says_what_it_was_made_with(void **state)
{
	struct cert_info info;

	(void)state;
	assert_int_equal(cert_inspect(house.ca, &info, NULL), 0);
	assert_string_equal(info.cn, "Portway CA");
	assert_int_equal(info.not_before_ms, now_ms - HOUR_MS);
	assert_int_equal(info.not_after_ms, now_ms + 3650ll * DAY_MS);
	assert_int_equal(strlen(info.fingerprint), CERT_FINGERPRINT_SIZE - 1);
	assert_int_equal(strlen(info.serial), 32);
}

static void a_request_gives_only_its_key(void **state)
{
	char *request = cert_request(house.node_key, "root-of-all", NULL), *cert;
	struct cert_info info;

	(void)state;
	assert_non_null(request);
	cert = cert_issue_request(house.ca, house.ca_key, request, "node_1", CERT_CLIENT, now_ms, 30, NULL);
	assert_non_null(cert);
	assert_int_equal(cert_inspect(cert, &info, NULL), 0);
	assert_string_equal(info.cn, "node_1");
	assert_int_equal(info.not_after_ms, now_ms + 30ll * DAY_MS);
	free(cert);
	free(request);
}

static void serials_differ(void **state)
{
	struct cert_info a, b;
	char *x = cert_issue(house.ca, house.ca_key, house.node_key, "n", NULL, CERT_CLIENT, now_ms, 1, NULL);
	char *y = cert_issue(house.ca, house.ca_key, house.node_key, "n", NULL, CERT_CLIENT, now_ms, 1, NULL);

	(void)state;
	assert_int_equal(cert_inspect(x, &a, NULL), 0);
	assert_int_equal(cert_inspect(y, &b, NULL), 0);
	assert_string_not_equal(a.serial, b.serial);
	assert_string_not_equal(a.fingerprint, b.fingerprint);
	free(x);
	free(y);
}

static void bad_requests(void **state)
{
	char *request = cert_request(house.node_key, "n", NULL);
	char *at = request + 60; /* inside the base64 of the signed part */
	static const char *const bad[] = { "", "hello",
		"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n" };
	struct err e = { .code = ERR_NONE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_null(cert_issue_request(house.ca, house.ca_key, bad[i], "n", CERT_CLIENT, now_ms, 1, &e));
		assert_int_equal(e.code, ERR_BAD_REQUEST);
	}
	*at = *at == 'A' ? 'B' : 'A';
	assert_null(cert_issue_request(house.ca, house.ca_key, request, "n", CERT_CLIENT, now_ms, 1, &e));
	free(request);
}

static void bad_names(void **state)
{
	char longest[CERT_NAME_MAX + 1];

	(void)state;
	memset(longest, 'n', CERT_NAME_MAX);
	longest[CERT_NAME_MAX] = '\0';
	assert_null(cert_issue(house.ca, house.ca_key, house.node_key, longest, NULL, CERT_CLIENT, now_ms, 1, NULL));
	assert_null(cert_issue(house.ca, house.ca_key, house.node_key, "", NULL, CERT_CLIENT, now_ms, 1, NULL));
	assert_null(cert_request(house.node_key, longest, NULL));
}

static void what_is_no_certificate(void **state)
{
	struct err e = { .code = ERR_NONE };
	struct cert_info info;

	(void)state;
	assert_int_equal(cert_inspect("", &info, &e), -1);
	assert_int_equal(e.code, ERR_CRYPTO);
	assert_int_equal(cert_inspect("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &info, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ca_says_what_it_was_made_with),
		cmocka_unit_test(a_request_gives_only_its_key),
		cmocka_unit_test(serials_differ),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(bad_names),
		cmocka_unit_test(what_is_no_certificate),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
