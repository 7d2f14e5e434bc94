#define _GNU_SOURCE
#include "relayd/datagram/udp_session.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/net/allowance.h"
#include "common/tunnel/mux.h"
#include "common/uv/fd_budget.h"
#include "common/uv/udp_send.h"
#include "proto/answer.h"
#include "relayd/datagram/udp_session_inside.h"
#include "relayd/tunnel/client_gate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct sm_state states[] = {
	[UDP_NAME] = { "name", BIT(UDP_OPEN) | BIT(UDP_CLOSED) },
	[UDP_OPEN] = { "open", BIT(UDP_CLOSED) },
	[UDP_CLOSED] = { "closed", 0 },
};

void udp_session_move(struct udp_session *s, enum udp_session_state to)
{
	sm_move(states, &s->state, (int)to);
}

void udp_session_key(struct udp_key *k, const struct addr *from, const struct udp_local *local, uint16_t offset)
{
	*k = (struct udp_key){ .offset = offset };
	if (from->sa.sa_family == AF_INET6) {
		memcpy(k->ip, &from->v6.sin6_addr, 16);
		k->scope = from->v6.sin6_scope_id;
		k->port = from->v6.sin6_port;
	} else {
		k->ip[10] = k->ip[11] = 0xff;
		memcpy(k->ip + 12, &from->v4.sin_addr, 4);
		k->port = from->v4.sin_port;
	}
	if (local->family != AF_UNSPEC) /* of one family on any one socket */
		memcpy(k->local, &local->v6, local->family == AF_INET ? 4 : 16);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	struct udp_session *s = CONTAINER_OF(t, struct udp_session, task);
	struct udp_lane *l = s->lane;

	slab_put(&udp_lane_desk(l)->sessions, s);
	lane_remove(&l->base);
}

void udp_session_close(struct udp_session *s)
{
	struct udp_lane *l = s->lane;

	if (s->state == UDP_CLOSED)
		return;
	udp_session_move(s, UDP_CLOSED);
	gate_leave(udp_lane_gate(l), udp_session_worker(s)->index, udp_session_worker(s)->now_ns, &s->pass);
	io_close(&s->io);
	if (s->stream != NULL)
		stream_close(s->stream, ERR_NONE, "");
	free(s->stream);
	if (s->visitor != NULL)
		stream_close(s->visitor, ERR_NONE, "");
	free(s->visitor);
	for (unsigned i = 0; i < ARRAY_LEN(s->client); i++) {
		if (s->client[i] != NULL)
			client_gate_leave(s->client[i]);
		client_gate_unref(s->client[i]);
	}
	worker_give_fds_of(udp_session_worker(s), &udp_lane_gate(l)->fds, 1);
	if (s->door != NULL)
		map_remove(&l->by_client, &s->key, sizeof s->key);
	if (s->door != NULL && s->door->recent == s)
		s->door->recent = NULL;
	list_remove(&s->link);
	list_remove(&s->turn);
	udp_lane_count(l, METER_dropped_in, s->waiting.n);
	udp_waiting_drop(s);
	free(s->proxied);
	s->task.run = on_buried;
	worker_bury(udp_session_worker(s), &s->task);
}

void udp_session_refuse(struct udp_session *s, enum meter_counter why)
{
	udp_lane_count(s->lane, why, 1);
	if (s->visitor != NULL)
		stream_close(s->visitor, ERR_UNAVAILABLE, "the target's agent is not here or full, or could not go on");
	udp_session_close(s);
}

/* ---- from the client -------------------------------------------------------------------------------------------- */

void udp_session_client_addrs(const struct udp_session *s, struct addr *from, struct addr *to)
{
	if (s->proxied != NULL) {
		*from = s->proxied[0];
		*to = s->proxied[1];
		return;
	}
	addr_from_sockaddr(from, &s->from.sa, s->from.len);
	*to = s->door->bound;
	if (s->local.family == AF_INET) {
		struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr = s->local.v4 };

		addr_from_sockaddr(to, (struct sockaddr *)&v4, sizeof v4);
	} else if (s->local.family == AF_INET6) {
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = s->local.v6 };

		addr_from_sockaddr(to, (struct sockaddr *)&v6, sizeof v6);
	}
	addr_set_port(to, addr_port(&s->door->bound));
}

