/*
 * configsim - a controld towards one relay that knows only what it is told: for tests of what a relay does with its configuration.
 *
 *	configsim
 *
 * Prints "listen HOST:PORT" and "token TOKEN" (for RELAYD_CONTROLD and RELAYD_JOIN_TOKEN), then reads lines of JSON:
 *	{"put": [{"kind": "pool", "id": "p", ...}, {"kind": "route", "id": "r", ...}], "gone": [{"kind": "route", "id": "x"}]}
 * Each line is a revision. When the relay has it: "revision N", and for each object that it refuses "refused ID REASON".
 * Of the relay's reports: "count OBJECT NAME VALUE" for each counter that changed.
 * {"ask": "list"} and {"ask": "cut", "conn": N}: "conn ID OBJECT REMOTE TARGET", then "answered CODE".
 */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "common/nng/nng_tls.h"
#include "proto/answer.h"
#include "proto/join.h"
#include "proto/poll.h"
#include "proto/report.h"
#include "proto/update.h"
#include "tests/lib/conf_json.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS     4
#define OBJECTS_MAX 20000
#define SECRET      "c2VjcmV0"
#define PARK_S      2

struct object {
	uint8_t kind;
	char id[PROTO_ID_SIZE];
	uint64_t seq;
	bool gone;
	struct buf body;
};

static struct sim {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct proto_revision now;
	uint64_t acked;
	struct object objects[OBJECTS_MAX];
	size_t n;
	struct ask ask;
	uint64_t asks;
	struct key *ca_key;
	char *ca_pem;
} sim = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* ---- what it is told ------------------------------------------------------------------------------------------------ */

static struct object *object_at(uint8_t kind, const char *id)
{
	for (size_t i = 0; i < sim.n; i++)
		if (sim.objects[i].kind == kind && str_eq(sim.objects[i].id, id))
			return &sim.objects[i];
	if (sim.n == OBJECTS_MAX)
		abort();
	sim.objects[sim.n].kind = kind;
	str_copy(sim.objects[sim.n].id, PROTO_ID_SIZE, id);
	buf_init(&sim.objects[sim.n].body, PROTO_MSG_MAX);
	return &sim.objects[sim.n++];
}

static void take(const json_t *j, bool gone)
{
	const char *id = json_string_value(json_object_get(j, "id"));
	const uint8_t kind = conf_json_kind(json_string_value(json_object_get(j, "kind")));
	struct object *o = object_at(kind, id);

	o->seq = sim.now.seq;
	o->gone = gone;
	buf_reset(&o->body);
	if (!gone)
		conf_json_encode(&o->body, kind, j);
}

static void take_line(const json_t *j)
{
	const char *ask = json_string_value(json_object_get(j, "ask"));
	const json_t *one;
	size_t i;

	pthread_mutex_lock(&sim.lock);
	if (ask != NULL) {
		sim.ask = (struct ask){ .id = ++sim.asks,
			.kind = str_eq(ask, "cut") ? ASK_CUT : ASK_CONNECTIONS,
			.conn = (uint64_t)json_integer_value(json_object_get(j, "conn")),
			.limit = 1000 };
	} else {
		sim.now.seq++;
		json_array_foreach(json_object_get(j, "put"), i, one) take(one, false);
		json_array_foreach(json_object_get(j, "gone"), i, one) take(one, true);
	}
	pthread_cond_broadcast(&sim.changed);
	pthread_mutex_unlock(&sim.lock);
}

/* ---- the relay's lines ---------------------------------------------------------------------------------------------- */

static void certify(const char *request_pem, struct buf *b)
{
	struct msg_joined m = { .node_id = "node_1" };
	char *pem = cert_issue_request(
		sim.ca_pem, sim.ca_key, request_pem, "node_1", CERT_CLIENT, clock_wall_ms(), 10, NULL);

	if (pem == NULL)
		abort();
	str_copy(m.cert_pem, sizeof m.cert_pem, pem);
	str_copy(m.ca_pem, sizeof m.ca_pem, sim.ca_pem);
	msg_joined_encode(&m, b);
	free(pem);
}

