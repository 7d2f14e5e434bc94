/* checks: what relays want watched is tried, told to each link that asked when it changes, and not tried beyond need. */
#define _GNU_SOURCE
#include "tests/unit/client/agent_world.h"

/* ---- a target ----------------------------------------------------------------------------------------------------- */

struct target {
	int fd;
	uint16_t port;
	pthread_t thread;
	unsigned status; /* atomic; 0: it hangs up */
	unsigned asked;  /* atomic */
	unsigned bad;    /* atomic: that were answered otherwise than with 200 */
	char request[512];
};

static void *work_target(void *arg)
{
	struct target *t = arg;
	int fd;

	while ((fd = accept(t->fd, NULL, NULL)) >= 0) {
		unsigned status = __atomic_load_n(&t->status, __ATOMIC_SEQ_CST);
		ssize_t n = recv(fd, t->request, sizeof t->request - 1, 0);

		t->request[n > 0 ? n : 0] = '\0';
		__atomic_add_fetch(&t->bad, status != 200, __ATOMIC_SEQ_CST);
		if (status != 0)
			dprintf(fd, "HTTP/1.1 %u whatever\r\n\r\n", status);
		close(fd);
		__atomic_add_fetch(&t->asked, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void target_open(struct target *t, unsigned status)
{
	*t = (struct target){ .status = status };
	t->fd = world_listen(SOCK_STREAM, 0, &t->port);
	assert_int_equal(pthread_create(&t->thread, NULL, work_target, t), 0);
}

static void target_close(struct target *t)
{
	shutdown(t->fd, SHUT_RDWR);
	pthread_join(t->thread, NULL);
	close(t->fd);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static void ask(struct relay_link *l, const char *mapping, uint8_t type, uint16_t port)
{
	struct frame_check c = { .spec = { type, "127.0.0.1", port, 1000, 10000, 1, 2, "/up?x=1", 0 } };

	str_copy(c.mapping, sizeof c.mapping, mapping);
	frame_check_put(&l->link.mux.out, &c);
	tunnel_link_flush(&l->link);
}

static bool has_two_links(struct world *w)
{
	return w->relay[0].n_now == 2;
}

static bool both_told(struct world *w)
{
	return w->relay[0].links[0].n_health > 0 && w->relay[0].links[1].n_health > 0;
}

static bool both_down(struct world *w)
{
	return both_told(w) && !w->relay[0].links[0].health.up && !w->relay[0].links[1].health.up;
}

static bool both_up(struct world *w)
{
	return both_told(w) && w->relay[0].links[0].health.up && w->relay[0].links[1].health.up;
}

static bool first_down(struct world *w)
{
	return w->relay[0].links[0].n_health > 0 && !w->relay[0].links[0].health.up;
}

static bool second_down(struct world *w)
{
	return w->relay[0].links[1].n_health > 0 && !w->relay[0].links[1].health.up;
}

static bool first_up(struct world *w)
{
	return w->relay[0].links[0].n_health > 0 && w->relay[0].links[0].health.up;
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

/* Two links ask the same: it is tried once, and both hear of each turn. */
static void test_http(void **state)
{
	struct world *w = *state;
	struct relay_link *l = w->relay[0].links;
	struct target t;
	char want[128];

	target_open(&t, 200);
	world_open_agent(w, "", NULL);
	world_run_until(w, has_two_links);
	ask(&l[0], "map_1", FRAME_CHECK_HTTP, t.port);
	ask(&l[1], "map_1", FRAME_CHECK_HTTP, t.port);
	world_run_until(w, both_up);
	assert_in_range(__atomic_load_n(&t.asked, __ATOMIC_SEQ_CST), 1, 2);
	str_fmt(want, sizeof want, "GET /up?x=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", t.port);
	assert_memory_equal(t.request, want, strlen(want));
	assert_string_equal(l[0].health.mapping, "map_1");
	__atomic_store_n(&t.status, 503, __ATOMIC_SEQ_CST);
	world_run_until(w, both_down);
	assert_in_range(__atomic_load_n(&t.bad, __ATOMIC_SEQ_CST), 2, 3); /* `fall` of them in a row */
	assert_string_equal(l[1].health.reason, "status 503");
	assert_int_equal(l[0].n_health, 2); /* of turns alone */
	__atomic_store_n(&t.status, 302, __ATOMIC_SEQ_CST);
	world_run_until(w, both_up);
	ask(&l[0], "map_1", FRAME_CHECK_NONE, 0);
	__atomic_store_n(&t.status, 0, __ATOMIC_SEQ_CST);
	l[0].n_health = 0;
	world_run_until(w, second_down);
	assert_int_equal(l[0].n_health, 0); /* who does not want to know is not told */
	target_close(&t);
}

static void test_tcp(void **state)
{
	struct world *w = *state;
	struct relay_link *l = w->relay[0].links;
	struct target t;
	uint16_t port = world_free_port();

	target_open(&t, 0);
	world_open_agent(w, "", NULL);
	world_run_until(w, has_two_links);
	ask(&l[0], "map_1", FRAME_CHECK_TCP, port);
	world_run_until(w, first_down);
	assert_non_null(strstr(l[0].health.reason, "refused"));
	ask(&l[0], "map_1", FRAME_CHECK_TCP, t.port); /* the mapping leads to another port now */
	world_run_until(w, first_up);
	target_close(&t);
}

static bool answered(struct world *w)
{
	return w->relay[0].links[0].n_health >= 1;
}

/* Its own list says what is connected to, checks included. */
static void test_not_allowed(void **state)
{
	const char *const more[] = { "allow=localhost:1", NULL };
	struct world *w = *state;
	struct target t;

	target_open(&t, 200);
	world_open_agent(w, "", more);
	world_run_until(w, has_two_links);
	ask(&w->relay[0].links[0], "map_1", FRAME_CHECK_HTTP, t.port);
	world_run_until(w, answered);
	assert_false(w->relay[0].links[0].health.up);
	assert_int_equal(__atomic_load_n(&t.asked, __ATOMIC_SEQ_CST), 0);
	target_close(&t);
}

static bool is_gone(struct world *w)
{
	return w->relay[0].n_now < 2;
}

/* The link that asked is lost while a check is under way. */
static void test_link_lost(void **state)
{
	struct world *w = *state;
	struct target t;

	target_open(&t, 200);
	world_open_agent(w, "", NULL);
	world_run_until(w, has_two_links);
	ask(&w->relay[0].links[0], "map_1", FRAME_CHECK_HTTP, t.port);
	tunnel_link_flush(&w->relay[0].links[0].link);
	world_run_until(w, answered);
	tunnel_link_close(&w->relay[0].links[0].link, "lost");
	world_run_until(w, is_gone);
	world_run_until(w, has_two_links);
	target_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_http, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_tcp, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_not_allowed, world_set_up, world_tear_down),
		cmocka_unit_test_setup_teardown(test_link_lost, world_set_up, world_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
