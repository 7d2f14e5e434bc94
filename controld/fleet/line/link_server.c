#include "controld/fleet/line/link_server.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/nng/nng_close.h"
#include "common/nng/nng_handshakes.h"
#include "common/nng/nng_tls.h"
#include "controld/fleet/line/mailbox.h"
#include "controld/fleet/line/source.h"
#include "proto/msg.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXTS_STEP 64 /* added at a time */
#define CONTEXTS_IDLE 16 /* fewer that wait for a request: more are added */
#define HELD_MAX      16 /* open requests of one connection */
#define SEND_MS       10000
#define CLOSE_MS      2000 /* nng closes in a few ms, or not at all */

/*
 * One connection. Made by ADD_PRE on a thread of nng's; from then on the mailbox's thread has it, until the letter that
 * REM_POST posts frees it.
 */
struct link_peer {
	struct link_server *server;
	nng_pipe pipe;
	uint32_t id; /* of the pipe */
	char node[PROTO_ID_SIZE];
	char serial[48]; /* of its certificate */
	struct addr from;
	uint64_t since_ms;
	struct list stranger; /* in the server's list of them */
	bool spent;           /* a stranger that has sent its one message */
	struct list held;
	size_t n_held;
	struct letter gone;
};

/*
 * One context, and the request it carries.
 *
 *	RECEIVING --message--> HELD --reply--> SENDING --sent--+
 *	    ^   |                |                             |
 *	    |   +--- closed --+  +--drop--+                    |
 *	    |                 v           |                    |
 *	    |               CLOSED <------|------- closed -----+
 *	    +-----------------------------+--------------------+
 *
 * nng's threads own it while it receives or sends, the mailbox's while it is held.
 */
enum link_request_state { RECEIVING, HELD, SENDING, CLOSED };

static const struct sm_state link_request_states[] = {
	[RECEIVING] = { "receiving", BIT(HELD) | BIT(RECEIVING) | BIT(CLOSED) },
	[HELD] = { "held", BIT(RECEIVING) | BIT(SENDING) | BIT(CLOSED) },
	[SENDING] = { "sending", BIT(RECEIVING) | BIT(CLOSED) },
	[CLOSED] = { "closed", 0 },
};

struct link_request {
	struct link_server *server;
	struct link_request *next; /* of the server */
	nng_ctx ctx;
	nng_aio *aio;
	int state;
	nng_msg *msg;
	struct letter arrived;
	struct link_peer *peer; /* while held; NULL when the connection is gone */
	struct list of_peer;
	char node[PROTO_ID_SIZE];
	char serial[48]; /* of its certificate */
	struct addr from;
};

struct link_server {
	struct link_server_conf conf;
	nng_socket socket;
	nng_listener listener;
	struct nng_tls_slot *tls;
	bool open; /* the socket */
	uint16_t port;
	struct link_request *requests;
	atomic_size_t n_contexts, n_idle;
	pthread_mutex_t lock; /* guards peers, strangers and n_strangers */
	struct map peers;     /* by the id of the pipe */
	struct list strangers;
	size_t n_strangers;
	atomic_uint_fast64_t refused, expelled, strangers_refused, bytes_in, bytes_out;
};

/* ---- connections ------------------------------------------------------------------------------------------------- */

static bool on_accept_peer(const struct cert_info *cert, void *arg)
{
	struct link_server *s = arg;

	return s->conf.ops->admit(s->conf.owner, cert);
}

static struct link_peer *peer_find(struct link_server *s, uint32_t id)
{
	struct link_peer *p;

	pthread_mutex_lock(&s->lock);
	p = map_get(&s->peers, &id, sizeof id);
	pthread_mutex_unlock(&s->lock);
	return p;
}

static void peer_forget(struct link_peer *p)
{
	struct link_server *s = p->server;

	pthread_mutex_lock(&s->lock);
	map_remove(&s->peers, &p->id, sizeof p->id);
	if (p->node[0] == '\0') {
		list_remove(&p->stranger);
		s->n_strangers--;
	}
	pthread_mutex_unlock(&s->lock);
	free(p);
}

