#define _GNU_SOURCE
#include "client/agent/visit/visit_tcp.h"

#include "client/agent/tcp_pair.h"
#include "client/agent/visit/visits.h"
#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/tunnel/stream_side.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/fd_budget.h"

#include <unistd.h>

#define PROBE_S 60
#define ASK_NS  UINT64_C(30000000000) /* for all relays together, and for one to come back */

/*
 *   ASK --a relay has reached the target--> OPEN
 *    |                                       |
 *    +---------------------------------------+--> CLOSED
 */
enum visit_tcp_state { VISIT_ASK, VISIT_OPEN, VISIT_CLOSED };

static const struct sm_state states[] = {
	[VISIT_ASK] = { "ask", BIT(VISIT_OPEN) | BIT(VISIT_CLOSED) },
	[VISIT_OPEN] = { "open", BIT(VISIT_CLOSED) },
	[VISIT_CLOSED] = { "closed", 0 },
};

struct visit_tcp {
	int state;
	struct visits *all;
	struct visit *visit;      /* in ASK */
	struct tunnel_link *link; /* of the stream; NULL: none, it waits for one */
	struct tcp_pair pair;
	struct list in, asking;
	struct timer due; /* at ends_ns, or earlier when nobody is left to be asked */
	uint64_t ends_ns;
	struct visit_tried tried;
	struct addr from;
	uint16_t port;
	char why[FRAME_REASON_SIZE]; /* of the last relay that was asked */
};

static void visit_move(struct visit_tcp *t, enum visit_tcp_state to)
{
	sm_move(states, &t->state, (int)to);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *task)
{
	struct visit_tcp *t = CONTAINER_OF(task, struct visit_tcp, pair.task);

	slab_put(&t->all->tcp_slab, t);
}

static void drop_stream(struct visit_tcp *t, bool reset)
{
	struct tunnel_link *l = t->link;

	t->link = NULL;
	side_close(&t->pair.side[PAIR_STREAM], reset);
	if (l != NULL)
		t->all->sessions->ops->on_ended(t->all->sessions->arg, l);
}

static void visit_close(struct visit_tcp *t, bool reset)
{
	if (t->state == VISIT_CLOSED)
		return;
	if (reset && t->state == VISIT_OPEN)
		sessions_count(t->all->sessions, SESSIONS_RESET);
	visit_move(t, VISIT_CLOSED);
	drop_stream(t, reset);
	tcp_pair_close(&t->pair, reset);
	wheel_disarm(&t->due);
	list_remove(&t->in);
	list_remove(&t->asking);
	t->all->n_tcp--;
	fd_budget_give(t->pair.worker->fds, 1);
	t->pair.task.run = on_buried;
	worker_bury(t->pair.worker, &t->pair.task);
}

static void not_served(struct visit_tcp *t, const char *why)
{
	sessions_note(t->all->sessions, SESSIONS_VISIT_FAILED, t->visit->offer.mapping, t->port, why);
	visit_close(t, true);
}

