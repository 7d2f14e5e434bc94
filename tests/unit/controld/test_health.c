#include "controld/rest/health.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/macros.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A part that is as the test says, and counts how often it was asked. */
struct part {
	atomic_bool down;
	atomic_uint asked;
};

static int check_part(void *self, struct err *e)
{
	struct part *p = self;

	atomic_fetch_add(&p->asked, 1);
	return atomic_load(&p->down) ? err_set(e, ERR_UNAVAILABLE, NULL, "10.1.2.3: the cable is unplugged") : 0;
}

static struct health *health_of(struct part *database, struct part *mail)
{
	const struct health_probe probes[] = {
		{ .name = "database", .check = check_part, .self = database, .critical = true },
		{ .name = "mail", .check = check_part, .self = mail },
	};
	struct health *h;
	struct err e;

	assert_int_equal(health_new(&h, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		assert_int_equal(health_add(h, &probes[i], &e), 0);
	return h;
}

static const char *text(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	assert_non_null(s);
	return s;
}

static void test_statuses(void **state)
{
	static const struct {
		bool database_down, mail_down;
		enum health_status want;
		const char *name, *mail, *mail_check;
	} cases[] = {
		{ false, false, HEALTH_HEALTHY, "healthy", "healthy", "UP" },
		{ false, true, HEALTH_DEGRADED, "degraded", "unhealthy", "DOWN" },
		{ true, false, HEALTH_UNHEALTHY, "unhealthy", "healthy", "UP" },
		{ true, true, HEALTH_UNHEALTHY, "unhealthy", "unhealthy", "DOWN" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct part database = { .down = cases[i].database_down }, mail = { .down = cases[i].mail_down };
		struct health *h = health_of(&database, &mail);
		const json_t *check;
		json_t *body;
		struct err e;

		assert_int_equal(health_start(h, &e), 0); /* has asked once when it returns */
		assert_int_equal(health_status(h), cases[i].want);
		body = health_read(h, 1750347000000, 72 * 3600 + 30 * 60 + 15);
		assert_string_equal(text(body, "status"), cases[i].name);
		assert_string_equal(text(body, "timestamp"), "2025-06-19T15:30:00.000Z");
		assert_string_equal(text(body, "uptime"), "72h30m15s");
		assert_string_equal(text(json_object_get(body, "components"), "mail"), cases[i].mail);
		check = json_array_get(json_object_get(body, "checks"), 1);
		assert_string_equal(text(check, "name"), "mail");
		assert_string_equal(text(check, "status"), cases[i].mail_check);
		assert_string_equal(text(check, "details"), cases[i].mail_down ? "not available" : "");
		json_decref(body);
		health_free(h);
	}
}

static void test_is_asked_again(void **state)
{
	struct part database = { .down = false }, mail = { .down = false };
	struct health *h = health_of(&database, &mail);
	struct err e;

	(void)state;
	assert_int_equal(health_start(h, &e), 0);
	atomic_store(&database.down, true);
	while (health_status(h) != HEALTH_UNHEALTHY) /* within a second or so */
		usleep(1000);
	atomic_store(&database.down, false);
	while (health_status(h) != HEALTH_HEALTHY)
		usleep(1000);
	assert_true(database.asked >= 3);
	health_free(h);
}

static void test_has_a_limit_and_an_end(void **state)
{
	const struct health_probe probe = { .name = "x", .check = check_part };
	struct health *h;
	struct err e;

	(void)state;
	assert_int_equal(health_new(&h, &e), 0);
	for (unsigned i = 0; i < HEALTH_PROBES_MAX; i++)
		assert_int_equal(health_add(h, &probe, &e), 0);
	assert_int_equal(health_add(h, &probe, &e), -1);
	health_free(h); /* was never started */
	health_free(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_is_asked_again),
		cmocka_unit_test(test_has_a_limit_and_an_end),
	};

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
