#include "relayd/meter/meter.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOTS   64
#define WORKERS 3

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	str_copy(dir, sizeof dir, "/tmp/portway-meter-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static unsigned files(bool remove_them)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[400];
	unsigned n = 0;

	while ((entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		str_fmt(path, sizeof path, "%s/%s", dir, entry->d_name);
		if (remove_them)
			unlink(path);
	}
	closedir(d);
	return n;
}

static int drop_dir(void **state)
{
	(void)state;
	files(true);
	return rmdir(dir);
}

static struct meter *open_meter(uint32_t slots)
{
	struct meter *m = NULL;
	struct err e = { 0 };

	if (meter_open(&m, dir, slots, WORKERS, &e) != 0)
		fail_msg("%s", e.msg);
	return m;
}

/* One report as controld reads it. */
struct seen {
	bool any;
	struct msg_report head; /* without its lists */
	uint32_t n;
	struct meter_row rows[SLOTS];
};

static void next_report(struct meter *m, size_t max_bytes, struct seen *out)
{
	struct msg_report head = { 0 };
	struct buf rows, message;
	struct cursor it;
	uint32_t n;
	size_t count_at;

	memset(out, 0, sizeof *out);
	buf_init(&rows, PROTO_MSG_MAX);
	buf_init(&message, PROTO_MSG_MAX);
	out->any = meter_report_next(m, max_bytes, &head, &rows, &n);
	msg_report_begin(&message, &head, &count_at);
	buf_put(&message, rows.data, rows.len);
	msg_report_end(&message, count_at, n);
	assert_int_equal(msg_report_decode(&head, message.data, message.len), 0);
	out->head = head;
	it = head.rows;
	while (out->n < SLOTS && msg_report_next(&it, &out->rows[out->n]))
		out->n++;
	assert_true(rows.len <= max_bytes);
	msg_report_fini(&head);
	buf_free(&rows);
	buf_free(&message);
}

static void ack(struct meter *m, const struct seen *s)
{
	struct msg_report_ack a = { .stored = s->head.number, .forget = s->head.last };

	str_copy(a.boot, sizeof a.boot, s->head.boot);
	meter_report_acked(m, &a);
}

static void only_changes_are_reported(void **state)
{
	struct meter *m = open_meter(SLOTS);
	struct meter_slot a, b;
	struct seen s;

	(void)state;
	next_report(m, 65536, &s);
	assert_false(s.any);
	assert_int_equal(meter_slot_get(m, "map_a", &a, NULL), 0);
	assert_int_equal(meter_slot_get(m, "map_b", &b, NULL), 0);
	assert_int_equal((uintptr_t)a.cells % 64, 0);
	meter_add(&a, 0, METER_bytes_in, 5);
	meter_add(&a, 2, METER_bytes_in, 7);
	next_report(m, 65536, &s);
	assert_true(s.any && s.n == 1 && s.head.number == 1 && !s.head.last);
	assert_string_equal(s.head.boot, meter_boot(m));
	assert_string_equal(s.rows[0].object, "map_a");
	assert_int_equal(s.rows[0].value[METER_bytes_in], 12);
	assert_int_equal(meter_slot_total(m, &a, METER_bytes_in), 12);
	ack(m, &s);
	next_report(m, 65536, &s);
	assert_false(s.any);
	meter_add(&b, 1, METER_opened, 1);
	next_report(m, 65536, &s);
	assert_true(s.n == 1 && s.head.number == 2);
	assert_string_equal(s.rows[0].object, "map_b");
	meter_close(m);
}

static void a_report_is_repeated_until_it_is_stored(void **state)
{
	struct meter *m = open_meter(SLOTS);
	struct meter_slot a, b;
	struct seen first, again;

	(void)state;
	assert_int_equal(meter_slot_get(m, "map_a", &a, NULL), 0);
	assert_int_equal(meter_slot_get(m, "map_b", &b, NULL), 0);
	meter_add(&a, 0, METER_bytes_in, 1);
	next_report(m, 65536, &first);
	meter_add(&a, 0, METER_bytes_in, 1);
	meter_add(&b, 0, METER_bytes_in, 1);
	next_report(m, 65536, &again);
	assert_int_equal(again.head.number, 1);
	assert_int_equal(again.n, 1); /* b waits for number 2 */
	assert_int_equal(again.rows[0].value[METER_bytes_in], 2);
	/* controld stored the first copy and answers both with the same number: a's second byte must come again. */
	ack(m, &first);
	ack(m, &again);
	next_report(m, 65536, &again);
	assert_int_equal(again.head.number, 2);
	assert_int_equal(again.n, 2);
	assert_int_equal(again.rows[0].value[METER_bytes_in], 2);
	ack(m, &again);
	next_report(m, 65536, &again);
	assert_false(again.any);
	meter_report_again(m);
	next_report(m, 65536, &again);
	assert_int_equal(again.n, 2);
	meter_close(m);
}

static void rows_that_do_not_fit_come_next(void **state)
{
	struct meter *m = open_meter(SLOTS);
	struct meter_slot slots[20];
	char id[PROTO_ID_SIZE];
	struct seen s;
	unsigned rows = 0, reports = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		str_fmt(id, sizeof id, "map_%u", i);
		assert_int_equal(meter_slot_get(m, id, &slots[i], NULL), 0);
		meter_add(&slots[i], 0, METER_opened, 1);
	}
	for (;;) {
		next_report(m, 1000, &s);
		if (!s.any)
			break;
		reports++;
		rows += s.n;
		assert_int_equal(s.head.number, reports);
		ack(m, &s);
	}
	assert_int_equal(rows, 20);
	assert_true(reports > 2);
	meter_close(m);
}

