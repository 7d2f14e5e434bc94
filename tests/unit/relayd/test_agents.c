#define _GNU_SOURCE
/*
 * Agents at a relay: who is let in, where their links go, what happens to streams when they come and go. The agents here are
 * small: they send back what comes on a stream.
 */
#include "relayd/tunnel/agents.h"

#include "proto/client_conf.h"
#include "proto/client_state.h"
#include "relayd/datagram/datagram_service.h"
#include "relayd/stream/stream_service.h"
#include "tests/unit/relayd/sim_agent.h"

static struct lab lab;
static struct agents *agents;
static struct service both[3]; /* agents, streams, datagrams */
static uint16_t tunnel_port;
static struct key *secret, *other_secret;

/* ---- agents and streams as one service of the lab ----------------------------------------------------------------- */

static void both_apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	(void)self;
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		both[i].ops->apply(both[i].self, old, new_);
}

static void both_stop(void *self)
{
	(void)self;
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		both[i].ops->stop(both[i].self);
}

static void both_stats(void *self, struct service_stats *out)
{
	(void)self;
	struct service_stats more = { .connections = 0 };

	both[1].ops->stats(both[1].self, out);
	both[2].ops->stats(both[2].self, &more);
	out->connections += more.connections;
}

static const struct service_ops both_ops = { .apply = both_apply, .stop = both_stop, .stats = both_stats };

static unsigned changes;

static void on_change(void *arg)
{
	(void)arg;
	changes++;
}

static int both_new(struct service *out, const struct service_env *env, struct err *e)
{
	static char listen[32];
	static struct agents_conf conf = { .handshakes_per_s = 1000,
		.guests_max = 8,
		.ping_ms = 2000,
		.backoff_ms = 1000,
		.links_max = 64,
		.on_change = on_change };
	struct service_env with = *env;

	str_fmt(listen, sizeof listen, "127.0.0.1:%u", (unsigned)agent_port);
	conf.listen = listen;
	if (agents_new(&agents, &both[0], env, &conf, e) != 0)
		return -1;
	with.agents = agents;
	*out = (struct service){ .ops = &both_ops };
	if (stream_service_new(&both[1], &with, e) != 0)
		return -1;
	return datagram_service_new(&both[2], &with, e);
}

/* ---- the relay's side --------------------------------------------------------------------------------------------- */

static void put_client_conf(const char *id, struct client_conf c, const struct key *key)
{
	struct msg_update head = { .kind = UPDATE_DELTA, .from = lab.snapshot->revision }, m;
	struct snapshot *next;
	struct buf body, b;
	size_t count_at;

	c.heartbeat_s = 1;
	key_public(key, c.keys[c.n_keys++].public_key);
	str_copy(c.tenant, sizeof c.tenant, "ten_1");
	buf_init(&body, 65536);
	buf_init(&b, PROTO_MSG_MAX);
	client_conf_encode(&c, &body);
	head.to = head.from;
	head.to.seq = ++lab.seq;
	msg_update_begin(&b, &head, &count_at);
	msg_update_put(&b, OBJECT_CLIENT, id, lab.seq, body.data, body.len);
	msg_update_end(&b, count_at, 1);
	assert_int_equal(msg_update_decode(&m, b.data, b.len), 0);
	assert_int_equal(snapshot_apply(&next, lab.snapshot, &m, NULL), 0);
	lab.service.ops->apply(lab.service.self, lab.snapshot, next);
	snapshot_unref(lab.snapshot);
	lab.snapshot = next;
	buf_free(&body);
	buf_free(&b);
}

static void put_client_limited(bool enabled, const struct key *key, uint32_t connections, uint64_t rate)
{
	const struct client_conf c = {
		.enabled = enabled, .max_connections = connections, .rate_in = rate, .rate_out = rate
	};

	put_client_conf(CLIENT, c, key);
}

static void put_client_with_both(const struct key *one, const struct key *other)
{
	struct client_conf c = { .enabled = true, .n_keys = 1 };

	key_public(one, c.keys[0].public_key);
	put_client_conf(CLIENT, c, other);
}

static void put_client(bool enabled, const struct key *key)
{
	put_client_limited(enabled, key, 0, 0);
}

