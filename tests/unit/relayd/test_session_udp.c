#define _GNU_SOURCE
/* Datagrams of SOCKS5 clients at a relay's port: who is heard, where they go, what is counted, and when it ends. */
#include "relayd/stream/session_udp.h"

#include "common/net/socks5.h"
#include "proto/client_conf.h"
#include "relayd/stream/stream_service.h"
#include "relayd/tunnel/agents.h"
#include "tests/unit/relayd/sim_agent.h"

#define NAME   "svc.internal" /* all that the agent has */
#define HEAD_N (4 + 1 + sizeof NAME - 1 + 2)

static struct lab lab;
static struct agents *agents;
static struct service both[2]; /* agents, streams */
static uint16_t tunnel_port;
static struct key *secret;
static struct agent agent;

/* ---- agents and streams as one service of the lab ------------------------------------------------------------------- */

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
	both[1].ops->stats(both[1].self, out);
}

static const struct service_ops both_ops = { .apply = both_apply, .stop = both_stop, .stats = both_stats };

static int both_new(struct service *out, const struct service_env *env, struct err *e)
{
	static char listen[32];
	static struct agents_conf conf = {
		.handshakes_per_s = 1000, .guests_max = 8, .ping_ms = 2000, .backoff_ms = 1000, .links_max = 64
	};
	struct service_env with = *env;

	str_fmt(listen, sizeof listen, "127.0.0.1:%u", (unsigned)agent_port);
	conf.listen = listen;
	if (agents_new(&agents, &both[0], env, &conf, e) != 0)
		return -1;
	with.agents = agents;
	*out = (struct service){ .ops = &both_ops };
	return stream_service_new(&both[1], &with, e);
}

static void put_client(void)
{
	struct msg_update head = { .kind = UPDATE_DELTA, .from = lab.snapshot->revision }, m;
	struct client_conf c = { .enabled = true, .n_keys = 1, .heartbeat_s = 10, .tenant = "ten_1" };
	struct snapshot *next;
	struct buf body, b;
	size_t count_at;

	key_public(secret, c.keys[0].public_key);
	buf_init(&body, 65536);
	buf_init(&b, PROTO_MSG_MAX);
	client_conf_encode(&c, &body);
	head.to = head.from;
	head.to.seq = ++lab.seq;
	msg_update_begin(&b, &head, &count_at);
	msg_update_put(&b, OBJECT_CLIENT, CLIENT, lab.seq, body.data, body.len);
	msg_update_end(&b, count_at, 1);
	assert_int_equal(msg_update_decode(&m, b.data, b.len), 0);
	assert_int_equal(snapshot_apply(&next, lab.snapshot, &m, NULL), 0);
	lab.service.ops->apply(lab.service.self, lab.snapshot, next);
	snapshot_unref(lab.snapshot);
	lab.snapshot = next;
	buf_free(&body);
	buf_free(&b);
}

static void put_mapping(uint32_t idle_ms, const char *allow)
{
	struct mapping_conf m = lab_mapping(MAPPING_SOCKS5, tunnel_port, 0);

	m.target_host[0] = '\0';
	m.idle_timeout_ms = idle_ms;
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	str_copy(m.socks_allow, sizeof m.socks_allow, allow);
	lab_change(&lab, "map_s", &m);
}

static int set_up(void **state)
{
	(void)state;
	agent_port = lab_free_port(SOCK_STREAM);
	tunnel_port = lab_free_port(SOCK_STREAM);
	lab_start(&lab, both_new);
	assert_int_equal(agents_set_identity(agents, "node_1", pki.client, pki.ca, pki.client_key_pem, NULL), 0);
	put_client();
	put_mapping(0, "");
	agent_start(&agent, "i1", 1, secret, 2);
	LAB_UNTIL(&lab, seen(&agent.up) == 2);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	agents_end();
	lab_stop(&lab);
	return 0;
}

/* ---- a client ------------------------------------------------------------------------------------------------------- */

/* Its connection, its socket for datagrams, and where those go. */
struct client {
	int tcp, udp;
	uint16_t to;
};

