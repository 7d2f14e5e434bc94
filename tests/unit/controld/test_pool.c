#include "controld/loop/pool.h"

#include "common/base/err.h"
#include "common/base/macros.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- a gate: jobs that block until the test opens it ---- */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool open;
	unsigned inside, done;
};

struct gated {
	struct pool_job job;
	struct gate *gate;
};

static void work_gated(struct pool_job *job)
{
	struct gated *g = CONTAINER_OF(job, struct gated, job);
	struct gate *gate = g->gate;

	pthread_mutex_lock(&gate->lock);
	gate->inside++;
	pthread_cond_broadcast(&gate->moved);
	while (!gate->open)
		pthread_cond_wait(&gate->moved, &gate->lock);
	gate->inside--;
	gate->done++;
	pthread_mutex_unlock(&gate->lock);
}

static void gate_init(struct gate *g, struct gated *jobs, size_t n)
{
	*g = (struct gate){ .open = false };
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->moved, NULL);
	for (size_t i = 0; i < n; i++)
		jobs[i] = (struct gated){ .job = { .work = work_gated }, .gate = g };
}

static void gate_wait_inside(struct gate *g, unsigned n)
{
	pthread_mutex_lock(&g->lock);
	while (g->inside < n)
		pthread_cond_wait(&g->moved, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->moved);
	pthread_mutex_unlock(&g->lock);
}

static void test_blocked_jobs_use_every_thread(void **state)
{
	const struct pool_conf conf = { .name = "test", .threads = 4, .queue_max = 16 };
	struct gated jobs[4];
	struct gate gate;
	struct pool *p;

	(void)state;
	gate_init(&gate, jobs, ARRAY_LEN(jobs));
	assert_int_equal(pool_new(&p, &conf, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		assert_int_equal(pool_submit(p, &jobs[i].job), 0);
	gate_wait_inside(&gate, 4); /* hangs if the chain of wake-ups breaks */
	gate_open(&gate);
	pool_free(p);
	assert_int_equal(gate.done, 4);
}

static void test_full_queue_refuses_and_counts(void **state)
{
	const struct pool_conf conf = { .name = "test", .threads = 1, .queue_max = 2 };
	struct gated jobs[5];
	struct pool_stats stats;
	struct gate gate;
	struct pool *p;

	(void)state;
	gate_init(&gate, jobs, ARRAY_LEN(jobs));
	assert_int_equal(pool_new(&p, &conf, NULL), 0);
	assert_int_equal(pool_submit(p, &jobs[0].job), 0);
	gate_wait_inside(&gate, 1);
	assert_int_equal(pool_submit(p, &jobs[1].job), 0);
	assert_int_equal(pool_submit(p, &jobs[2].job), 0);
	assert_int_equal(pool_submit(p, &jobs[3].job), -1);
	pool_resume(p, &jobs[4].job); /* was admitted before: goes in all the same */
	pool_stats(p, &stats);
	assert_int_equal(stats.queued, 3);
	assert_int_equal(stats.busy, 1);
	assert_int_equal(stats.refused, 1);
	gate_open(&gate);
	pool_free(p);
	assert_int_equal(gate.done, 4);
}

struct many {
	struct pool_job job;
	atomic_uint *runs;
};

static void work_count(struct pool_job *job)
{
	atomic_fetch_add(CONTAINER_OF(job, struct many, job)->runs, 1);
}

struct submitter {
	struct pool *pool;
	struct many *jobs;
	size_t n;
};

static void *work_submit(void *arg)
{
	struct submitter *s = arg;

	for (size_t i = 0; i < s->n; i++)
		assert_int_equal(pool_submit(s->pool, &s->jobs[i].job), 0);
	return NULL;
}

static void test_many_from_many_threads(void **state)
{
	enum { THREADS = 4, EACH = 2000 };
	const struct pool_conf conf = { .name = "test", .threads = 3, .queue_max = THREADS * EACH };
	struct many *jobs = calloc(THREADS * EACH, sizeof *jobs);
	struct submitter submitters[THREADS];
	pthread_t threads[THREADS];
	atomic_uint runs = 0;
	struct pool *p;

	(void)state;
	assert_non_null(jobs);
	assert_int_equal(pool_new(&p, &conf, NULL), 0);
	for (size_t i = 0; i < THREADS * EACH; i++)
		jobs[i] = (struct many){ .job = { .work = work_count }, .runs = &runs };
	for (size_t i = 0; i < THREADS; i++) {
		submitters[i] = (struct submitter){ p, jobs + i * EACH, EACH };
		assert_int_equal(pthread_create(&threads[i], NULL, work_submit, &submitters[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pool_free(p); /* lets the queue run empty */
	assert_int_equal(atomic_load(&runs), THREADS * EACH);
	free(jobs);
}

static unsigned busy(struct pool *p)
{
	struct pool_stats stats;

	pool_stats(p, &stats);
	return stats.busy;
}

static void test_quiet_jobs_wait_for_the_wake(void **state)
{
	const struct pool_conf conf = { .name = "test", .threads = 3, .queue_max = 3 };
	struct pool_stats stats;
	struct gated jobs[4];
	struct gate gate;
	struct pool *p;

	(void)state;
	gate_init(&gate, jobs, ARRAY_LEN(jobs));
	assert_int_equal(pool_new(&p, &conf, NULL), 0);
	while (busy(p) > 0)
		sched_yield();
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pool_submit_quietly(p, &jobs[i].job), 0);
	assert_int_equal(pool_submit_quietly(p, &jobs[3].job), -1); /* the limit counts as ever */
	pool_stats(p, &stats);
	assert_int_equal(stats.queued, 3);
	assert_int_equal(stats.busy, 0);
	pool_wake(p);
	gate_wait_inside(&gate, 3); /* one wake is enough for all */
	gate_open(&gate);
	pool_free(p);
	assert_int_equal(gate.done, 3);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocked_jobs_use_every_thread),
		cmocka_unit_test(test_full_queue_refuses_and_counts),
		cmocka_unit_test(test_many_from_many_threads),
		cmocka_unit_test(test_quiet_jobs_wait_for_the_wake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
