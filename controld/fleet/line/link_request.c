#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/sm.h"
#include "controld/fleet/line/link_server_room.h"

#include <nng/protocol/reqrep0/rep.h>
#include <stdlib.h>
#include <string.h>

/* The contexts of a link server, and the requests that they carry. */

#define CONTEXTS_STEP 64 /* added at a time */
#define CONTEXTS_IDLE 16 /* fewer that wait for a request: more are added */
#define HELD_MAX      16 /* open requests of one connection */
#define SEND_MS       10000

/*
 * A context.
 *
 *	RECEIVING --message--> HELD --reply--> SENDING --sent--+
 *	    ^   |                |                             |
 *	    |   +--- closed --+  +--drop--+                    |
 *	    |                 v           |                    |
 *	    |               CLOSED <------|------- closed -----+
 *	    +-----------------------------+--------------------+
 */
enum link_request_state { RECEIVING, HELD, SENDING, CLOSED };

static const struct sm_state link_request_states[] = {
	[RECEIVING] = { "receiving", BIT(HELD) | BIT(RECEIVING) | BIT(CLOSED) },
	[HELD] = { "held", BIT(RECEIVING) | BIT(SENDING) | BIT(CLOSED) },
	[SENDING] = { "sending", BIT(RECEIVING) | BIT(CLOSED) },
	[CLOSED] = { "closed", 0 },
};

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

static void on_arrived(struct letter *l)
{
	struct link_request *rq = CONTAINER_OF(l, struct link_request, arrived);
	struct link_server *s = rq->server;
	struct link_peer *p = link_peer_find(s, (uint32_t)nng_pipe_id(nng_msg_get_pipe(rq->msg)));
	struct err e;

	if (atomic_load(&s->n_idle) < CONTEXTS_IDLE && link_request_add_contexts(s, &e) != 0)
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

int link_request_add_contexts(struct link_server *s, struct err *e)
{
	for (size_t i = 0; i < CONTEXTS_STEP && atomic_load(&s->n_contexts) < s->conf.contexts_max; i++)
		if (add_context(s, e) != 0)
			return -1;
	return 0;
}

void link_request_free(struct link_request *rq)
{
	nng_aio_stop(rq->aio); /* its callback is over and runs no more */
	nng_aio_free(rq->aio);
	if (rq->msg != NULL)
		nng_msg_free(rq->msg);
	free(rq);
}
