#include "relayd/stream/tcp_lane.h"

#include "common/base/str.h"
#include "common/uv/accept.h"
#include "relayd/limit/quotas.h"
#include "relayd/stream/session.h"
#include "relayd/tunnel/agents.h"
#include "relayd/tunnel/client_gate.h"

#include <stdlib.h>

/* One listening socket. */
struct door {
	struct io io;
	struct tcp_lane *lane;
	uint16_t offset;  /* in the mapping's range */
	uint16_t expects; /* connections, by what the last round brought: the accept that finds nothing is saved */
};

struct doors {
	struct task grave;
	unsigned n;
	struct door at[];
};

static void on_doors_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct doors, grave));
}

static void stop_accepting(struct tcp_lane *l)
{
	for (unsigned i = 0; l->doors != NULL && i < l->doors->n; i++)
		io_del(l->base.worker, &l->doors->at[i].io);
}

/* All workers wait at the same socket, and the kernel wakes one of them (or each has its own: a hot mapping). */
static int start_accepting(struct tcp_lane *l)
{
	uint32_t events = l->base.port->group > 1 ? EPOLLIN : EPOLLIN | EPOLLEXCLUSIVE;

	for (unsigned i = 0; l->doors != NULL && i < l->doors->n; i++)
		if (io_add(l->base.worker, &l->doors->at[i].io, events) != 0)
			return -1;
	return 0;
}

static void on_pause_over(struct timer *t)
{
	struct tcp_lane *l = CONTAINER_OF(t, struct tcp_lane, pause);

	if (start_accepting(l) != 0) {
		stop_accepting(l);
		wheel_arm(&l->base.worker->wheel, t, l->base.worker->now_ns + ACCEPT_PAUSE_NS);
	}
}

/* Out of descriptors or memory: the socket stays readable, so it must not wake us again and again. */
static void pause_accepting(struct tcp_lane *l)
{
	meter_add(&tcp_lane_gate(l)->slot, l->base.worker->index, METER_refused_resource, 1);
	stop_accepting(l);
	wheel_arm(&l->base.worker->wheel, &l->pause, l->base.worker->now_ns + ACCEPT_PAUSE_NS);
}

static void on_accepted(void *arg, int fd, const struct addr *from)
{
	struct door *d = arg;

	session_open(d->lane, fd, from, (uint16_t)(lane_conf(&d->lane->base)->target_port + d->offset));
}

static unsigned accept_at(struct door *d, unsigned max)
{
	bool shortage;
	unsigned n = accept_some(d->io.fd, max, on_accepted, d, &shortage);

	if (shortage)
		pause_accepting(d->lane);
	return n;
}

/* Level-triggered: what is left wakes a worker again. */
static void on_door(struct io *io, uint32_t events)
{
	struct door *d = CONTAINER_OF(io, struct door, io);
	unsigned n = accept_at(d, d->expects);

	(void)events;
	d->expects = (uint16_t)(n == d->expects ? MIN(2 * n, ACCEPT_MAX) : MAX(n, 1));
}

void tcp_desk_init(struct tcp_desk *d, const struct service_env *env)
{
	slab_init(&d->sessions, session_size());
	d->agents = env->agents;
	d->quotas = env->quotas;
}

void tcp_desk_fini(struct tcp_desk *d)
{
	slab_fini(&d->sessions);
}

static void *desk_new(struct worker *w, const struct service_env *env)
{
	struct tcp_desk *d = calloc(1, sizeof *d);

	(void)w;
	if (d != NULL)
		tcp_desk_init(d, env);
	return d;
}

static void desk_free(void *desk)
{
	tcp_desk_fini(desk);
	free(desk);
}

static void on_refill(struct timer *t)
{
	struct flow_way *way = CONTAINER_OF(t, struct flow_way, refill);
	struct list due, *first;

	list_init(&due);
	list_splice(&due, &way->throttled);
	while ((first = list_first(&due)) != NULL) {
		list_remove(first);
		session_on_refill(CONTAINER_OF(first, struct flow, throttled), way->which);
	}
}

static void way_init(struct tcp_lane *l, enum gate_way which, enum meter_counter counter)
{
	struct flow_way *way = &l->way[which];

	*way = (struct flow_way){
		.worker = l->base.worker,
		.which = which,
		.cells = &tcp_lane_gate(l)->slot.cells,
		.cell = l->base.worker->index * METER_FILE_STRIDE + (size_t)counter,
		.rate = &tcp_lane_gate(l)->rate[which],
		.stock = &l->stock,
	};
	list_init(&way->throttled);
	timer_init(&way->refill, on_refill);
}

static struct client_gate *gate_of(const struct tcp_lane *l, const char *id)
{
	struct agents *agents = tcp_lane_desk(l)->agents;

	return id[0] != '\0' && agents != NULL ? agents_gate(agents, id) : NULL;
}

static void share(struct flow_way *way, unsigned place, struct rate *r)
{
	if (way->shared[place] != r)
		way->shared_slice[place] = (struct rate_slice){ .left = 0 };
	way->shared[place] = r;
}

/*
 * The clients at both ends, if the mapping has them, and what it may take of their own rates, which are to the agent and
 * from it: what comes in comes from the source's. One that is both counts once.
 */
