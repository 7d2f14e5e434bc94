#define _GNU_SOURCE
#include "relayd/datagram/udp_lane.h"

#include "common/base/str.h"
#include "relayd/datagram/udp_handover.h"
#include "relayd/datagram/udp_session.h"
#include "relayd/datagram/udp_visit.h"
#include "relayd/limit/quotas.h"
#include "relayd/tunnel/agents.h"
#include "relayd/tunnel/client_gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_MAX 4                     /* batches of one socket before others have their turn */
#define IDLE_NS    UINT64_C(60000000000) /* of a mapping without idle time-out: UDP knows no other end */

/* A port that goes quiet waits for answers that are under way, not for clients that never stop asking. */
#define QUIET_IDLE_NS UINT64_C(1000000000)
#define QUIET_MAX_NS  UINT64_C(3000000000)

struct udp_doors {
	struct task grave;
	unsigned n;
	struct udp_door at[];
};

static struct udp_lane *udp(struct lane *base)
{
	return CONTAINER_OF(base, struct udp_lane, base);
}

static struct udp_session *session_of(struct list *link)
{
	return CONTAINER_OF(link, struct udp_session, link);
}

/* ---- expiry ----------------------------------------------------------------------------------------------------- */

static uint64_t idle_ns(const struct udp_lane *l)
{
	uint32_t ms = lane_conf(&l->base)->idle_timeout_ms;

	return ms != 0 ? ms * UINT64_C(1000000) : IDLE_NS;
}

static uint64_t expires_ns(const struct udp_lane *l, const struct udp_session *s)
{
	return MIN(s->active_ns + MIN(idle_ns(l), l->quiet_idle_ns), l->quiet_until_ns);
}

static void set_expiry(struct udp_lane *l)
{
	struct list *first = list_first(&l->sessions);

	if (first == NULL)
		wheel_disarm(&l->expiry);
	else
		wheel_arm(&l->base.worker->wheel, &l->expiry, expires_ns(l, session_of(first)));
}

static void on_expiry(struct timer *t)
{
	struct udp_lane *l = CONTAINER_OF(t, struct udp_lane, expiry);
	struct list *first;

	while ((first = list_first(&l->sessions)) != NULL && l->base.worker->now_ns >= expires_ns(l, session_of(first)))
		udp_session_close(session_of(first));
	set_expiry(l);
}

