/* client_state: golden bytes inside a report, told and not told, the list cut to what fits. */
#include "common/base/cursor.h"
#include "proto/client_state.h"
#include "tests/unit/proto/wire.h"

static int decode(const void *p, size_t n)
{
	struct client_states s;
	struct cursor c;

	cursor_init(&c, p, n);
	client_states_get(&c, &s);
	client_states_fini(&s);
	return cursor_done(&c);
}

#define TROUBLES (4 + 4 + 1 + 4 + 5 + 7 + 5) /* bytes of the second list */

static struct client_state one = {
	.client = "42",
	.instance = "box",
	.remote = "192.0.2.1:5000",
	.version = "0.1",
	.state = CLIENT_STATE_ONLINE,
	.links = 3,
	.since_ms = 0x0102,
};

static struct client_trouble down = {
	.kind = CLIENT_TROUBLE_DOUBT, .client = "42", .instance = "box", .mapping = "map_1", .reason = "off"
};

static void test_golden(void **state)
{
	const struct client_states s = {
		.told = true, .n = 1, .more = 5, .items = &one, .n_troubles = 1, .more_troubles = 2, .troubles = &down
	};
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	client_states_put(&b, &s);
	assert_wire(&b,
		"01 00000000 00 00000005 00000001"
		" 0002 3432 0003 626f78 000e 3139322e302e322e313a35303030 0003 302e31 01 00000003 0000000000000102"
		" 00000002 00000001 02 0002 3432 0003 626f78 0005 6d61705f31 0003 6f6666");
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(wire_decode_copy(decode, b.data, n), -1);
	assert_int_equal(wire_decode_copy(decode, b.data, b.len), 0);
	assert_refused_with(decode, &b, 0, 2);
	assert_refused_with(decode, &b, 0, 0);  /* not told, and told all the same */
	assert_refused_with(decode, &b, 5, 2);  /* goes on, or not */
	assert_refused_with(decode, &b, 10, 1); /* more than can be there */
	const size_t end = b.len - TROUBLES;

	assert_refused_with(decode, &b, end - 13, 0); /* state */
	assert_refused_with(decode, &b, end - 13, 3);
	assert_refused_with(decode, &b, end - 8, 0x80); /* before 1970 */
	assert_refused_with(decode, &b, end + 6, 1);    /* more than can be there */
	assert_refused_with(decode, &b, end + 8, 0);    /* kind */
	assert_refused_with(decode, &b, end + 8, 3);
	assert_refused_with(decode, &b, end + 10, 0); /* nobody's */
	buf_free(&b);
}

static void test_not_told(void **state)
{
	const struct client_states s = { .n = 1, .items = &one };
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_MSG_MAX);
	client_states_put(&b, &s);
	assert_wire(&b, "00");
	assert_int_equal(decode(b.data, b.len), 0);
	buf_free(&b);
}

static void check_cut(uint32_t n, uint32_t fit)
{
	struct client_states s = { .told = true, .n = n, .more = 1, .items = calloc(n, sizeof one) }, got;
	struct cursor c;
	struct buf b;

	assert_non_null(s.items);
	for (uint32_t i = 0; i < n; i++)
		s.items[i] = one;
	buf_init(&b, PROTO_MSG_MAX);
	client_states_put(&b, &s);
	assert_false(b.failed);
	assert_true(b.len <= CLIENT_STATES_BYTES + 14);
	cursor_init(&c, b.data, b.len);
	client_states_get(&c, &got);
	assert_int_equal(cursor_done(&c), 0);
	assert_int_equal(got.n, fit);
	assert_int_equal(got.more, 1 + n - fit);
	client_states_fini(&got);
	free(s.items);
	buf_free(&b);
}

static void test_what_does_not_fit_is_counted(void **state)
{
	const struct client_state small = one;

	(void)state;
	check_cut(CLIENT_STATES_MAX, CLIENT_STATES_MAX);
	check_cut(CLIENT_STATES_MAX + 1, CLIENT_STATES_MAX);
	memset(one.client, 'c', sizeof one.client - 1);
	memset(one.instance, 'i', sizeof one.instance - 1);
	memset(one.remote, 'r', sizeof one.remote - 1);
	memset(one.version, 'v', sizeof one.version - 1);
	check_cut(CLIENT_STATES_MAX, CLIENT_STATES_BYTES / (21 + 39 + 39 + (ADDR_STRLEN - 1) + 31));
	one = small;
}

