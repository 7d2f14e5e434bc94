/*
 * relaysim - many relays in one process, for benchmarks and tests of controld: they join, poll, apply, report and answer
 * asks over the real line, and forward nothing.
 *
 *	relaysim --controld HOST:PORT[,HOST:PORT...] --join-tokens FILE --relays N [--heartbeat MS] [--rows N]
 *
 * FILE has one join token a line, for one relay each. Prints
 *	joined relays=N seconds=S
 *	ready relays=N seconds=S                   every relay has its first revision and waits for the next
 *	revision seq=R relays=N p50_ms= p99_ms= max_ms=   each time all have a newer one, counted from the first relay that
 *	                                            had it, or from the line "mark" on standard input if that came before
 *	reports sent= acked= refused= answers= reconnects= bytes_in=     with each of these, on a line of its own
 * and runs until it is ended. A line "heartbeat MS" on standard input changes how often it reports. --rows: so many objects
 * that a relay was told of get counters in every report.
 *
 * Of several controlds each relay takes one, and the next when it is gone or silent. Two REQ sockets a relay, as relayd has them. Sockets are never closed but the ones that joined; it leaves by _exit().
 */
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
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

#include <getopt.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define JOINERS           8 /* relays that join at a time */
#define TOKENS_MAX        (16u << 20)
#define RETRY_MS          1000
#define SEND_MS           5000 /* until a connection takes a request, where there is another controld */
#define POLL_SILENCE_MS   35000
#define REPORT_SILENCE_MS 15000
#define ALONE_SILENCE_MS  35000 /* of the only controld: then a new socket, as relayd takes a new link */
#define RESEND_BEATS      20    /* heartbeats until an unanswered request is sent again */
#define QUANTILE(q)       ((size_t)((q) * (double)(sim.relays - 1)))

struct relay;

/* One socket and what it is doing: sending a request, waiting for the reply, or sleeping before the next one. */
struct sim_line {
	struct relay *relay;
	nng_socket socket;
	nng_aio *aio;
	enum { LINE_SENDING, LINE_RECEIVING, LINE_SLEEPING } state;
	unsigned turn;                    /* which of the controlds it is connected to */
	nng_duration silence;             /* how long a reply may take, where there is another controld */
	void (*next)(struct sim_line *l); /* sends the next request */
	void (*reply)(struct sim_line *l, const void *p, size_t n); /* takes a reply; goes on by itself */
};

struct relay {
	unsigned index;
	char token[JOIN_TOKEN_MAX];
	char *key_pem;
	struct msg_joined joined;

	unsigned turn; /* of the controlds; both lines follow it */
	struct sim_line poll;
	struct proto_revision have;
	uint64_t page_token;
	bool waits; /* it has had its first revision */

	struct sim_line report;
	char boot[PROTO_ID_SIZE];
	uint64_t number;
	pthread_mutex_t lock; /* guards what follows: both lines use it */
	struct ask asks[ASKS_MAX];
	uint32_t n_asks;
	char (*objects)[PROTO_ID_SIZE]; /* that get counters */
	size_t n_objects;
};

static struct {
	const char *tokens;
	char *controlds[8];
	unsigned n_controlds;
	unsigned relays, rows;
	atomic_uint heartbeat_ms;
	struct relay *all;
	atomic_uint next_join;
	pthread_mutex_t lock; /* guards the measuring */
	uint64_t start_ns;
	unsigned ready;
	uint64_t target;  /* revision that is being measured; 0: none */
	uint64_t done;    /* newest revision that all have */
	uint64_t zero_ns; /* when its clock started */
	uint64_t mark_ns; /* "mark" that no revision has followed yet; 0: none */
	unsigned reached;
	double *took_ms; /* [relays] */
	atomic_uint_fast64_t sent, acked, refused, answers, reconnects, bytes_in;
} sim = { .heartbeat_ms = 5000, .lock = PTHREAD_MUTEX_INITIALIZER };

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "relaysim: %s: %s\n", what, e->msg);
	_exit(1);
}

static void die_nng(const char *what, int rv)
{
	fprintf(stderr, "relaysim: %s: %s\n", what, nng_strerror(rv));
	_exit(1);
}

