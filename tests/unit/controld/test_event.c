/* Events: their text, who may see them, and ids that lead back into the log. */
#include "controld/events/event.h"

#include "common/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t log_id[CHANGES_LOG_ID_SIZE] = { 0x1f, 0x2e, 0x3d, 0x4c, 5 };

static struct event made(const char *kind, const char *op, const char *tenant)
{
	const struct change c = { .seq = 7,
		.time_ms = 1000,
		.tenant = tenant,
		.actor = "usr_1",
		.request_id = "req_1",
		.kind = kind,
		.op = op,
		.subject = "x\"1",
		.fields = "name,status",
		.object = "{\"a\":1}" };
	struct event ev;

	event_make(&ev, &c, log_id);
	return ev;
}

static void text(void **state)
{
	struct event ev = made("mapping", "update", "ten_1");

	(void)state;
	assert_string_equal(buf_cstr(&ev.text),
		"id: 1f2e3d4c-7\nevent: change\ndata: "
		"{\"seq\":7,\"time\":\"1970-01-01T00:00:01.000Z\",\"tenant_id\":\"ten_1\","
		"\"actor\":\"usr_1\",\"request_id\":\"req_1\",\"kind\":\"mapping\",\"op\":\"update\",\"subject\":"
		"\"x\\\"1\","
		"\"fields\":[\"name\",\"status\"],\"object\":{\"a\":1}}\n\n");
	event_fini(&ev);
}

static void who_sees_it(void **state)
{
	static const struct {
		const char *what, *kind, *tenant;
		enum role role;
		bool system;
		const char *only_tenant, *kinds;
		bool want;
	} cases[] = {
		{ "a viewer, a mapping of his tenant", "mapping", "ten_1", ROLE_VIEWER, false, "ten_1", "", true },
		{ "a viewer, a mapping of another", "mapping", "ten_2", ROLE_VIEWER, false, "ten_1", "", false },
		{ "who says he listens to another", "mapping", "ten_2", ROLE_OWNER, false, "ten_2", "", false },
		{ "a viewer, a user", "user", "ten_1", ROLE_VIEWER, false, "ten_1", "", false },
		{ "an admin, a user", "user", "ten_1", ROLE_ADMIN, false, "ten_1", "", true },
		{ "a kind that nobody listed", "secret_thing", "ten_1", ROLE_OPERATOR, false, "ten_1", "", false },
		{ "and its admin", "secret_thing", "ten_1", ROLE_ADMIN, false, "ten_1", "", true },
		{ "an owner, a relay", "node", "", ROLE_OWNER, false, "ten_1", "", false },
		{ "the system's administrator, a relay", "node", "", ROLE_OWNER, true, "", "", true },
		{ "he listens to one tenant", "mapping", "ten_2", ROLE_OWNER, true, "ten_1", "", false },
		{ "to every tenant", "mapping", "ten_2", ROLE_OWNER, true, "", "", true },
		{ "a kind that was asked for", "mapping", "ten_1", ROLE_VIEWER, false, "ten_1", "client,mapping",
			true },
		{ "one that was not", "mapping", "ten_1", ROLE_VIEWER, false, "ten_1", "client", false },
		{ "one whose name is in another's", "client", "ten_1", ROLE_VIEWER, false, "ten_1", "client_token",
			false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct event ev = made(cases[i].kind, "create", cases[i].tenant);
		struct event_filter f = {
			.who = { .role = cases[i].role, .system_admin = cases[i].system, .tenant_id = "ten_1" }
		};

		str_copy(f.tenant_id, sizeof f.tenant_id, cases[i].only_tenant);
		str_copy(f.kinds, sizeof f.kinds, cases[i].kinds);
		print_message("%s\n", cases[i].what);
		assert_int_equal(event_is_for(&ev, &f), cases[i].want);
		event_fini(&ev);
	}
}

static void rights(void **state)
{
	static const struct {
		const char *kind, *op;
		bool want;
	} cases[] = { { "user", "update", true }, { "login", "login", false }, { "login", "logout", true },
		{ "mapping", "create", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct event ev = made(cases[i].kind, cases[i].op, "ten_1");

		assert_int_equal(ev.about_identity, cases[i].want);
		event_fini(&ev);
	}
}

static void ids(void **state)
{
	static const char *const bad[] = { "", "7", "1f2e3d4c", "1f2e3d4c-", "1f2e3d4c-x", "1f2e3d4c--1", "1f2e3d4-7",
		"1f2e3d4c-99999999999999999999" };
	char id[EVENTS_ID_SIZE];
	int64_t seq = 0;

	(void)state;
	event_id_print(id, log_id, INT64_MAX);
	assert_int_equal(event_id_parse(id, log_id, &seq), 0);
	assert_int_equal(seq, INT64_MAX);
	assert_int_equal(event_id_parse("00000000-7", log_id, &seq), 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(event_id_parse(bad[i], log_id, &seq), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(who_sees_it),
		cmocka_unit_test(rights),
		cmocka_unit_test(ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
