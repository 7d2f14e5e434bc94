/* status_socket: one answer for each who asks, nobody else may, and what a killed agent left is no obstacle. */
#define _GNU_SOURCE
#include "client/agent/status_socket.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/uv/fd_budget.h"
#include "common/uv/worker.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct fd_budget fds;
static struct worker w;
static char root[64], dir[96];
static size_t answer_n;

static void print(void *arg, struct buf *out)
{
	(void)arg;
	for (size_t i = 0; i < answer_n; i++)
		buf_u8(out, (uint8_t)('a' + i % 26));
}

static void on_wake(struct worker *worker, void *arg)
{
	(void)arg;
	worker_stop(worker);
}

static int set_up(void **state)
{
	(void)state;
	str_copy(root, sizeof root, "/tmp/status-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	assert_int_equal(str_fmt(dir, sizeof dir, "%s/run", root), 0);
	fd_budget_init(&fds, 100);
	return worker_init(&w, 0, &fds, on_wake, NULL, NULL);
}

static int tear_down(void **state)
{
	char cmd[128];

	(void)state;
	worker_fini(&w);
	str_fmt(cmd, sizeof cmd, "rm -rf %s", root);
	return system(cmd);
}

struct asking {
	struct buf answer;
	int r;
	struct err e;
};

static void *work_ask(void *arg)
{
	struct asking *a = arg;

	a->r = status_socket_ask(dir, &a->answer, &a->e);
	worker_wake(&w);
	return NULL;
}

static void ask(struct asking *a)
{
	pthread_t thread;

	buf_init(&a->answer, 4 << 20);
	w.stopping = false;
	pthread_create(&thread, NULL, work_ask, a);
	worker_run(&w);
	pthread_join(thread, NULL);
}

static void test_answers(void **state)
{
	static const size_t sizes[] = { 0, 10, 900000, STATUS_ANSWER_BYTES - 1 };
	struct status_socket *s;
	struct stat st;
	char path[128];

	(void)state;
	assert_int_equal(status_socket_open(&s, &w, dir, print, NULL, NULL), 0);
	str_fmt(path, sizeof path, "%s/%s", dir, STATUS_SOCKET_NAME);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct asking a;

		answer_n = sizes[i];
		ask(&a);
		assert_int_equal(a.r, 0);
		assert_int_equal(a.answer.len, answer_n + 1);
		assert_int_equal(a.answer.data[answer_n], '\n');
		buf_free(&a.answer);
	}
	status_socket_close(s);
	worker_bury_all(&w);
	assert_int_not_equal(stat(path, &st), 0);
}

static void test_nobody_there(void **state)
{
	struct buf answer;
	struct err e;

	(void)state;
	buf_init(&answer, 100);
	assert_int_equal(status_socket_ask(dir, &answer, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

/* The file of a killed agent is replaced; that of a living one is not. */
static void test_left_behind(void **state)
{
	struct status_socket *first, *second;
	struct err e;
	char path[128], kept[128];

	(void)state;
	str_fmt(path, sizeof path, "%s/%s", dir, STATUS_SOCKET_NAME);
	str_fmt(kept, sizeof kept, "%s/kept", dir);
	assert_int_equal(status_socket_open(&first, &w, dir, print, NULL, &e), 0);
	assert_int_equal(status_socket_open(&second, &w, dir, print, NULL, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(link(path, kept), 0);
	status_socket_close(first);
	assert_int_equal(rename(kept, path), 0);
	assert_int_equal(status_socket_open(&second, &w, dir, print, NULL, &e), 0);
	status_socket_close(second);
}

#define with_worker(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_worker(test_answers),
		with_worker(test_nobody_there),
		with_worker(test_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
