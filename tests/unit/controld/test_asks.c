#include "controld/fleet/line/asks.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct asks_node nodes[] = { { "nod_1", "edge-1" }, { "nod_2", "edge-2" } };

struct told {
	unsigned n;
	uint64_t last;
};

static void on_finished(uint64_t ask, void *arg)
{
	struct told *t = arg;

	t->n++;
	t->last = ask;
}

static struct asks *asks_make(struct told *t)
{
	struct asks *a;

	*t = (struct told){ 0 };
	assert_int_equal(asks_new(&a, on_finished, t, NULL), 0);
	return a;
}

static uint64_t open_list(struct asks *a, size_t n, uint32_t limit, uint64_t now)
{
	const struct ask what = { .kind = ASK_CONNECTIONS, .object = "map_1", .limit = limit };
	uint64_t id;

	assert_int_equal(asks_open(a, &what, nodes, n, now, &id, NULL), 0);
	return id;
}

static void answer_list(struct asks *a, const char *node, uint64_t id, uint32_t n)
{
	struct msg_answer m = { .ask = id, .n = n };

	m.conns = calloc(n + 1, sizeof *m.conns);
	for (uint32_t i = 0; i < n; i++)
		m.conns[i].id = i;
	asks_answer(a, node, &m);
	free(m.conns);
}

static void test_all_answer(void **state)
{
	struct relay_answers got;
	struct ask out[ASKS_MAX];
	struct told told;
	struct asks *a = asks_make(&told);
	uint64_t id = open_list(a, 2, 100, 1000);

	(void)state;
	assert_int_equal(asks_take(a, "nod_1", 1000, out), 1);
	assert_int_equal(out[0].id, id);
	assert_string_equal(out[0].object, "map_1");
	assert_int_equal(asks_take(a, "nod_3", 1000, out), 0);
	answer_list(a, "nod_1", id, 2);
	answer_list(a, "nod_1", id, 2); /* the same again counts once */
	answer_list(a, "nod_3", id, 2); /* was not asked */
	assert_int_equal(told.n, 0);
	assert_int_equal(asks_result(a, id, &got, NULL), 0);
	assert_false(got.complete);
	assert_int_equal(got.n, 2);
	relay_answers_fini(&got);
	answer_list(a, "nod_2", id, 3);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.last, id);
	assert_int_equal(asks_result(a, id, &got, NULL), 0);
	assert_true(got.complete);
	assert_int_equal(got.nodes_answered, 2);
	assert_int_equal(got.n, 5);
	assert_string_equal(got.conns[4].node_name, "edge-2");
	relay_answers_fini(&got);
	asks_forget(a, id);
	assert_int_equal(asks_result(a, id, &got, NULL), -1);
	asks_free(a);
}

static void test_nobody_to_ask(void **state)
{
	struct relay_answers got;
	struct told told;
	struct asks *a = asks_make(&told);
	uint64_t id = open_list(a, 0, 100, 1000);

	(void)state;
	assert_int_equal(asks_result(a, id, &got, NULL), 0);
	assert_true(got.complete);
	asks_free(a);
}

static void test_given_again_until_answered(void **state)
{
	struct ask out[ASKS_MAX];
	struct told told;
	struct asks *a = asks_make(&told);
	uint64_t id = open_list(a, 1, 100, 1000);

	(void)state;
	assert_true(asks_has(a, "nod_1", 1000));
	assert_int_equal(asks_take(a, "nod_1", 1000, out), 1);
	assert_false(asks_has(a, "nod_1", 1001));
	assert_int_equal(asks_take(a, "nod_1", 1000 + ASKS_AGAIN_MS - 1, out), 0);
	assert_int_equal(asks_tick(a, 1001), 1000 + ASKS_AGAIN_MS);
	assert_int_equal(asks_take(a, "nod_1", 1000 + ASKS_AGAIN_MS, out), 1);
	answer_list(a, "nod_1", id, 0);
	assert_int_equal(asks_take(a, "nod_1", 1000 + 2 * ASKS_AGAIN_MS, out), 0);
	asks_free(a);
}

