#include "client/agent/target/tcp_session.h"

#include "client/agent/target/agent_session.h"
#include "client/agent/tcp_pair.h"
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

struct tcp_session {
	struct agent_session base;
	int state;
	struct tcp_pair pair;
};

static void tcp_move(struct tcp_session *t, enum tcp_state to)
{
	sm_move(states, &t->state, (int)to);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *task)
{
	struct tcp_session *t = CONTAINER_OF(task, struct tcp_session, pair.task);

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
	tcp_pair_close(&t->pair, reset);
	t->pair.task.run = on_buried;
	worker_bury(t->pair.worker, &t->pair.task);
	agent_session_leave(&t->base);
}

static void on_end(struct tcp_pair *p, bool reset)
{
	tcp_close(CONTAINER_OF(p, struct tcp_session, pair), reset);
}

static void tcp_end(struct agent_session *s, uint16_t code, const char *reason)
{
	struct tcp_session *t = CONTAINER_OF(s, struct tcp_session, base);

	if (t->state == TCP_CLOSED)
		return;
	stream_close(stream_side_stream(&t->pair.side[PAIR_STREAM]), code, reason);
	tcp_close(t, true);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static void on_connected(struct agent_session *s, int fd)
{
	struct tcp_session *t = CONTAINER_OF(s, struct tcp_session, base);

	tcp_move(t, TCP_OPEN);
	if (tcp_pair_set_socket(&t->pair, fd) != 0) {
		tcp_end(s, ERR_NOMEM, "the agent is out of memory");
		return;
	}
	side_probe(&t->pair.side[PAIR_SOCKET], PROBE_S);
	stream_opened(stream_side_stream(&t->pair.side[PAIR_STREAM]));
	tcp_pair_start(&t->pair);
}

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
	tcp_pair_init(&t->pair, l->worker, all->way, on_end);
	code = agent_session_begin(&t->base, all, &kind, l, o);
	if (code == ERR_NONE && stream_side_accept(&t->pair.side[PAIR_STREAM], &l->mux, id, o) == 0)
		return ERR_NONE;
	if (code == ERR_NONE)
		agent_session_leave(&t->base);
	slab_put(&all->tcp_slab, t);
	return code != ERR_NONE ? code : ERR_NOMEM;
}