static void slots_are_used_again_only_when_acknowledged(void **state)
{
	struct meter *m = open_meter(2);
	struct meter_slot a, b, c;
	struct err e = { 0 };
	struct seen s;

	(void)state;
	assert_int_equal(meter_slot_get(m, "map_a", &a, NULL), 0);
	assert_int_equal(meter_slot_get(m, "map_b", &b, NULL), 0);
	meter_add(&a, 1, METER_bytes_in, 100);
	assert_int_equal(meter_slot_get(m, "map_c", &c, &e), -1);
	assert_int_equal(e.code, ERR_NO_METER);
	meter_slot_put(m, &a);
	assert_int_equal(meter_slot_get(m, "map_c", &c, &e), -1); /* a's bytes are not stored yet */
	next_report(m, 65536, &s);
	assert_int_equal(meter_slot_get(m, "map_c", &c, &e), -1);
	assert_int_equal(meter_retired(m, METER_bytes_in), 0); /* still a row of its own */
	ack(m, &s);
	assert_int_equal(meter_retired(m, METER_bytes_in), 100);
	assert_int_equal(meter_slot_get(m, "map_c", &c, &e), 0);
	assert_int_equal(c.number, 3);
	assert_int_equal(meter_slot_total(m, &c, METER_bytes_in), 0);
	meter_slot_put(m, &b); /* never counted anything: nobody has to know */
	assert_int_equal(meter_slot_get(m, "map_d", &b, &e), 0);
	meter_slot_put(m, &b);
	meter_slot_put(m, &b); /* twice is once */
	meter_close(m);
}

/* Counts in a child until it is killed; the number of additions that it told of. */
static uint64_t count_and_die(void)
{
	uint64_t told = 0, last;
	int pipefd[2];
	pid_t pid;

	assert_int_equal(pipe(pipefd), 0);
	if ((pid = fork()) == 0) {
		struct meter *m;
		struct meter_slot a, b;

		if (meter_open(&m, dir, SLOTS, WORKERS, NULL) != 0 || meter_slot_get(m, "map_a", &a, NULL) != 0 ||
			meter_slot_get(m, "map_b", &b, NULL) != 0)
			_exit(1);
		for (uint64_t i = 1;; i++) {
			meter_add(&a, (unsigned)(i % WORKERS), METER_bytes_in, 3);
			if (write(pipefd[1], &i, sizeof i) != sizeof i)
				_exit(1);
		}
	}
	for (int i = 0; i < 1000 && read(pipefd[0], &told, sizeof told) == sizeof told; i++)
		;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipefd[1]);
	while (read(pipefd[0], &last, sizeof last) == sizeof last)
		told = last;
	close(pipefd[0]);
	return told;
}