void udp_lane_touch(struct udp_lane *l, struct list *session)
{
	if (list_last(&l->sessions) != session) {
		list_remove(session);
		list_push_back(&l->sessions, session);
	}
	if (!timer_armed(&l->expiry))
		set_expiry(l);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

/*
 * A load balancer in front introduces each client with its first datagram, or with every one: what is there is read and
 * taken off. False: the datagram does not count.
 */
static bool take_header(struct udp_door *door, unsigned i, bool is_new, struct proxy_header *h)
{
	struct udp_lane *l = door->lane;
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct udp_batch *b = udp_lane_desk(l)->batch;
	struct iovec *d = udp_batch_datagram(b, i);
	struct addr from;
	int n = proxy_parse(h, d->iov_base, d->iov_len);

	addr_from_sockaddr(&from, &udp_batch_from(b, i)->sa, udp_batch_from(b, i)->len);
	if ((n <= 0 && is_new) || !cidr_match_any(conf->proxy_trusted.items, conf->proxy_trusted.n, &from)) {
		udp_lane_count(l, METER_refused_proxy, 1);
		return false;
	}
	if (n > 0) {
		d->iov_base = (uint8_t *)d->iov_base + n;
		d->iov_len -= (size_t)n;
	}
	return true;
}

/* Whose datagram it is; NULL: nobody's, and counted. */
static struct udp_session *find_session(struct udp_door *door, unsigned i)
{
	struct udp_lane *l = door->lane;
	struct udp_batch *b = udp_lane_desk(l)->batch;
	struct proxy_header header;
	bool proxied = lane_conf(&l->base)->proxy_in;
	struct udp_session *s = door->recent;
	struct udp_local local;
	struct udp_key key;

	udp_batch_local(b, i, &local);
	udp_session_key(&key, udp_batch_from(b, i), &local, door->offset);
	if (s == NULL || memcmp(&s->key, &key, sizeof key) != 0)
		s = map_get(&l->by_client, &key, sizeof key);
	if (proxied && !take_header(door, i, s == NULL, &header))
		return NULL;
	if (s == NULL && l->quiet) {
		udp_lane_count(l, METER_dropped_in, 1);
		return NULL;
	}
	if (s == NULL) {
		struct udp_arrival who = { .from = udp_batch_from(b, i), .local = local, .fd = -1 };

		who.header = proxied ? &header : NULL;
		s = udp_session_open(door, &who);
	}
	if (s != NULL)
		door->recent = s;
	return s;
}

/* Gathers what came by client, in order, so that each client's datagrams leave together. */
static void forward(struct udp_door *door, unsigned n)
{
	struct udp_lane *l = door->lane;
	struct udp_batch *b = udp_lane_desk(l)->batch;
	struct list turn, *first;
	uint8_t next[UDP_BATCH];

	list_init(&turn);
	for (unsigned i = 0; i < n; i++) {
		struct udp_session *s = find_session(door, i);

		if (s == NULL)
			continue;
		next[i] = (uint8_t)i; /* the last one: points at itself */
		if (list_empty(&s->turn)) {
			list_push_back(&turn, &s->turn);
			s->first = (uint8_t)i;
			s->active_ns = l->base.worker->now_ns;
			udp_lane_touch(l, &s->link);
		} else {
			next[s->last] = (uint8_t)i;
		}
		s->last = (uint8_t)i;
	}
	while ((first = list_first(&turn)) != NULL) {
		struct udp_session *s = CONTAINER_OF(first, struct udp_session, turn);
		struct iovec d[UDP_BATCH];
		unsigned k = 0, i = s->first;

		list_remove(first);
		for (;; i = next[i]) {
			d[k++] = *udp_batch_datagram(b, i);
			if (i == s->last)
				break;
		}
		udp_session_forward(s, d, k);
	}
}

static void receive(struct udp_door *door)
{
	struct udp_batch *b = udp_lane_desk(door->lane)->batch;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		int n = udp_batch_receive(b, door->io.fd);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0)
			forward(door, (unsigned)n);
		if (n >= 0 && n < UDP_BATCH)
			return;
	}
	worker_again(door->lane->base.worker, &door->again);
}

static void on_door(struct io *io, uint32_t events)
{
	(void)events;
	receive(CONTAINER_OF(io, struct udp_door, io));
}

static void on_again(struct task *t)
{
	receive(CONTAINER_OF(t, struct udp_door, again));
}

/* ---- the lane --------------------------------------------------------------------------------------------------- */

static void *desk_new(struct worker *w, const struct service_env *env)
{
	struct udp_desk *d = calloc(1, sizeof *d);

	(void)w;
	if (d == NULL)
		return NULL;
	slab_init(&d->sessions, sizeof(struct udp_session));
	udp_shelf_init(&d->waiting);
	d->agents = env->agents;
	d->quotas = env->quotas;
	if (udp_batch_new(&d->batch) == 0)
		return d;
	free(d);
	return NULL;
}

static void desk_free(void *desk)
{
	struct udp_desk *d = desk;

	slab_fini(&d->sessions);
	udp_batch_free(d->batch);
	free(d);
}

/* A multiplicative hash: neighbouring ports, as of a range, go to different workers. */
static unsigned owner_of(unsigned port, unsigned workers)
{
	return (unsigned)((port * UINT32_C(2654435761)) >> 16) % workers;
}

static bool owns(const struct port *p, unsigned fd_index, unsigned worker)
{
	if (p->group > 1)
		return port_serves_member(p, fd_index, worker);
	return owner_of(p->object->mapping.port_first + port_offset(p, fd_index), p->n_lanes) == worker;
}

static void stop_receiving(struct udp_lane *l)
{
	for (unsigned i = 0; l->doors != NULL && i < l->doors->n; i++) {
		io_del(l->base.worker, &l->doors->at[i].io);
		list_remove(&l->doors->at[i].again.link);
	}
}

