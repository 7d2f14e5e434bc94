#define _GNU_SOURCE
/* Streams to agents: where they go, within which limits, and what happens to them when agents and targets come and go. */
#include "proto/client_state.h"
#include "tests/unit/relayd/agents_lab.h"

static void test_bytes_and_counters(void **state)
{
	static struct agent a;
	int fds[8];

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = lab_connect(SOCK_STREAM, tunnel_port);
		expect_echo(fds[i], 1000000);
	}
	assert_int_equal(seen(&a.streams), ARRAY_LEN(fds));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		uint8_t byte;

		shutdown(fds[i], SHUT_WR);
		assert_int_equal(recv(fds[i], &byte, 1, 0), 0); /* the end comes back in order */
		close(fds[i]);
	}
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && seen(&a.streams) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), 8000000);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_out), 8000000);
	assert_int_equal(lab_count(&lab, "map_a", METER_reset), 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_connected), ARRAY_LEN(fds));
	assert_true(lab_count(&lab, "map_a", METER_connect_us) > 0); /* until the agent had reached it */
	agent_stop(&a);
	LAB_UNTIL(&lab, counts().links == 0);
}

static void test_datagrams(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_UDP, tunnel_port, 80);
	uint8_t out[1400], in[1500];
	static struct agent a;
	int fd;

	(void)state;
	str_copy(m.target_host, sizeof m.target_host, "svc.internal");
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	lab_change(&lab, "map_u", &m);
	agent_start(&a, "i1", 1, secret, 2);
	fd = lab_connect(SOCK_DGRAM, tunnel_port); /* the first waits for the agent */
	for (size_t n = 0; n <= sizeof out; n += 100) {
		memset(out, (int)n, sizeof out);
		assert_int_equal(send(fd, out, n, 0), n);
		assert_int_equal(recv(fd, in, sizeof in, 0), n);
		assert_memory_equal(in, out, n);
	}
	assert_int_equal(lab_connections(&lab), 1);
	assert_int_equal(lab_count(&lab, "map_u", METER_packets_out), 15);
	assert_int_equal(lab_count(&lab, "map_u", METER_bytes_in), 14 * 15 * 50);
	agent_stop(&a);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	close(fd);
}

/* Whoever connects while the agent is away for a moment waits for it. */
static void test_waits_for_agent(void **state)
{
	int fd = lab_connect(SOCK_STREAM, tunnel_port);
	static struct agent a;

	(void)state;
	LAB_UNTIL(&lab, lab_connections(&lab) == 1);
	agent_start(&a, "i1", 1, secret, 2);
	expect_echo(fd, 1000);
	close(fd);
	LAB_UNTIL(&lab, seen(&a.streams) == 0);
	agent_stop(&a);
}

static void test_target_refused(void **state)
{
	static struct agent a;

	(void)state;
	put_mapping(81);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	lab_expect_refused(tunnel_port);
	LAB_UNTIL(&lab, lab_count(&lab, "map_a", METER_refused_dial) == 1);
	assert_int_equal(lab_count(&lab, "map_a", METER_connected), 0);
	agent_stop(&a);
}

/* What a reset cuts off must not look like the whole. */
static void test_reset_is_no_end(void **state)
{
	uint8_t bytes[4096];
	static struct agent a;
	ssize_t n;
	int fd;

	(void)state;
	put_client_limited(true, secret, 0, 20000); /* so that bytes wait in the stream when the reset comes */
	put_mapping(83);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
		;
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
	agent_stop(&a);
}

