#define _GNU_SOURCE
#include "common/uv/pipe_pool.h"

#include "common/base/macros.h"
#include "common/uv/fd_budget.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct fd_budget fds;
static struct pipe_pool pool;

static int set_up(void **state)
{
	(void)state;
	fd_budget_init(&fds, FD_SPARE + 2 * PIPE_POOL_MAX + 10);
	pipe_pool_init(&pool, &fds);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pipe_pool_fini(&pool);
	assert_int_equal(fd_budget_used(&fds), 0);
	return 0;
}

static void a_pipe_is_large_and_does_not_block(void **state)
{
	struct pipe *pipe = pipe_pool_get(&pool, 1);
	char c;

	(void)state;
	assert_non_null(pipe);
	assert_in_range(pipe->size, PIPE_SIZE_MIN, PIPE_SIZE_BIG);
	assert_int_equal(fcntl(pipe->in, F_GETPIPE_SZ), pipe->size);
	assert_int_equal(read(pipe->out, &c, 1), -1);
	assert_true(fcntl(pipe->in, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(pipe->in, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fd_budget_used(&fds), 2);
	pipe_pool_put(&pool, pipe, true);
}

static void an_empty_one_serves_again_and_a_full_one_does_not(void **state)
{
	struct pipe *a = pipe_pool_get(&pool, 1);

	(void)state;
	pipe_pool_put(&pool, a, true);
	assert_int_equal(pool.n_ready, 1);
	assert_int_equal(pool.n_lent, 0);
	assert_ptr_equal(pipe_pool_get(&pool, 1), a);
	assert_int_equal(write(a->in, "x", 1), 1);
	pipe_pool_put(&pool, a, false);
	assert_int_equal(pool.n_open, 0);
	assert_int_equal(fd_budget_used(&fds), 0);
}

/* So many at once; a refusal for that lasts only as long as they are lent. */
static void so_many_at_once(void **state)
{
	struct pipe *many[PIPE_POOL_MAX];

	(void)state;
	for (unsigned i = 0; i < PIPE_POOL_MAX; i++) {
		many[i] = pipe_pool_get(&pool, 1);
		assert_non_null(many[i]); /* half of what the kernel lets a user have */
	}
	assert_null(pipe_pool_get(&pool, 1));
	assert_int_equal(pool.n_lent, PIPE_POOL_MAX);
	pipe_pool_put(&pool, many[0], false);
	many[0] = pipe_pool_get(&pool, 1);
	assert_non_null(many[0]);
	for (unsigned i = 0; i < PIPE_POOL_MAX; i++)
		pipe_pool_put(&pool, many[i], true);
	assert_int_equal(pool.n_open, PIPE_POOL_KEEP);
	assert_int_equal(fd_budget_used(&fds), 2 * PIPE_POOL_KEEP);
}

/* The kernel, and the budget, are asked once a second; what comes back meanwhile is lent at once. */
static void without_descriptors(void **state)
{
	struct pipe *pipe = pipe_pool_get(&pool, 1);

	(void)state;
	assert_true(fd_budget_take(&fds, 2 * PIPE_POOL_MAX + 8, FD_FOR_SESSIONS));
	assert_null(pipe_pool_get(&pool, 1));
	pipe_pool_put(&pool, pipe, true);
	assert_ptr_equal(pipe_pool_get(&pool, 1), pipe);
	fd_budget_give(&fds, 2 * PIPE_POOL_MAX + 8);
	assert_null(pipe_pool_get(&pool, SECOND));
	pipe_pool_put(&pool, pipe, true);
	pipe = pipe_pool_get(&pool, 1);
	assert_non_null(pipe_pool_get(&pool, 1 + SECOND));
	assert_int_equal(pool.n_lent, 2);
	pipe_pool_put(&pool, pipe, true);
	pipe_pool_put(&pool, pipe_pool_first(&pool), true);
	assert_null(pipe_pool_first(&pool));
}

static void the_one_that_is_lent_for_longest(void **state)
{
	struct pipe *a, *b, *c;

	(void)state;
	assert_null(pipe_pool_first(&pool));
	a = pipe_pool_get(&pool, 10);
	b = pipe_pool_get(&pool, 20);
	c = pipe_pool_get(&pool, 30);
	assert_ptr_equal(pipe_pool_first(&pool), a);
	assert_false(pipe_is_slow(a, 9 + PIPE_LONG_NS));
	assert_true(pipe_is_slow(a, 10 + PIPE_LONG_NS));
	assert_false(pipe_is_slow(b, 10 + PIPE_LONG_NS));
	pipe_pool_renew(&pool, a, 10 + PIPE_LONG_NS);
	assert_false(pipe_is_slow(a, 11 + PIPE_LONG_NS));
	assert_ptr_equal(pipe_pool_first(&pool), b);
	pipe_pool_put(&pool, b, true);
	assert_ptr_equal(pipe_pool_first(&pool), c);
	pipe_pool_put(&pool, c, false);
	assert_ptr_equal(pipe_pool_first(&pool), a);
	pipe_pool_put(&pool, a, true);
	assert_int_equal(pool.n_lent, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pipe_is_large_and_does_not_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_empty_one_serves_again_and_a_full_one_does_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_one_that_is_lent_for_longest, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
