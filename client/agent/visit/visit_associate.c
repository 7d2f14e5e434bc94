#define _GNU_SOURCE
#include "client/agent/visit/visit_associate.h"

#include "client/agent/visit/visit_tcp.h"
#include "client/agent/visit/visits.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "common/net/socks5.h"
#include "common/tunnel/tunnel_link.h"
#include "common/uv/fd_budget.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TURN 64 /* datagrams in a row, before others have their turn */

struct visit_associate {
	struct visits *all; /* NULL: closed */
	struct tunnel_link *link;
	struct stream stream;
	struct io io;
	struct addr at, peer; /* of the socket; of the client, port 0: it has not sent yet */
	struct list in;       /* the visits' */
	struct task again, grave;
};

static struct visit_associate *associate_in(struct list *in)
{
	return CONTAINER_OF(in, struct visit_associate, in);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct visit_associate, grave));
}

static void associate_close(struct visit_associate *a, uint16_t code, const char *reason)
{
	struct visits *all = a->all;

	if (all == NULL)
		return;
	a->all = NULL;
	stream_close(&a->stream, code, reason);
	io_del(all->worker, &a->io);
	io_close(&a->io);
	fd_budget_give(all->worker->fds, 1);
	list_remove(&a->in);
	list_remove(&a->again.link);
	all->n_udp--;
	all->sessions->ops->on_ended(all->sessions->arg, a->link);
	worker_bury(all->worker, &a->grave);
}

void visit_associate_recheck(struct visits *all)
{
	LIST_FOREACH_SAFE (it, &all->associates)
		if (!allow_has_addr(all->allow, &associate_in(it)->at))
			associate_close(associate_in(it), ERR_PERMISSION, "the agent's `listen` has changed");
}

void visit_associate_cut_all(struct visits *all)
{
	LIST_FOREACH_SAFE (it, &all->associates)
		associate_close(associate_in(it), ERR_UNAVAILABLE, "the agent has ended");
}

/* ---- datagrams ---------------------------------------------------------------------------------------------------- */

static bool is_peer(const struct visit_associate *a, const struct addr *from)
{
	return addr_port(&a->peer) != 0 ? addr_equal(from, &a->peer) : addr_equal_ip(from, &a->peer);
}

static bool take(struct visit_associate *a, const struct addr *from, const uint8_t *p, size_t n)
{
	char host[SOCKS5_HOST_SIZE];
	uint16_t port;

	if (!is_peer(a, from) || socks5_datagram(host, &port, p, n) < 0)
		return false;
	a->peer = *from;
	if (!stream_datagram(&a->stream, p, n))
		return false;
	a->all->sessions->counters[SESSIONS_VISIT_OUT] += n;
	return true;
}

static void receive(struct visit_associate *a)
{
	struct worker *w = a->all->worker;

	for (unsigned i = 0; i < TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof ss;
		ssize_t n =
			recvfrom(a->io.fd, w->scratch, FRAME_DATAGRAM_MAX, MSG_DONTWAIT, (struct sockaddr *)&ss, &len);
		struct addr from;

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			continue; /* an answer could not be delivered (ICMP) */
		addr_from_sockaddr(&from, (struct sockaddr *)&ss, len);
		if (!take(a, &from, w->scratch, (size_t)n))
			sessions_count(a->all->sessions, SESSIONS_VISIT_DROPPED);
	}
	worker_again(w, &a->again);
}

static void on_socket(struct io *io, uint32_t events)
{
	(void)events;
	receive(CONTAINER_OF(io, struct visit_associate, io));
}

static void on_again(struct task *t)
{
	receive(CONTAINER_OF(t, struct visit_associate, again));
}

static void answer(const struct visit_associate *a, const struct iovec *d)
{
	struct sessions *sessions = a->all->sessions;

	if (addr_port(&a->peer) == 0 ||
		sendto(a->io.fd, d->iov_base, d->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT, &a->peer.sa, a->peer.len) < 0)
		sessions_count(sessions, SESSIONS_VISIT_DROPPED);
	else
		sessions->counters[SESSIONS_VISIT_IN] += d->iov_len;
}