/* The requests it has open are told first; ending one is up to its holder. */
static void on_gone(struct letter *l)
{
	struct link_peer *p = CONTAINER_OF(l, struct link_peer, gone);
	struct link_server *s = p->server;
	struct list held;

	list_init(&held);
	list_splice(&held, &p->held);
	LIST_FOREACH (it, &held)
		CONTAINER_OF(it, struct link_request, of_peer)->peer = NULL;
	while (!list_empty(&held)) {
		struct link_request *rq = CONTAINER_OF(list_first(&held), struct link_request, of_peer);

		list_remove(&rq->of_peer);
		s->conf.ops->on_lost(s->conf.owner, rq);
	}
	peer_forget(p);
}

static void read_address(struct addr *out, nng_pipe pipe)
{
	nng_sockaddr sa;

	*out = (struct addr){ .len = 0 };
	if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &sa) != 0)
		return;
	if (sa.s_family == NNG_AF_INET) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = sa.s_in.sa_port };

		in.sin_addr.s_addr = sa.s_in.sa_addr;
		addr_from_sockaddr(out, (const struct sockaddr *)&in, sizeof in);
	} else if (sa.s_family == NNG_AF_INET6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = sa.s_in6.sa_port };

		memcpy(&in6.sin6_addr, sa.s_in6.sa_addr, sizeof in6.sin6_addr);
		addr_from_sockaddr(out, (const struct sockaddr *)&in6, sizeof in6);
	}
}

/* With the lock. Strangers who say nothing take the places of those who want to join: no address gets all of them. */
static bool has_share(struct link_server *s, const struct link_peer *p)
{
	const struct source from = source_of(&p->from);
	const size_t share = source_is_here(&p->from) ? s->conf.strangers_here : s->conf.strangers_per_source;
	size_t n = 0;

	LIST_FOREACH (it, &s->strangers) {
		const struct source other = source_of(&CONTAINER_OF(it, struct link_peer, stranger)->from);

		n += memcmp(&other, &from, sizeof from) == 0;
	}
	if (n < share)
		return true;
	atomic_fetch_add(&s->strangers_refused, 1);
	return false;
}

/* Whether there is room for it; takes the place. */
static bool peer_enter(struct link_server *s, struct link_peer *p)
{
	bool stranger = p->node[0] == '\0';
	bool entered;

	pthread_mutex_lock(&s->lock);
	entered = map_count(&s->peers) < s->conf.peers_max &&
	          (!stranger || (s->n_strangers < s->conf.strangers_max && has_share(s, p))) &&
	          map_put(&s->peers, &p->id, sizeof p->id, p, NULL) == 0;
	if (entered && stranger) {
		list_push_back(&s->strangers, &p->stranger);
		s->n_strangers++;
	}
	pthread_mutex_unlock(&s->lock);
	return entered;
}

/* Looked at a second time here: a node may have been revoked during the handshake. */
static void on_pipe_add(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
	struct link_server *s = arg;
	struct link_peer *p = calloc(1, sizeof *p);
	struct cert_info cert;

	(void)ev;
	if (p == NULL)
		goto refuse;
	p->server = s;
	p->pipe = pipe;
	p->id = (uint32_t)nng_pipe_id(pipe);
	p->since_ms = clock_mono_ms();
	list_init(&p->held);
	list_init(&p->stranger);
	letter_init(&p->gone, on_gone);
	read_address(&p->from, pipe);
	if (nng_tls_peer(pipe, &cert) == 0) {
		if (!s->conf.ops->admit(s->conf.owner, &cert) || str_copy(p->node, sizeof p->node, cert.cn) != 0 ||
			str_copy(p->serial, sizeof p->serial, cert.serial) != 0 || p->node[0] == '\0')
			goto refuse;
	}
	if (peer_enter(s, p))
		return;
refuse:
	free(p);
	atomic_fetch_add(&s->refused, 1);
	nng_pipe_close(pipe);
}

static void on_pipe_gone(nng_pipe pipe, nng_pipe_ev ev, void *arg)
{
	struct link_server *s = arg;
	struct link_peer *p = peer_find(s, (uint32_t)nng_pipe_id(pipe));

	(void)ev;
	if (p != NULL) /* else it was refused */
		mailbox_post(s->conf.mailbox, &p->gone);
}

/* Pipes of peers that `pick` chooses are closed without the lock: closing one runs on_pipe_gone(). */
static void close_peers(
	struct link_server *s, bool (*pick)(const struct link_peer *p, const void *arg), const void *arg)
{
	struct link_peer *p;
	nng_pipe *pipes;
	size_t it = 0, n = 0;

