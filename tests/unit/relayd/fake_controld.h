/*
 * fake_controld - a process that answers a relay's lines: joins, renews, parks polls for a moment, stores reports.
 *
 * What it saw and how it behaves stand in memory that both processes share. It is started by fork() before this process
 * has threads, and ended by a signal, as nng sockets are not closed.
 */
#ifndef PORTWAY_TESTS_RELAYD_FAKE_CONTROLD_H
#define PORTWAY_TESTS_RELAYD_FAKE_CONTROLD_H

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "common/nng/nng_tls.h"
#include "proto/answer.h"
#include "proto/join.h"
#include "proto/poll.h"
#include "proto/report.h"
#include "proto/update.h"

#include <arpa/inet.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAKE_THREADS 4
#define FAKE_SECRET  "c2VjcmV0"

struct fake_shared {
	/* seen */
	unsigned joins, polls, reports, rows, renewals, answers, certified;
	char name[PROTO_NAME_SIZE];
	uint64_t last_number;
	uint32_t clients, backends; /* of the last lists told */
	/* behaviour */
	unsigned mute;   /* answers nothing */
	unsigned refuse; /* refuses joins; with retry_ms */
	unsigned astray; /* certifies another key than the one that asked, so many times */
	uint32_t retry_ms;
	unsigned ask; /* puts this ask (enum ask_kind) into the next update */
};

struct fake_controld {
	struct fake_shared *shared;
	pid_t pid;
	uint16_t port;
	struct key *ca_key;
	char *ca_pem;
	char fingerprint[CERT_FINGERPRINT_SIZE];
	char token[JOIN_TOKEN_MAX];
};

static inline unsigned fake_get(const unsigned *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static inline void fake_count(unsigned *p)
{
	__atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST);
}

static inline void fake_init(struct fake_controld *f)
{
	struct cert_info info;
	struct join_token t = { .id = "tok_1", .secret = FAKE_SECRET };

	memset(f, 0, sizeof *f);
	f->shared = mmap(NULL, sizeof *f->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->shared == MAP_FAILED || key_generate(&f->ca_key, NULL) != 0)
		abort();
	f->ca_pem = cert_make_ca(f->ca_key, "Test CA", clock_wall_ms(), 10, NULL);
	if (cert_inspect(f->ca_pem, &info, NULL) != 0)
		abort();
	memcpy(f->fingerprint, info.fingerprint, sizeof f->fingerprint);
	memcpy(t.ca_fingerprint, info.fingerprint, sizeof t.ca_fingerprint);
	if (join_token_print(&t, f->token) != 0)
		abort();
}

/* ---- in the other process ------------------------------------------------------------------------------------------ */

struct fake_thread {
	struct fake_controld *f;
	nng_ctx ctx;
};

static inline void fake_certify(struct fake_controld *f, const char *request_pem, struct buf *b)
{
	struct msg_joined m = { .node_id = "node_1" };
	char *pem;

	if (fake_get(&f->shared->astray)) {
		__atomic_sub_fetch(&f->shared->astray, 1, __ATOMIC_SEQ_CST);
		pem = cert_issue(
			f->ca_pem, f->ca_key, f->ca_key, "node_1", NULL, CERT_CLIENT, clock_wall_ms(), 10, NULL);
	} else {
		pem = cert_issue_request(
			f->ca_pem, f->ca_key, request_pem, "node_1", CERT_CLIENT, clock_wall_ms(), 10, NULL);
	}
	if (pem == NULL)
		abort();
	str_copy(m.cert_pem, sizeof m.cert_pem, pem);
	str_copy(m.ca_pem, sizeof m.ca_pem, f->ca_pem);
	msg_joined_encode(&m, b);
	free(pem);
}

static inline void fake_refuse(struct fake_controld *f, struct buf *b)
{
	struct msg_refused m = {
		.code = ERR_INVALID_TOKEN, .retry_ms = f->shared->retry_ms, .reason = "no such token"
	};

	msg_refused_encode(&m, b);
}

static inline void fake_join(struct fake_controld *f, const void *p, size_t n, struct buf *b)
{
	struct msg_join m;

	fake_count(&f->shared->joins);
	if (fake_get(&f->shared->refuse) || msg_join_decode(&m, p, n) != 0 || strcmp(m.secret, FAKE_SECRET) != 0) {
		fake_refuse(f, b);
		return;
	}
	memcpy(f->shared->name, m.name, sizeof m.name);
	fake_certify(f, m.request_pem, b);
}

static inline void fake_poll(struct fake_controld *f, const void *p, size_t n, struct buf *b)
{
	struct msg_update m = { .kind = UPDATE_NOTHING };
	struct msg_poll poll;
	size_t count_at;

	if (msg_poll_decode(&poll, p, n) != 0)
		abort();
	msg_poll_fini(&poll);
	fake_count(&f->shared->polls);
	if (fake_get(&f->shared->ask)) {
		m.n_asks = 1;
		m.asks[0] = (struct ask){ .id = 7, .kind = (uint8_t)f->shared->ask };
		__atomic_store_n(&f->shared->ask, 0, __ATOMIC_SEQ_CST);
	} else {
		usleep(20000);
	}
	msg_update_begin(b, &m, &count_at);
	msg_update_end(b, count_at, 0);
}

