#define _GNU_SOURCE
#include "client/agent/visit/visit_udp.h"

#include "client/agent/visit/visit_socket.h"
#include "client/agent/visit/visits.h"
#include "common/base/err.h"
#include "common/net/addr.h"
#include "common/tunnel/mux.h"
#include "common/tunnel/tunnel_link.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TURN 64 /* datagrams in a row, before others have their turn */

/* Who sends, and to which of the ports. */
struct peer_key {
	uint8_t ip[16];
	uint32_t scope;
	uint16_t port, to;
};

struct visit_udp {
	struct visit *visit; /* NULL: closed */
	struct visit_socket *socket;
	struct stream stream;
	struct tunnel_link *link;
	const void *relay;
	struct peer_key key;
	struct addr from;
	struct list in; /* the visit's */
	struct timer idle;
	uint64_t active_ns;
	struct visits *all;
	struct task grave;
};

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	struct visit_udp *u = CONTAINER_OF(t, struct visit_udp, grave);

	slab_put(&u->all->udp_slab, u);
}

static void visit_udp_close(struct visit_udp *u)
{
	struct visits *all = u->all;

	if (u->visit == NULL)
		return;
	stream_close(&u->stream, ERR_NONE, "");
	map_remove(&u->visit->udp_by_peer, &u->key, sizeof u->key);
	list_remove(&u->in);
	wheel_disarm(&u->idle);
	u->visit = NULL;
	all->n_udp--;
	all->sessions->ops->on_ended(all->sessions->arg, u->link);
	worker_bury(all->worker, &u->grave);
}

void visit_udp_cut(struct visit *v)
{
	struct list *first;

	while ((first = list_first(&v->udp)) != NULL)
		visit_udp_close(CONTAINER_OF(first, struct visit_udp, in));
}

static uint64_t idle_at(const struct visit_udp *u)
{
	return u->active_ns + u->all->sessions->limits.udp_idle_ms * UINT64_C(1000000);
}

static void on_idle(struct timer *t)
{
	struct visit_udp *u = CONTAINER_OF(t, struct visit_udp, idle);

	if (u->all->worker->now_ns >= idle_at(u))
		visit_udp_close(u);
	else
		wheel_arm(&u->all->worker->wheel, &u->idle, idle_at(u));
}

/* ---- datagrams ---------------------------------------------------------------------------------------------------- */

/* The list is in the order of the last datagram. */
static void note_active(struct visit_udp *u)
{
	u->active_ns = u->all->worker->now_ns;
	list_remove(&u->in);
	list_push_back(&u->visit->udp, &u->in);
}

static void count_dropped(const struct visits *all)
{
	sessions_count(all->sessions, SESSIONS_VISIT_DROPPED);
}

static void answer(struct visit_udp *u, const uint8_t *p, size_t n)
{
	if (sendto(u->socket->io.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT, &u->from.sa, u->from.len) < 0) {
		count_dropped(u->all);
		return;
	}
	u->all->sessions->counters[SESSIONS_VISIT_IN] += n;
}

/* Another relay is asked with the next datagram; when all have failed, all are asked again. */
static void note_failed(struct visit_udp *u)
{
	struct visit_tried *failed = &u->visit->failed;
	const char *why = u->link->mux.why;

	sessions_note(u->all->sessions, SESSIONS_VISIT_FAILED, u->visit->offer.mapping, u->socket->port,
		why != NULL ? why : "refused");
	if (failed->n < VISITS_TRIED_MAX)
		failed->relays[failed->n++] = u->relay;
}