static void set_clients(struct tcp_lane *l)
{
	const struct mapping_conf *conf = lane_conf(&l->base);
	struct client_gate *client = l->client, *source = l->source;

	l->client = gate_of(l, conf->target_client);
	l->source = str_eq(conf->source_client, conf->target_client) ? NULL : gate_of(l, conf->source_client);
	for (int i = 0; i < 2; i++) {
		share(&l->way[i], 0, l->client != NULL ? &l->client->rate[i] : NULL);
		share(&l->way[i], 1, l->source != NULL ? &l->source->rate[!i] : NULL);
	}
	client_gate_unref(client);
	client_gate_unref(source);
}

static void set_quota(struct tcp_lane *l)
{
	l->allowance = quotas_get(tcp_lane_desk(l)->quotas, lane_conf(&l->base)->account);
	l->way[GATE_IN].allowance = l->way[GATE_OUT].allowance = l->allowance;
}

void tcp_lane_init(struct tcp_lane *l, struct worker *w, void *desk, struct port *p)
{
	lane_init(&l->base, w, desk, p);
	list_init(&l->sessions);
	timer_init(&l->pause, on_pause_over);
	stock_init(&l->stock, w);
	way_init(l, GATE_IN, METER_bytes_in);
	way_init(l, GATE_OUT, METER_bytes_out);
	target_init(&l->target, w);
	target_set(&l->target, lane_conf(&l->base)->target_host);
	set_clients(l);
	set_quota(l);
}

void tcp_lane_fini(struct tcp_lane *l)
{
	visit_door_close(&l->visits);
	wheel_disarm(&l->way[GATE_IN].refill);
	wheel_disarm(&l->way[GATE_OUT].refill);
	target_fini(&l->target);
	client_gate_unref(l->client);
	client_gate_unref(l->source);
	lane_fini(&l->base);
}

static struct lane *lane_new(struct worker *w, void *desk, struct port *p)
{
	struct tcp_lane *l = calloc(1, sizeof *l);

	if (l == NULL)
		return NULL;
	tcp_lane_init(l, w, desk, p);
	return &l->base;
}

static struct tcp_lane *tcp(struct lane *base)
{
	return CONTAINER_OF(base, struct tcp_lane, base);
}

static void lane_free(struct lane *base)
{
	tcp_lane_fini(tcp(base));
	free(tcp(base));
}

static void on_visit(struct visit_door *d, const struct visit *v)
{
	session_visit(CONTAINER_OF(d, struct tcp_lane, visits), v);
}

static int lane_open(struct lane *base)
{
	struct tcp_lane *l = tcp(base);
	const struct port *p = base->port;

	if (lane_conf(base)->source_client[0] != '\0')
		return visit_door_open(&l->visits, tcp_lane_desk(l)->agents, base->worker, base->object->id,
			lane_conf(base), on_visit);
	l->doors = malloc(sizeof *l->doors + p->n_fds * sizeof l->doors->at[0]);
	if (l->doors == NULL)
		return -1;
	l->doors->n = 0;
	task_init(&l->doors->grave, on_doors_buried);
	for (unsigned i = 0; i < p->n_fds; i++) {
		struct door *d = &l->doors->at[l->doors->n];

		if (p->group > 1 && !port_serves_member(p, i, base->worker->index))
			continue;
		*d = (struct door){ .lane = l, .offset = (uint16_t)port_offset(p, i), .expects = 1 };
		io_init(&d->io, on_door, p->fds[i]);
		l->doors->n++;
	}
	return start_accepting(l);
}

static void lane_shut(struct lane *base)
{
	struct tcp_lane *l = tcp(base);

	visit_door_close(&l->visits);
	stop_accepting(l);
	/*
	 * Who is in the queue is served, as closing would reset them. A successor with the same socket does not see
	 * them: the kernel woke one waiter for each, and that may have been this one, a moment ago.
	 */
	for (unsigned i = 0; l->doors != NULL && i < l->doors->n; i++)
		accept_at(&l->doors->at[i], ACCEPT_QUEUE_MAX);
	wheel_disarm(&l->pause);
	if (l->doors != NULL)
		worker_bury(base->worker, &l->doors->grave);
	l->doors = NULL;
}

void tcp_lane_set(struct lane *base)
{
	struct tcp_lane *l = tcp(base);

	target_set(&l->target, lane_conf(base)->target_host);
	set_clients(l);
	set_quota(l);
	LIST_FOREACH_SAFE (it, &l->sessions)
		session_on_limits(session_of(it));
}

void tcp_lane_cut(struct lane *base)
{
	struct list *first;

	while ((first = list_first(&tcp(base)->sessions)) != NULL)
		session_cut(session_of(first));
}

bool tcp_lane_list(struct lane *base, conn_info_fn fn, void *arg)
{
	struct conn_info info;

	LIST_FOREACH (it, &tcp(base)->sessions) {
		session_info(session_of(it), &info);
		if (!fn(&info, arg))
			return false;
	}
	return true;
}

bool tcp_lane_cut_one(struct lane *base, uint64_t conn)
{
	LIST_FOREACH (it, &tcp(base)->sessions) {
		if (session_id(session_of(it)) == conn) {
			session_cut(session_of(it));
			return true;
		}
	}
	return false;
}

const struct port_kind tcp_lane_kind = {
	.name = "tcp",
	.protocol = MAPPING_TCP,
	.also = MAPPING_SOCKS5,
	.conn_fds = 2,
	.desk_new = desk_new,
	.desk_free = desk_free,
	.lane_new = lane_new,
	.lane_free = lane_free,
	.lane_open = lane_open,
	.lane_shut = lane_shut,
	.lane_set = tcp_lane_set,
	.lane_cut = tcp_lane_cut,
	.lane_list = tcp_lane_list,
	.lane_cut_one = tcp_lane_cut_one,
};