static inline void fake_report(struct fake_controld *f, const void *p, size_t n, struct buf *b)
{
	static struct client_states_pile pile; /* reports come one after the other */
	struct msg_report_ack ack = { .boot = "" };
	struct msg_report m;

	if (msg_report_decode(&m, p, n) != 0)
		abort();
	fake_count(&f->shared->reports);
	if (m.clients.told && client_states_gather(&pile, &m.clients) == 1) {
		__atomic_store_n(&f->shared->clients, pile.all.n, __ATOMIC_SEQ_CST);
		client_states_pile_fini(&pile);
	}
	if (m.backends.told)
		__atomic_store_n(&f->shared->backends, m.backends.n, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&f->shared->rows, m.n_rows, __ATOMIC_SEQ_CST);
	__atomic_store_n(&f->shared->last_number, m.number, __ATOMIC_SEQ_CST);
	str_copy(ack.boot, sizeof ack.boot, m.boot);
	ack.stored = m.number;
	msg_report_fini(&m);
	msg_report_ack_encode(&ack, b);
}

static inline void fake_handle(struct fake_controld *f, nng_msg *msg, struct buf *b)
{
	const void *p = nng_msg_body(msg);
	size_t n = nng_msg_len(msg);
	struct msg_renew renew;
	struct cert_info peer;

	if (nng_tls_peer(nng_msg_get_pipe(msg), &peer) == 0)
		fake_count(&f->shared->certified);
	switch (msg_type_of(p, n)) {
	case MSG_JOIN:
		fake_join(f, p, n, b);
		break;
	case MSG_RENEW:
		if (msg_renew_decode(&renew, p, n) != 0)
			abort();
		fake_count(&f->shared->renewals);
		fake_certify(f, renew.request_pem, b);
		break;
	case MSG_POLL:
		fake_poll(f, p, n, b);
		break;
	case MSG_REPORT:
		fake_report(f, p, n, b);
		break;
	case MSG_ANSWER:
		fake_count(&f->shared->answers);
		msg_answer_ack_encode(b);
		break;
	default:
		fake_refuse(f, b);
		break;
	}
}

static inline void *work_fake(void *arg)
{
	struct fake_thread *t = arg;
	nng_aio *aio;

	if (nng_aio_alloc(&aio, NULL, NULL) != 0)
		_exit(6);
	for (;;) {
		nng_msg *msg;
		struct buf b;

		nng_ctx_recv(t->ctx, aio);
		nng_aio_wait(aio);
		if (nng_aio_result(aio) != 0)
			return NULL;
		msg = nng_aio_get_msg(aio);
		buf_init(&b, PROTO_MSG_MAX);
		fake_handle(t->f, msg, &b);
		if (!fake_get(&t->f->shared->mute)) {
			nng_msg_clear(msg);
			nng_msg_append(msg, b.data, b.len);
			nng_aio_set_msg(aio, msg);
			nng_ctx_send(t->ctx, aio);
			nng_aio_wait(aio);
			if (nng_aio_result(aio) != 0)
				nng_msg_free(msg);
		} else {
			nng_msg_free(msg);
		}
		buf_free(&b);
	}
}

static inline void fake_run(struct fake_controld *f, int tell)
{
	static struct fake_thread threads[FAKE_THREADS];
	static const char *const names[] = { "127.0.0.1", NULL };
	struct key *k;
	char *pem, chain[8192], url[64];
	struct tls_conf conf = { .server = true, .ca_pem = f->ca_pem, .peer = TLS_PEER_OPTIONAL };
	nng_socket rep;
	nng_listener listener;
	nng_sockaddr at;

	if (key_generate(&k, NULL) != 0 || nng_tls_register(NULL) != 0)
		_exit(2);
	pem = cert_issue(f->ca_pem, f->ca_key, k, "controld", names, CERT_SERVER, clock_wall_ms(), 10, NULL);
	snprintf(chain, sizeof chain, "%s%s", pem, f->ca_pem);
	conf.cert_pem = chain;
	conf.key_pem = key_to_pem(k);
	snprintf(url, sizeof url, "tls+tcp://127.0.0.1:%u", f->port);
	if (nng_rep0_open(&rep) != 0 || nng_listener_create(&listener, rep, url) != 0 ||
		nng_tls_set_listener(listener, &conf, NULL) != 0 || nng_listener_start(listener, 0) != 0 ||
		nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &at) != 0)
		_exit(3);
	f->port = ntohs(at.s_in.sa_port);
	for (int i = 0; i < FAKE_THREADS; i++) {
		pthread_t thread;

		threads[i].f = f;
		if (nng_ctx_open(&threads[i].ctx, rep) != 0 ||
			pthread_create(&thread, NULL, work_fake, &threads[i]) != 0)
			_exit(4);
	}
	if (write(tell, &f->port, sizeof f->port) != sizeof f->port)
		_exit(5);
	for (;;)
		pause();
}

/* ---- here ----------------------------------------------------------------------------------------------------------- */

/* On the port that it had, or on one from the kernel. */
static inline void fake_start(struct fake_controld *f)
{
	int fds[2];

	if (pipe(fds) != 0 || (f->pid = fork()) < 0)
		abort();
	if (f->pid == 0) {
		close(fds[0]);
		fake_run(f, fds[1]);
	}
	close(fds[1]);
	if (read(fds[0], &f->port, sizeof f->port) != sizeof f->port)
		abort();
	close(fds[0]);
}

static inline void fake_stop(struct fake_controld *f)
{
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	f->pid = 0;
}

static inline void fake_fini(struct fake_controld *f)
{
	fake_stop(f);
	munmap(f->shared, sizeof *f->shared);
	key_free(f->ca_key);
	free(f->ca_pem);
}

#endif