static void put_to_agent(const char *id, const char *source, uint16_t port, uint16_t target_port)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, port, target_port);

	str_copy(m.target_host, sizeof m.target_host, "svc.internal");
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	str_copy(m.source_client, sizeof m.source_client, source);
	lab_change(&lab, id, &m);
}

static void put_mapping(uint16_t target_port)
{
	put_to_agent("map_a", "", tunnel_port, target_port);
}

static struct agent_counts counts(void)
{
	struct agent_counts c;

	agents_counts(agents, &c);
	return c;
}

static void expect_echo(int fd, size_t n)
{
	uint8_t *out = malloc(n), *in = malloc(n);
	size_t sent = 0, got = 0;

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(i * 7 + i / 251);
	while (got < n) {
		if (sent < n) {
			ssize_t r = send(fd, out + sent, MIN(n - sent, 65536), MSG_DONTWAIT);

			if (r > 0)
				sent += (size_t)r;
		}
		ssize_t r = recv(fd, in + got, n - got, sent < n ? MSG_DONTWAIT : 0);

		if (r > 0)
			got += (size_t)r;
		else if (r == 0 || errno != EAGAIN)
			fail_msg("echo ended after %zu of %zu bytes", got, n);
	}
	assert_memory_equal(in, out, n);
	free(out);
	free(in);
}

