#include "controld/loop/loop.h"

#include "common/base/err.h"
#include "common/base/macros.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define POSTERS    4
#define PER_THREAD 2000

struct post {
	struct loop_task task;
	struct count *count;
	unsigned poster, number;
};

struct count {
	struct loop *loop;
	unsigned seen;
	unsigned last[POSTERS]; /* of each poster: its posts come in order */
	struct post posts[POSTERS][PER_THREAD];
};

static void on_post(void *arg)
{
	struct post *p = arg;
	struct count *c = p->count;

	assert_int_equal(p->number, c->last[p->poster]);
	c->last[p->poster]++;
	if (++c->seen == POSTERS * PER_THREAD)
		loop_stop(c->loop);
}

static void *work_post(void *arg)
{
	struct post *first = arg;

	for (unsigned i = 0; i < PER_THREAD; i++)
		loop_post(first->count->loop, &first[i].task);
	return NULL;
}

static void test_posts_arrive_once_and_in_order(void **state)
{
	struct count *c = calloc(1, sizeof *c);
	pthread_t threads[POSTERS];

	(void)state;
	assert_non_null(c);
	assert_int_equal(loop_new(&c->loop, NULL), 0);
	for (unsigned i = 0; i < POSTERS; i++)
		for (unsigned k = 0; k < PER_THREAD; k++) {
			struct post *p = &c->posts[i][k];

			*p = (struct post){ .task = { .fn = on_post, .arg = p }, .count = c, .poster = i, .number = k };
		}
	for (unsigned i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_post, c->posts[i]), 0);
	assert_int_equal(loop_run(c->loop, NULL), 0);
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c->seen, POSTERS * PER_THREAD);
	loop_free(c->loop);
	free(c);
}

struct steps {
	struct loop *loop;
	struct loop_timer *timer;
	unsigned runs;
	struct loop_task task;
};

static void on_third_tick_stop(void *arg)
{
	struct steps *s = arg;

	if (++s->runs < 3)
		return;
	loop_timer_free(s->timer); /* inside its own function */
	s->timer = NULL;
	loop_stop(s->loop);
	loop_stop(s->loop);
}

static void test_timer_repeats_until_freed(void **state)
{
	struct steps s = { 0 };

	(void)state;
	assert_int_equal(loop_new(&s.loop, NULL), 0);
	assert_int_equal(loop_timer_new(&s.timer, s.loop, on_third_tick_stop, &s, NULL), 0);
	loop_timer_every(s.timer, 1);
	assert_int_equal(loop_run(s.loop, NULL), 0);
	assert_int_equal(s.runs, 3);
	loop_free(s.loop);
}

static void on_signal_stop(void *arg)
{
	struct steps *s = arg;

	s->runs++;
	loop_stop(s->loop);
}

static void on_start_raise(void *arg)
{
	(void)arg;
	raise(SIGUSR1);
}

static void test_signal_reaches_the_loop(void **state)
{
	struct steps s = { .task = { .fn = on_start_raise } };

	(void)state;
	assert_int_equal(loop_new(&s.loop, NULL), 0);
	assert_int_equal(loop_signal(s.loop, SIGUSR1, on_signal_stop, &s, NULL), 0);
	loop_post(s.loop, &s.task);
	assert_int_equal(loop_run(s.loop, NULL), 0);
	assert_int_equal(s.runs, 1);
	loop_free(s.loop);
}

/* Deferred by the first of three tasks of one turn, and again from inside. */
struct turn {
	struct loop *loop;
	struct loop_task posts[3], deferred;
	unsigned posted, runs;
};

static void on_turn_end(void *arg)
{
	struct turn *t = arg;

	assert_int_equal(t->posted, 3);
	if (++t->runs == 2)
		loop_stop(t->loop);
	else
		loop_defer(t->loop, &t->deferred);
}

static void on_turn(void *arg)
{
	struct turn *t = arg;

	if (t->posted++ == 0)
		loop_defer(t->loop, &t->deferred);
}

static void test_deferred_comes_behind_what_is_ready(void **state)
{
	struct turn t = { .deferred = { .fn = on_turn_end, .arg = &t } };

	(void)state;
	assert_int_equal(loop_new(&t.loop, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(t.posts); i++) {
		t.posts[i] = (struct loop_task){ .fn = on_turn, .arg = &t };
		loop_post(t.loop, &t.posts[i]);
	}
	assert_int_equal(loop_run(t.loop, NULL), 0);
	assert_int_equal(t.runs, 2);
	loop_free(t.loop);
}

static void on_count(void *arg)
{
	(*(unsigned *)arg)++;
}

static void test_free_runs_what_was_posted(void **state)
{
	struct loop *l;
	unsigned runs = 0;
	struct loop_task t = { .fn = on_count, .arg = &runs }, deferred = t;

	(void)state;
	assert_int_equal(loop_new(&l, NULL), 0);
	loop_post(l, &t);
	loop_defer(l, &deferred);
	loop_free(l);
	assert_int_equal(runs, 2);
	loop_free(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posts_arrive_once_and_in_order),
		cmocka_unit_test(test_timer_repeats_until_freed),
		cmocka_unit_test(test_signal_reaches_the_loop),
		cmocka_unit_test(test_deferred_comes_behind_what_is_ready),
		cmocka_unit_test(test_free_runs_what_was_posted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