/* A client's limits hold over all its mappings. */
static void test_client_limits(void **state)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, lab_free_port(SOCK_STREAM), 80);
	uint64_t began;
	static struct agent a;
	int first, second;

	(void)state;
	str_copy(m.target_host, sizeof m.target_host, "svc.internal");
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	lab_change(&lab, "map_b", &m);
	put_client_limited(true, secret, 2, 200000);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	first = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(first, 10);
	second = lab_connect(SOCK_STREAM, m.port_first);
	expect_echo(second, 10);
	lab_expect_refused(m.port_first);
	LAB_UNTIL(&lab, lab_count(&lab, "map_b", METER_refused_limit) == 1);
	began = clock_mono_ms();
	expect_echo(first, 100000);
	expect_echo(second, 100000);
	assert_true(clock_mono_ms() - began >= 700); /* 200,000 bytes each way, less what a bucket holds */
	close(first);
	close(second);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && seen(&a.streams) == 0);
	agent_stop(&a);
}

/* A report names an agent that connections did not get through to lately, and no other. */
static bool is_doubted(const char *instance)
{
	struct client_states states = { .n = 0 };

	agents_states(agents, &states);
	for (uint32_t i = 0; i < states.n_troubles; i++) {
		assert_int_equal(states.troubles[i].kind, CLIENT_TROUBLE_DOUBT);
		assert_string_equal(states.troubles[i].client, CLIENT);
		assert_string_equal(states.troubles[i].mapping, "map_a");
		assert_string_equal(states.troubles[i].instance, instance);
		assert_non_null(strstr(states.troubles[i].reason, "in a row"));
	}
	return states.n_troubles == 1;
}

/* Whoever is sent to an agent in vain is served by another one, with all that he had sent meanwhile. */
static void test_another_agent(void **state)
{
	static struct agent a, b;
	bool doubted = false;
	int fds[30];

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	agent_start(&b, "i2", 1, secret, 2);
	__atomic_store_n(&a.dead, true, __ATOMIC_RELAXED);
	LAB_UNTIL(&lab, seen(&a.up) == 2 && seen(&b.up) == 2);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = lab_connect(SOCK_STREAM, tunnel_port);
		expect_echo(fds[i], 300000);
		doubted |= is_doubted("i1");
	}
	assert_true(doubted);
	assert_int_equal(seen(&b.streams), ARRAY_LEN(fds));
	assert_in_range(counts().failed_streams, 1, ARRAY_LEN(fds) - 10); /* it is doubted for a while */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && seen(&b.streams) == 0);
	assert_int_equal(lab_count(&lab, "map_a", METER_bytes_in), ARRAY_LEN(fds) * 300000);
	assert_int_equal(lab_count(&lab, "map_a", METER_refused_dial), 0);
	agent_stop(&a);
	agent_stop(&b);
}

static void put_checked_mapping(uint8_t type)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, tunnel_port, 80);

	str_copy(m.target_host, sizeof m.target_host, "svc.internal");
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	m.health = (struct health_conf){ type, 1000, 100, 2, 3, "/", 0 };
	lab_change(&lab, "map_a", &m);
}

static bool is_refused(void)
{
	enum err_code code;

	lab_refusal(&lab, "map_a", &code);
	assert_true(code == ERR_NONE || code == ERR_TARGET_DOWN);
	return code == ERR_TARGET_DOWN;
}

static uint32_t troubles(void)
{
	struct client_states states = { .n = 0 };

	agents_states(agents, &states);
	return states.n_troubles;
}

static void connect_and_echo(unsigned times)
{
	while (times-- > 0) {
		int fd = lab_connect(SOCK_STREAM, tunnel_port);

		expect_echo(fd, 1000);
		close(fd);
	}
}

/* Until the relay has read it on each link. */
static void say(struct agent *a, bool up)
{
	uint64_t before = counts().not_theirs;

	agent_say(&lab, a, up);
	LAB_UNTIL(&lab, counts().not_theirs == before + a->n);
}

