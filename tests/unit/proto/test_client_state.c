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

#define TROUBLES (4 + 4 + 4 + 5 + 7 + 5) /* bytes of the second list */

static struct client_state one = {
	.client = "42",
	.instance = "box",
	.remote = "192.0.2.1:5000",
	.version = "0.1",
	.state = CLIENT_STATE_ONLINE,
	.links = 3,
	.since_ms = 0x0102,
};

static struct client_trouble down = { .client = "42", .instance = "box", .mapping = "map_1", .reason = "off" };

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
		"01 00000005 00000001"
		" 0002 3432 0003 626f78 000e 3139322e302e322e313a35303030 0003 302e31 01 00000003 0000000000000102"
		" 00000002 00000001 0002 3432 0003 626f78 0005 6d61705f31 0003 6f6666");
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(wire_decode_copy(decode, b.data, n), -1);
	assert_int_equal(wire_decode_copy(decode, b.data, b.len), 0);
	assert_refused_with(decode, &b, 0, 2);
	assert_refused_with(decode, &b, 0, 0); /* not told, and told all the same */
	assert_refused_with(decode, &b, 5, 1); /* more than can be there */
	const size_t end = b.len - TROUBLES;

	assert_refused_with(decode, &b, end - 13, 0); /* state */
	assert_refused_with(decode, &b, end - 13, 3);
	assert_refused_with(decode, &b, end - 8, 0x80); /* before 1970 */
	assert_refused_with(decode, &b, end + 6, 1);    /* more than can be there */
	assert_refused_with(decode, &b, end + 9, 0);    /* nobody's */
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
	assert_true(b.len <= CLIENT_STATES_BYTES + 9);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_not_told),
		cmocka_unit_test(test_what_does_not_fit_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
