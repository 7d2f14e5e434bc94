/* Every allocation of an agent's beginning and of a reload fails once: an error, what there was before, and nothing leaks. */
#define _GNU_SOURCE
#include "tests/unit/lib/alloc_fail.h"

#include "client/agent/credential.h"
#include "common/net/allow.h"
#include "tests/unit/client/agent_world.h"

#define ROUNDS_MAX 1000

static void test_parts(void **state)
{
	struct world *w = *state;

	ALLOC_FAIL_EACH(n)
	{
		struct credential c = { .key = NULL };
		struct allow *a = NULL;
		int r;

		assert_true(n < ROUNDS_MAX);
		alloc_fail_after(n);
		r = allow_parse(&a, "allow", "localhost, db.internal:5432, *.lan", NULL);
		if (r == 0)
			r = credential_from_token(&c, w->token, NULL);
		if (!alloc_fail_stop())
			assert_int_equal(r, 0);
		allow_unref(a);
		credential_fini(&c);
		if (r == 0)
			break;
	}
}

static void test_open(void **state)
{
	static const struct agent_events events = { world_on_ready, world_on_over, NULL, NULL };
	struct world *w = *state;

	ALLOC_FAIL_EACH(n)
	{
		struct settings s;
		struct agent *a;
		struct err e = { .code = ERR_NONE };
		bool failed;
		int r;

		assert_true(n < ROUNDS_MAX);
		assert_int_equal(world_settings(w, &s, "", NULL), 0);
		alloc_fail_after(n);
		r = agent_open(&a, &w->worker, &s, &events, w, &e);
		failed = alloc_fail_stop();
		if (r == 0)
			agent_free(a);
		else
			assert_true(failed && e.msg[0] != '\0');
		if (!failed)
			break;
	}
}

static bool up(struct world *w)
{
	return w->relay[0].n_now == 2;
}

/* The old settings hold, and the links with them. */
static void test_reload(void **state)
{
	static const char *const more[] = { "allow=any", NULL };
	struct world *w = *state;

	world_open_agent(w, "", NULL);
	world_run_until(w, up);
	ALLOC_FAIL_EACH(n)
	{
		struct settings s;
		struct err e = { .code = ERR_NONE };
		bool failed;
		int r;

		assert_true(n < ROUNDS_MAX);
		assert_int_equal(world_settings(w, &s, "", more), 0);
		alloc_fail_after(n);
		r = agent_reload(w->agent, &s, &e);
		failed = alloc_fail_stop();
		assert_true(r == 0 || (failed && e.msg[0] != '\0'));
		if (!failed)
			break;
	}
	assert_int_equal(w->relay[0].n_now, 2);
	assert_int_equal(w->relay[0].n_ever, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_parts, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_open, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_reload, world_set_up, world_tear_down),
	};

	if (!ALLOC_FAIL_WORKS)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