/* Puts a PROXY header in front of the first `headed` datagrams, into their headroom; its length. */
static size_t introduce(struct udp_session *s, struct iovec *d, unsigned headed)
{
	uint8_t header[PROXY_OUT_MAX];
	struct addr from, to;
	size_t len;

	udp_session_client_addrs(s, &from, &to);
	len = proxy_write_v2(header, &from, &to, true);
	for (unsigned i = 0; i < headed; i++) {
		d[i].iov_base = (uint8_t *)d[i].iov_base - len;
		d[i].iov_len += len;
		memcpy(d[i].iov_base, header, len);
	}
	s->introduced = true;
	return len;
}

void udp_session_forward(struct udp_session *s, struct iovec *d, unsigned n)
{
	const struct mapping_conf *conf = udp_session_conf(s);
	struct udp_route route = { .fd = s->io.fd };
	unsigned headed = 0;
	size_t header = 0;

	if (s->state == UDP_NAME) {
		for (unsigned i = 0; i < n; i++)
			udp_waiting_add(s, &d[i]);
		return;
	}
	n = udp_session_pass(s, GATE_IN, d, n);
	if (n == 0)
		return;
	if (conf->proxy_out != MAPPING_PROXY_NONE)
		headed = conf->proxy_out_every ? n : s->introduced ? 0 : 1;
	if (headed > 0)
		header = introduce(s, d, headed);
	udp_session_send(s, GATE_IN, &route, d, n, header, headed);
}

void udp_session_forward_waiting(struct udp_session *s)
{
	struct iovec d[UDP_WAITING_MAX];
	unsigned n = udp_waiting_datagrams(s, d);

	if (n > 0)
		udp_session_forward(s, d, n);
	udp_waiting_drop(s);
}

/* ---- the beginning ---------------------------------------------------------------------------------------------- */

static void on_task(struct task *t)
{
	struct udp_session *s = CONTAINER_OF(t, struct udp_session, task);

	if (s->state == UDP_NAME)
		udp_session_find_target(s);
	else if (s->stream == NULL)
		udp_session_receive(s);
}

/* The session that was silent longest; one whose datagrams are under way keeps its place, as do all behind it. */
static bool give_way(struct udp_lane *l)
{
	struct list *first = list_first(&l->sessions);
	struct udp_session *oldest;

	if (first == NULL)
		return false;
	oldest = CONTAINER_OF(first, struct udp_session, link);
	if (!list_empty(&oldest->turn))
		return false;
	udp_lane_count(l, METER_timed_out, 1);
	udp_session_close(oldest);
	return true;
}

/*
 * had: the mapping had one for it, of somebody who gave way just now or at a predecessor. Whatever its share is by now, it has that
 * again, as it has the one of whoever has to give way here.
 */
static bool take_descriptor(struct udp_lane *l, bool had)
{
	struct fd_share *share = &udp_lane_gate(l)->fds;
	struct worker *w = l->base.worker;

	return (had ? fd_budget_retake_share(w->fds, share, 1) : worker_take_fds_of(w, share, 1)) ||
	       (give_way(l) && fd_budget_retake_share(w->fds, share, 1));
}

/* Nobody gives way to a client that may not come in. */
static bool admit(struct udp_lane *l, const struct addr *source, bool adopted, struct gate_pass *pass)
{
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct gate *gate = udp_lane_gate(l);
	struct worker *w = l->base.worker;

	*pass = (struct gate_pass){ .in = false };
	if (l->allowance != NULL && allowance_is_over(l->allowance)) {
		udp_lane_count(l, METER_refused_quota, 1);
		return false;
	}
	if (!gate_admit(gate, w->index, conf, source, w->now_ns, pass))
		return false;
	if (!take_descriptor(l, (gate_is_full(gate, conf) && give_way(l)) || adopted)) {
		udp_lane_count(l, METER_refused_resource, 1);
		gate_leave(gate, w->index, w->now_ns, pass);
		return false;
	}
	if (gate_take_place(gate, w->index, conf, w->now_ns, pass))
		return true;
	worker_give_fds_of(w, &gate->fds, 1);
	return false;
}

static struct udp_session *session_new(struct udp_lane *l)
{
	struct udp_session *s = slab_get(&udp_lane_desk(l)->sessions);

	if (s == NULL)
		return NULL;
	s->state = UDP_NAME;
	s->lane = l;
	s->active_ns = l->base.worker->now_ns;
	s->opened_ms = clock_wall_ms();
	s->id = worker_next_id(l->base.worker);
	s->segments[GATE_IN] = s->segments[GATE_OUT] = true;
	io_init(&s->io, udp_session_on_target, -1);
	task_init(&s->task, on_task);
	list_init(&s->turn);
	list_init(&s->link);
	udp_shelf_init(&s->waiting);
	return s;
}