static struct client associate(void)
{
	static const uint8_t request[] = { 5, 3, 0, 1, 0, 0, 0, 0, 0, 0 };
	struct client c = { .tcp = lab_connect(SOCK_STREAM, tunnel_port) };
	uint8_t reply[10];

	lab_send(c.tcp, "\5\1\0", 3);
	lab_expect(c.tcp, "\5\0", 2);
	lab_send(c.tcp, request, sizeof request);
	assert_int_equal(recv(c.tcp, reply, sizeof reply, MSG_WAITALL), sizeof reply);
	assert_memory_equal(reply, "\5\0\0\1\x7f\0\0\1", 8);
	c.to = (uint16_t)(reply[8] << 8 | reply[9]);
	c.udp = lab_connect(SOCK_DGRAM, c.to);
	return c;
}

static void leave(const struct client *c)
{
	close(c->tcp);
	close(c->udp);
}

static size_t datagram(uint8_t out[512], uint16_t port, const char *text)
{
	const size_t n = strlen(text);

	memcpy(out, "\0\0\0\3\x0c" NAME, HEAD_N - 2);
	out[HEAD_N - 2] = (uint8_t)(port >> 8);
	out[HEAD_N - 1] = (uint8_t)port;
	memcpy(out + HEAD_N, text, n);
	return HEAD_N + n;
}

static void say(int fd, uint16_t port, const char *text)
{
	uint8_t d[512];
	size_t n = datagram(d, port, text);

	assert_int_equal(send(fd, d, n, 0), n);
}

/* What is sent back comes with the header of where it was sent to. */
static void expect(const struct client *c, uint16_t port, const char *text)
{
	uint8_t want[512];

	lab_expect(c->udp, want, datagram(want, port, text));
}