	pthread_mutex_lock(&s->lock);
	pipes = calloc(map_count(&s->peers) + 1, sizeof *pipes);
	while (pipes != NULL && (p = map_next(&s->peers, &it)) != NULL)
		if (pick(p, arg))
			pipes[n++] = p->pipe;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < n; i++)
		nng_pipe_close(pipes[i]);
	free(pipes);
}

static bool is_of_node(const struct link_peer *p, const void *arg)
{
	return strcmp(p->node, arg) == 0;
}

void link_server_close_node(struct link_server *s, const char *node)
{
	close_peers(s, is_of_node, node);
}

static bool is_by_cert(const struct link_peer *p, const void *arg)
{
	const struct link_server_node *cert = arg;

	return strcmp(p->node, cert->id) == 0 && strcmp(p->serial, cert->serial) == 0;
}

void link_server_close_cert(struct link_server *s, const struct link_server_node *cert)
{
	close_peers(s, is_by_cert, cert);
}

int link_server_nodes(struct link_server *s, struct link_server_node **out, size_t *n, struct err *e)
{
	struct link_server_node *list;
	const struct link_peer *p;
	size_t it = 0;

	*n = 0;
	pthread_mutex_lock(&s->lock);
	list = calloc(map_count(&s->peers) + 1, sizeof *list);
	while (list != NULL && (p = map_next(&s->peers, &it)) != NULL) {
		if (p->node[0] == '\0')
			continue;
		memcpy(list[*n].id, p->node, sizeof list[0].id);
		memcpy(list[(*n)++].serial, p->serial, sizeof list[0].serial);
	}
	pthread_mutex_unlock(&s->lock);
	*out = list;
	return list != NULL ? 0 : err_set(e, ERR_NOMEM, NULL, "link: out of memory");
}

static bool is_late_stranger(const struct link_peer *p, const void *arg)
{
	return p->node[0] == '\0' && p->since_ms <= *(const uint64_t *)arg;
}