static void on_stream(struct stream *s, uint32_t events)
{
	struct visit_udp *u = s->owner;
	struct iovec *d;
	unsigned n;

	if (events & (EPOLLERR | EPOLLRDHUP)) {
		if (!s->opened && s->code != 0)
			note_failed(u);
		visit_udp_close(u);
		return;
	}
	if (events & EPOLLOUT && s->opened)
		u->visit->failed.n = 0;
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(s, &d);
	note_active(u);
	for (unsigned i = 0; i < n; i++)
		answer(u, d[i].iov_base, d[i].iov_len);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

size_t visit_udp_size(void)
{
	return sizeof(struct visit_udp);
}

static struct peer_key key_of(const struct addr *from, uint16_t to)
{
	struct peer_key k;

	memset(&k, 0, sizeof k);
	if (from->sa.sa_family == AF_INET6) {
		memcpy(k.ip, &from->v6.sin6_addr, 16);
		k.scope = from->v6.sin6_scope_id;
	} else {
		memcpy(k.ip + 12, &from->v4.sin_addr, 4);
		k.ip[10] = k.ip[11] = 0xff;
	}
	k.port = addr_port(from);
	k.to = to;
	return k;
}

static struct tunnel_link *pick(struct visit *v)
{
	struct tunnel_link *l = visit_pick(v, &v->failed);

	if (l == NULL && v->failed.n > 0) {
		v->failed.n = 0;
		l = visit_pick(v, &v->failed);
	}
	if (l != NULL)
		v->failed.n--; /* asked, and not failed yet */
	return l;
}

static bool make_room(struct visit *v)
{
	struct list *oldest = list_first(&v->udp);

	if (v->all->n_udp < v->all->sessions->limits.udp_sessions)
		return true;
	if (oldest == NULL)
		return false;
	visit_udp_close(CONTAINER_OF(oldest, struct visit_udp, in));
	return true;
}

static struct visit_udp *visit_udp_new(struct visit_socket *s, const struct addr *from, const struct peer_key *key)
{
	struct visit *v = s->visit;
	struct visits *all = v->all;
	struct frame_open open;
	struct visit_udp *u = make_room(v) ? slab_get(&all->udp_slab) : NULL;

	if (u == NULL)
		return NULL;
	u->key = *key;
	u->link = pick(v);
	visit_open_frame(v, s->port, from, &open);
	if (u->link == NULL || map_put(&v->udp_by_peer, &u->key, sizeof u->key, u, NULL) != 0) {
		slab_put(&all->udp_slab, u);
		return NULL;
	}
	if (stream_open(&u->stream, &u->link->mux, &open, on_stream, u) != 0) {
		map_remove(&v->udp_by_peer, &u->key, sizeof u->key);
		slab_put(&all->udp_slab, u);
		return NULL;
	}
	u->relay = v->failed.relays[v->failed.n];
	u->all = all;
	u->visit = v;
	u->socket = s;
	u->from = *from;
	u->active_ns = all->worker->now_ns;
	task_init(&u->grave, on_buried);
	timer_init(&u->idle, on_idle);
	wheel_arm(&all->worker->wheel, &u->idle, idle_at(u));
	list_init(&u->in);
	list_push_back(&v->udp, &u->in);
	all->n_udp++;
	sessions_count(all->sessions, SESSIONS_VISITS);
	return u;
}

static void take(struct visit_socket *s, const struct addr *from, const uint8_t *p, size_t n)
{
	struct peer_key key = key_of(from, s->port);
	struct visit_udp *u = map_get(&s->visit->udp_by_peer, &key, sizeof key);

	if (u == NULL && (u = visit_udp_new(s, from, &key)) == NULL) {
		count_dropped(s->visit->all);
		return;
	}
	note_active(u);
	if (!stream_datagram(&u->stream, p, n)) {
		count_dropped(u->all);
		return;
	}
	u->all->sessions->counters[SESSIONS_VISIT_OUT] += n;
}

/* All that is there, but at most a turn's worth. */
static void receive(struct visit_socket *s)
{
	struct worker *w = s->visit->all->worker;

	for (unsigned i = 0; i < TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof ss;
		ssize_t n =
			recvfrom(s->io.fd, w->scratch, FRAME_DATAGRAM_MAX, MSG_DONTWAIT, (struct sockaddr *)&ss, &len);
		struct addr from;

		if (n < 0)
			return;
		addr_from_sockaddr(&from, (struct sockaddr *)&ss, len);
		take(s, &from, w->scratch, (size_t)n);
	}
	worker_again(w, &s->again);
}

void visit_udp_on_socket(struct io *io, uint32_t events)
{
	(void)events;
	receive(CONTAINER_OF(io, struct visit_socket, io));
}

void visit_udp_on_again(struct task *t)
{
	receive(CONTAINER_OF(t, struct visit_socket, again));
}
