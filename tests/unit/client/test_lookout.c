/* lookout: a target that is away is told of once, knocked at until it answers, and left alone then. */
#define _GNU_SOURCE
#include "tests/unit/client/agent_world.h"

#include "client/agent/target/lookout.h"
#include "client/agent/target/sessions.h"
#include "common/base/buf.h"
#include "common/net/allow.h"

#include <fcntl.h>

static struct {
	struct sessions sessions;
	struct lookout lookout;
	unsigned told;
	bool away;
	uint16_t port;
	char why[200];
} it;

static void on_change(void *arg, const struct lookout_news *news)
{
	(void)arg;
	it.told++;
	it.away = news->why != NULL;
	it.port = news->port;
	str_copy(it.why, sizeof it.why, news->why != NULL ? news->why : "");
}

static int set_up(void **state)
{
	struct allow *allow;
	struct world *w;

	if (world_set_up(state) != 0)
		return -1;
	w = *state;
	memset(&it, 0, sizeof it);
	sessions_init(&it.sessions, &w->worker, NULL, NULL);
	assert_int_equal(allow_parse(&allow, "allow", "localhost", NULL), 0);
	sessions_set_allow(&it.sessions, allow);
	lookout_init(&it.lookout, &w->worker, &it.sessions, on_change, NULL);
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	lookout_fini(&it.lookout);
	worker_bury_all(&w->worker);
	sessions_fini(&it.sessions);
	return world_tear_down(state);
}

static bool is_told(struct world *w)
{
	(void)w;
	return it.told > 0;
}

static bool is_away(struct world *w)
{
	(void)w;
	return it.told > 0 && it.away;
}

static bool is_there(struct world *w)
{
	(void)w;
	return it.told > 0 && !it.away;
}

static void test_away_and_there(void **state)
{
	struct world *w = *state;
	uint16_t port = world_free_port();
	struct buf b;
	int fd;

	lookout_try(&it.lookout, "127.0.0.1", port);
	world_run_until(w, is_away);
	assert_non_null(strstr(it.why, "refused"));
	assert_int_equal(it.port, port);
	lookout_heard(&it.lookout, "127.0.0.1", port, "refused once more");
	assert_int_equal(it.told, 1);
	buf_init(&b, 4096);
	lookout_print(&it.lookout, &b);
	assert_non_null(strstr(buf_cstr(&b), "\"failures\":1"));
	buf_free(&b);
	fd = world_listen(SOCK_STREAM, port, &port);
	world_run_until(w, is_there);
	assert_int_equal(it.told, 2);
	lookout_heard(&it.lookout, "127.0.0.1", port, NULL);
	assert_int_equal(it.told, 2); /* no news */
	close(fd);
	lookout_heard(&it.lookout, "127.0.0.1", port, "gone again");
	assert_true(it.away && it.told == 3);
}

/* One that nobody asked to be looked at is forgotten as soon as it answers; one that works costs nothing. */
static void test_heard_of(void **state)
{
	(void)state;
	lookout_heard(&it.lookout, "127.0.0.1", 1, NULL);
	assert_int_equal(it.lookout.n, 0);
	lookout_heard(&it.lookout, "127.0.0.1", 1, "refused");
	assert_true(it.away && it.lookout.n == 1);
	lookout_heard(&it.lookout, "127.0.0.1", 2, NULL);
	assert_int_equal(it.told, 1);
	lookout_heard(&it.lookout, "127.0.0.1", 1, NULL);
	assert_true(!it.away && it.told == 2 && it.lookout.n == 0);
}

static void test_limit(void **state)
{
	(void)state;
	for (uint16_t port = 1; port <= LOOKOUT_MAX + 10; port++)
		lookout_heard(&it.lookout, "127.0.0.1", port, "refused");
	assert_int_equal(it.lookout.n, LOOKOUT_MAX);
	assert_int_equal(it.told, LOOKOUT_MAX);
}

/* What the agent may not dial is not knocked at either. */
static void test_not_allowed(void **state)
{
	struct allow *none;
	uint16_t port;
	int fd = world_listen(SOCK_STREAM, 0, &port);

	assert_int_equal(allow_parse(&none, "allow", "localhost:1", NULL), 0);
	sessions_set_allow(&it.sessions, none);
	lookout_try(&it.lookout, "127.0.0.1", port);
	world_run_until(*state, is_told);
	assert_true(it.away);
	assert_non_null(strstr(it.why, "allow list"));
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_away_and_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_heard_of, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_allowed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
