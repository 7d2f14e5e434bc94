#define _GNU_SOURCE
#include "relayd/port/target.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/uv/fd_budget.h"
#include "relayd/loop/service.h"
#include "relayd/port/adopted.h"
#include "relayd/port/port_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct worker w;
static struct fd_budget fds;

static void on_wake(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
}

static int set_up(void **state)
{
	(void)state;
	fd_budget_init(&fds, 1000);
	return worker_init(&w, 0, &fds, on_wake, NULL, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	worker_fini(&w);
	return 0;
}

struct asking {
	struct task task;
	unsigned woken;
};

static void on_woken(struct task *t)
{
	CONTAINER_OF(t, struct asking, task)->woken++;
}

static void asking_init(struct asking *a)
{
	a->woken = 0;
	task_init(&a->task, on_woken);
}

/* What the worker's thread would do, until the waiting tasks have run. */
static void run_tasks(void)
{
	uint64_t until = clock_mono_ms() + 20000;
	struct list *first;

	while (list_empty(&w.again)) {
		uv_run(&w.uv, UV_RUN_NOWAIT);
		poll(NULL, 0, 1);
		assert_true(clock_mono_ms() < until);
	}
	while ((first = list_first(&w.again)) != NULL) {
		struct task *t = CONTAINER_OF(first, struct task, link);

		list_remove(first);
		t->run(t);
	}
}

static void an_address_is_known_for_ever(void **state)
{
	struct targets *got;
	struct asking a;
	struct target t;

	(void)state;
	asking_init(&a);
	target_init(&t, &w);
	target_set(&t, "192.0.2.1");
	w.now_ns += UINT64_C(86400000000000);
	assert_int_equal(target_get(&t, &a.task, &got), TARGET_KNOWN);
	assert_int_equal(got->n, 1);
	target_set(&t, "192.0.2.2"); /* who dials goes on with what it has */
	assert_int_equal(got->n, 1);
	targets_unref(got);
	target_fini(&t);
}

static void a_name_is_asked_for_once_and_kept_for_a_while(void **state)
{
	struct targets *got;
	struct asking a, b;
	struct target t;

	(void)state;
	asking_init(&a);
	asking_init(&b);
	target_init(&t, &w);
	target_set(&t, "localhost");
	assert_int_equal(target_get(&t, &a.task, &got), TARGET_WAIT);
	assert_int_equal(target_get(&t, &b.task, &got), TARGET_WAIT);
	run_tasks();
	assert_int_equal(a.woken + b.woken, 2);
	assert_int_equal(target_get(&t, &a.task, &got), TARGET_KNOWN);
	assert_in_range(got->n, 1, TARGETS_MAX);
	targets_unref(got);
	w.now_ns += TARGET_TTL_NS; /* old: asked again */
	assert_int_equal(target_get(&t, &a.task, &got), TARGET_WAIT);
	run_tasks();
	assert_int_equal(target_get(&t, &b.task, &got), TARGET_KNOWN);
	targets_unref(got);
	target_fini(&t);
}

static void a_name_that_is_not_known_fails_for_a_moment(void **state)
{
	struct targets *got;
	struct asking a;
	struct target t;

	(void)state;
	asking_init(&a);
	target_init(&t, &w);
	target_set(&t, "no-such-host.invalid");
	assert_int_equal(target_get(&t, &a.task, &got), TARGET_WAIT);
	run_tasks();
	assert_int_equal(target_get(&t, &a.task, &got), TARGET_FAILED);
	w.now_ns += UINT64_C(2000000000);
	assert_int_equal(target_get(&t, &a.task, &got), TARGET_WAIT);
	list_remove(&a.task.link); /* it gave up; the answer comes to nobody */
	target_fini(&t);
}

/* ---- what a predecessor left -------------------------------------------------------------------------------------- */

static struct handover_socket socket_of(const char *key)
{
	struct handover_socket s = { .fd = open("/dev/null", O_RDONLY | O_CLOEXEC), .record = "r", .record_n = 1 };

	strncpy(s.key, key, sizeof s.key - 1);
	return s;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void sockets_are_claimed_by_their_key(void **state)
{
	struct handover_socket port = socket_of("udp/::1/53/0"), again = socket_of("udp/::1/53/0"),
			       other = socket_of("tcp//80/1");
	struct handover_socket one = socket_of("session/udp/::1/53/0/7"), two = socket_of("session/udp/::1/53/0/8");
	struct handover_socket lost = socket_of("session/"), got;
	struct adopted *a;

	(void)state;
	assert_int_equal(adopted_new(&a), 0);
	adopted_add(a, &one); /* before its port */
	adopted_add(a, &port);
	adopted_add(a, &other);
	adopted_add(a, &two);
	adopted_add(a, &lost);
	adopted_add(a, &again); /* replaces */
	assert_false(is_open(port.fd));
	assert_int_equal(adopted_claim(a, "udp/::1/53/0"), again.fd);
	assert_int_equal(adopted_claim(a, "udp/::1/53/0"), -1);
	assert_int_equal(adopted_claim(a, "udp//53/0"), -1);
	assert_true(adopted_claim_session(a, "udp/::1/53/0", &got));
	assert_int_equal(got.fd, one.fd);
	assert_memory_equal(got.record, "r", 1);
	adopted_free(a);
	assert_true(is_open(one.fd) && is_open(again.fd)); /* claimed: ours */
	assert_false(is_open(two.fd) || is_open(other.fd) || is_open(lost.fd));
	close(one.fd);
	close(again.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_is_known_for_ever, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_is_asked_for_once_and_kept_for_a_while, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_that_is_not_known_fails_for_a_moment, set_up, tear_down),
		cmocka_unit_test(sockets_are_claimed_by_their_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