static void kill_9_loses_nothing(void **state)
{
	uint64_t told = count_and_die();
	struct meter *m = open_meter(SLOTS);
	struct meter_slot own;
	struct seen s;

	(void)state;
	assert_true(told >= 1000);
	assert_int_equal(meter_slot_get(m, "map_own", &own, NULL), 0);
	meter_add(&own, 0, METER_opened, 1);
	next_report(m, 65536, &s);
	assert_string_equal(s.head.boot, meter_boot(m)); /* this process's first */
	ack(m, &s);
	next_report(m, 65536, &s);
	assert_true(s.any && s.head.last && s.n == 1 && s.head.number == 1);
	assert_string_not_equal(s.head.boot, meter_boot(m));
	assert_string_equal(s.rows[0].object, "map_a");
	/* It told after counting: at most one more was counted. */
	assert_true(s.rows[0].value[METER_bytes_in] == 3 * told || s.rows[0].value[METER_bytes_in] == 3 * (told + 1));
	assert_int_equal(files(false), 2);
	ack(m, &s);
	assert_int_equal(files(false), 1);
	next_report(m, 65536, &s);
	assert_false(s.any);
	meter_close(m);
}

static void numbers_go_on_where_a_dead_process_stopped(void **state)
{
	struct meter *first = open_meter(SLOTS), *second;
	char boot[PROTO_ID_SIZE];
	struct meter_slot a;
	struct seen s;

	(void)state;
	str_copy(boot, sizeof boot, meter_boot(first));
	assert_int_equal(meter_slot_get(first, "map_a", &a, NULL), 0);
	meter_add(&a, 0, METER_opened, 1);
	next_report(first, 65536, &s);
	ack(first, &s);
	meter_add(&a, 0, METER_opened, 1);
	next_report(first, 65536, &s); /* number 2: stored or not, nobody will know */
	assert_int_equal(s.head.number, 2);
	meter_close(first);

	second = open_meter(SLOTS);
	next_report(second, 65536, &s);
	assert_string_equal(s.head.boot, boot);
	assert_true(s.head.number == 2 && s.n == 0 && !s.head.last); /* whatever it was, it is stored now */
	ack(second, &s);
	assert_int_equal(files(false), 2);
	next_report(second, 65536, &s);
	assert_true(s.head.number == 3 && s.n == 1 && s.head.last);
	assert_int_equal(s.rows[0].value[METER_opened], 2);
	ack(second, &s);
	assert_int_equal(files(false), 1);
	meter_close(second);
}

static void a_living_process_is_reported_but_not_as_last(void **state)
{
	struct meter *old = open_meter(SLOTS), *successor = open_meter(SLOTS);
	struct meter_slot a;
	struct seen s;

	(void)state;
	assert_int_equal(meter_slot_get(old, "map_a", &a, NULL), 0);
	meter_add(&a, 0, METER_opened, 1);
	next_report(successor, 65536, &s);
	assert_string_equal(s.head.boot, meter_boot(old));
	assert_true(s.n == 1 && !s.head.last);
	ack(successor, &s);
	next_report(successor, 65536, &s);
	assert_false(s.any);
	meter_add(&a, 0, METER_closed, 1); /* its last connection ends, and then it */
	meter_close(old);
	next_report(successor, 65536, &s);
	assert_true(s.any && s.head.last && s.n == 1 && s.rows[0].value[METER_closed] == 1);
	ack(successor, &s);
	assert_int_equal(files(false), 1);
	meter_close(successor);
}

static void a_boot_that_counted_nothing_leaves_nothing(void **state)
{
	struct meter *m = open_meter(SLOTS);
	struct seen s;

	(void)state;
	meter_close(m);
	m = open_meter(SLOTS);
	assert_int_equal(files(false), 2);
	next_report(m, 65536, &s);
	assert_false(s.any);
	assert_int_equal(files(false), 1);
	meter_close(m);
}

