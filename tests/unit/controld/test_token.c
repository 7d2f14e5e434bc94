#include "controld/identity/token.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1800000000 };

static struct token sample(void)
{
	struct token t = { .user_id = "usr_1",
		.tenant_id = "ten_1",
		.username = "anna \"the\" admin",
		.role = ROLE_ADMIN,
		.issued_s = NOW,
		.expires_s = NOW + 3600 };

	token_jti(t.jti, "ses_0123456789abcdefghij");
	return t;
}

static void round_trip(void **state)
{
	struct token t = sample(), got;
	char *claims = token_print(&t, "portway"), session[RAND_ID_SIZE];

	(void)state;
	assert_non_null(claims);
	assert_int_equal(token_parse(&got, claims, "portway", NOW, NULL), 0);
	assert_string_equal(got.user_id, t.user_id);
	assert_string_equal(got.tenant_id, t.tenant_id);
	assert_string_equal(got.username, t.username);
	assert_string_equal(got.jti, t.jti);
	assert_int_equal(got.role, ROLE_ADMIN);
	assert_int_equal(got.expires_s, NOW + 3600);
	assert_int_equal(token_session(got.jti, session), 0);
	assert_string_equal(session, "ses_0123456789abcdefghij");
	free(claims);
}

static void claims_that_clients_read(void **state)
{
	static const char *const wanted[] = { "\"iss\":\"portway\"", "\"sub\":\"usr_1\"", "\"user_id\":\"usr_1\"",
		"\"userId\":\"usr_1\"", "\"tenant_id\":\"ten_1\"", "\"client_type\":\"user\"", "\"roles\":[\"admin\"]",
		"\"permissions\":[\"read\",\"write\",\"admin\"]", "\"exp\":1800003600" };
	struct token t = sample();
	char *claims = token_print(&t, "portway");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (strstr(claims, wanted[i]) == NULL)
			fail_msg("%s is not in %s", wanted[i], claims);
	free(claims);
}

static void times(void **state)
{
	struct token t = sample(), got;
	struct err e = { .code = ERR_NONE };
	char *claims = token_print(&t, "portway");

	(void)state;
	assert_int_equal(token_parse(&got, claims, "portway", NOW + 3599, &e), 0);
	assert_int_equal(token_parse(&got, claims, "portway", NOW + 3600, &e), -1);
	assert_int_equal(e.code, ERR_TOKEN_EXPIRED);
	assert_int_equal(token_parse(&got, claims, "portway", NOW - 60, &e), 0);
	assert_int_equal(token_parse(&got, claims, "portway", NOW - 61, &e), -1);
	assert_int_equal(e.code, ERR_INVALID_TOKEN);
	assert_int_equal(token_parse(&got, claims, "other", NOW, &e), -1);
	free(claims);
}

#define GOOD "\"iss\":\"portway\",\"sub\":\"u\",\"tenant_id\":\"t\",\"username\":\"n\",\"iat\":1800000000"

static void claims_that_are_refused(void **state)
{
	static const struct {
		const char *what, *claims;
	} cases[] = {
		{ "empty", "" },
		{ "no object", "[]" },
		{ "no jti", "{" GOOD ",\"role\":\"owner\",\"exp\":1800003600}" },
		{ "no exp", "{" GOOD ",\"role\":\"owner\",\"jti\":\"s.x\"}" },
		{ "exp is text", "{" GOOD ",\"role\":\"owner\",\"jti\":\"s.x\",\"exp\":\"1800003600\"}" },
		{ "exp is real", "{" GOOD ",\"role\":\"owner\",\"jti\":\"s.x\",\"exp\":1800003600.0}" },
		{ "no role", "{" GOOD ",\"jti\":\"s.x\",\"exp\":1800003600}" },
		{ "unknown role", "{" GOOD ",\"role\":\"root\",\"jti\":\"s.x\",\"exp\":1800003600}" },
		{ "member twice", "{" GOOD ",\"role\":\"owner\",\"jti\":\"s.x\",\"exp\":1,\"exp\":1800003600}" },
		{ "empty sub", "{\"iss\":\"portway\",\"sub\":\"\",\"tenant_id\":\"t\",\"username\":\"n\","
			       "\"iat\":1800000000,\"role\":\"owner\",\"jti\":\"s.x\",\"exp\":1800003600}" },
		{ "jti too long", "{" GOOD ",\"role\":\"owner\",\"exp\":1800003600,"
				  "\"jti\":\"s.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}" },
	};
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { .code = ERR_NONE };
		struct token t;

		if (token_parse(&t, cases[i].claims, "portway", NOW, &e) == 0 || e.code != ERR_INVALID_TOKEN) {
			print_error("%s was taken\n", cases[i].what);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

static void a_jti_without_session(void **state)
{
	char session[RAND_ID_SIZE];

	(void)state;
	assert_int_equal(token_session("", session), -1);
	assert_int_equal(token_session("nodot", session), -1);
	assert_int_equal(token_session(".x", session), -1);
	assert_int_equal(token_session("ses_0123456789abcdefghij0123456789.x", session), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(claims_that_clients_read),
		cmocka_unit_test(times),
		cmocka_unit_test(claims_that_are_refused),
		cmocka_unit_test(a_jti_without_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