static void enter_lane(struct udp_session *s)
{
	list_push_back(&s->lane->sessions, &s->link);
	lane_add(&s->lane->base);
}

static struct udp_session *session_at_door(struct udp_door *door, const struct udp_arrival *who)
{
	struct udp_lane *l = door->lane;
	struct udp_session *s = session_new(l);

	if (s == NULL)
		return NULL;
	s->door = door;
	udp_session_key(&s->key, who->from, &who->local, door->offset);
	s->from = *who->from;
	s->local = who->local;
	if (map_put(&l->by_client, &s->key, sizeof s->key, s, NULL) != 0) {
		slab_put(&udp_lane_desk(l)->sessions, s);
		return NULL;
	}
	enter_lane(s);
	return s;
}

static void give_back(struct udp_lane *l, struct gate_pass *pass)
{
	struct gate *gate = udp_lane_gate(l);
	struct worker *w = l->base.worker;

	udp_lane_count(l, METER_refused_resource, 1);
	gate_leave(gate, w->index, w->now_ns, pass);
	worker_give_fds_of(w, &gate->fds, 1);
}

static int keep_header(struct udp_session *s, const struct proxy_header *header)
{
	if (header == NULL || header->local)
		return 0;
	s->proxied = malloc(2 * sizeof s->proxied[0]);
	if (s->proxied == NULL)
		return -1;
	s->proxied[0] = header->src;
	s->proxied[1] = header->dst;
	return 0;
}

struct udp_session *udp_session_open(struct udp_door *door, const struct udp_arrival *who)
{
	struct udp_lane *l = door->lane;
	struct gate_pass pass = { .in = false };
	struct udp_session *s = NULL;
	struct addr source;

	addr_from_sockaddr(&source, &who->from->sa, who->from->len);
	if (who->header != NULL && !who->header->local)
		source = who->header->src;
	if (admit(l, &source, who->fd >= 0, &pass) && (s = session_at_door(door, who)) == NULL)
		give_back(l, &pass);
	if (s == NULL) {
		if (who->fd >= 0)
			close(who->fd);
		return NULL;
	}
	s->pass = pass;
	io_init(&s->io, udp_session_on_target, who->fd);
	if (keep_header(s, who->header) != 0)
		udp_session_refuse(s, METER_refused_resource);
	else if (who->fd >= 0)
		udp_session_start(s, who->fd);
	else
		udp_session_find_target(s);
	return s->state != UDP_CLOSED ? s : NULL;
}

struct udp_session *udp_session_new_visit(
	struct udp_lane *l, const struct addr *from, const struct addr *at, uint16_t offset)
{
	struct gate_pass pass = { .in = false };
	struct udp_session *s;

	if (!admit(l, from, false, &pass))
		return NULL;
	s = session_new(l);
	if (s == NULL) {
		give_back(l, &pass);
		return NULL;
	}
	s->pass = pass;
	s->key.offset = offset;
	enter_lane(s);
	s->proxied = malloc(2 * sizeof s->proxied[0]);
	if (s->proxied == NULL) {
		udp_session_refuse(s, METER_refused_resource);
		return NULL;
	}
	s->proxied[0] = *from;
	s->proxied[1] = *at;
	return s;
}

void udp_session_begin_visit(struct udp_session *s, struct stream *visitor)
{
	s->visitor = visitor;
	udp_lane_touch(s->lane, &s->link);
	udp_session_find_target(s);
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

void udp_session_info(const struct udp_session *s, struct conn_info *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;
	struct addr from, to;

	*out = (struct conn_info){
		.id = s->id,
		.protocol = MAPPING_UDP,
		.bytes_in = s->bytes[GATE_IN],
		.bytes_out = s->bytes[GATE_OUT],
		.opened_ms = s->opened_ms,
	};
	str_copy(out->mapping, sizeof out->mapping, s->lane->base.object->id);
	udp_session_client_addrs(s, &from, &to);
	addr_print(&from, out->remote);
	addr_print(&to, out->local);
	if (s->state == UDP_OPEN && s->stream != NULL)
		str_fmt(out->target, sizeof out->target, "%.48s:%u of client %.20s", udp_session_conf(s)->target_host,
			udp_session_conf(s)->target_port + s->key.offset, udp_session_conf(s)->target_client);
	else if (s->state == UDP_OPEN && getpeername(s->io.fd, (struct sockaddr *)&ss, &len) == 0) {
		addr_from_sockaddr(&to, (struct sockaddr *)&ss, len);
		addr_print(&to, out->target);
	}
}
