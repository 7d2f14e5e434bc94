#define _GNU_SOURCE
#include "client/agent/tcp_session.h"

#include "client/agent/agent_session.h"
#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/tunnel/stream_side.h"
#include "common/tunnel/tunnel_link.h"

#include <sys/socket.h>

#define PROBE_S 60 /* a target that is gone without a word is found so */

/*
 *   DIAL --connected--> OPEN
 *     |                  |
 *     +------------------+--> CLOSED
 */
enum tcp_state { TCP_DIAL, TCP_OPEN, TCP_CLOSED };

static const struct sm_state states[] = {
	[TCP_DIAL] = { "dial", BIT(TCP_OPEN) | BIT(TCP_CLOSED) },
	[TCP_OPEN] = { "open", BIT(TCP_CLOSED) },
	[TCP_CLOSED] = { "closed", 0 },
};

enum { RELAY, TARGET };

struct tcp_session {
	struct agent_session base;
	int state;
	struct side side[2]; /* RELAY, TARGET */
	struct flow flow[2]; /* WAY_IN, WAY_OUT */
	struct task task;    /* another turn; the burial */
};

static void tcp_move(struct tcp_session *t, enum tcp_state to)
{
	sm_move(states, &t->state, (int)to);
}

static struct worker *worker_of(const struct tcp_session *t)
{
	return t->base.link->worker;
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *task)
{
	struct tcp_session *t = CONTAINER_OF(task, struct tcp_session, task);

	slab_put(&t->base.all->tcp_slab, t);
}

/* reset: one of the ends has not ended by itself, and the other must not take this for an end. */
static void tcp_close(struct tcp_session *t, bool reset)
{
	if (t->state == TCP_CLOSED)
		return;
	tcp_move(t, TCP_CLOSED);
	if (reset)
		sessions_count(t->base.all, SESSIONS_RESET);
	for (unsigned i = 0; i < 2; i++) {
		side_close(&t->side[i], reset);
		flow_fini(&t->flow[i], &t->base.all->way[i]);
	}
	list_remove(&t->task.link);
	t->task.run = on_buried;
	worker_bury(worker_of(t), &t->task);
	agent_session_leave(&t->base);
}

static void tcp_end(struct agent_session *s, uint16_t code, const char *reason)
{
	struct tcp_session *t = CONTAINER_OF(s, struct tcp_session, base);

	if (t->state == TCP_CLOSED)
		return;
	stream_close(stream_side_stream(&t->side[RELAY]), code, reason);
	tcp_close(t, true);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

/* The way's source has ended: pass it on. When the other way has ended before, closing the target's socket says it. */
static void end_way(struct tcp_session *t, unsigned way)
{
	bool last = t->flow[!way].state == FLOW_DONE;

	t->flow[way].state = FLOW_DONE;
	if ((way == WAY_OUT || !last) && side_finish(&t->side[way == WAY_IN ? TARGET : RELAY]) != 0)
		tcp_close(t, true);
	else if (last)
		tcp_close(t, false);
}

static void pump_way(struct tcp_session *t, unsigned way)
{
	struct side *from = &t->side[way == WAY_IN ? RELAY : TARGET], *to = &t->side[way == WAY_IN ? TARGET : RELAY];
	struct flow *f = &t->flow[way];

	if (f->state == FLOW_DONE)
		return;
	switch (flow_pump(f, &t->base.all->way[way], from, to)) {
	case FLOW_BUSY:
		worker_again(worker_of(t), &t->task);
		break;
	case FLOW_ENDED:
		end_way(t, way);
		break;
	case FLOW_BROKEN:
		tcp_close(t, true);
		break;
	case FLOW_BLOCKED:
	case FLOW_THROTTLED: /* never: there is no rate */
	case FLOW_MOVED:
		break;
	}
}

static void pump(struct tcp_session *t)
{
	pump_way(t, WAY_IN);
	if (t->state == TCP_OPEN)
		pump_way(t, WAY_OUT);
}

static void on_turn(struct task *task)
{
	pump(CONTAINER_OF(task, struct tcp_session, task));
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

/* A reset, or the link's end. Nothing is pumped: what was still in the stream is lost, and must not look complete. */
static void on_relay(struct io *io, uint32_t events)
{
	struct tcp_session *t = CONTAINER_OF(io, struct tcp_session, side[RELAY].io);

	if (events & EPOLLERR) {
		tcp_close(t, true);
		return;
	}
	side_hear(&t->side[RELAY], worker_of(t), events);
	if (t->state == TCP_OPEN)
		pump(t);
}

/* What came before a reset, and the relay takes at once, is passed on before it learns of the reset. */
static void on_target(struct io *io, uint32_t events)
{
	struct tcp_session *t = CONTAINER_OF(io, struct tcp_session, side[TARGET].io);

	side_hear(&t->side[TARGET], worker_of(t), events);
	pump(t);
	if (events & EPOLLERR)
		tcp_close(t, true);
}

static void on_connected(struct agent_session *s, int fd)
{
	struct tcp_session *t = CONTAINER_OF(s, struct tcp_session, base);

	side_init(&t->side[TARGET], on_target, fd);
	tcp_move(t, TCP_OPEN);
	if (io_add(worker_of(t), &t->side[TARGET].io, IO_STREAM) != 0) {
		tcp_end(s, ERR_NOMEM, "the agent is out of memory");
		return;
	}
	side_probe(&t->side[TARGET], PROBE_S);
	stream_opened(stream_side_stream(&t->side[RELAY]));
	pump(t);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static const struct agent_session_kind kind = { .type = SOCK_STREAM, .on_target = on_connected, .end = tcp_end };

size_t tcp_session_size(void)
{
	return sizeof(struct tcp_session);
}

int tcp_session_open(struct sessions *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	struct tcp_session *t = slab_get(&all->tcp_slab);
	int code;

	if (t == NULL)
		return ERR_NOMEM;
	t->state = TCP_DIAL;
	side_init(&t->side[RELAY], on_relay, -1);
	side_init(&t->side[TARGET], on_target, -1);
	t->side[RELAY].writable = true;
	flow_init(&t->flow[WAY_IN]);
	flow_init(&t->flow[WAY_OUT]);
	task_init(&t->task, on_turn);
	code = agent_session_begin(&t->base, all, &kind, l, o);
	if (code == ERR_NONE && stream_side_accept(&t->side[RELAY], &l->mux, id, o) == 0)
		return ERR_NONE;
	if (code == ERR_NONE)
		agent_session_leave(&t->base);
	slab_put(&all->tcp_slab, t);
	return code != ERR_NONE ? code : ERR_NOMEM;
}