static void on_due(struct timer *timer)
{
	struct visit_tcp *t = CONTAINER_OF(timer, struct visit_tcp, due);

	not_served(t, t->why[0] != '\0' ? t->why : "no relay has answered in time");
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

/* The next relay. When none is left: the end, or a wait for one that may offer it yet. When none is there: a wait. */
static void ask(struct visit_tcp *t)
{
	struct worker *w = t->pair.worker;
	struct frame_open open;
	struct tunnel_link *l;

	visit_open_frame(t->visit, t->port, &t->from, &open);
	while ((l = visit_pick(t->visit, &t->tried)) != NULL) {
		if (stream_side_open(&t->pair.side[PAIR_STREAM], &l->mux, &open) != 0)
			continue;
		t->pair.side[PAIR_STREAM].writable = true;
		t->link = l;
		wheel_arm(&w->wheel, &t->due, t->ends_ns);
		return;
	}
	if (t->tried.n > 0 && t->why[0] != '\0') {
		if (w->now_ns < t->visit->settled_ns)
			wheel_arm(&w->wheel, &t->due, t->visit->settled_ns);
		else
			not_served(t, t->why);
	}
	/* else it waits until a relay offers the mapping again, or its time is over */
}

/* A link that was lost says nothing about its relay, which may be asked again when it is back. */
static void on_refused(struct visit_tcp *t)
{
	const struct tunnel_link *l = t->link;
	const char *why = l->mux.why;
	struct stream *s = stream_side_stream(&t->pair.side[PAIR_STREAM]);

	if (s->code != 0)
		str_copy(t->why, sizeof t->why, why != NULL ? why : "refused");
	else
		t->tried.n--;
	drop_stream(t, true);
	ask(t);
}

static void on_end(struct tcp_pair *p, bool reset)
{
	struct visit_tcp *t = CONTAINER_OF(p, struct visit_tcp, pair);

	if (t->state == VISIT_ASK && t->link != NULL && stream_side_stream(&p->side[PAIR_STREAM])->mux == NULL)
		on_refused(t);
	else
		visit_close(t, reset);
}

static void on_opened(struct tcp_pair *p)
{
	struct visit_tcp *t = CONTAINER_OF(p, struct visit_tcp, pair);

	if (t->state != VISIT_ASK || !stream_side_stream(&p->side[PAIR_STREAM])->opened)
		return;
	visit_move(t, VISIT_OPEN);
	wheel_disarm(&t->due);
	list_remove(&t->asking);
	t->visit = NULL;
	sessions_count(t->all->sessions, SESSIONS_VISITS);
	tcp_pair_start(p);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

size_t visit_tcp_size(void)
{
	return sizeof(struct visit_tcp);
}

static void refuse(struct visit *v, int fd, uint16_t port, const char *why)
{
	sessions_note(v->all->sessions, SESSIONS_VISIT_FAILED, v->offer.mapping, port, why);
	side_reset_on_close(fd);
	close(fd);
}

static struct visit_tcp *visit_tcp_new(struct visit *v, uint16_t port, const struct addr *from)
{
	struct visits *all = v->all;
	struct visit_tcp *t = slab_get(&all->tcp_slab);

	if (t == NULL)
		return NULL;
	t->state = VISIT_ASK;
	t->all = all;
	t->visit = v;
	t->from = *from;
	t->port = port;
	tcp_pair_init(&t->pair, all->worker, all->way, on_end);
	t->pair.on_opened = on_opened;
	timer_init(&t->due, on_due);
	list_init(&t->in);
	list_init(&t->asking);
	list_push_back(&all->tcp, &t->in);
	list_push_back(&v->asking, &t->asking);
	all->n_tcp++;
	return t;
}

void visit_tcp_open(struct visit *v, int fd, uint16_t port, const struct addr *from)
{
	struct visits *all = v->all;
	struct visit_tcp *t;

	if (all->n_tcp >= all->sessions->limits.streams) {
		refuse(v, fd, port, "the agent's limit of connections");
		return;
	}
	t = fd_budget_take(all->worker->fds, 1, FD_FOR_SESSIONS) ? visit_tcp_new(v, port, from) : NULL;
	if (t == NULL) {
		refuse(v, fd, port, "the agent has no memory or descriptor left");
		return;
	}
	t->ends_ns = all->worker->now_ns + ASK_NS;
	wheel_arm(&all->worker->wheel, &t->due, t->ends_ns);
	if (tcp_pair_set_socket(&t->pair, fd) != 0) {
		visit_close(t, true);
		return;
	}
	side_probe(&t->pair.side[PAIR_SOCKET], PROBE_S);
	ask(t);
}

static struct visit_tcp *asking_in(struct list *it)
{
	return CONTAINER_OF(it, struct visit_tcp, asking);
}

void visit_tcp_ask_again(struct visit *v)
{
	LIST_FOREACH_SAFE (it, &v->asking)
		if (asking_in(it)->link == NULL)
			ask(asking_in(it));
}

void visit_tcp_give_up(struct visit *v, const char *why)
{
	struct list *first;

	while ((first = list_first(&v->asking)) != NULL)
		not_served(asking_in(first), why);
}

bool visit_tcp_ends(
	const struct visits *all, const struct tunnel_link *l, uint64_t stream, struct addr *from, struct addr *at)
{
	LIST_FOREACH (it, &all->tcp) {
		const struct visit_tcp *t = CONTAINER_OF(it, struct visit_tcp, in);

		if (t->state != VISIT_OPEN || t->link != l ||
			stream_side_stream(&t->pair.side[PAIR_STREAM])->id != stream)
			continue;
		*from = t->from;
		return side_local(&t->pair.side[PAIR_SOCKET], at) == 0;
	}
	return false;
}

void visit_tcp_cut_all(struct visits *all)
{
	struct list *first;

	while ((first = list_first(&all->tcp)) != NULL)
		visit_close(CONTAINER_OF(first, struct visit_tcp, in), true);
}
