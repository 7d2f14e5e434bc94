#define _GNU_SOURCE
/* The agents' door when it is closed in the middle of a round that has more events for it. */
#include "relayd/tunnel/agent_door.h"

#include "common/base/macros.h"
#include "relayd/tunnel/friends.h"
#include "relayd/tunnel/registry.h"
#include "tests/unit/relayd/lab.h"

static struct fd_budget fds;
static struct worker worker;
static struct agent_table table;
static struct registry *registry;

static void on_change(void *arg)
{
	(void)arg;
}

static const struct agents_conf conf = { .handshakes_per_s = 1000, .guests_max = 8 };

static int set_up(void **state)
{
	const struct registry_conf in = { .workers = 1, .links_max = 64, .on_change = on_change };

	(void)state;
	fd_budget_init(&fds, 100);
	assert_int_equal(worker_init(&worker, 0, &fds, NULL, NULL, NULL), 0);
	assert_int_equal(registry_new(&registry, &in), 0);
	assert_int_equal(agent_table_init(&table, &worker, registry, &conf), 0);
	assert_int_equal(friends_new(&table.friends), 0);
	table.all = &table;
	table.n_all = 1;
	return 0;
}

static int tear_down(void **state)
{
	struct friends *friends = table.friends;

	(void)state;
	agent_table_fini(&table);
	friends_free(friends);
	registry_free(registry);
	worker_fini(&worker);
	assert_int_equal(fd_budget_used(&fds), 0);
	return 0;
}

static void on_close(struct task *t)
{
	(void)t;
	agent_door_close(table.door);
	table.door = NULL;
	worker_stop(&worker);
}

static void on_stop(struct task *t)
{
	(void)t;
	worker_stop(&worker);
}

/* One round; the worker's thread is the test's. */
static void run_with(struct task *t)
{
	worker.stopping = false;
	worker_post(&worker, t);
	worker_run(&worker);
}

static int open_door(uint16_t *port)
{
	int fd = lab_bound(SOCK_STREAM, port);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	assert_int_equal(agent_door_open(&table.door, &table, fd), 0);
	return fd;
}

/* The order in which things become ready is the one of their events: the task, the guest, the door. */
static void test_closed_before_its_events(void **state)
{
	struct task stop, close_it;
	int door, guest, late;
	uint16_t port;

	(void)state;
	task_init(&stop, on_stop);
	task_init(&close_it, on_close);
	door = open_door(&port);
	guest = lab_connect(SOCK_STREAM, port);
	while (table.counts.accepted == 0)
		run_with(&stop);
	run_with(&stop); /* what was ready before is no more in the kernel's queue */
	worker.stopping = false;
	worker_post(&worker, &close_it);
	assert_int_equal(send(guest, "x", 1, 0), 1);
	late = lab_connect(SOCK_STREAM, port);
	worker_run(&worker);
	assert_int_equal(table.counts.accepted, 1);
	close(door);
	close(guest);
	close(late);
}

/* Who gives up while it waits for its turn makes room at once. */
static void test_gives_up_while_waiting(void **state)
{
	static const char hello[] = "\x16\x03\x01\x00\x05\x01";
	struct task stop, close_it;
	int door, guest;
	uint16_t port;

	(void)state;
	task_init(&stop, on_stop);
	task_init(&close_it, on_close);
	door = open_door(&port);
	table.n_greeting = (unsigned)conf.guests_max; /* nobody's turn comes */
	guest = lab_connect(SOCK_STREAM, port);
	assert_int_equal(send(guest, hello, sizeof hello - 1, 0), (ssize_t)sizeof hello - 1);
	while (table.counts.delayed == 0)
		run_with(&stop);
	assert_int_equal(fd_budget_used(&fds), 1);
	close(guest);
	while (table.counts.gave_up == 0)
		run_with(&stop);
	assert_int_equal(fd_budget_used(&fds), 0);
	assert_int_equal(table.counts.junk, 0);
	table.n_greeting = 0;
	run_with(&close_it);
	close(door);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_closed_before_its_events, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gives_up_while_waiting, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