static void test_deadline(void **state)
{
	struct relay_answers got;
	struct ask out[ASKS_MAX];
	struct told told;
	struct asks *a = asks_make(&told);
	uint64_t id = open_list(a, 2, 100, 1000);

	(void)state;
	answer_list(a, "nod_1", id, 1);
	asks_tick(a, 1000 + ASKS_DEADLINE_MS - 1);
	assert_int_equal(told.n, 0);
	asks_tick(a, 1000 + ASKS_DEADLINE_MS);
	asks_tick(a, 1000 + ASKS_DEADLINE_MS + 1);
	assert_int_equal(told.n, 1);
	assert_int_equal(asks_result(a, id, &got, NULL), 0);
	assert_false(got.complete);
	assert_int_equal(got.nodes_answered, 1);
	relay_answers_fini(&got);
	assert_int_equal(asks_take(a, "nod_2", 7000, out), 0);
	answer_list(a, "nod_2", id, 1); /* late: kept, but not told again */
	assert_int_equal(told.n, 1);
	asks_tick(a, 1000 + ASKS_DEADLINE_MS + ASKS_KEEP_MS);
	assert_int_equal(asks_result(a, id, &got, NULL), -1);
	asks_free(a);
}

static void test_a_lost_node_is_not_waited_for(void **state)
{
	struct relay_answers got;
	struct told told;
	struct asks *a = asks_make(&told);
	uint64_t id = open_list(a, 2, 100, 1000);

	(void)state;
	answer_list(a, "nod_1", id, 1);
	asks_node_lost(a, "nod_2");
	assert_int_equal(told.n, 1);
	assert_int_equal(asks_result(a, id, &got, NULL), 0);
	assert_true(got.complete);
	assert_int_equal(got.nodes_answered, 1);
	relay_answers_fini(&got);
	asks_free(a);
}

static void test_limit_over_all_nodes(void **state)
{
	struct relay_answers got;
	struct told told;
	struct asks *a = asks_make(&told);
	uint64_t id = open_list(a, 2, 5, 1000);

	(void)state;
	answer_list(a, "nod_1", id, 4);
	answer_list(a, "nod_2", id, 4);
	assert_int_equal(asks_result(a, id, &got, NULL), 0);
	assert_int_equal(got.n, 5);
	assert_true(got.truncated);
	relay_answers_fini(&got);
	asks_free(a);
}

static void test_cut(void **state)
{
	static const struct {
		enum err_code code;
		size_t cut;
	} cases[] = { { ERR_NONE, 1 }, { ERR_CONNECTION_NOT_FOUND, 0 } };
	struct relay_answers got;
	struct told told;
	struct asks *a = asks_make(&told);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct ask what = { .kind = ASK_CUT, .conn = 7 };
		struct msg_answer m = { .code = (uint16_t)cases[i].code };

		assert_int_equal(asks_open(a, &what, nodes, 1, 1000, &m.ask, NULL), 0);
		asks_answer(a, "nod_1", &m);
		assert_int_equal(asks_result(a, m.ask, &got, NULL), 0);
		assert_int_equal(got.cut, cases[i].cut);
		assert_true(got.complete);
	}
	asks_free(a);
}

static void count_due(const char *node, void *arg)
{
	(void)node;
	++*(unsigned *)arg;
}

static void test_due(void **state)
{
	struct ask out[ASKS_MAX];
	struct told told;
	struct asks *a = asks_make(&told);
	unsigned n = 0;

	(void)state;
	open_list(a, 2, 100, 1000);
	asks_due(a, 1000, count_due, &n);
	assert_int_equal(n, 2);
	assert_int_equal(asks_take(a, "nod_2", 1000, out), 1);
	n = 0;
	asks_due(a, 1001, count_due, &n);
	assert_int_equal(n, 1);
	asks_free(a);
}

static void test_bounds(void **state)
{
	const struct ask what = { .kind = ASK_CONNECTIONS, .limit = 1 };
	struct ask out[ASKS_MAX];
	struct told told;
	struct asks *a = asks_make(&told);
	uint64_t id;
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ASKS_OPEN_MAX; i++)
		open_list(a, 1, 100, 1000);
	assert_int_equal(asks_open(a, &what, nodes, 1, 1000, &id, &e), -1);
	assert_int_equal(e.code, ERR_OVERLOADED);
	assert_int_equal(asks_take(a, "nod_1", 1000, out), ASKS_MAX);
	assert_int_equal(asks_take(a, "nod_1", 1000, out), ASKS_MAX); /* the next ones */
	asks_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_answer),
		cmocka_unit_test(test_nobody_to_ask),
		cmocka_unit_test(test_given_again_until_answered),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_a_lost_node_is_not_waited_for),
		cmocka_unit_test(test_limit_over_all_nodes),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