static uint64_t count(enum meter_counter c)
{
	return lab_count(&lab, "map_s", c);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

/* Payloads are what is counted; of each destination there is one stream. */
static void test_there_and_back(void **state)
{
	struct client c;

	(void)state;
	c = associate();
	for (unsigned i = 0; i < 3; i++) {
		say(c.udp, 5000, "hello");
		expect(&c, 5000, "hello");
	}
	say(c.udp, 5001, "other");
	expect(&c, 5001, "other");
	assert_int_equal(seen(&agent.streams), 2);
	assert_int_equal(count(METER_packets_in), 4);
	assert_int_equal(count(METER_packets_out), 4);
	assert_int_equal(count(METER_bytes_in), 20);
	assert_int_equal(count(METER_bytes_out), 20);
	leave(&c);
	LAB_UNTIL(&lab, seen(&agent.streams) == 0 && lab_connections(&lab) == 0);
}

/* The first that has a header says from which port; nobody else is heard, and fragments are nobody's. */
static void test_who_is_heard(void **state)
{
	struct client c;
	uint8_t d[512];
	size_t n;
	int other;

	(void)state;
	c = associate();
	other = lab_connect(SOCK_DGRAM, c.to);
	lab_send(other, "no header", 9);
	LAB_UNTIL(&lab, count(METER_dropped_in) == 1);
	say(c.udp, 5000, "mine");
	expect(&c, 5000, "mine");
	say(other, 5000, "another's");
	n = datagram(d, 5000, "part");
	d[2] = 1;
	assert_int_equal(send(c.udp, d, n, 0), n);
	LAB_UNTIL(&lab, count(METER_dropped_in) == 3);
	say(c.udp, 5000, "again");
	expect(&c, 5000, "again");
	assert_int_equal(count(METER_packets_in), 2);
	close(other);
	leave(&c);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
}

/* The destination that was silent longest gives way, and is a new one when it is asked again. */
static void test_many_destinations(void **state)
{
	struct client c;

	(void)state;
	c = associate();
	for (uint16_t i = 0; i < SESSION_UDP_DESTINATIONS + 6; i++) {
		say(c.udp, (uint16_t)(5000 + i), "x");
		expect(&c, (uint16_t)(5000 + i), "x");
	}
	LAB_UNTIL(&lab, seen(&agent.streams) == SESSION_UDP_DESTINATIONS);
	say(c.udp, 5000, "x");
	expect(&c, 5000, "x");
	LAB_UNTIL(&lab, seen(&agent.streams) == SESSION_UDP_DESTINATIONS);
	leave(&c);
	LAB_UNTIL(&lab, seen(&agent.streams) == 0 && lab_connections(&lab) == 0);
}

/* By the mapping's rules, by the agent's, and without an agent: each is counted by its reason, and ends nothing. */
static void test_where_it_may_not_go(void **state)
{
	uint8_t literal[] = { 0, 0, 0, 1, 192, 0, 2, 1, 0, 53, 'x' };
	struct client c;

	(void)state;
	put_mapping(0, "10.0.0.0/8");
	c = associate();
	assert_int_equal(send(c.udp, literal, sizeof literal, 0), sizeof literal);
	LAB_UNTIL(&lab, count(METER_refused_destination) == 1);
	say(c.udp, 81, "the agent has something against it");
	LAB_UNTIL(&lab, count(METER_refused_dial) == 1);
	say(c.udp, 5000, "a name may be there");
	expect(&c, 5000, "a name may be there");
	agent_end(&agent);
	LAB_UNTIL(&lab, (say(c.udp, 5000, "nobody is there"), count(METER_refused_dial) >= 2));
	leave(&c);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
}

static bool is_shut(const struct client *c)
{
	return send(c->udp, "x", 1, MSG_DONTWAIT) < 0 && errno == ECONNREFUSED;
}

/* With its connection, when nothing has passed for too long, and when the connection says more. */
static void test_ends(void **state)
{
	struct client c;

	(void)state;
	c = associate();
	say(c.udp, 5000, "x");
	expect(&c, 5000, "x");
	close(c.tcp);
	LAB_UNTIL(&lab, is_shut(&c) && seen(&agent.streams) == 0);
	close(c.udp);
	c = associate();
	lab_send(c.tcp, "more", 4);
	lab_expect_reset(c.tcp);
	assert_int_equal(count(METER_refused_protocol), 1);
	leave(&c);
	put_mapping(3000, "");
	c = associate();
	say(c.udp, 5000, "x");
	expect(&c, 5000, "x");
	lab_expect_reset(c.tcp);
	assert_int_equal(count(METER_timed_out), 1);
	LAB_UNTIL(&lab, is_shut(&c) && seen(&agent.streams) == 0);
	leave(&c);
	LAB_UNTIL(&lab, lab_connections(&lab) == 0);
}

/* ---- a client behind an agent ---------------------------------------------------------------------------------------- */

enum manner { SERVES, MAY_NOT, IS_FULL, TALKS_NONSENSE, SAYS_NOTHING };

/* The agent's end of what the relay asks it for. */
static struct {
	enum manner manner;
	struct stream stream;
	unsigned over, back; /* atomic: it has ended; bytes of datagrams that came */
	uint8_t heard[512];
} asked;

static void on_asked_event(struct stream *s, uint32_t events)
{
	struct iovec *d;
	unsigned n;

	(void)s;
	if (events & EPOLLERR)
		__atomic_store_n(&asked.over, 1, __ATOMIC_RELEASE);
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(&asked.stream, &d);
	for (unsigned i = 0; i < n; i++) {
		assert_true(d[i].iov_len <= sizeof asked.heard);
		memcpy(asked.heard, d[i].iov_base, d[i].iov_len);
		__atomic_store_n(&asked.back, (unsigned)d[i].iov_len, __ATOMIC_RELEASE);
	}
}

static void on_asked(struct agent *a, struct mux *m, uint32_t id, const struct frame_open *o)
{
	static const uint8_t here[] = { 0, 0, 0, 1, 127, 0, 0, 1, 0x10, 0x92 };
	uint8_t d[512];
	char host[16];

	assert_int_equal(o->kind, FRAME_UDP);
	str_fmt(host, sizeof host, "=%u", a->visiting.id);
	assert_string_equal(o->host, host);
	if (asked.manner == MAY_NOT || asked.manner == IS_FULL) {
		stream_refuse(m, id, asked.manner == MAY_NOT ? ERR_PERMISSION : ERR_OVERLOADED, "no");
		__atomic_store_n(&asked.over, 1, __ATOMIC_RELEASE);
		return;
	}
	assert_int_equal(stream_accept(&asked.stream, m, id, o, on_asked_event, NULL), 0);
	if (asked.manner == SAYS_NOTHING)
		return;
	stream_opened(&asked.stream);
	if (asked.manner == TALKS_NONSENSE) {
		assert_true(stream_datagram(&asked.stream, (const uint8_t *)"x", 1));
		return;
	}
	assert_true(stream_datagram(&asked.stream, here, sizeof here));
	assert_true(stream_datagram(&asked.stream, d, datagram(d, 5000, "hello")));
	assert_true(stream_datagram(&asked.stream, (const uint8_t *)"x", 1)); /* of an agent that looks at nothing */
}

static void on_hang_up(struct task *t)
{
	(void)t;
	stream_close(&agent.visiting, ERR_NONE, "");
}

static void put_private(void)
{
	struct mapping_conf m = lab_mapping(MAPPING_SOCKS5, 7000, 0);

	m.target_host[0] = '\0';
	str_copy(m.target_client, sizeof m.target_client, CLIENT);
	str_copy(m.source_client, sizeof m.source_client, CLIENT);
	lab_change(&lab, "map_s", &m);
}

/* Where the agent takes them is what the client hears; then they go both ways, each with its header. */
static void test_behind_an_agent(void **state)
{
	static const char words[] = "\5\1\0\5\3\0\1\0\0\0\0\0\0";
	static const struct {
		enum manner manner;
		uint8_t code;
	} cases[] = { { SERVES, SOCKS5_DONE }, { MAY_NOT, SOCKS5_NOT_ALLOWED }, { IS_FULL, SOCKS5_NO_COMMAND },
		{ TALKS_NONSENSE, SOCKS5_NO_COMMAND }, { SAYS_NOTHING, SOCKS5_NO_COMMAND } };
	static struct task hang_up;
	uint8_t want[512];

	(void)state;
	agent_on_asked = on_asked;
	task_init(&hang_up, on_hang_up);
	put_private();
	LAB_UNTIL(&lab, seen(&agent.offers) == 2);
	agent.visit_words = words;
	agent.visit_words_n = sizeof words - 1;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		memset(&asked, 0, sizeof asked);
		asked.manner = cases[i].manner;
		visit(&agent, "map_s");
		LAB_UNTIL(&lab, seen(&agent.visit_back) == 2 + 10);
		assert_memory_equal(agent.visit_heard, "\5\0\5", 3);
		assert_int_equal(agent.visit_heard[3], cases[i].code);
		if (cases[i].manner == SERVES) {
			assert_memory_equal(agent.visit_heard + 4, "\0\1\x7f\0\0\1\x10\x92", 8);
			LAB_UNTIL(&lab, seen(&asked.back) == datagram(want, 5000, "hello"));
			assert_memory_equal(asked.heard, want, asked.back);
			LAB_UNTIL(&lab, count(METER_dropped_in) == 1);
			assert_int_equal(count(METER_bytes_in) + count(METER_bytes_out), 10);
			worker_post(&agent.worker, &hang_up);
			LAB_UNTIL(&lab, seen(&agent.streams) == 0);
		}
		LAB_UNTIL(&lab, lab_connections(&lab) == 0 && seen(&asked.over) == 1);
	}
	agent_on_asked = NULL;
}

static int set_up_all(void **state)
{
	(void)state;
	pki_init(&pki);
	return key_generate(&secret, NULL);
}

static int tear_down_all(void **state)
{
	(void)state;
	key_free(secret);
	pki_fini(&pki);
	return 0;
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_there_and_back),
		TEST(test_who_is_heard),
		TEST(test_many_destinations),
		TEST(test_where_it_may_not_go),
		TEST(test_ends),
		TEST(test_behind_an_agent),
	};

	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
