/*
 * agents_lab - a relay with agents' door, streams and datagrams as one service of the lab; its client CLIENT with one mapping
 * to an agent (map_a, tunnel_port). Every test of a file that includes it gets a new one by set_up() and tear_down(); keys
 * and certificates are the file's (set_up_all(), tear_down_all()).
 */
#ifndef PORTWAY_TESTS_RELAYD_AGENTS_LAB_H
#define PORTWAY_TESTS_RELAYD_AGENTS_LAB_H

#include "proto/client_conf.h"
#include "relayd/datagram/datagram_service.h"
#include "relayd/stream/stream_service.h"
#include "relayd/tunnel/agents.h"
#include "tests/unit/relayd/sim_agent.h"

static struct lab lab;
static struct agents *agents;
static struct service both[3]; /* agents, streams, datagrams */
static uint16_t tunnel_port;
static struct key *secret, *other_secret;

/* ---- agents and streams as one service of the lab ----------------------------------------------------------------- */

static inline void both_apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	(void)self;
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		both[i].ops->apply(both[i].self, old, new_);
}

static inline void both_stop(void *self)
{
	(void)self;
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		both[i].ops->stop(both[i].self);
}

static inline void both_stats(void *self, struct service_stats *out)
{
	(void)self;
	struct service_stats more = { .connections = 0 };

	both[1].ops->stats(both[1].self, out);
	both[2].ops->stats(both[2].self, &more);
	out->connections += more.connections;
}

static const struct service_ops both_ops = { .apply = both_apply, .stop = both_stop, .stats = both_stats };

static unsigned changes;

static inline void on_change(void *arg)
{
	(void)arg;
	changes++;
}

static inline int both_new(struct service *out, const struct service_env *env, struct err *e)
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

static inline void put_client_conf(const char *id, struct client_conf c, const struct key *key)
{
	struct msg_update head = { .kind = UPDATE_DELTA, .from = lab.snapshot->revision }, m;
	struct snapshot *next;
	struct buf body, b;
	size_t count_at;

	c.heartbeat_s = 10; /* nobody is lost because he was not run for three seconds */
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

static inline void put_client_limited(bool enabled, const struct key *key, uint32_t connections, uint64_t rate)
{
	const struct client_conf c = {
		.enabled = enabled, .max_connections = connections, .rate_in = rate, .rate_out = rate
	};

	put_client_conf(CLIENT, c, key);
}

static inline void put_client_with_both(const struct key *one, const struct key *other)
{
	struct client_conf c = { .enabled = true, .n_keys = 1 };

	key_public(one, c.keys[0].public_key);
	put_client_conf(CLIENT, c, other);
}

static inline void put_client(bool enabled, const struct key *key)
{
	put_client_limited(enabled, key, 0, 0);
}

static inline void put_to_agent(const char *id, const char *source, uint16_t port, uint16_t target_port)
{
	struct mapping_conf m = lab_mapping(MAPPING_TCP, port, target_port);

	str_copy(m.target_host, sizeof m.target_host, "svc.internal");
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	str_copy(m.source_client, sizeof m.source_client, source);
	lab_change(&lab, id, &m);
}

static inline void put_mapping(uint16_t target_port)
{
	put_to_agent("map_a", "", tunnel_port, target_port);
}

static inline struct agent_counts counts(void)
{
	struct agent_counts c;

	agents_counts(agents, &c);
	return c;
}

static inline void expect_echo(int fd, size_t n)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
{
	(void)state;
	agents_end();
	lab_stop(&lab);
	return 0;
}

static inline int set_up_all(void **state)
{
	(void)state;
	pki_init(&pki);
	return key_generate(&secret, NULL) | key_generate(&other_secret, NULL);
}

static inline int tear_down_all(void **state)
{
	(void)state;
	key_free(secret);
	key_free(other_secret);
	pki_fini(&pki);
	return 0;
}

#endif
