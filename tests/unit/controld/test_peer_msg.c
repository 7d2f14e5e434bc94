#include "controld/fleet/line/peer_msg.h"

#include "common/base/buf.h"
#include "proto/node_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct buf b;

static void golden(const char *bytes, size_t n)
{
	assert_false(b.failed);
	assert_int_equal(b.len, n);
	assert_memory_equal(b.data, bytes, n);
}
#define GOLDEN(s) golden(s, sizeof(s) - 1)

static int decode(struct peer_msg *m)
{
	return peer_msg_decode(m, b.data, b.len);
}

/* Every shorter message and every one with a byte too many is refused. */
static void assert_exact(void)
{
	struct peer_msg m;

	for (size_t n = 0; n < b.len; n++) {
		uint8_t *copy = malloc(n + 1); /* so that reading too far is seen */

		memcpy(copy, b.data, n);
		assert_int_equal(peer_msg_decode(&m, copy, n), -1);
		free(copy);
	}
	buf_u8(&b, 0);
	assert_int_equal(decode(&m), -1);
	b.len--;
}

static void plain(void **state)
{
	struct peer_msg m;

	(void)state;
	peer_msg_begin(&b, PEER_HELLO);
	GOLDEN("\1\1");
	assert_int_equal(decode(&m), 0);
	assert_int_equal(m.type, PEER_HELLO);
	assert_exact();
	b.data[1] = 2; /* of a newer controld */
	assert_int_equal(decode(&m), -1);
	b.data[1] = 1;
	b.data[0] = PEER_LOADS + 1;
	assert_int_equal(decode(&m), -1);
}

static void states(void **state)
{
	const struct node_state running = { .applied.seq = 9, .serial = 3 };
	struct peer_state s;
	struct peer_msg m;
	struct buf one;
	size_t count_at;

	(void)state;
	buf_init(&one, 1000);
	node_state_put(&one, &running);
	peer_msg_begin(&b, PEER_STATES);
	peer_msg_list_begin(&b, &count_at);
	peer_msg_state(&b, "nod_a", true, one.data, one.len);
	peer_msg_state(&b, "nod_b", false, one.data, one.len);
	peer_msg_list_end(&b, count_at, 2);
	assert_int_equal(decode(&m), 0);
	assert_true(peer_msg_next_state(&m.rows, &s));
	assert_string_equal(s.node, "nod_a");
	assert_true(s.online);
	assert_int_equal(s.n, one.len);
	assert_memory_equal(s.state, one.data, one.len);
	assert_true(peer_msg_next_state(&m.rows, &s));
	assert_string_equal(s.node, "nod_b");
	assert_false(s.online);
	assert_false(peer_msg_next_state(&m.rows, &s));
	assert_exact();
	buf_reset(&b); /* a state that is none */
	peer_msg_begin(&b, PEER_STATES);
	peer_msg_list_begin(&b, &count_at);
	peer_msg_state(&b, "nod_a", true, "x", 1);
	peer_msg_list_end(&b, count_at, 1);
	assert_int_equal(decode(&m), -1);
	buf_free(&one);
}

static void asks(void **state)
{
	const struct ask what = { .id = 0x0102030405060708, .kind = ASK_CUT, .conn = 5, .limit = 6 };
	char id[PROTO_ID_SIZE];
	struct peer_msg m;
	size_t count_at;

	(void)state;
	peer_msg_ask(&b, &what);
	peer_msg_list_begin(&b, &count_at);
	peer_msg_id(&b, "n");
	peer_msg_list_end(&b, count_at, 1);
	GOLDEN("\5\1\1\2\3\4\5\6\7\10\2\0\0\0\0\0\0\0\0\0\5\0\0\0\6\0\0\0\1\0\1n");
	assert_int_equal(decode(&m), 0);
	assert_int_equal(m.ask.id, what.id);
	assert_true(peer_msg_next_id(&m.rows, id));
	assert_string_equal(id, "n");
	assert_false(peer_msg_next_id(&m.rows, id));
	assert_exact();
}

static void answers(void **state)
{
	struct peer_msg m;

	(void)state;
	peer_msg_of(&b, PEER_ANSWER, "n", "xyz", 3);
	GOLDEN("\6\1\0\1n\0\0\0\3xyz");
	assert_int_equal(decode(&m), 0);
	assert_string_equal(m.of.node, "n");
	assert_memory_equal(m.of.state, "xyz", 3);
	assert_exact();
}

static void loads(void **state)
{
	const struct peer_load said = { .node = "n",
		.address = "::1",
		.seen_ms = 0x0102030405060708,
		.load = { .version = "v",
			.connections = 7,
			.agents = "a:1",
			.http_port = 8,
			.tls_port = 9,
			.name = "edge" } };
	struct peer_load l;
	struct peer_msg m;
	size_t count_at;

	(void)state;
	peer_msg_begin(&b, PEER_LOADS);
	peer_msg_list_begin(&b, &count_at);
	peer_msg_load(&b, &said);
	peer_msg_list_end(&b, count_at, 1);
	GOLDEN("\10\1\0\0\0\1\0\1n\0\3::1\1\2\3\4\5\6\7\10" /* node, address, when */
	       "\0\1v\0\0\0\0\0\0\0\0"                      /* version, uptime */
	       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\0"
	       "\0\0\0\0\0\0\0\0\0\0\0\0\0\3a:1\0\10\0\11\0\4edge");
	assert_int_equal(decode(&m), 0);
	assert_true(peer_msg_next_load(&m.rows, &l));
	assert_string_equal(l.node, "n");
	assert_string_equal(l.address, "::1");
	assert_int_equal(l.seen_ms, said.seen_ms);
	assert_int_equal(l.load.connections, 7);
	assert_string_equal(l.load.agents, "a:1");
	assert_int_equal(l.load.tls_port, 9);
	assert_string_equal(l.load.name, "edge");
	assert_false(peer_msg_next_load(&m.rows, &l));
	assert_exact();
}

static int setup(void **state)
{
	(void)state;
	buf_init(&b, 4096);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_free(&b);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(plain, setup, teardown),
		cmocka_unit_test_setup_teardown(states, setup, teardown),
		cmocka_unit_test_setup_teardown(asks, setup, teardown),
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(loads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
