/* What relays say about clients: complete lists that replace each other, nodes that go, what is due to be written. */
#include "common/base/str.h"
#include "controld/clients/client_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct client_statuses *statuses;

static int setup(void **state)
{
	(void)state;
	return client_statuses_new(&statuses, NULL);
}

static int teardown(void **state)
{
	(void)state;
	client_statuses_free(statuses);
	return 0;
}

static struct client_state agent(const char *client, const char *instance, uint8_t kind)
{
	struct client_state s = { .state = kind, .links = 2, .since_ms = 5 };

	str_copy(s.client, sizeof s.client, client);
	str_copy(s.instance, sizeof s.instance, instance);
	str_copy(s.remote, sizeof s.remote, "192.0.2.1:9");
	str_copy(s.version, sizeof s.version, "1.0");
	return s;
}

static void say(const char *node, struct client_state *items, uint32_t n, int64_t now_ms)
{
	const struct client_states list = { .told = true, .n = n, .items = items };

	assert_int_equal(client_statuses_node(statuses, node, "edge", &list, now_ms), 0);
}

static void lists_replace_each_other(void **state)
{
	struct client_state both[] = { agent("7", "a", CLIENT_STATE_ONLINE), agent("8", "b", CLIENT_STATE_ERROR) };
	struct client_live live;

	(void)state;
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.status, CLIENT_OFFLINE);
	assert_int_equal(live.seen_ms, 0);
	say("node_1", both, 2, 100);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.status, CLIENT_ONLINE);
	assert_int_equal(live.seen_ms, 100);
	assert_int_equal(live.n, 1);
	assert_string_equal(live.agents[0].node_id, "node_1");
	assert_string_equal(live.agents[0].node_name, "edge");
	assert_string_equal(live.agents[0].state.instance, "a");
	assert_int_equal(client_statuses_of(statuses, 8), CLIENT_ERROR);
	assert_int_equal(client_statuses_online(statuses), 1);
	say("node_1", both + 1, 1, 200);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.status, CLIENT_OFFLINE);
	assert_int_equal(live.seen_ms, 100); /* when it was there last */
	assert_int_equal(client_statuses_online(statuses), 0);
	say("node_1", NULL, 0, 300);
	assert_int_equal(client_statuses_of(statuses, 8), CLIENT_OFFLINE);
}

/* What is down at an agent is shown with that agent, and goes with the next word of its node. */
static void targets_that_are_down(void **state)
{
	struct client_state both[] = { agent("7", "a", CLIENT_STATE_ONLINE), agent("7", "b", CLIENT_STATE_ONLINE) };
	struct client_trouble down[] = { { CLIENT_TROUBLE_DOWN, "7", "b", "map_1", "connection refused" },
		{ CLIENT_TROUBLE_DOUBT, "8", "b", "map_2", "other" } };
	struct client_states list = { .told = true, .n = 2, .items = both, .n_troubles = 2, .troubles = down };
	struct client_live live;

	(void)state;
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &list, 100), 0);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.status, CLIENT_ONLINE);
	assert_int_equal(live.n_down, 1);
	assert_string_equal(live.agents[live.down[0].agent].state.instance, "b");
	assert_string_equal(live.down[0].mapping, "map_1");
	assert_string_equal(live.down[0].reason, "connection refused");
	assert_int_equal(live.down[0].kind, CLIENT_TROUBLE_DOWN);
	say("node_1", both, 2, 200);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.n_down, 0);
}

/* A list in parts counts when it is whole; one that misses a part, or never ends, leaves what was there. */
static void lists_in_parts(void **state)
{
	struct client_state first = agent("7", "a", CLIENT_STATE_ONLINE), second = agent("8", "a", CLIENT_STATE_ONLINE);
	struct client_states parts[2] = { { .told = true, .goes_on = true, .n = 1, .items = &first, .more = 3 },
		{ .told = true, .part = 1, .n = 1, .items = &second, .more = 3, .more_troubles = 2 } };
	uint64_t agents, troubles;

	(void)state;
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &parts[0], 1), 0);
	assert_int_equal(client_statuses_of(statuses, 7), CLIENT_OFFLINE);
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &parts[1], 1), 0);
	assert_int_equal(client_statuses_online(statuses), 2);
	client_statuses_untold(statuses, &agents, &troubles);
	assert_int_equal(agents, 3);
	assert_int_equal(troubles, 2);

	second = agent("9", "a", CLIENT_STATE_ONLINE);
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &parts[1], 2), 0); /* its first was lost */
	assert_int_equal(client_statuses_of(statuses, 9), CLIENT_OFFLINE);
	assert_int_equal(client_statuses_of(statuses, 8), CLIENT_ONLINE);
	parts[1].part = 2;
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &parts[0], 2), 0);
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &parts[1], 2), 0);
	assert_int_equal(client_statuses_of(statuses, 8), CLIENT_ONLINE);
	say("node_1", &first, 1, 3);
	parts[1].part = 1;
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &parts[1], 3), 0);
	assert_int_equal(client_statuses_online(statuses), 1);
}

