/* access_line: one request as JSON; access_log: rings of workers, a file that is moved away, one that takes nothing. */
#define _GNU_SOURCE
#include "relayd/filter/access_log.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/net/addr.h"
#include "relayd/filter/access_line.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
/* after those: */
#include <cmocka.h>

#define SPAN(text)                     \
	{                              \
		text, sizeof(text) - 1 \
	}
#define WAIT_MS 20000

static void test_line(void **state)
{
	struct addr client;
	const struct access_line l = { .wall_ms = 1000,
		.request_id = "r-1",
		.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		.client = &client,
		.method = SPAN("GET"),
		.host = SPAN("a.example"),
		.path = SPAN("/x\"\xff"),
		.query = SPAN("?y=1"),
		.user_agent = SPAN("curl"),
		.tls = true,
		.protocol = "HTTP/2",
		.tls_version = "TLSv1.3",
		.route = "rte_1",
		.pool = "pol_1",
		.backend = "bck_1",
		.upstream = "10.0.0.1:80",
		.status = 200,
		.upstream_status = 200,
		.bytes_in = 10,
		.bytes_out = 20,
		.duration_ns = 12345678,
		.queue_ns = 2000000,
		.connect_ns = 210000,
		.first_byte_ns = 1000,
		.attempts = 2,
		.aborted = true };
	struct buf b;

	(void)state;
	assert_int_equal(addr_parse(&client, "192.0.2.1:4711"), 0);
	buf_init(&b, 8192);
	access_line_put(&b, &l);
	assert_string_equal(buf_cstr(&b), "{\"time\":\"1970-01-01T00:00:01.000Z\",\"request_id\":\"r-1\",\"trace_id\":"
					  "\"0af7651916cd43dd8448eb211c80319c\","
					  "\"client\":\"192.0.2.1\",\"client_port\":4711,\"method\":\"GET\",\"scheme\":"
					  "\"https\",\"host\":\"a.example\","
					  "\"path\":\"/x\\\"?\",\"query\":\"y=1\",\"protocol\":\"HTTP/"
					  "2\",\"tls\":\"TLSv1.3\",\"route\":\"rte_1\",\"pool\":\"pol_1\","
					  "\"backend\":\"bck_1\",\"upstream\":\"10.0.0.1:80\",\"status\":200,"
					  "\"upstream_status\":200,\"bytes_in\":10,\"bytes_out\":20,"
					  "\"duration_ms\":12.345,\"queue_ms\":2.000,\"connect_ms\":0.210,"
					  "\"first_byte_ms\":0.001,"
					  "\"attempts\":2,\"aborted\":true,\"user_agent\":\"curl\"}\n");
	buf_free(&b);
}

/* ---- the file ---- */

static char dir[64], path[128];

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/access-log-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/log", dir);
	return 0;
}

static int tear_down(void **state)
{
	char old[160];

	(void)state;
	snprintf(old, sizeof old, "%s.old", path);
	unlink(path);
	unlink(old);
	rmdir(dir);
	return 0;
}

static unsigned lines_of(const char *file)
{
	FILE *f = fopen(file, "r");
	char line[256];
	unsigned n = 0;

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		assert_int_equal(line[strlen(line) - 1], '\n');
		assert_memory_equal(line, "line ", 5);
		n++;
	}
	if (f != NULL)
		fclose(f);
	return n;
}

static void put(struct access_log *l, unsigned worker, unsigned i)
{
	char line[64];

	access_log_put(l, worker, line, (size_t)snprintf(line, sizeof line, "line %u of %u\n", i, worker));
}

#define LINES 50000

struct writer {
	struct access_log *log;
	unsigned worker;
};

static void *work(void *arg)
{
	const struct writer *w = arg;

	for (unsigned i = 0; i < LINES; i++)
		put(w->log, w->worker, i);
	return NULL;
}

/* Each line is in the file, whole, or counted as dropped. */
static void test_workers(void **state)
{
	struct access_log_counts counts;
	struct writer w[3];
	pthread_t threads[3];
	struct access_log *l;

	(void)state;
	assert_int_equal(access_log_new(&l, path, 3, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		w[i] = (struct writer){ l, i };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	access_log_counts(l, &counts);
	access_log_free(l);
	assert_int_equal(counts.lines + counts.dropped, 3 * LINES);
	assert_int_equal(lines_of(path), counts.lines);
	assert_int_equal(counts.failed, 0);
}

/* logrotate moves it away: what comes later is in a new file. */
static void test_moved_away(void **state)
{
	const uint64_t until = clock_mono_ms() + WAIT_MS;
	struct access_log *l;
	char old[160];
	unsigned n = 0;

	(void)state;
	snprintf(old, sizeof old, "%s.old", path);
	assert_int_equal(access_log_new(&l, path, 1, NULL), 0);
	put(l, 0, n++);
	while (lines_of(path) == 0 && clock_mono_ms() < until)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(rename(path, old), 0);
	while (access(path, F_OK) != 0 && clock_mono_ms() < until) {
		put(l, 0, n++);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	put(l, 0, n++);
	access_log_free(l);
	assert_true(lines_of(path) > 0);
	assert_int_equal(lines_of(path) + lines_of(old), n);
}

static void test_full(void **state)
{
	struct access_log_counts counts;
	struct access_log *l;
	uint64_t until;

	(void)state;
	assert_int_equal(access_log_new(&l, "/dev/full", 1, NULL), 0);
	put(l, 0, 1);
	until = clock_mono_ms() + WAIT_MS;
	do {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		access_log_counts(l, &counts);
	} while (counts.failed == 0 && clock_mono_ms() < until);
	assert_int_equal(counts.failed, 12);
	access_log_free(l);
	assert_int_equal(access_log_new(&l, "/nowhere/at/all", 1, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test_setup_teardown(test_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_moved_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
