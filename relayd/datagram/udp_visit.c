#include "relayd/datagram/udp_visit.h"

#include "common/base/err.h"
#include "common/tunnel/mux.h"
#include "relayd/datagram/udp_session.h"
#include "relayd/tunnel/visits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* To where a PROXY header fits in front of each: what comes on a link has no room for one. */
static void make_headroom(const struct udp_lane *l, struct iovec *d, unsigned n)
{
	struct udp_batch *b = udp_lane_desk(l)->batch;

	for (unsigned i = 0; i < n; i++) {
		void *slot = udp_batch_slot(b, i);

		memcpy(slot, d[i].iov_base, d[i].iov_len);
		d[i].iov_base = slot;
	}
}

static void on_visitor(struct stream *stream, uint32_t events)
{
	struct udp_session *s = stream->owner;
	struct udp_lane *l = s->lane;
	struct iovec *d;
	unsigned n;

	if (events & (EPOLLERR | EPOLLRDHUP)) {
		udp_session_close(s);
		return;
	}
	if (!(events & EPOLLIN))
		return;
	n = stream_datagrams(stream, &d);
	s->active_ns = l->base.worker->now_ns;
	udp_lane_touch(l, &s->link);
	if (lane_conf(&l->base)->proxy_out != MAPPING_PROXY_NONE)
		make_headroom(l, d, n);
	udp_session_forward(s, d, n);
}

void udp_visit_open(struct udp_lane *l, const struct visit *v)
{
	struct stream *visitor = l->quiet ? NULL : malloc(sizeof *visitor);
	struct udp_session *s = NULL;

	if (visitor != NULL)
		s = udp_session_new_visit(
			l, v->from, v->at, (uint16_t)(v->open->port - lane_conf(&l->base)->port_first));
	if (s == NULL) {
		free(visitor);
		stream_refuse(v->mux, v->id, ERR_OVERLOADED, "the mapping's limits or lists do not let it in");
		return;
	}
	if (stream_accept(visitor, v->mux, v->id, v->open, on_visitor, s) != 0) {
		free(visitor);
		udp_session_close(s);
		stream_refuse(v->mux, v->id, ERR_NOMEM, "the relay has no memory left");
		return;
	}
	udp_session_begin_visit(s, visitor);
}
