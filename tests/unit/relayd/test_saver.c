/*
 * What the keeper of the last good configuration promises: the newest is on disk soon, and after trouble by itself.
 */
#include "relayd/saver.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "relayd/conf/last_good.h"
#include "relayd/conf/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 20000

static const uint8_t key[SEAL_KEY_SIZE] = "a key of no worth";
static uv_loop_t loop;
static struct saver *saver;
static char root[64], dir[80], path[96];

static int set_up(void **state)
{
	(void)state;
	str_copy(root, sizeof root, "/tmp/relayd-saver-XXXXXX");
	assert_non_null(mkdtemp(root));
	str_fmt(dir, sizeof dir, "%s/data", root);
	str_fmt(path, sizeof path, "%s/snapshot", dir);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(saver_new(&saver, &loop, path, key, 1000000, NULL), 0);
	return 0;
}

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

static void close_saver(void)
{
	bool closed = false;

	saver_close(saver, on_closed, &closed);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(closed);
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(uv_loop_close(&loop), 0);
	unlink(path);
	rmdir(dir);
	rmdir(root);
	return 0;
}

static void confirm(uint64_t seq)
{
	struct snapshot *s;

	assert_int_equal(snapshot_new(&s, NULL), 0);
	s->revision.seq = seq;
	saver_confirmed(saver, s);
	snapshot_unref(s);
}

/* 0: none */
static uint64_t seq_on_disk(void)
{
	struct snapshot *s;
	int64_t confirmed_ms;
	uint64_t seq;

	if (last_good_read(path, key, &s, &confirmed_ms, NULL) != 0)
		return 0;
	seq = s->revision.seq;
	snapshot_unref(s);
	return seq;
}

static void on_tick(uv_timer_t *t)
{
	(void)t;
}

#define UNTIL(condition)                                           \
	do {                                                       \
		uint64_t until_ = clock_mono_ms() + WAIT_MS;       \
		uv_timer_t tick_;                                  \
		uv_timer_init(&loop, &tick_);                      \
		uv_timer_start(&tick_, on_tick, 2, 2);             \
		while (!(condition)) {                             \
			uv_run(&loop, UV_RUN_ONCE);                \
			if (clock_mono_ms() > until_)              \
				fail_msg("never: %s", #condition); \
		}                                                  \
		uv_close((uv_handle_t *)&tick_, NULL);             \
		uv_run(&loop, UV_RUN_NOWAIT);                      \
	} while (0)

static void the_newest_of_many_is_kept(void **state)
{
	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	for (uint64_t seq = 1; seq <= 50; seq++)
		confirm(seq);
	UNTIL(seq_on_disk() == 50);
	assert_false(saver_failing(saver));
	confirm(51);
	close_saver(); /* writes what is left */
	assert_int_equal(seq_on_disk(), 51);
}

static void what_could_not_be_kept_is_tried_again(void **state)
{
	(void)state;
	confirm(1);
	UNTIL(saver_failing(saver));
	assert_int_equal(mkdir(dir, 0700), 0);
	UNTIL(seq_on_disk() == 1 && !saver_failing(saver));
	close_saver();
}

/* It does not wait for the turn of the old one, which comes later each time. */
static void a_newer_one_is_tried_at_once(void **state)
{
	uint64_t began = clock_mono_ms();

	(void)state;
	confirm(1);
	UNTIL(saver_failing(saver));
	UNTIL(clock_mono_ms() >= began + 3800); /* the fourth attempt was after 3.5 s, the next is four seconds later */
	assert_int_equal(mkdir(dir, 0700), 0);
	confirm(2);
	began = clock_mono_ms();
	UNTIL(seq_on_disk() == 2);
	assert_in_range(clock_mono_ms() - began, 0, 3300);
	close_saver();
}

static void trouble_does_not_hold_up_the_end(void **state)
{
	(void)state;
	confirm(1);
	UNTIL(saver_failing(saver));
	close_saver();
	assert_int_equal(seq_on_disk(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_newest_of_many_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_could_not_be_kept_is_tried_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_newer_one_is_tried_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(trouble_does_not_hold_up_the_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