/* An agent whose target is down by its own word gets nothing; when that holds for all, the mapping is in trouble. */
static void test_targets_that_are_down(void **state)
{
	static struct agent a, b;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	put_checked_mapping(HEALTH_TCP);
	LAB_UNTIL(&lab, seen(&a.checks) == 2 && seen(&a.checked) == FRAME_CHECK_TCP); /* links that are there */
	agent_start(&b, "i2", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&b.checks) == 2); /* and those that come */
	__atomic_store_n(&a.dead, true, __ATOMIC_RELAXED);
	say(&a, false);
	say(&b, true);
	LAB_UNTIL(&lab, troubles() == 1);
	assert_false(is_refused());
	connect_and_echo(20);
	assert_int_equal(counts().failed_streams, 0);

	say(&b, false);
	LAB_UNTIL(&lab, is_refused() && troubles() == 2);
	lab_expect_refused(tunnel_port);
	LAB_UNTIL(&lab, lab_count(&lab, "map_a", METER_refused_down) == 1);

	agent_stop(&b); /* the one that is left is down */
	LAB_UNTIL(&lab, troubles() == 1);
	assert_true(is_refused());
	__atomic_store_n(&a.dead, false, __ATOMIC_RELAXED);
	say(&a, true);
	LAB_UNTIL(&lab, !is_refused());
	connect_and_echo(4);

	say(&a, false);
	LAB_UNTIL(&lab, is_refused());
	put_checked_mapping(HEALTH_NONE);
	LAB_UNTIL(&lab, !is_refused() && seen(&a.checked) == FRAME_CHECK_NONE);
	connect_and_echo(4);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && seen(&a.streams) == 0);
	agent_stop(&a);
}

static void test_no_agent_reaches_it(void **state)
{
	static struct agent a, b;
	uint64_t before;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	agent_start(&b, "i2", 1, secret, 2);
	__atomic_store_n(&a.dead, true, __ATOMIC_RELAXED);
	__atomic_store_n(&b.dead, true, __ATOMIC_RELAXED);
	LAB_UNTIL(&lab, seen(&a.up) == 2 && seen(&b.up) == 2);
	before = counts().failed_streams;
	lab_expect_refused(tunnel_port);
	assert_int_equal(counts().failed_streams - before, 2);
	LAB_UNTIL(&lab, lab_count(&lab, "map_a", METER_refused_dial) == 1);
	__atomic_store_n(&b.dead, false, __ATOMIC_RELAXED);
	fd = lab_connect(SOCK_STREAM, tunnel_port); /* doubted as they are, they are asked */
	expect_echo(fd, 1000);
	close(fd);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && seen(&b.streams) == 0);
	agent_stop(&a);
	agent_stop(&b);
}

/* What the source client's agent opens is led to the target's, here the same; of nobody else's mapping. */
static void test_visits(void **state)
{
	static const char *const others[] = { "map_theirs", "map_nowhere", "map_a" };
	static struct agent a;

	(void)state;
	put_to_agent("map_own", CLIENT, 7000, 80);
	put_to_agent("map_theirs", "77", 7000, 80);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.offers) == 2); /* one mapping, on each link */
	visit(&a, "map_own");
	LAB_UNTIL(&lab, seen(&a.visit_back) == 1000);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		visit(&a, others[i]);
		LAB_UNTIL(&lab, seen(&a.visit_code) == ERR_MAPPING_NOT_FOUND);
	}
	assert_int_equal(counts().not_theirs, ARRAY_LEN(others));
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && seen(&a.streams) == 0);
	assert_int_equal(lab_count(&lab, "map_own", METER_bytes_in), 1000);
	assert_int_equal(lab_count(&lab, "map_own", METER_bytes_out), 1000);
	lab_change(&lab, "map_own", NULL);
	LAB_UNTIL(&lab, seen(&a.withdrawn) == 2);
	put_to_agent("map_theirs", CLIENT, 7000, 80); /* given to this client while its agent is here */
	LAB_UNTIL(&lab, seen(&a.offers) == 4);
	visit(&a, "map_theirs");
	LAB_UNTIL(&lab, seen(&a.visit_back) == 1000);
	agent_stop(&a);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
}