static struct client_gate *gate_of(const struct udp_lane *l, const char *client)
{
	struct agents *agents = udp_lane_desk(l)->agents;

	return client[0] != '\0' && agents != NULL ? agents_gate(agents, client) : NULL;
}

static void set_clients(struct udp_lane *l)
{
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct client_gate *client = l->client, *source = l->source;

	l->client = gate_of(l, conf->target_client);
	l->source = str_eq(conf->source_client, conf->target_client) ? NULL : gate_of(l, conf->source_client);
	if (l->client != client || l->source != source)
		memset(l->shared, 0, sizeof l->shared);
	client_gate_unref(client);
	client_gate_unref(source);
}

static void set_quota(struct udp_lane *l)
{
	l->allowance = quotas_get(udp_lane_desk(l)->quotas, lane_conf(&l->base)->account);
}

static struct lane *lane_new(struct worker *w, void *desk, struct port *p)
{
	struct udp_lane *l = calloc(1, sizeof *l);

	if (l == NULL)
		return NULL;
	lane_init(&l->base, w, desk, p);
	map_init(&l->by_client);
	list_init(&l->sessions);
	udp_shelf_init(&l->waiting);
	timer_init(&l->expiry, on_expiry);
	l->quiet_idle_ns = l->quiet_until_ns = UINT64_MAX;
	target_init(&l->target, w);
	target_set(&l->target, lane_conf(&l->base)->target_host);
	set_clients(l);
	set_quota(l);
	return &l->base;
}

/* Its doors are still there when the sessions of a deleted mapping went on through them. */
static void lane_free(struct lane *base)
{
	struct udp_lane *l = udp(base);

	visit_door_close(&l->visits);
	stop_receiving(l);
	free(l->doors);
	wheel_disarm(&l->expiry);
	map_free(&l->by_client);
	target_fini(&l->target);
	client_gate_unref(l->client);
	client_gate_unref(l->source);
	lane_fini(base);
	free(l);
}

static void on_doors_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct udp_doors, grave));
}

