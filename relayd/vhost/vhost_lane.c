#include "relayd/vhost/vhost_lane.h"

#include "relayd/stream/session.h"
#include "relayd/stream/tcp_lane.h"
#include "relayd/vhost/arrival.h"
#include "relayd/vhost/front.h"
#include "relayd/vhost/vhost.h"

#include <stdlib.h>

struct vhost_desk {
	struct tcp_desk tcp; /* first: sessions know it only */
	struct front_seat *seat;
};

struct vhost_lane {
	struct tcp_lane tcp; /* first */
	struct vhost vhost;
};

static struct front_seat *seat_of(const struct tcp_lane *l)
{
	return ((const struct vhost_desk *)l->base.desk)->seat;
}

static struct vhost_lane *of_base(struct lane *base)
{
	return CONTAINER_OF(base, struct vhost_lane, tcp.base);
}

/* ---- connections -------------------------------------------------------------------------------------------------- */

static void on_farewell(struct tcp_lane *l, int fd, enum farewell why)
{
	arrival_leave(seat_of(l), fd, refusal_of_farewell(l->base.port->kind->protocol, why));
}

/* A PROXY header that nobody asked for is what anybody may have written. */
static void on_connection(struct vhost *v, int fd, const struct addr *from, bool proxied)
{
	struct tcp_lane *l = &CONTAINER_OF(v, struct vhost_lane, vhost)->tcp;

	if (proxied && !lane_conf(&l->base)->proxy_in) {
		meter_add(&tcp_lane_gate(l)->slot, l->base.worker->index, METER_refused_proxy, 1);
		on_farewell(l, fd, FAREWELL_BAD);
		return;
	}
	session_open(l, fd, from, lane_conf(&l->base)->target_port);
}

/* ---- what a worker keeps ------------------------------------------------------------------------------------------ */

static void *desk_new(struct worker *w, const struct service_env *env, enum front_kind which)
{
	struct vhost_desk *d = calloc(1, sizeof *d);

	if (d == NULL)
		return NULL;
	tcp_desk_init(&d->tcp, env);
	d->seat = front_seat(env->fronts[which], w);
	return d;
}

static void *http_desk_new(struct worker *w, const struct service_env *env)
{
	return desk_new(w, env, FRONT_HTTP);
}

static void *tls_desk_new(struct worker *w, const struct service_env *env)
{
	return desk_new(w, env, FRONT_TLS);
}

static void desk_free(void *desk)
{
	tcp_desk_fini(desk);
	free(desk);
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static int claim(struct port *p, struct front *f, struct err *e)
{
	struct front_claim *c;

	if (front_open(f, e) != 0 || front_claim(f, &p->object->mapping.hosts, p->id, &c, e) != 0)
		return -1;
	p->claim = c;
	return 0;
}

static int http_claim(struct port *p, const struct service_env *env, struct err *e)
{
	return claim(p, env->fronts[FRONT_HTTP], e);
}

static int tls_claim(struct port *p, const struct service_env *env, struct err *e)
{
	return claim(p, env->fronts[FRONT_TLS], e);
}

static void http_release(struct port *p, const struct service_env *env)
{
	front_release(env->fronts[FRONT_HTTP], p->claim);
	p->claim = NULL;
}

static void tls_release(struct port *p, const struct service_env *env)
{
	front_release(env->fronts[FRONT_TLS], p->claim);
	p->claim = NULL;
}

/* ---- the lane ----------------------------------------------------------------------------------------------------- */

static struct lane *lane_new(struct worker *w, void *desk, struct port *p)
{
	struct vhost_lane *l = calloc(1, sizeof *l);

	if (l == NULL)
		return NULL;
	tcp_lane_init(&l->tcp, w, desk, p);
	l->tcp.farewell = on_farewell;
	vhost_init(&l->vhost, on_connection);
	return &l->tcp.base;
}

static void lane_free(struct lane *base)
{
	struct vhost_lane *l = of_base(base);

	tcp_lane_fini(&l->tcp);
	free(l);
}

static void lane_shut(struct lane *base)
{
	struct vhost_lane *l = of_base(base);

	host_map_leave(&seat_of(&l->tcp)->hosts, &l->vhost);
}

static int lane_open(struct lane *base)
{
	struct vhost_lane *l = of_base(base);
	const struct mapping_hosts *hosts = &base->port->object->mapping.hosts;

	for (uint32_t i = 0; i < hosts->n; i++)
		if (host_map_add(&seat_of(&l->tcp)->hosts, hosts->items[i], &l->vhost) != 0)
			return -1;
	return front_seat_listen(seat_of(&l->tcp));
}

/* Who has come to the shared port already is served by this process still, whoever gets the next ones. */
static void lane_quiesce(struct lane *base, enum lane_quiet why)
{
	if (why == QUIET_DELETED)
		lane_shut(base);
}

#define KIND(what, number)                                                                                             \
	{                                                                                                              \
		.name = #what, .protocol = number, .conn_fds = 2, .desk_new = what##_desk_new, .desk_free = desk_free, \
		.claim = what##_claim, .release = what##_release, .lane_new = lane_new, .lane_free = lane_free,        \
		.lane_open = lane_open, .lane_shut = lane_shut, .lane_quiesce = lane_quiesce,                          \
		.lane_set = tcp_lane_set, .lane_cut = tcp_lane_cut, .lane_list = tcp_lane_list,                        \
		.lane_cut_one = tcp_lane_cut_one,                                                                      \
	}
const struct port_kind vhost_http_kind = KIND(http, MAPPING_HTTP);
const struct port_kind vhost_tls_kind = KIND(tls, MAPPING_TLS);