/* The agent's word about a port is about that port: the mapping may have moved on while it was under way. */
static void test_late_word(void **state)
{
	static const struct {
		const char *why;
		bool counts;
	} words[] = {
		{ "ADDRESS_IN_USE: 127.0.0.1:7000: Address already in use", false },
		{ "ADDRESS_IN_USE: ::1:7000: Address already in use", false },
		{ "ADDRESS_IN_USE: 127.0.0.1:7100: Address already in use", true },
		{ "ADDRESS_IN_USE: ::1:7100: Address already in use", true },
		{ "PERMISSION_DENIED: the agent's `listen` does not let it listen on 127.0.0.1, port 7100", true },
		{ "ADDRESS_IN_USE: 127.0.0.1:99999999999: Address already in use", true }, /* no port at all */
		{ "UNAVAILABLE: x: y", true },
	};
	static struct agent a;
	enum err_code code;

	(void)state;
	agent_start(&a, "i1", 1, secret, 1);
	put_to_agent("map_own", CLIENT, 7000, 80);
	put_to_agent("map_other", CLIENT, 7200, 80);
	LAB_UNTIL(&lab, seen(&a.offers) == 2);
	a.of = "map_own";
	a.why = words[0].why;
	agent_say(&lab, &a, false);
	LAB_UNTIL(&lab, lab_refusal(&lab, "map_own", &code) != NULL);
	put_to_agent("map_own", CLIENT, 7100, 80); /* another port was picked */
	LAB_UNTIL(&lab, seen(&a.offers) == 3 && lab_refusal(&lab, "map_own", &code) == NULL);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		a.why = words[i].why;
		agent_say(&lab, &a, false);
		if (words[i].counts) {
			LAB_UNTIL(&lab, lab_refusal(&lab, "map_own", &code) != NULL);
		} else { /* it was heard before this one is */
			a.of = "map_other";
			a.why = "ADDRESS_IN_USE: 127.0.0.1:7200: Address already in use";
			agent_say(&lab, &a, false);
			LAB_UNTIL(&lab, lab_refusal(&lab, "map_other", &code) != NULL);
			assert_null(lab_refusal(&lab, "map_own", &code));
			agent_say(&lab, &a, true);
			LAB_UNTIL(&lab, lab_refusal(&lab, "map_other", &code) == NULL);
			a.of = "map_own";
		}
		agent_say(&lab, &a, true);
		LAB_UNTIL(&lab, lab_refusal(&lab, "map_own", &code) == NULL);
	}
	agent_stop(&a);
}

/* What the source's agent sends is from it, also of UDP: within that rate, and not the one of what it gets. */
static void test_visit_rate(void **state)
{
	struct client_conf conf = { .enabled = true, .rate_out = 1000 };
	struct mapping_conf m = lab_mapping(MAPPING_UDP, 7000, 80);
	static struct agent source, target;

	(void)state;
	put_client_conf("77", conf, secret);
	str_copy(m.target_host, sizeof m.target_host, "svc.internal");
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	str_copy(m.source_client, sizeof m.source_client, "77");
	lab_change(&lab, "map_own", &m);
	agent_start(&target, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&target.up) == 2);
	agent_start_of(&source, "77", "i2", 1, secret, 1);
	LAB_UNTIL(&lab, seen(&source.offers) == 1);
	source.visit_kind = FRAME_UDP;
	visit(&source, "map_own");
	LAB_UNTIL(&lab, lab_count(&lab, "map_own", METER_packets_in) + lab_count(&lab, "map_own", METER_dropped_in) ==
				VISIT_DATAGRAMS);
	assert_true(lab_count(&lab, "map_own", METER_dropped_in) > 0);
	assert_int_equal(lab_count(&lab, "map_own", METER_dropped_out), 0);
	agent_stop(&source);
	agent_end(&target);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
}

/* The agent vanishes in the middle: its clients learn of it, and nothing is left over. */
static void test_agent_gone(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	agent_stop(&a);
	lab_expect_reset(fd);
	close(fd);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0 && counts().links == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bytes_and_counters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_datagrams, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_waits_for_agent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_target_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset_is_no_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_client_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_agent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_targets_that_are_down, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_agent_reaches_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_visits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_late_word, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_visit_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_agent_gone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