void link_server_tick(struct link_server *s, uint64_t now_ms)
{
	const uint64_t before = now_ms - s->conf.stranger_ms;
	size_t strangers;

	atomic_fetch_add(&s->refused, nng_handshakes_shed(before, s->conf.handshakes_max));
	pthread_mutex_lock(&s->lock);
	strangers = s->n_strangers;
	pthread_mutex_unlock(&s->lock);
	if (strangers > 0)
		close_peers(s, is_late_stranger, &before);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void link_request_move(struct link_request *rq, enum link_request_state to)
{
	sm_move(link_request_states, &rq->state, (int)to);
}

/* nng owns it from here on. A request that was not answered is forgotten by nng with this. */
static void receive(struct link_request *rq)
{
	link_request_move(rq, RECEIVING);
	atomic_fetch_add(&rq->server->n_idle, 1);
	nng_aio_set_timeout(rq->aio, NNG_DURATION_INFINITE);
	nng_ctx_recv(rq->ctx, rq->aio);
}

static void on_received(struct link_request *rq, int rv)
{
	atomic_fetch_sub(&rq->server->n_idle, 1);
	if (rv == NNG_ECLOSED || rv == NNG_ECANCELED) {
		link_request_move(rq, CLOSED);
		return;
	}
	if (rv != 0) {
		receive(rq);
		return;
	}
	rq->msg = nng_aio_get_msg(rq->aio);
	link_request_move(rq, HELD);
	mailbox_post(rq->server->conf.mailbox, &rq->arrived);
}

static void on_sent(struct link_request *rq, int rv)
{
	if (rv != 0)
		nng_msg_free(nng_aio_get_msg(rq->aio));
	nng_aio_set_msg(rq->aio, NULL);
	receive(rq);
}

/* A thread of nng's. */
static void on_aio(void *arg)
{
	struct link_request *rq = arg;
	int rv = nng_aio_result(rq->aio);

	if (rq->state == SENDING)
		on_sent(rq, rv);
	else
		on_received(rq, rv);
}

static void let_go(struct link_request *rq)
{
	if (rq->peer != NULL) {
		list_remove(&rq->of_peer);
		rq->peer->n_held--;
		rq->peer = NULL;
	}
	nng_msg_free(rq->msg);
	rq->msg = NULL;
}

void link_request_drop(struct link_request *rq)
{
	let_go(rq);
	receive(rq);
}

void link_request_expel(struct link_request *rq)
{
	struct link_server *s = rq->server;
	struct link_peer *p = rq->peer;

	atomic_fetch_add(&s->expelled, 1);
	if (p != NULL)
		nng_pipe_close(p->pipe);
	link_request_drop(rq);
}

void link_request_reply(struct link_request *rq, const struct buf *message)
{
	nng_msg *m;

	let_go(rq);
	if (message->failed || message->len > PROTO_MSG_MAX || nng_msg_alloc(&m, 0) != 0) {
		receive(rq);
		return;
	}
	if (nng_msg_append(m, message->data, message->len) != 0) {
		nng_msg_free(m);
		receive(rq);
		return;
	}
	atomic_fetch_add(&rq->server->bytes_out, message->len);
	nng_aio_set_msg(rq->aio, m);
	nng_aio_set_timeout(rq->aio, SEND_MS);
	link_request_move(rq, SENDING);
	nng_ctx_send(rq->ctx, rq->aio);
}

const char *link_request_node(const struct link_request *rq)
{
	return rq->node;
}

const char *link_request_serial(const struct link_request *rq)
{
	return rq->serial;
}

const struct addr *link_request_from(const struct link_request *rq)
{
	return &rq->from;
}

const void *link_request_bytes(const struct link_request *rq, size_t *n)
{
	*n = nng_msg_len(rq->msg);
	return nng_msg_body(rq->msg);
}

static bool is_allowed(struct link_peer *p, const struct link_request *rq)
{
	size_t n = nng_msg_len(rq->msg);

	if (p->node[0] != '\0')
		return p->n_held <= HELD_MAX;
	if (p->spent || n > PROTO_JOIN_MAX || msg_type_of(nng_msg_body(rq->msg), n) != MSG_JOIN)
		return false;
	p->spent = true;
	return true;
}

static int add_contexts(struct link_server *s, struct err *e);

static void on_arrived(struct letter *l)
{
	struct link_request *rq = CONTAINER_OF(l, struct link_request, arrived);
	struct link_server *s = rq->server;
	struct link_peer *p = peer_find(s, (uint32_t)nng_pipe_id(nng_msg_get_pipe(rq->msg)));
	struct err e;

	if (atomic_load(&s->n_idle) < CONTEXTS_IDLE && add_contexts(s, &e) != 0)
		log_warn("link_contexts", log_err(&e));
	atomic_fetch_add(&s->bytes_in, nng_msg_len(rq->msg));
	if (p == NULL) { /* gone meanwhile */
		link_request_drop(rq);
		return;
	}
	rq->peer = p;
	list_push_back(&p->held, &rq->of_peer);
	p->n_held++;
	memcpy(rq->node, p->node, sizeof rq->node);
	memcpy(rq->serial, p->serial, sizeof rq->serial);
	rq->from = p->from;
	if (is_allowed(p, rq))
		s->conf.ops->on_request(s->conf.owner, rq);
	else
		link_request_expel(rq);
}

static int add_context(struct link_server *s, struct err *e)
{
	struct link_request *rq = calloc(1, sizeof *rq);

	if (rq == NULL)
		return err_set(e, ERR_NOMEM, NULL, "link: out of memory");
	rq->server = s;
	rq->state = RECEIVING;
	list_init(&rq->of_peer);
	letter_init(&rq->arrived, on_arrived);
	if (nng_aio_alloc(&rq->aio, on_aio, rq) != 0 || nng_ctx_open(&rq->ctx, s->socket) != 0) {
		if (rq->aio != NULL)
			nng_aio_free(rq->aio);
		free(rq);
		return err_set(e, ERR_NOMEM, NULL, "link: no more contexts");
	}
	rq->next = s->requests;
	s->requests = rq;
	atomic_fetch_add(&s->n_contexts, 1);
	receive(rq);
	return 0;
}

static int add_contexts(struct link_server *s, struct err *e)
{
	for (size_t i = 0; i < CONTEXTS_STEP && atomic_load(&s->n_contexts) < s->conf.contexts_max; i++)
		if (add_context(s, e) != 0)
			return -1;
	return 0;
}

/* ---- the server -------------------------------------------------------------------------------------------------- */

static struct tls_conf tls_of(struct link_server *s, const struct link_server_certs *c)
{
	return (struct tls_conf){
		.server = true,
		.cert_pem = c->cert_pem,
		.key_pem = c->key_pem,
		.ca_pem = c->ca_pem,
		.peer = TLS_PEER_OPTIONAL,
		.min_version = 13,
		.accept_peer = on_accept_peer,
		.arg = s,
	};
}

int link_server_change(struct link_server *s, const struct link_server_certs *certs, struct err *e)
{
	const struct tls_conf tls = tls_of(s, certs);

	return nng_tls_slot_change(s->tls, &tls, e);
}

static int start_listener(struct link_server *s, struct err *e)
{
	const struct tls_conf tls = tls_of(s, &s->conf.certs);
	char url[160];
	int rv, port = 0;

	if (str_fmt(url, sizeof url, "tls+tcp://%s", s->conf.listen) != 0)
		return err_set(e, ERR_VALIDATION, "fleet.listen", "'%s' is too long", s->conf.listen);
	rv = nng_listener_create(&s->listener, s->socket, url);
	if (rv != 0)
		return err_set(
			e, ERR_VALIDATION, "fleet.listen", "cannot listen on %s: %s", s->conf.listen, nng_strerror(rv));
	if (nng_tls_slot_new(&s->tls, &tls, e) != 0 || nng_tls_set_listener_slot(s->listener, s->tls, e) != 0)
		return -1;
	/* A node that vanished and came back has connections that nobody would ever close. */
	nng_listener_set_bool(s->listener, NNG_OPT_TCP_KEEPALIVE, true);
	rv = nng_listener_set_size(s->listener, NNG_OPT_RECVMAXSZ, PROTO_MSG_MAX);
	if (rv == 0)
		rv = nng_listener_start(s->listener, 0);
	if (rv != 0)
		return err_set(e, rv == NNG_EADDRINUSE ? ERR_ADDR_IN_USE : ERR_IO, "fleet.listen",
			"cannot listen on %s: %s", s->conf.listen, nng_strerror(rv));
	nng_listener_get_int(s->listener, NNG_OPT_TCP_BOUND_PORT, &port);
	s->port = (uint16_t)port;
	return 0;
}

int link_server_open(struct link_server **out, const struct link_server_conf *c, struct err *e)
{
	struct link_server *s = calloc(1, sizeof *s);
	int rv;

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "link: out of memory");
	s->conf = *c;
	pthread_mutex_init(&s->lock, NULL);
	map_init(&s->peers);
	list_init(&s->strangers);
	if (nng_tls_register(e) != 0)
		goto fail;
	rv = nng_rep0_open(&s->socket);
	s->open = rv == 0;
	if (rv == 0)
		rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_PRE, on_pipe_add, s);
	if (rv == 0)
		rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_REM_POST, on_pipe_gone, s);
	if (rv != 0) {
		err_set(e, ERR_INTERNAL, NULL, "link: %s", nng_strerror(rv));
		goto fail;
	}
	if (add_contexts(s, e) != 0 || start_listener(s, e) != 0)
		goto fail;
	s->conf.certs = (struct link_server_certs){ NULL, NULL, NULL };
	*out = s;
	return 0;