static void acknowledge(const struct msg_poll *p)
{
	if (p->have.seq <= sim.acked || memcmp(p->have.log_id, sim.now.log_id, sizeof sim.now.log_id) != 0)
		return;
	sim.acked = p->have.seq;
	for (uint32_t i = 0; i < p->state.n; i++)
		printf("refused %s %s\n", p->state.refusals[i].id, p->state.refusals[i].reason);
	printf("revision %llu\n", (unsigned long long)sim.acked);
}

static void put_changes(struct buf *b, const struct proto_revision *have)
{
	struct msg_update m = { .kind = UPDATE_NOTHING, .from = *have, .to = sim.now };
	uint32_t n = 0;
	size_t count_at;

	if (have->seq < sim.now.seq)
		m.kind = UPDATE_DELTA;
	if (sim.ask.id != 0) {
		m.n_asks = 1;
		m.asks[0] = sim.ask;
	}
	msg_update_begin(b, &m, &count_at);
	for (size_t i = 0; i < sim.n; i++) {
		const struct object *o = &sim.objects[i];

		if (o->seq <= have->seq || (o->gone && have->seq == 0))
			continue;
		if (o->gone)
			msg_update_gone(b, o->kind, o->id, o->seq);
		else
			msg_update_put(b, o->kind, o->id, o->seq, o->body.data, o->body.len);
		n++;
	}
	msg_update_end(b, count_at, n);
}

static void poll_line(const void *p, size_t n, struct buf *b)
{
	struct msg_poll poll;
	struct timespec until;

	if (msg_poll_decode(&poll, p, n) != 0)
		abort();
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PARK_S;
	pthread_mutex_lock(&sim.lock);
	acknowledge(&poll);
	while (poll.have.seq >= sim.now.seq && sim.ask.id == 0 &&
		pthread_cond_timedwait(&sim.changed, &sim.lock, &until) == 0)
		;
	put_changes(b, &poll.have);
	pthread_mutex_unlock(&sim.lock);
	msg_poll_fini(&poll);
}

static void print_row(const struct meter_row *row)
{
#define X(name, what) #name,
	static const char *const names[] = { METER_COUNTERS(X) };
#undef X

	for (int i = 0; i < METER_COUNTERS_N; i++)
		if (row->value[i] != 0)
			printf("count %s %s %llu\n", row->object, names[i], (unsigned long long)row->value[i]);
}

static void report_line(const void *p, size_t n, struct buf *b)
{
	struct msg_report_ack ack = { .boot = "" };
	struct meter_row row;
	struct msg_report m;
	struct cursor rows;

	if (msg_report_decode(&m, p, n) != 0)
		abort();
	rows = m.rows;
	while (msg_report_next(&rows, &row))
		print_row(&row);
	str_copy(ack.boot, sizeof ack.boot, m.boot);
	ack.stored = m.number;
	msg_report_fini(&m);
	msg_report_ack_encode(&ack, b);
}

static void print_answer(const struct msg_answer *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		printf("conn %llu %s %s %s\n", (unsigned long long)m->conns[i].id, m->conns[i].mapping,
			m->conns[i].remote, m->conns[i].target[0] != '\0' ? m->conns[i].target : "-");
	printf("answered %u\n", m->code);
}

/* Until the answer came each poll is given the ask again, so what is carried out twice is answered twice: the first is the answer. */
static void answer_line(const void *p, size_t n, struct buf *b)
{
	struct msg_answer m;
	bool wanted;

	if (msg_answer_decode(&m, p, n) != 0)
		abort();
	pthread_mutex_lock(&sim.lock);
	wanted = m.ask == sim.ask.id;
	if (wanted)
		sim.ask.id = 0;
	pthread_mutex_unlock(&sim.lock);
	if (wanted)
		print_answer(&m);
	msg_answer_fini(&m);
	msg_answer_ack_encode(b);
}