static bool is_any(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
	return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

/* On a socket of every address each datagram tells which one it came to, so that the answer leaves from there. */
static int door_open(struct udp_door *d, struct udp_lane *l, unsigned fd_index)
{
	const struct port *p = l->base.port;
	socklen_t len = sizeof d->bound.v6;
	int fd = p->fds[fd_index], on = 1, rc = 0;

	*d = (struct udp_door){ .lane = l, .offset = (uint16_t)port_offset(p, fd_index) };
	d->member = (uint16_t)(fd_index % p->group);
	io_init(&d->io, on_door, fd);
	task_init(&d->again, on_again);
	if (getsockname(fd, &d->bound.sa, &len) != 0)
		return -1;
	d->bound.len = len;
	if (is_any(&d->bound) && d->bound.sa.sa_family == AF_INET6)
		rc = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
	else if (is_any(&d->bound))
		rc = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
	return rc == 0 ? io_add(l->base.worker, &d->io, EPOLLIN | EPOLLET) : -1;
}

static void on_visit(struct visit_door *d, const struct visit *v)
{
	udp_visit_open(CONTAINER_OF(d, struct udp_lane, visits), v);
}

static int lane_open(struct lane *base)
{
	struct udp_lane *l = udp(base);
	const struct port *p = base->port;

	if (lane_conf(base)->source_client[0] != '\0')
		return visit_door_open(&l->visits, udp_lane_desk(l)->agents, base->worker, base->object->id,
			lane_conf(base), on_visit);
	l->doors = calloc(1, sizeof *l->doors + p->n_fds * sizeof l->doors->at[0]);
	if (l->doors == NULL)
		return -1;
	task_init(&l->doors->grave, on_doors_buried);
	for (unsigned i = 0; i < p->n_fds; i++) {
		if (!owns(p, i, base->worker->index))
			continue;
		if (door_open(&l->doors->at[l->doors->n], l, i) != 0)
			return -1;
		l->doors->n++;
	}
	return 0;
}

static void lane_cut(struct lane *base)
{
	struct list *first;

	while ((first = list_first(&udp(base)->sessions)) != NULL)
		udp_session_close(session_of(first));
}

/* Without the port there is no way to answer: its sessions end with it. */
static void lane_shut(struct lane *base)
{
	struct udp_lane *l = udp(base);

	visit_door_close(&l->visits);
	stop_receiving(l);
	lane_cut(base);
	if (l->doors != NULL)
		worker_bury(base->worker, &l->doors->grave);
	l->doors = NULL;
}

/* The successor has them, and it hears what their targets answer: the socket is one and the same. */
static void end_moved(struct udp_lane *l)
{
	LIST_FOREACH_SAFE (it, &l->sessions) {
		struct udp_session *s = session_of(it);

		if (!s->moved)
			continue;
		io_del(l->base.worker, &s->io); /* closing alone leaves a shared socket in the epoll */
		udp_session_close(s);
	}
}

/*
 * When a successor has the sockets, what comes to the port is for it to take, and only sessions that began after they
 * were packed are left here. Without one, the sessions there are go on for a moment (of a deleted mapping: as long as it
 * says), and new ones are not begun.
 */
static void lane_quiesce(struct lane *base, enum lane_quiet why)
{
	struct udp_lane *l = udp(base);

	l->quiet = true;
	if (why != QUIET_DELETED) {
		l->quiet_idle_ns = QUIET_IDLE_NS;
		l->quiet_until_ns = MIN(l->quiet_until_ns, base->worker->now_ns + QUIET_MAX_NS);
	}
	if (why == QUIET_YIELDED) {
		stop_receiving(l);
		end_moved(l);
	}
	set_expiry(l);
}

static void lane_set(struct lane *base)
{
	struct udp_lane *l = udp(base);

	target_set(&l->target, lane_conf(base)->target_host);
	set_clients(l);
	set_quota(l);
	set_expiry(l);
}

static bool lane_list(struct lane *base, conn_info_fn fn, void *arg)
{
	struct conn_info info;

	LIST_FOREACH (it, &udp(base)->sessions) {
		udp_session_info(session_of(it), &info);
		if (!fn(&info, arg))
			return false;
	}
	return true;
}

static bool lane_cut_one(struct lane *base, uint64_t conn)
{
	LIST_FOREACH (it, &udp(base)->sessions) {
		if (session_of(it)->id == conn) {
			udp_session_close(session_of(it));
			return true;
		}
	}
	return false;
}

static int lane_hand_over(struct lane *base, handover_fn fn, void *arg)
{
	LIST_FOREACH (it, &udp(base)->sessions) {
		int rc = udp_handover_session(session_of(it), fn, arg);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static struct udp_door *door_of(struct udp_lane *l, unsigned fd_index)
{
	unsigned offset = port_offset(l->base.port, fd_index), member = fd_index % l->base.port->group;

	for (unsigned i = 0; l->doors != NULL && i < l->doors->n; i++)
		if (l->doors->at[i].offset == offset && l->doors->at[i].member == member)
			return &l->doors->at[i];
	return NULL;
}

static void lane_adopt(struct lane *base, unsigned fd_index, const struct handover_socket *socket)
{
	struct udp_lane *l = udp(base);
	struct udp_door *door = door_of(l, fd_index);

	if (door == NULL) {
		close(socket->fd);
		return;
	}
	udp_handover_adopt(door, socket);
	set_expiry(l);
}

const struct port_kind udp_lane_kind = {
	.name = "udp",
	.protocol = MAPPING_UDP,
	.conn_fds = 1,
	.desk_new = desk_new,
	.desk_free = desk_free,
	.owns = owns,
	.lane_new = lane_new,
	.lane_free = lane_free,
	.lane_open = lane_open,
	.lane_shut = lane_shut,
	.lane_quiesce = lane_quiesce,
	.lane_set = lane_set,
	.lane_cut = lane_cut,
	.lane_list = lane_list,
	.lane_cut_one = lane_cut_one,
	.lane_hand_over = lane_hand_over,
	.lane_adopt = lane_adopt,
};