static void on_stream(struct stream *s, uint32_t events)
{
	struct visit_associate *a = s->owner;
	struct iovec *d;
	unsigned n;

	if (events & (EPOLLERR | EPOLLRDHUP)) {
		associate_close(a, ERR_NONE, "");
		return;
	}
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(s, &d);
	for (unsigned i = 0; i < n; i++)
		answer(a, &d[i]);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

bool visit_associate_is_asked_for(const struct frame_open *o)
{
	return o->kind == FRAME_UDP && o->host[0] == FRAME_OF_STREAM;
}

/* Where the client's connection came to, at a port that the kernel picks. */
static int open_socket(struct visit_associate *a)
{
	socklen_t len = a->at.len;

	addr_set_port(&a->at, 0);
	a->io.fd = socket(a->at.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->io.fd < 0 || bind(a->io.fd, &a->at.sa, a->at.len) != 0 || getsockname(a->io.fd, &a->at.sa, &len) != 0)
		return ERR_NO_DESCRIPTORS;
	if (!allow_has_addr(a->all->allow, &a->at))
		return ERR_PERMISSION;
	return io_add(a->all->worker, &a->io, EPOLLIN | EPOLLET) == 0 ? ERR_NONE : ERR_NOMEM;
}

/* Such a header as datagrams have, and nothing behind it. It is the first on its stream, so there is room or no use. */
static int tell_where(struct visit_associate *a)
{
	uint8_t head[SOCKS5_REPLY_MAX];
	size_t n = socks5_reply(head, SOCKS5_DONE, &a->at);

	head[0] = 0;
	stream_opened(&a->stream);
	return stream_datagram(&a->stream, head, n) ? 0 : -1;
}

static int associate_new(struct visits *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	struct visit_associate *a = calloc(1, sizeof *a);
	uint64_t of = 0;
	int code = ERR_NOMEM;

	if (a == NULL)
		return code;
	a->all = all;
	a->link = l;
	io_init(&a->io, on_socket, -1);
	list_init(&a->in);
	task_init(&a->again, on_again);
	task_init(&a->grave, on_buried);
	if (str_to_u64(o->host + 1, 1, UINT32_MAX, &of) != 0 || !visit_tcp_ends(all, l, of, &a->peer, &a->at))
		code = ERR_NOT_FOUND;
	else
		code = open_socket(a);
	if (code == ERR_NONE && stream_accept(&a->stream, &l->mux, id, o, on_stream, a) != 0)
		code = ERR_NOMEM;
	if (code != ERR_NONE) {
		io_del(all->worker, &a->io);
		io_close(&a->io);
		free(a);
		return code;
	}
	addr_set_port(&a->peer, 0);
	list_push_back(&all->associates, &a->in);
	all->n_udp++;
	sessions_count(all->sessions, SESSIONS_VISITS);
	if (tell_where(a) != 0)
		associate_close(a, ERR_OVERLOADED, "the link has no room");
	return ERR_NONE;
}

static const char *reason_of(int code)
{
	switch (code) {
	case ERR_OVERLOADED:
		return "the agent's limit of UDP sessions";
	case ERR_NOT_FOUND:
		return "the agent has no such connection";
	case ERR_PERMISSION:
		return "the agent's `listen` does not let it take datagrams there";
	default:
		return "the agent has no memory or descriptor left";
	}
}

void visit_associate_open(struct visits *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o)
{
	int code = ERR_OVERLOADED;

	if (all->n_udp < all->sessions->limits.udp_sessions) {
		code = fd_budget_take(all->worker->fds, 1, FD_FOR_SESSIONS) ? ERR_NONE : ERR_NO_DESCRIPTORS;
		if (code == ERR_NONE && (code = associate_new(all, l, id, o)) != ERR_NONE)
			fd_budget_give(all->worker->fds, 1);
	}
	if (code == ERR_NONE)
		return;
	sessions_note(all->sessions, SESSIONS_VISIT_FAILED, o->mapping, o->port, reason_of(code));
	stream_refuse(&l->mux, id, (uint16_t)code, reason_of(code));
}
