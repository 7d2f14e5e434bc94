/* lb_health, lb_standing: what relays say of backends becomes one state for each, and its changes rows of the log. */
#include "common/base/log.h"
#include "controld/balancer/lb_health.h"
#include "controld/balancer/lb_standing.h"
#include "controld/store/changes.h"
#include "tests/unit/lib/test_store.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
/* after those: */
#include <cmocka.h>

#define S INT64_C(1000)

static struct test_store t;
static struct lb_healths *h;
static int64_t seen; /* of the log */

static int work_rows(struct db *tx, void *arg, struct err *e)
{
	static const char *const rows[] = {
		"INSERT INTO lb_pools (id, tenant_id, user_id, name, algorithm, settings, version, seq, created_ms, "
		"updated_ms) "
		"VALUES ('pol_1', 'red', '', 'web', 'round_robin', '{\"slow_start\": 30000}', 1, 1, 1, 1)",
		"INSERT INTO lb_backends (id, tenant_id, pool_id, host, port, client_id, dial_any, weight, region, "
		"backup, "
		"max_connections, settings, version, created_ms, updated_ms) VALUES ('bck_1', 'red', 'pol_1', "
		"'10.0.0.1', 80, 0, 0, 1, "
		"'', 0, 0, '{}', 1, 1, 1)",
		"INSERT INTO lb_backends (id, tenant_id, pool_id, host, port, client_id, dial_any, weight, region, "
		"backup, "
		"max_connections, settings, version, created_ms, updated_ms) VALUES ('bck_2', 'red', 'pol_1', '::1', "
		"80, 0, 0, 1, '', "
		"0, 0, '{}', 1, 1, 1)",
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (db_exec(tx, rows[i], e) < 0)
			return -1;
	return 0;
}

static int set_up(void **state)
{
	struct err e = { .code = ERR_NONE };

	(void)state;
	test_store_open(&t);
	TEST_STORE_MUST(store_write(t.store, STORE_OPERATIONAL, work_rows, NULL, &e), e);
	assert_int_equal(lb_healths_new(&h, t.store, NULL), 0);
	seen = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lb_healths_free(h);
	test_store_close(&t);
	return 0;
}

static void say(const char *node, const char *backend, enum backend_state_kind kind, uint32_t flaps, const char *reason)
{
	struct backend_state s = { .pool = "pol_1", .state = (uint8_t)kind, .flaps = flaps, .since_ms = 5 };
	struct backend_states list = { .told = true, .n = backend != NULL, .items = &s };

	if (backend != NULL)
		str_copy(s.backend, sizeof s.backend, backend);
	str_copy(s.reason, sizeof s.reason, reason);
	assert_int_equal(lb_healths_node(h, node, &list), 0);
}

static void write_at(int64_t now_ms)
{
	struct err e = { .code = ERR_NONE };

	if (lb_healths_write(h, now_ms, &e) != 0)
		fail_msg("%s", e.msg);
}

static void on_touched(void *arg, const char *backend)
{
	(void)arg;
	(void)backend;
}

static int work_elsewhere(struct db *tx, void *arg, struct err *e)
{
	return lb_standing_replace(tx, "node_7", arg, 1, on_touched, NULL, e);
}

/* As another controld does. */
static void write_elsewhere(const struct backend_state *s)
{
	struct backend_state copy = *s;
	struct err e = { .code = ERR_NONE };

	TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_elsewhere, &copy, &e), e);
}

/* The log's rows since the last look, as "id previous>current flaps", and the last object. */
struct news {
	unsigned n;
	char text[256];
	char object[4096];
};

static int on_change(const struct change *c, void *arg)
{
	struct news *news = arg;
	json_t *o = json_loads(c->object, 0, NULL);

	seen = c->seq;
	assert_string_equal(c->kind, "backend");
	assert_string_equal(c->op, "health_changed");
	assert_string_equal(c->tenant, "red");
	assert_string_equal(json_string_value(json_object_get(o, "id")), c->subject);
	assert_int_equal(
		str_fmt(news->text + strlen(news->text), sizeof news->text - strlen(news->text), "%s%s %s>%s %d",
			news->n++ > 0 ? ", " : "", c->subject, json_string_value(json_object_get(o, "previous_status")),
			json_string_value(json_object_get(o, "current_status")),
			(int)json_integer_value(json_object_get(o, "flaps"))),
		0);
	str_copy(news->object, sizeof news->object, c->object);
	json_decref(o);
	return 0;
}

static const char *object;

static void logged(const char *want)
{
	static struct news news;
	struct err e = { .code = ERR_NONE };
	struct db *db;

	news = (struct news){ .n = 0 };
	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(changes_read(db, seen, 100, "backend", on_change, &news, &e), e);
	store_read_end(db);
	assert_string_equal(news.text, want);
	object = news.object;
}

static void shown(const char *backend, enum backend_state_kind want)
{
	struct err e = { .code = ERR_NONE };
	enum backend_state_kind is;
	struct db *db;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(lb_standing_get(db, backend, &is, &e), e);
	store_read_end(db);
	assert_int_equal(is, want);
}