static void a_full_disk_is_said_and_tried_again(void **state)
{
	struct rlimit was, small;
	struct meter_slot a;
	struct meter *m;
	struct err e = { 0 };

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = (struct rlimit){ .rlim_cur = 8192, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	m = open_meter(SLOTS);
	assert_int_equal(meter_slot_get(m, "map_a", &a, &e), -1);
	assert_int_equal(e.code, ERR_DISK_FULL);
	assert_int_equal(files(false), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	while (meter_slot_get(m, "map_a", &a, &e) != 0) /* once a second */
		usleep(20000);
	meter_add(&a, 0, METER_opened, 1);
	assert_int_equal(files(false), 1);
	meter_close(m);
}

static void foreign_files_are_put_aside(void **state)
{
	static const char *const names[] = { "empty", "short", "zeros", "absurd" };
	static const size_t sizes[] = { 0, 5, 8192, 8192 };
	char path[400], page[8192] = { 0 };
	struct meter *m;
	struct seen s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int fd;

		if (i == 3)
			memcpy(page, "PWMETER1\1\0\0\0\377\377\377\377\377\377\377\377", 20);
		str_fmt(path, sizeof path, "%s/%s.meter", dir, names[i]);
		assert_true((fd = open(path, O_CREAT | O_WRONLY, 0600)) >= 0);
		assert_int_equal(write(fd, page, sizes[i]), sizes[i]);
		close(fd);
	}
	m = open_meter(SLOTS);
	next_report(m, 65536, &s);
	assert_false(s.any);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		str_fmt(path, sizeof path, "%s/%s.meter.unreadable", dir, names[i]);
		assert_int_equal(access(path, F_OK), 0);
	}
	meter_close(m);
}

struct adder {
	struct meter_slot slot;
	unsigned worker;
};

static void *work_add(void *arg)
{
	struct adder *a = arg;

	for (int i = 0; i < 20000; i++) {
		meter_add(&a->slot, a->worker, METER_packets_in, 1);
		meter_add(&a->slot, a->worker, METER_bytes_in, 10);
	}
	return NULL;
}

static void workers_add_while_reports_are_made(void **state)
{
	struct meter *m = open_meter(SLOTS);
	struct adder adders[WORKERS];
	pthread_t threads[WORKERS];
	struct meter_slot slot;
	uint64_t last = 0;
	struct seen s;

	(void)state;
	assert_int_equal(meter_slot_get(m, "map_a", &slot, NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		adders[i] = (struct adder){ .slot = slot, .worker = i };
		assert_int_equal(pthread_create(&threads[i], NULL, work_add, &adders[i]), 0);
	}
	while (last < WORKERS * 20000) {
		next_report(m, 65536, &s);
		if (!s.any)
			continue;
		assert_true(s.rows[0].value[METER_packets_in] >= last);
		last = s.rows[0].value[METER_packets_in];
		meter_sync(m);
		ack(m, &s);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(meter_slot_total(m, &slot, METER_packets_in), WORKERS * 20000);
	assert_int_equal(meter_slot_total(m, &slot, METER_bytes_in), WORKERS * 200000);
	meter_close(m);
}

/* KiB of the counter file that this process has touched. */
static unsigned touched_kib(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool ours = false;
	unsigned long from, to;
	unsigned kib = 0, n;

	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = strstr(line, dir) != NULL;
		else if (ours && sscanf(line, "Rss: %u kB", &n) == 1)
			kib += n;
	}
	fclose(f);
	return kib;
}

static void counters_that_nobody_uses_cost_no_memory(void **state)
{
	struct meter *m = open_meter(16384);
	struct meter_slot slot;
	struct seen s;

	(void)state;
	assert_int_equal(meter_slot_get(m, "map_a", &slot, NULL), 0);
	meter_add(&slot, 0, METER_opened, 1);
	next_report(m, 100000, &s);
	assert_int_equal(s.n, 1);
	ack(m, &s);
	next_report(m, 100000, &s);
	assert_false(s.any);
	assert_in_range(touched_kib(), 4, 256); /* of some ten megabytes */
	meter_close(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_changes_are_reported),
		TEST(a_report_is_repeated_until_it_is_stored),
		TEST(rows_that_do_not_fit_come_next),
		TEST(slots_are_used_again_only_when_acknowledged),
		TEST(kill_9_loses_nothing),
		TEST(numbers_go_on_where_a_dead_process_stopped),
		TEST(a_living_process_is_reported_but_not_as_last),
		TEST(a_boot_that_counted_nothing_leaves_nothing),
		TEST(a_full_disk_is_said_and_tried_again),
		TEST(foreign_files_are_put_aside),
		TEST(workers_add_while_reports_are_made),
		TEST(counters_that_nobody_uses_cost_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