static void handle(nng_msg *msg, struct buf *b)
{
	const void *p = nng_msg_body(msg);
	const size_t n = nng_msg_len(msg);
	struct msg_refused refused = { .code = ERR_INVALID_TOKEN, .reason = "not here" };
	struct msg_renew renew;
	struct msg_join join;

	switch (msg_type_of(p, n)) {
	case MSG_JOIN:
		if (msg_join_decode(&join, p, n) == 0)
			certify(join.request_pem, b);
		break;
	case MSG_RENEW:
		if (msg_renew_decode(&renew, p, n) == 0)
			certify(renew.request_pem, b);
		break;
	case MSG_POLL:
		poll_line(p, n, b);
		break;
	case MSG_REPORT:
		report_line(p, n, b);
		break;
	case MSG_ANSWER:
		answer_line(p, n, b);
		break;
	default:
		msg_refused_encode(&refused, b);
		break;
	}
}

static void *work_line(void *arg)
{
	nng_ctx *ctx = arg;
	nng_aio *aio;

	if (nng_aio_alloc(&aio, NULL, NULL) != 0)
		_exit(6);
	for (;;) {
		nng_msg *msg;
		struct buf b;

		nng_ctx_recv(*ctx, aio);
		nng_aio_wait(aio);
		if (nng_aio_result(aio) != 0)
			return NULL;
		msg = nng_aio_get_msg(aio);
		buf_init(&b, PROTO_MSG_MAX);
		handle(msg, &b);
		nng_msg_clear(msg);
		nng_msg_append(msg, b.data, b.len);
		nng_aio_set_msg(aio, msg);
		nng_ctx_send(*ctx, aio);
		nng_aio_wait(aio);
		if (nng_aio_result(aio) != 0)
			nng_msg_free(msg);
		buf_free(&b);
	}
}

/* ---- begin ---------------------------------------------------------------------------------------------------------- */

static uint16_t listen_for_relay(void)
{
	static nng_ctx ctx[THREADS];
	static const char *const names[] = { "127.0.0.1", NULL };
	struct tls_conf conf = { .server = true, .ca_pem = sim.ca_pem, .peer = TLS_PEER_OPTIONAL };
	char *pem, chain[8192];
	struct key *k;
	nng_socket rep;
	nng_listener listener;
	nng_sockaddr at;

	if (key_generate(&k, NULL) != 0 || nng_tls_register(NULL) != 0)
		_exit(2);
	pem = cert_issue(sim.ca_pem, sim.ca_key, k, "controld", names, CERT_SERVER, clock_wall_ms(), 10, NULL);
	snprintf(chain, sizeof chain, "%s%s", pem, sim.ca_pem);
	conf.cert_pem = chain;
	conf.key_pem = key_to_pem(k);
	if (nng_rep0_open(&rep) != 0 || nng_listener_create(&listener, rep, "tls+tcp://127.0.0.1:0") != 0 ||
		nng_tls_set_listener(listener, &conf, NULL) != 0 || nng_listener_start(listener, 0) != 0 ||
		nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &at) != 0)
		_exit(3);
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;

		if (nng_ctx_open(&ctx[i], rep) != 0 || pthread_create(&thread, NULL, work_line, &ctx[i]) != 0)
			_exit(4);
	}
	return ntohs(at.s_in.sa_port);
}

int main(void)
{
	struct join_token token = { .id = "tok_1", .secret = SECRET };
	char text[JOIN_TOKEN_MAX], *line = NULL;
	struct cert_info info;
	size_t size = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	rand_bytes(sim.now.log_id, sizeof sim.now.log_id);
	if (key_generate(&sim.ca_key, NULL) != 0)
		return 2;
	sim.ca_pem = cert_make_ca(sim.ca_key, "Test CA", clock_wall_ms(), 10, NULL);
	if (cert_inspect(sim.ca_pem, &info, NULL) != 0)
		return 2;
	memcpy(token.ca_fingerprint, info.fingerprint, sizeof token.ca_fingerprint);
	if (join_token_print(&token, text) != 0)
		return 2;
	printf("listen 127.0.0.1:%u\ntoken %s\n", listen_for_relay(), text);
	while (getline(&line, &size, stdin) > 0) {
		json_t *j = json_loads(line, 0, NULL);

		if (j == NULL) {
			fprintf(stderr, "not JSON: %s", line);
			return 2;
		}
		take_line(j);
		json_decref(j);
	}
	_exit(0);
}