static void test_one_relay(void **state)
{
	(void)state;
	shown("bck_1", BACKEND_UNKNOWN);
	say("node_1", "bck_1", BACKEND_UNKNOWN, 0, "");
	write_at(1 * S);
	logged("");
	shown("bck_2", BACKEND_UNKNOWN); /* nobody has said anything of it */
	say("node_1", "bck_1", BACKEND_UNHEALTHY, 0, "status 503");
	write_at(2 * S);
	shown("bck_1", BACKEND_UNHEALTHY);
	logged("bck_1 unknown>unhealthy 0");
	assert_non_null(strstr(object, "\"address\":\"10.0.0.1:80\",\"pool\":\"web\",\"pool_id\":\"pol_1\""));
	assert_non_null(strstr(object, "\"health_check_details\":{\"error\":\"status 503\",\"status_code\":503}"));
	assert_non_null(
		strstr(object, "\"nodes\":[{\"node_id\":\"node_1\",\"node\":\"node_1\",\"status\":\"unhealthy\""));
	write_at(3 * S);
	logged(""); /* nothing is new */
}

/* Within ten seconds of a change the next one waits, and then says how often it went. */
static void test_flaps(void **state)
{
	(void)state;
	say("node_1", "bck_1", BACKEND_UNHEALTHY, 1, "x");
	write_at(1 * S);
	logged("bck_1 unknown>unhealthy 1");
	for (uint32_t i = 2; i < 9; i++) {
		say("node_1", "bck_1", i % 2 == 0 ? BACKEND_HEALTHY : BACKEND_UNHEALTHY, i, "x");
		write_at(i * S);
		logged("");
	}
	say("node_1", "bck_1", BACKEND_HEALTHY, 9, "");
	write_at(10 * S);
	logged("");
	write_at(11 * S); /* by itself */
	logged("bck_1 unhealthy>healthy 8");
	say("node_1", "bck_1", BACKEND_UNHEALTHY, 10, "x");
	write_at(12 * S);
	say("node_1", NULL, BACKEND_HEALTHY, 0, ""); /* back to what was logged before its time came */
	write_at(13 * S);
	write_at(40 * S);
	logged("");
}

static void test_several_relays(void **state)
{
	(void)state;
	say("node_1", "bck_2", BACKEND_EJECTED, 1, "5 failures in a row");
	say("node_2", "bck_2", BACKEND_UNHEALTHY, 1, "refused");
	write_at(1 * S);
	logged("bck_2 unknown>unhealthy 2");
	assert_non_null(strstr(object, "\"address\":\"[::1]:80\""));
	assert_non_null(strstr(object, "\"error\":\"refused\""));
	lb_healths_node_gone(h, "node_2");
	lb_healths_node_gone(h, "node_2");
	lb_healths_node_gone(h, "nobody");
	write_at(20 * S);
	logged("bck_2 unhealthy>ejected 0");
	say("node_1", NULL, BACKEND_HEALTHY, 0, "");
	write_at(40 * S);
	logged("bck_2 ejected>healthy 0");
	shown("bck_2", BACKEND_HEALTHY);
	lb_healths_node_gone(h, "node_1");
	write_at(60 * S);
	logged(""); /* it was up, and nobody says otherwise */
	shown("bck_2", BACKEND_HEALTHY);
}

/* It is down, and the only relay goes: nobody knows. What another controld's relay says is shown at once. */
static void test_nobody_tells(void **state)
{
	const struct backend_state elsewhere = {
		.backend = "bck_1", .pool = "pol_1", .state = BACKEND_EJECTED, .since_ms = 5
	};

	(void)state;
	say("node_1", "bck_1", BACKEND_UNHEALTHY, 1, "refused");
	write_at(1 * S);
	logged("bck_1 unknown>unhealthy 1");
	lb_healths_node_gone(h, "node_1");
	write_at(20 * S);
	logged("bck_1 unhealthy>unknown 0");
	shown("bck_1", BACKEND_UNKNOWN);
	write_elsewhere(&elsewhere);
	shown("bck_1", BACKEND_EJECTED);
}

/* Who comes back tells until when it starts slowly; who is seen for the first time does not. */
static void test_slow_start(void **state)
{
	(void)state;
	say("node_1", "bck_1", BACKEND_HEALTHY, 0, "");
	write_at(1 * S);
	logged("bck_1 unknown>healthy 0");
	assert_non_null(strstr(object, "\"slow_start_ends\":null"));
	say("node_1", "bck_1", BACKEND_UNHEALTHY, 1, "refused");
	write_at(20 * S);
	logged("bck_1 healthy>unhealthy 1");
	assert_non_null(strstr(object, "\"slow_start_ends\":null"));
	say("node_1", "bck_1", BACKEND_HEALTHY, 2, "");
	write_at(40 * S);
	logged("bck_1 unhealthy>healthy 1");
	assert_non_null(strstr(object, "\"slow_start_ends\":\"1970-01-01T00:00:30.005Z\""));
}

/* A relay names a backend that was deleted meanwhile: nothing is kept of it. */
static void test_no_such_backend(void **state)
{
	(void)state;
	say("node_1", "bck_9", BACKEND_UNHEALTHY, 1, "x");
	write_at(1 * S);
	logged("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_relay, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_several_relays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nobody_tells, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slow_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_such_backend, set_up, tear_down),
	};

	log_init("test_lb_standing", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