static int set_up(void **state)
{
	char *ca = pki.ca;

	(void)state;
	agent_port = lab_free_port(SOCK_STREAM);
	tunnel_port = lab_free_port(SOCK_STREAM);
	lab_start(&lab, both_new);
	assert_int_equal(agents_set_identity(agents, "node_1", pki.client, ca, pki.client_key_pem, NULL), 0);
	put_client(true, secret);
	put_mapping(80);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	agents_end();
	lab_stop(&lab);
	return 0;
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

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

/* Each worker has a link, wherever the connections came in. */
static void test_states(void **state)
{
	struct client_states states = { .n = 0 };
	static struct agent a, b;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	agent_start(&b, "i2", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2 && seen(&b.up) == 2);
	LAB_UNTIL(&lab, changes >= 2);
	agents_states(agents, &states);
	assert_int_equal(states.n, 2);
	assert_int_equal(states.items[0].links, 2);
	assert_string_equal(states.items[0].client, CLIENT);
	agent_stop(&a);
	agent_stop(&b);
	LAB_UNTIL(&lab, counts().links == 0);
	agents_states(agents, &states);
	assert_int_equal(states.n, 0);
}

static void test_refused(void **state)
{
	static struct agent a;

	(void)state;
	agent_start(&a, "i1", 1, other_secret, 1);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	assert_int_equal(seen(&a.code), ERR_AUTHENTICATION_FAILED);
	agent_stop(&a);
	put_client(false, secret);
	agent_start(&a, "i1", 1, secret, 1);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	assert_int_equal(seen(&a.code), ERR_FORBIDDEN);
	agent_stop(&a);
	assert_int_equal(counts().refused, 2);
}

/* It is told which version is spoken, and may come back: one of the two will be renewed. */
static void test_another_version(void **state)
{
	static struct agent a;
	char want[64];

	(void)state;
	hello_version = FRAME_VERSION + 1;
	agent_start(&a, "i1", 1, secret, 1);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	hello_version = 0;
	assert_int_equal(seen(&a.code), ERR_PROTOCOL);
	str_fmt(want, sizeof want, "version %d of links, this agent version %d", FRAME_VERSION, FRAME_VERSION + 1);
	assert_non_null(strstr(a.links[0].refused.reason, want));
	assert_true(a.links[0].refused.retry_ms > 0);
	assert_int_equal(counts().refused, 1);
	agent_stop(&a);
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

/* Switched off, or another secret: links and what passes on them end at once. */
static void test_revoked(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	put_client(true, other_secret);
	lab_expect_reset(fd);
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
	assert_int_equal(lab_count(&lab, "map_a", METER_reset), 1);
}

/* An agent that takes no new streams keeps its old ones, but not longer than it may be here. */
static void test_revoked_while_going(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	worker_post(&a.worker, &a.go_away);
	expect_echo(fd, 1000);
	put_client(true, other_secret);
	lab_expect_reset(fd);
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
}

static void greet_again(struct agent *a, const struct key *key)
{
	unsigned before = seen(&a->said);

	a->next = key;
	worker_post(&a->worker, &a->again);
	LAB_UNTIL(&lab, seen(&a->said) == before + 1);
}

/* With a key that is good the link stays by that one; one that is not leaves it as it was. */
static void test_greets_again(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	put_client_with_both(secret, other_secret);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	greet_again(&a, other_secret);
	expect_echo(fd, 1000); /* behind it on its way */
	put_client(true, other_secret);
	expect_echo(fd, 1000);
	usleep(1100000); /* no more than one a second */
	greet_again(&a, secret);
	expect_echo(fd, 1000);
	assert_int_equal(seen(&a.closed), 0);
	put_client(false, secret);
	lab_expect_reset(fd);
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
}

/* The agent has its new key before the relay knows of it: the link stays when the old one ends. */
static void test_greets_early(void **state)
{
	static struct agent a;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	greet_again(&a, other_secret);
	expect_echo(fd, 1000);
	put_client_with_both(secret, other_secret);
	put_client(true, other_secret);
	usleep(1100000); /* it looks who may stay once a second */
	expect_echo(fd, 1000);
	assert_int_equal(seen(&a.closed), 0);
	put_client(true, secret); /* which it left */
	LAB_UNTIL(&lab, seen(&a.closed) == 2);
	close(fd);
	agent_stop(&a);
}

/* Signatures cost: who asks for many is not listened to. */
static void test_greets_too_often(void **state)
{
	static struct agent a;

	(void)state;
	agent_start(&a, "i1", 1, secret, 1);
	LAB_UNTIL(&lab, seen(&a.up) == 1);
	greet_again(&a, secret);
	greet_again(&a, secret);
	LAB_UNTIL(&lab, seen(&a.closed) == 1);
	agent_stop(&a);
}

/* A later start of the same instance takes the place of an earlier one; the earlier cannot come back. */
static void test_take_over(void **state)
{
	static struct agent old, late, older;
	int fd;

	(void)state;
	agent_start(&old, "i1", 5, secret, 2);
	LAB_UNTIL(&lab, seen(&old.up) == 2);
	agent_start(&late, "i1", 6, secret, 2);
	LAB_UNTIL(&lab, seen(&late.up) == 2 && seen(&old.closed) == 2);
	agent_start(&older, "i1", 5, secret, 1);
	LAB_UNTIL(&lab, seen(&older.closed) == 1);
	assert_int_equal(seen(&older.code), ERR_CONFLICT);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	expect_echo(fd, 1000);
	close(fd);
	LAB_UNTIL(&lab, seen(&late.streams) == 0);
	agent_stop(&old);
	agent_stop(&older);
	agent_stop(&late);
	assert_int_equal(counts().taken_over, 1);
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
	int fd;

	(void)state;
	put_mapping(81);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	lab_expect_reset(fd);
	close(fd);
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
	int first, second, third;

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
	third = lab_connect(SOCK_STREAM, m.port_first);
	lab_expect_reset(third);
	LAB_UNTIL(&lab, lab_count(&lab, "map_b", METER_refused_limit) == 1);
	began = clock_mono_ms();
	expect_echo(first, 100000);
	expect_echo(second, 100000);
	assert_true(clock_mono_ms() - began >= 700); /* 200,000 bytes each way, less what a bucket holds */
	close(first);
	close(second);
	close(third);
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

/* An agent whose target is down by its own word gets nothing; when that holds for all, the mapping is in trouble. */
static void test_targets_that_are_down(void **state)
{
	static struct agent a, b;
	int fd;

	(void)state;
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	put_checked_mapping(HEALTH_TCP);
	LAB_UNTIL(&lab, seen(&a.checks) == 2 && seen(&a.checked) == FRAME_CHECK_TCP); /* links that are there */
	agent_start(&b, "i2", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&b.checks) == 2); /* and those that come */
	__atomic_store_n(&a.dead, true, __ATOMIC_RELAXED);
	agent_say(&lab, &a, false);
	agent_say(&lab, &b, true);
	LAB_UNTIL(&lab, troubles() == 1);
	assert_false(is_refused());
	connect_and_echo(20);
	assert_int_equal(counts().failed_streams, 0);

	agent_say(&lab, &b, false);
	LAB_UNTIL(&lab, is_refused() && troubles() == 2);
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	lab_expect_reset(fd);
	close(fd);
	LAB_UNTIL(&lab, lab_count(&lab, "map_a", METER_refused_down) == 1);

	agent_stop(&b); /* the one that is left is down */
	LAB_UNTIL(&lab, troubles() == 1);
	assert_true(is_refused());
	__atomic_store_n(&a.dead, false, __ATOMIC_RELAXED);
	agent_say(&lab, &a, true);
	LAB_UNTIL(&lab, !is_refused());
	connect_and_echo(4);

	agent_say(&lab, &a, false);
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
	fd = lab_connect(SOCK_STREAM, tunnel_port);
	lab_expect_reset(fd);
	close(fd);
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

/* More strangers than there is room for, all silent: who speaks gets in. */
static void test_silent_guests(void **state)
{
	int guests[40];
	static struct agent a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(guests); i++)
		guests[i] = lab_connect(SOCK_STREAM, agent_port);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	assert_true(counts().evicted >= 40 - 2 * 8 - 2);
	agent_stop(&a);
	for (size_t i = 0; i < ARRAY_LEN(guests); i++)
		close(guests[i]);
}

/* What is neither TLS nor a request for a WebSocket costs no handshake; neither do many who say nothing but its first bytes. */
static void test_junk(void **state)
{
	static const char junk[] = "GET away\r\n\r\n";
	static struct agent a;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		int fd = lab_connect(SOCK_STREAM, agent_port);

		lab_send(fd, junk, sizeof junk - 1);
		close(fd);
	}
	LAB_UNTIL(&lab, counts().junk + counts().evicted >= 190);
	assert_int_equal(counts().failed, 0);
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	agent_stop(&a);
}

/* Handshakes that are begun and not gone on with hold so many descriptors, and no more; when they are gone it is as before. */
static void test_slow_handshakes(void **state)
{
	static const uint8_t begins[] = { 22, 3, 1, 2, 0, 1 };
	static struct agent a;
	int guests[60];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(guests); i++) {
		guests[i] = lab_connect(SOCK_STREAM, agent_port);
		lab_send(guests[i], begins, sizeof begins);
		LAB_UNTIL(&lab, counts().accepted == i + 1);
	}
	LAB_UNTIL(&lab, counts().links > 0);
	assert_true(counts().links <= 2 * 8);
	for (size_t i = 0; i < ARRAY_LEN(guests); i++)
		close(guests[i]);
	LAB_UNTIL(&lab, counts().failed + counts().crowded + counts().evicted + counts().gave_up == ARRAY_LEN(guests));
	agent_start(&a, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&a.up) == 2);
	agent_stop(&a);
}

/* An agent that comes and goes as fast as it can is not in the log each time. */
static void test_comes_and_goes(void **state)
{
	static struct agent a;

	(void)state;
	for (unsigned i = 0; i < 500 && counts().untold == 0; i++) {
		agent_start(&a, "i1", i + 1, secret, 4);
		LAB_UNTIL(&lab, seen(&a.up) == 4);
		agent_stop(&a);
	}
	assert_true(counts().untold > 0);
	LAB_UNTIL(&lab, counts().links == 0);
}

static int set_up_all(void **state)
{
	(void)state;
	pki_init(&pki);
	return key_generate(&secret, NULL) | key_generate(&other_secret, NULL);
}

static int tear_down_all(void **state)
{
	(void)state;
	key_free(secret);
	key_free(other_secret);
	pki_fini(&pki);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bytes_and_counters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_datagrams, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_revoked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_revoked_while_going, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_greets_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_greets_early, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_greets_too_often, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_take_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_waits_for_agent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_target_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset_is_no_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_client_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_agent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_targets_that_are_down, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_agent_reaches_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_visits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_visit_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_agent_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silent_guests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_junk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_slow_handshakes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_comes_and_goes, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