/* Of more than an answer has room for the number is given. */
static void what_is_left_out(void **state)
{
	struct client_state many[CLIENT_AGENTS_MAX + 3];
	struct client_trouble down[CLIENT_DOWN_MAX + 5];
	struct client_states list = {
		.told = true, .n = ARRAY_LEN(many), .items = many, .n_troubles = ARRAY_LEN(down), .troubles = down
	};
	struct client_live live;
	char name[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		str_fmt(name, sizeof name, "i%zu", i);
		many[i] = agent("7", name, CLIENT_STATE_ONLINE);
	}
	for (size_t i = 0; i < ARRAY_LEN(down); i++)
		down[i] = (struct client_trouble){ CLIENT_TROUBLE_DOUBT, "7", "i0", "map_1", "refused" };
	assert_int_equal(client_statuses_node(statuses, "node_1", "edge", &list, 1), 0);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.more, 3);
	assert_int_equal(live.more_down, 5);
}

static void several_nodes_and_instances(void **state)
{
	struct client_state good = agent("7", "a", CLIENT_STATE_ONLINE), bad = agent("7", "a", CLIENT_STATE_ERROR);
	struct client_state two[] = { agent("7", "b", CLIENT_STATE_ONLINE), bad };
	struct client_live live;

	(void)state;
	say("node_1", &good, 1, 1);
	say("node_2", two, 2, 2);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.n, 3);
	assert_int_equal(client_statuses_online(statuses), 1);
	client_statuses_node_gone(statuses, "node_1");
	assert_int_equal(client_statuses_of(statuses, 7), CLIENT_ONLINE);
	say("node_2", &bad, 1, 3);
	assert_int_equal(client_statuses_of(statuses, 7), CLIENT_ERROR);
	client_statuses_node_gone(statuses, "node_2");
	client_statuses_node_gone(statuses, "node_2");
	assert_int_equal(client_statuses_of(statuses, 7), CLIENT_OFFLINE);
	assert_int_equal(client_statuses_online(statuses), 0);
}

static void ids_that_nobody_has(void **state)
{
	struct client_state odd[] = { agent("map_1", "a", CLIENT_STATE_ONLINE), agent("07", "a", CLIENT_STATE_ONLINE),
		agent("7", "a", CLIENT_STATE_ONLINE) };
	struct client_live live;

	(void)state;
	say("node_1", odd, 3, 1);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.n, 1);
	say("node_1", odd, 2, 2);
	assert_int_equal(client_statuses_of(statuses, 7), CLIENT_OFFLINE);
}

static void more_agents_than_are_shown(void **state)
{
	static struct client_state many[CLIENT_AGENTS_MAX + 5];
	struct client_live live;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = agent("7", "a", CLIENT_STATE_ONLINE);
	say("node_1", many, ARRAY_LEN(many), 1);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.n, CLIENT_AGENTS_MAX);
}

static void what_is_due(void **state)
{
	struct client_state both[] = { agent("7", "a", CLIENT_STATE_ONLINE), agent("8", "b", CLIENT_STATE_ONLINE) };
	struct client_sign signs[4];

	(void)state;
	assert_int_equal(client_statuses_due(statuses, signs, 4, 0, 60), 0);
	say("node_1", both, 2, 1000);
	assert_int_equal(client_statuses_due(statuses, signs, 1, 1000, 60), 1);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1000, 60), 1);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1000, 60), 0);
	assert_int_equal(signs[0].seen_ms, 1000);
	assert_string_equal(signs[0].address, "192.0.2.1:9");
	say("node_1", both, 2, 1030);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1030, 60), 0); /* too soon */
	say("node_1", both, 1, 1040);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1040, 60), 1); /* the one that went */
	assert_string_equal(signs[0].client, "8");
	assert_int_equal(signs[0].seen_ms, 1030);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1060, 60), 1);
	assert_string_equal(signs[0].client, "7");
}

/* Who has gone takes no memory here once it was written down. */
static void who_has_gone(void **state)
{
	struct client_state one = agent("7", "a", CLIENT_STATE_ONLINE);
	struct client_sign signs[4];
	struct client_live live;

	(void)state;
	say("node_1", &one, 1, 1000);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1000, 60), 1);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1010, 60), 0);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.seen_ms, 1000); /* it is here */
	client_statuses_node_gone(statuses, "node_1");
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.seen_ms, 1000); /* it is not written down yet */
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1020, 60), 1);
	assert_int_equal(client_statuses_due(statuses, signs, 4, 1030, 60), 0);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.seen_ms, 0);
	say("node_1", &one, 1, 2000);
	client_statuses_get(statuses, 7, &live);
	assert_int_equal(live.seen_ms, 2000);
	assert_int_equal(client_statuses_online(statuses), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lists_replace_each_other),
		TEST(targets_that_are_down),
		TEST(lists_in_parts),
		TEST(what_is_left_out),
		TEST(several_nodes_and_instances),
		TEST(ids_that_nobody_has),
		TEST(more_agents_than_are_shown),
		TEST(what_is_due),
		TEST(who_has_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