static double seconds_since(uint64_t ns)
{
	return (double)(clock_mono_ns() - ns) / 1e9;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static int compare_ms(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_reports(void)
{
	printf("reports sent=%lu acked=%lu refused=%lu answers=%lu reconnects=%lu bytes_in=%lu\n",
		atomic_load(&sim.sent), atomic_load(&sim.acked), atomic_load(&sim.refused), atomic_load(&sim.answers),
		atomic_load(&sim.reconnects), atomic_load(&sim.bytes_in));
	fflush(stdout);
}

/* With the lock: the first relay that has something new starts the clock, the last one stops it. */
static void note_applied(uint64_t before, uint64_t now)
{
	if (sim.ready < sim.relays || now <= sim.done)
		return;
	if (sim.target == 0) {
		sim.target = now;
		sim.zero_ns = sim.mark_ns != 0 ? sim.mark_ns : clock_mono_ns();
		sim.mark_ns = 0;
		sim.reached = 0;
	}
	if (before >= sim.target || now < sim.target)
		return;
	sim.took_ms[sim.reached++] = (double)(clock_mono_ns() - sim.zero_ns) / 1e6;
	if (sim.reached < sim.relays)
		return;
	qsort(sim.took_ms, sim.relays, sizeof *sim.took_ms, compare_ms);
	printf("revision seq=%lu relays=%u p50_ms=%.2f p99_ms=%.2f max_ms=%.2f\n", sim.target, sim.relays,
		sim.took_ms[QUANTILE(0.5)], sim.took_ms[QUANTILE(0.99)], sim.took_ms[sim.relays - 1]);
	print_reports();
	sim.done = sim.target;
	sim.target = 0;
}

static void note_ready(void)
{
	if (++sim.ready < sim.relays)
		return;
	for (unsigned i = 0; i < sim.relays; i++)
		sim.done = MAX(sim.done, sim.all[i].have.seq);
	printf("ready relays=%u seconds=%.2f\n", sim.relays, seconds_since(sim.start_ns));
	print_reports();
}

static void applied(struct relay *r, const struct proto_revision *to)
{
	uint64_t before = r->have.seq;

	pthread_mutex_lock(&sim.lock);
	r->have = *to;
	r->page_token = 0;
	note_applied(before, to->seq);
	if (!r->waits)
		note_ready();
	r->waits = true;
	pthread_mutex_unlock(&sim.lock);
}

/* ---- a line ------------------------------------------------------------------------------------------------------ */

static void line_send(struct sim_line *l, const struct buf *b)
{
	nng_msg *m;

	if (b->failed || nng_msg_alloc(&m, 0) != 0 || nng_msg_append(m, b->data, b->len) != 0) {
		fprintf(stderr, "relaysim: a message could not be made\n");
		_exit(1);
	}
	l->state = LINE_SENDING;
	nng_aio_set_msg(l->aio, m);
	nng_aio_set_timeout(l->aio, sim.n_controlds > 1 ? SEND_MS : ALONE_SILENCE_MS);
	nng_send_aio(l->socket, l->aio);
}

static void line_move(struct sim_line *l, bool silent);

static void line_sleep(struct sim_line *l, unsigned ms)
{
	l->state = LINE_SLEEPING;
	nng_aio_set_timeout(l->aio, NNG_DURATION_INFINITE);
	nng_sleep_aio((nng_duration)ms, l->aio);
}

static void line_received(struct sim_line *l, int rv)
{
	nng_msg *m = rv == 0 ? nng_aio_get_msg(l->aio) : NULL; /* nng 1.5 may end a wait in time without either */

	if (m == NULL) { /* the connection went: ask again, not all at once */
		atomic_fetch_add(&sim.reconnects, 1);
		line_move(l, rv == NNG_ETIMEDOUT);
		line_sleep(l, (unsigned)rand_below(RETRY_MS));
		return;
	}
	nng_aio_set_msg(l->aio, NULL);
	atomic_fetch_add(&sim.bytes_in, nng_msg_len(m));
	l->reply(l, nng_msg_body(m), nng_msg_len(m));
	nng_msg_free(m);
}

static void on_aio(void *arg)
{
	struct sim_line *l = arg;
	int rv = nng_aio_result(l->aio);

	switch (l->state) {
	case LINE_SENDING:
		if (rv != 0) {
			nng_msg_free(nng_aio_get_msg(l->aio));
			nng_aio_set_msg(l->aio, NULL);
			line_move(l, rv == NNG_ETIMEDOUT);
			line_sleep(l, (unsigned)rand_below(RETRY_MS));
			return;
		}
		l->state = LINE_RECEIVING;
		nng_aio_set_timeout(l->aio, sim.n_controlds > 1 ? l->silence : ALONE_SILENCE_MS);
		nng_recv_aio(l->socket, l->aio);
		break;
	case LINE_RECEIVING:
		line_received(l, rv);
		break;
	case LINE_SLEEPING:
		l->next(l);
		break;
	}
}

static void line_refused(struct sim_line *l, const void *p, size_t n)
{
	struct msg_refused m;

	atomic_fetch_add(&sim.refused, 1);
	if (msg_refused_decode(&m, p, n) != 0) {
		fprintf(stderr, "relaysim: relay %u got a message of type %u\n", l->relay->index, msg_type_of(p, n));
		_exit(1);
	}
	line_sleep(l, MAX(m.retry_ms, (unsigned)RETRY_MS));
}

/* ---- polling ----------------------------------------------------------------------------------------------------- */

static void poll_next(struct sim_line *l)
{
	struct relay *r = l->relay;
	struct msg_poll m = { .have = r->have, .page_token = r->page_token };
	struct buf b;

	m.state.applied = r->have;
	m.state.serial = 1;
	buf_init(&b, PROTO_MSG_MAX);
	msg_poll_encode(&m, &b);
	line_send(l, &b);
	buf_free(&b);
}

static void keep_asks(struct relay *r, const struct msg_update *m)
{
	pthread_mutex_lock(&r->lock);
	for (uint32_t i = 0; i < m->n_asks && r->n_asks < ASKS_MAX; i++)
		r->asks[r->n_asks++] = m->asks[i];
	pthread_mutex_unlock(&r->lock);
}

static void keep_objects(struct relay *r, const struct msg_update *m)
{
	struct update_entry one;
	struct cursor it = m->entries;

	if (sim.rows == 0)
		return;
	pthread_mutex_lock(&r->lock);
	while (r->n_objects < sim.rows && msg_update_next(&it, &one))
		if (!one.gone)
			memcpy(r->objects[r->n_objects++], one.id, sizeof one.id);
	pthread_mutex_unlock(&r->lock);
}

static void poll_reply(struct sim_line *l, const void *p, size_t n)
{
	struct relay *r = l->relay;
	struct msg_update m;

	if (msg_update_decode(&m, p, n) != 0) {
		line_refused(l, p, n);
		return;
	}
	keep_asks(r, &m);
	keep_objects(r, &m);
	if (m.kind == UPDATE_LATER) {
		line_sleep(l, m.retry_ms);
		return;
	}
	if (m.kind == UPDATE_SNAPSHOT && m.next_page != 0)
		r->page_token = m.next_page;
	else if (m.kind != UPDATE_NOTHING)
		applied(r, &m.to);
	poll_next(l);
}

/* ---- reporting --------------------------------------------------------------------------------------------------- */

static void answer_ask(struct sim_line *l, const struct ask *ask)
{
	struct msg_answer m = { .ask = ask->id };
	struct buf b;

	if (ask->kind == ASK_CUT)
		m.code = ERR_CONNECTION_NOT_FOUND;
	buf_init(&b, PROTO_MSG_MAX);
	msg_answer_encode(&m, &b);
	line_send(l, &b);
	buf_free(&b);
	atomic_fetch_add(&sim.answers, 1);
}

static uint32_t put_rows(struct relay *r, struct buf *b)
{
	uint32_t n;

	pthread_mutex_lock(&r->lock);
	for (n = 0; n < r->n_objects; n++) {
		struct meter_row row = { .slot = n + 1 };

		memcpy(row.object, r->objects[n], sizeof row.object);
		row.value[METER_bytes_in] = r->number * 1000;
		msg_report_row(b, &row);
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

static void report_next(struct sim_line *l)
{
	struct relay *r = l->relay;
	struct msg_report m = { .load = { .version = "relaysim", .workers = 1 } };
	struct ask ask;
	size_t count_at;
	bool asked;
	struct buf b;

	pthread_mutex_lock(&r->lock);
	asked = r->n_asks > 0;
	if (asked)
		ask = r->asks[--r->n_asks];
	pthread_mutex_unlock(&r->lock);
	if (asked) {
		answer_ask(l, &ask);
		return;
	}
	if (r->n_objects > 0) {
		memcpy(m.boot, r->boot, sizeof m.boot);
		m.number = r->number;
	}
	pthread_mutex_lock(&sim.lock);
	m.state.applied = r->have;
	pthread_mutex_unlock(&sim.lock);
	m.state.serial = 1;
	buf_init(&b, PROTO_MSG_MAX);
	msg_report_begin(&b, &m, &count_at);
	msg_report_end(&b, count_at, put_rows(r, &b));
	line_send(l, &b);
	buf_free(&b);
	atomic_fetch_add(&sim.sent, 1);
}

static void report_reply(struct sim_line *l, const void *p, size_t n)
{
	struct relay *r = l->relay;
	struct msg_report_ack ack;
	unsigned type = msg_type_of(p, n);

	if (type == MSG_REPORT_ACK && msg_report_ack_decode(&ack, p, n) == 0) {
		atomic_fetch_add(&sim.acked, 1);
		if (strcmp(ack.boot, r->boot) == 0 && ack.stored == r->number)
			r->number++;
	} else if (type != MSG_ANSWER_ACK) {
		line_refused(l, p, n);
		return;
	}
	line_sleep(l, type == MSG_ANSWER_ACK ? 0 : atomic_load(&sim.heartbeat_ms));
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

static nng_socket dial(const struct tls_conf *tls, unsigned turn, bool wait)
{
	char url[300];
	struct err e;
	nng_dialer d;
	nng_socket s;
	int rv;

	str_fmt(url, sizeof url, "tls+tcp://%s", sim.controlds[turn % sim.n_controlds]);
	if ((rv = nng_req0_open(&s)) != 0)
		die_nng("socket", rv);
	if ((rv = nng_dialer_create(&d, s, url)) != 0)
		die_nng(url, rv);
	if (nng_tls_set_dialer(d, tls, &e) != 0)
		die("TLS", &e);
	/*
	 * A relay ends a link process whose request was lost with a connection; many relays in one process cannot, so nng
	 * asks again. Rarely, because each parked poll is asked again too. With several controlds the next one is asked.
	 */
	nng_socket_set_ms(s, NNG_OPT_REQ_RESENDTIME,
		sim.n_controlds > 1 ? NNG_DURATION_INFINITE : (nng_duration)(RESEND_BEATS * sim.heartbeat_ms));
	nng_dialer_set_ms(d, NNG_OPT_RECONNMINT, 200);
	nng_dialer_set_ms(d, NNG_OPT_RECONNMAXT, 5000);
	nng_dialer_set_size(d, NNG_OPT_RECVMAXSZ, PROTO_MSG_MAX);
	rv = nng_dialer_start(d, wait ? 0 : NNG_FLAG_NONBLOCK);
	if (rv != 0)
		die_nng(url, rv);
	return s;
}

/* NULL: the connection went, as it does where a busy controld gave up on a stranger. */
static nng_msg *exchange(nng_socket s, const struct buf *b)
{
	nng_msg *m;
	int rv;

	if ((rv = nng_msg_alloc(&m, 0)) != 0 || (rv = nng_msg_append(m, b->data, b->len)) != 0)
		die_nng("join", rv);
	if (nng_sendmsg(s, m, 0) != 0) {
		nng_msg_free(m);
		return NULL;
	}
	return nng_recvmsg(s, &m, 0) == 0 ? m : NULL;
}

/* One try over a connection of its own: 0, or the milliseconds to wait before the next. */
static unsigned join_try(struct relay *r, const struct join_token *t, const struct msg_join *join)
{
	const struct tls_conf tls = { .ca_fingerprint = t->ca_fingerprint, .peer = TLS_PEER_REQUIRED };
	nng_socket s = dial(&tls, r->turn, true);
	struct msg_refused refused = { .code = 0 };
	unsigned wait = 0;
	struct buf b;
	nng_msg *m;

	buf_init(&b, PROTO_JOIN_MAX);
	msg_join_encode(join, &b);
	m = exchange(s, &b);
	buf_free(&b);
	if (m == NULL) {
		nng_close(s);
		return RETRY_MS + (unsigned)rand_below(RETRY_MS);
	}
	if (msg_joined_decode(&r->joined, nng_msg_body(m), nng_msg_len(m)) != 0) {
		if (msg_refused_decode(&refused, nng_msg_body(m), nng_msg_len(m)) != 0 || refused.retry_ms == 0) {
			fprintf(stderr, "relaysim: relay %u may not join: %s\n", r->index, refused.reason);
			_exit(1);
		}
		wait = refused.retry_ms + (unsigned)rand_below(RETRY_MS);
	}
	nng_msg_free(m);
	nng_close(s);
	return wait;
}

static void join(struct relay *r)
{
	struct msg_join m = { .version = "relaysim" };
	struct join_token t;
	struct key *key;
	struct err e;
	char *request;
	unsigned wait;

	if (join_token_parse(&t, r->token) != 0) {
		fprintf(stderr, "relaysim: line %u is no join token\n", r->index + 1);
		_exit(1);
	}
	str_copy(m.token_id, sizeof m.token_id, t.id);
	str_copy(m.secret, sizeof m.secret, t.secret);
	str_fmt(m.name, sizeof m.name, "sim-%u", r->index);
	if (key_generate(&key, &e) != 0 || (request = cert_request(key, m.name, &e)) == NULL)
		die("key", &e);
	str_copy(m.request_pem, sizeof m.request_pem, request);
	r->key_pem = key_to_pem(key);
	while ((wait = join_try(r, &t, &m)) > 0)
		nng_msleep((nng_duration)wait);
	free(request);
	key_free(key);
}

static void *work_join(void *arg)
{
	unsigned i;

	(void)arg;
	while ((i = atomic_fetch_add(&sim.next_join, 1)) < sim.relays)
		join(&sim.all[i]);
	return NULL;
}

static void join_all(void)
{
	pthread_t threads[JOINERS];

	sim.start_ns = clock_mono_ns();
	for (size_t i = 0; i < JOINERS; i++)
		if (pthread_create(&threads[i], NULL, work_join, NULL) != 0)
			_exit(1);
	for (size_t i = 0; i < JOINERS; i++)
		pthread_join(threads[i], NULL);
	printf("joined relays=%u seconds=%.2f\n", sim.relays, seconds_since(sim.start_ns));
	fflush(stdout);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static nng_socket dial_own(const struct relay *r)
{
	const struct tls_conf tls = {
		.cert_pem = r->joined.cert_pem,
		.key_pem = r->key_pem,
		.ca_pem = r->joined.ca_pem,
		.peer = TLS_PEER_REQUIRED,
	};

	return dial(&tls, r->turn, false);
}

/* The next controld, if there is one, and after silence a new line to the only one; the other line follows at its own trouble. */
static void line_move(struct sim_line *l, bool silent)
{
	struct relay *r = l->relay;

	if (sim.n_controlds == 1 && !silent)
		return;
	pthread_mutex_lock(&r->lock);
	if (l->turn == r->turn)
		r->turn++;
	l->turn = r->turn;
	l->socket = dial_own(r); /* the old one is left as it is */
	pthread_mutex_unlock(&r->lock);
}

static void line_start(struct sim_line *l, struct relay *r, nng_duration silence)
{
	int rv;

	l->relay = r;
	l->turn = r->turn;
	l->silence = silence;
	l->socket = dial_own(r);
	if ((rv = nng_aio_alloc(&l->aio, on_aio, l)) != 0)
		die_nng("aio", rv);
}

static void start_all(void)
{
	sim.start_ns = clock_mono_ns();
	for (unsigned i = 0; i < sim.relays; i++) {
		struct relay *r = &sim.all[i];

		r->poll.next = poll_next;
		r->poll.reply = poll_reply;
		line_start(&r->poll, r, POLL_SILENCE_MS);
		poll_next(&r->poll);
		r->report.next = report_next;
		r->report.reply = report_reply;
		line_start(&r->report, r, REPORT_SILENCE_MS);
		line_sleep(&r->report, (unsigned)rand_below(sim.heartbeat_ms));
	}
}

static void read_tokens(void)
{
	char *text, *line, *save = NULL;
	unsigned n = 0;
	size_t size;
	struct err e;

	if (file_read(sim.tokens, TOKENS_MAX, (uint8_t **)(void *)&text, &size, &e) != 0)
		die(sim.tokens, &e);
	sim.all = calloc(sim.relays, sizeof *sim.all);
	sim.took_ms = calloc(sim.relays, sizeof *sim.took_ms);
	if (sim.all == NULL || sim.took_ms == NULL)
		_exit(1);
	for (line = strtok_r(text, "\n", &save); line != NULL && n < sim.relays; line = strtok_r(NULL, "\n", &save)) {
		struct relay *r = &sim.all[n];

		r->index = r->turn = n++;
		r->number = 1;
		pthread_mutex_init(&r->lock, NULL);
		rand_id(r->boot, "boot");
		r->objects = calloc(sim.rows + 1, sizeof *r->objects);
		str_copy(r->token, sizeof r->token, line);
	}
	free(text);
	if (n == sim.relays)
		return;
	fprintf(stderr, "relaysim: %s has %u tokens, %u are needed\n", sim.tokens, n, sim.relays);
	_exit(2);
}

static unsigned number(const char *option, const char *s, uint64_t max)
{
	uint64_t n;

	if (str_to_u64(s, 0, max, &n) == 0)
		return (unsigned)n;
	fprintf(stderr, "relaysim: %s %s: must be a number up to %lu\n", option, s, max);
	_exit(2);
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "controld", required_argument, NULL, 'c' },
		{ "join-tokens", required_argument, NULL, 't' },
		{ "relays", required_argument, NULL, 'n' },
		{ "heartbeat", required_argument, NULL, 'h' },
		{ "rows", required_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			for (char *save = NULL, *one = strtok_r(optarg, ",", &save);
				one != NULL && sim.n_controlds < ARRAY_LEN(sim.controlds);
				one = strtok_r(NULL, ",", &save))
				sim.controlds[sim.n_controlds++] = one;
			break;
		case 't':
			sim.tokens = optarg;
			break;
		case 'n':
			sim.relays = number("--relays", optarg, 10000);
			break;
		case 'h':
			sim.heartbeat_ms = number("--heartbeat", optarg, 3600000);
			break;
		case 'r':
			sim.rows = number("--rows", optarg, 4000);
			break;
		default:
			_exit(2);
		}
	}
	if (sim.n_controlds > 0 && sim.tokens != NULL && sim.relays > 0 && sim.heartbeat_ms > 0)
		return;
	fprintf(stderr,
		"usage: relaysim --controld HOST:PORT --join-tokens FILE --relays N [--heartbeat MS] [--rows N]\n");
	_exit(2);
}

static void obey(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (str_starts(line, "heartbeat ")) {
		atomic_store(&sim.heartbeat_ms, MAX(1, number("heartbeat", line + strlen("heartbeat "), 3600000)));
		return;
	}
	pthread_mutex_lock(&sim.lock);
	sim.mark_ns = clock_mono_ns();
	pthread_mutex_unlock(&sim.lock);
}

int main(int argc, char **argv)
{
	struct rlimit fds;
	char line[64];
	struct err e;

	if (getrlimit(RLIMIT_NOFILE, &fds) == 0) {
		fds.rlim_cur = fds.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &fds);
	}
	read_options(argc, argv);
	read_tokens();
	if (nng_tls_register(&e) != 0)
		die("nng", &e);
	join_all();
	start_all();
	while (fgets(line, sizeof line, stdin) != NULL)
		obey(line);
	for (;;)
		pause();
}
