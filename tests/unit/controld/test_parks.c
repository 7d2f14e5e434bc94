#include "controld/rest/parks.h"

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/loop/loop.h"
#include "controld/rest/call.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A call that counts how often it was resumed. */
struct waiter {
	struct call call;
	atomic_uint resumed;
	atomic_uint *total;
	struct loop *stop; /* ended by its resumption */
};

static void on_resumed(struct call *c)
{
	struct waiter *w = CONTAINER_OF(c, struct waiter, call);

	atomic_fetch_add(&w->resumed, 1);
	if (w->total != NULL)
		atomic_fetch_add(w->total, 1);
	if (w->stop != NULL)
		loop_stop(w->stop);
}

static struct waiter *waiter_new(void)
{
	struct waiter *w = calloc(1, sizeof *w);

	assert_non_null(w);
	return w;
}

static bool wait_for(struct parks *p, struct waiter *w, const char *key, uint64_t ticket, uint64_t ms)
{
	reply_park(&w->call.rp, key, ticket, ms, NULL, NULL, NULL);
	return parks_add(p, &w->call);
}

static struct parks *parks_with(struct loop **loop, size_t max)
{
	struct parks *p;
	struct err e;

	assert_int_equal(loop_new(loop, &e), 0);
	assert_int_equal(parks_new(&p, *loop, max, on_resumed, &e), 0);
	return p;
}

static size_t waiting(struct parks *p)
{
	struct parks_stats stats;

	parks_stats(p, &stats);
	return stats.waiting;
}

static void parks_end(struct parks *p, struct loop *loop)
{
	parks_close(p);
	loop_flush(loop);
	parks_free(p);
	loop_free(loop);
}

static void test_wake_resumes_its_key_only(void **state)
{
	struct waiter *a = waiter_new(), *b = waiter_new(), *a2 = waiter_new();
	struct loop *loop;
	struct parks *p = parks_with(&loop, 10);

	(void)state;
	assert_true(wait_for(p, a, "mapping:a", park_ticket(p, "mapping:a"), 60000));
	assert_true(wait_for(p, b, "mapping:b", park_ticket(p, "mapping:b"), 60000));
	assert_true(wait_for(p, a2, "mapping:a", park_ticket(p, "mapping:a"), 60000));
	park_wake(p, "mapping:c");
	assert_int_equal(waiting(p), 3);
	park_wake(p, "mapping:a");
	assert_int_equal(a->resumed + a2->resumed, 2);
	assert_int_equal(b->resumed, 0);
	assert_int_equal(waiting(p), 1);
	park_wake(p, "mapping:a");
	assert_int_equal(a->resumed, 1);
	parks_end(p, loop);
	assert_int_equal(b->resumed, 1);
	free(a);
	free(b);
	free(a2);
}

static void test_wake_before_parking_is_not_lost(void **state)
{
	struct waiter *w = waiter_new();
	struct loop *loop;
	struct parks *p = parks_with(&loop, 10);
	uint64_t ticket;

	(void)state;
	ticket = park_ticket(p, "a");
	park_wake(p, "b");
	assert_true(wait_for(p, w, "a", ticket, 60000)); /* another key */
	park_wake(p, "a");
	assert_int_equal(w->resumed, 1);
	ticket = park_ticket(p, "a");
	park_wake(p, "a");
	park_wake(p, "b");
	assert_false(wait_for(p, w, "a", ticket, 60000));
	assert_true(wait_for(p, w, "a", park_ticket(p, "a"), 60000)); /* seen: a new ticket waits */
	parks_end(p, loop);
	free(w);
}

static void test_a_very_old_ticket_does_not_sleep(void **state)
{
	struct waiter *w = waiter_new();
	struct loop *loop;
	struct parks *p = parks_with(&loop, 10);
	const uint64_t ticket = park_ticket(p, "a");

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		park_wake(p, "b");
	assert_false(wait_for(p, w, "a", ticket, 60000));
	parks_end(p, loop);
	free(w);
}