fail:
	(void)link_server_close(s);
	return -1;
}

static void request_free(struct link_request *rq)
{
	nng_aio_stop(rq->aio); /* its callback is over and runs no more */
	nng_aio_free(rq->aio);
	if (rq->msg != NULL)
		nng_msg_free(rq->msg);
	free(rq);
}

bool link_server_close(struct link_server *s)
{
	struct link_peer *p;
	size_t it = 0;

	if (s == NULL)
		return true;
	if (s->open && nng_close_within(s->socket, CLOSE_MS) != 0) {
		log_warn("link_left_behind", log_u("after_ms", CLOSE_MS));
		return false;
	}
	while (s->requests != NULL) {
		struct link_request *rq = s->requests;

		s->requests = rq->next;
		request_free(rq);
	}
	while ((p = map_next(&s->peers, &it)) != NULL)
		free(p);
	map_free(&s->peers);
	nng_tls_slot_unref(s->tls);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return true;
}

uint16_t link_server_port(const struct link_server *s)
{
	return s->port;
}

void link_server_stats(struct link_server *s, struct link_server_stats *out)
{
	*out = (struct link_server_stats){
		.contexts = atomic_load(&s->n_contexts),
		.idle = atomic_load(&s->n_idle),
		.refused = atomic_load(&s->refused),
		.expelled = atomic_load(&s->expelled),
		.strangers_refused = atomic_load(&s->strangers_refused),
		.bytes_in = atomic_load(&s->bytes_in),
		.bytes_out = atomic_load(&s->bytes_out),
	};
	pthread_mutex_lock(&s->lock);
	out->peers = map_count(&s->peers);
	out->strangers = s->n_strangers;
	pthread_mutex_unlock(&s->lock);
}