static void gather_and_check(const struct client_states *all, uint32_t parts)
{
	struct client_states_pile pile = { .next = 0 };
	struct client_states_at at = { .part = 0 };
	struct client_states part, got;
	uint32_t n = 0;

	while (client_states_next(all, &at, &part)) {
		struct cursor c;
		struct buf b;

		buf_init(&b, PROTO_MSG_MAX);
		client_states_put(&b, &part);
		cursor_init(&c, b.data, b.len);
		client_states_get(&c, &got);
		assert_int_equal(cursor_done(&c), 0);
		assert_int_equal(got.part, n++);
		assert_int_equal(client_states_gather(&pile, &got), !got.goes_on);
		client_states_fini(&got);
		buf_free(&b);
	}
	assert_int_equal(n, parts);
	assert_true(pile.all.told);
	assert_int_equal(pile.all.n, all->n);
	assert_int_equal(pile.all.more, all->more);
	assert_int_equal(pile.all.n_troubles, all->n_troubles);
	assert_int_equal(pile.all.more_troubles, all->more_troubles);
	for (uint32_t i = 0; i < all->n; i++)
		assert_string_equal(pile.all.items[i].instance, all->items[i].instance);
	for (uint32_t i = 0; i < all->n_troubles; i++)
		assert_string_equal(pile.all.troubles[i].mapping, all->troubles[i].mapping);
	client_states_pile_fini(&pile);
}

/* Whatever both lists have, all of it arrives, in as many parts as the longer one needs. */
static void test_parts(void **state)
{
	static const struct {
		uint32_t n, troubles, parts;
	} cases[] = {
		{ 0, 0, 1 },
		{ 1, 1, 1 },
		{ CLIENT_STATES_MAX, 0, 1 },
		{ CLIENT_STATES_MAX + 1, 0, 2 },
		{ 3, CLIENT_TROUBLES_MAX + 1, 2 },
		{ 3 * CLIENT_STATES_MAX, CLIENT_TROUBLES_MAX, 3 },
		{ 1, CLIENT_TROUBLES_ALL, CLIENT_TROUBLES_ALL / CLIENT_TROUBLES_MAX },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client_states all = { .told = true,
			.n = cases[i].n,
			.more = 7,
			.n_troubles = cases[i].troubles,
			.more_troubles = 8 },
				     copy;

		all.items = calloc(all.n + 1, sizeof *all.items);
		all.troubles = calloc(all.n_troubles + 1, sizeof *all.troubles);
		assert_true(all.items != NULL && all.troubles != NULL);
		for (uint32_t k = 0; k < all.n; k++) {
			all.items[k] = one;
			str_fmt(all.items[k].instance, sizeof all.items[k].instance, "i%u", k);
		}
		for (uint32_t k = 0; k < all.n_troubles; k++) {
			all.troubles[k] = down;
			str_fmt(all.troubles[k].mapping, sizeof all.troubles[k].mapping, "m%u", k);
		}
		assert_int_equal(client_states_copy(&copy, &all), 0);
		gather_and_check(&copy, cases[i].parts);
		client_states_fini(&copy);
		client_states_fini(&all);
	}
}

/* More than all parts may have is counted, not kept. */
static void test_too_many_parts(void **state)
{
	struct client_states part = { .told = true, .goes_on = true, .n = CLIENT_STATES_MAX };
	struct client_states_pile pile = { .next = 0 };

	(void)state;
	part.items = calloc(part.n, sizeof *part.items);
	assert_non_null(part.items);
	for (part.part = 0; part.part <= CLIENT_STATES_ALL / CLIENT_STATES_MAX; part.part++)
		assert_int_equal(client_states_gather(&pile, &part), 0);
	part.goes_on = false;
	assert_int_equal(client_states_gather(&pile, &part), 1);
	assert_int_equal(pile.all.n, CLIENT_STATES_ALL);
	assert_int_equal(pile.all.more, 2 * CLIENT_STATES_MAX);
	client_states_pile_fini(&pile);
	free(part.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_not_told),
		cmocka_unit_test(test_what_does_not_fit_is_counted),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_too_many_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