static void test_time_resumes_the_earliest_first(void **state)
{
	struct waiter *late = waiter_new(), *early = waiter_new();
	struct loop *loop;
	struct parks *p = parks_with(&loop, 10);

	(void)state;
	assert_true(wait_for(p, late, "late", park_ticket(p, "late"), 3600000));
	assert_true(wait_for(p, early, "early", park_ticket(p, "early"), 10));
	early->stop = loop;
	assert_int_equal(loop_run(loop, NULL), 0); /* ended by early */
	assert_int_equal(early->resumed, 1);
	assert_int_equal(late->resumed, 0);
	parks_end(p, loop);
	free(late);
	free(early);
}

static void test_limits(void **state)
{
	struct waiter *a = waiter_new(), *b = waiter_new();
	struct loop *loop;
	struct parks *p = parks_with(&loop, 1);
	struct parks_stats stats;

	(void)state;
	assert_true(wait_for(p, a, "a", park_ticket(p, "a"), 60000));
	assert_false(wait_for(p, b, "b", park_ticket(p, "b"), 60000)); /* full */
	parks_stats(p, &stats);
	assert_int_equal(stats.full, 1);
	parks_close(p);
	assert_int_equal(a->resumed, 1);
	assert_false(wait_for(p, a, "a", park_ticket(p, "a"), 60000)); /* closed */
	parks_end(p, loop);
	free(a);
	free(b);
}

/* ---- several threads park and wake at once: every wait ends, none twice ---- */

enum { THREADS = 4, ROUNDS = 500 };

struct crowd {
	struct parks *parks;
	struct loop *loop;
	atomic_uint resumed;
	atomic_uint waited;
	atomic_uint running;
};

/* A thread's calls stay until all threads are done: somebody else's wake-up may still hold one. */
struct crowd_part {
	struct crowd *crowd;
	struct waiter *waiters; /* ROUNDS of them */
};

static void *work_crowd(void *arg)
{
	struct crowd_part *part = arg;
	struct crowd *crowd = part->crowd;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct waiter *w = &part->waiters[i];
		char key[16];
		uint64_t ticket;

		w->total = &crowd->resumed;
		(void)snprintf(key, sizeof key, "k%u", i % 7);
		ticket = park_ticket(crowd->parks, key);
		if (i % 3 == 0)
			park_wake(crowd->parks, key);
		if (wait_for(crowd->parks, w, key, ticket, i % 5 == 0 ? 1 : 60000))
			atomic_fetch_add(&crowd->waited, 1);
		park_wake(crowd->parks, key); /* after it parked: so each wait ends */
	}
	if (atomic_fetch_sub(&crowd->running, 1) == 1)
		loop_stop(crowd->loop);
	return NULL;
}

static void test_crowd(void **state)
{
	struct crowd crowd = { .running = THREADS };
	struct crowd_part parts[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	crowd.parks = parks_with(&crowd.loop, 100000);
	for (unsigned i = 0; i < THREADS; i++) {
		parts[i] = (struct crowd_part){ &crowd, calloc(ROUNDS, sizeof *parts[i].waiters) };
		assert_non_null(parts[i].waiters);
		assert_int_equal(pthread_create(&threads[i], NULL, work_crowd, &parts[i]), 0);
	}
	assert_int_equal(loop_run(crowd.loop, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(waiting(crowd.parks), 0);
	assert_int_equal(crowd.resumed, crowd.waited);
	parks_end(crowd.parks, crowd.loop);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned k = 0; k < ROUNDS; k++)
			assert_true(parts[i].waiters[k].resumed <= 1);
		free(parts[i].waiters);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wake_resumes_its_key_only),
		cmocka_unit_test(test_wake_before_parking_is_not_lost),
		cmocka_unit_test(test_a_very_old_ticket_does_not_sleep),
		cmocka_unit_test(test_time_resumes_the_earliest_first),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
