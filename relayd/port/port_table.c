#include "relayd/port/port_table.h"

#include "common/base/str.h"
#include "relayd/conf/object.h"
#include "relayd/loop/workers.h"
#include "relayd/port/port.h"
#include "relayd/port/port_kind.h"
#include "relayd/port/port_socket.h"

void port_table_init(struct port_table *t, struct workers *workers)
{
	map_init(&t->by_id);
	list_init(&t->gone);
	t->workers = workers;
}

void port_table_fini(struct port_table *t)
{
	map_free(&t->by_id);
}

void port_table_stats(const struct port_table *t, struct service_stats *out)
{
	struct port *p;
	size_t it = 0;

	*out = (struct service_stats){ .ports = 0 };
	while ((p = map_next(&t->by_id, &it)) != NULL) {
		out->connections += gate_now(&p->gate);
		out->ports += p->n_fds;
	}
	LIST_FOREACH (gone, &t->gone) {
		p = CONTAINER_OF(gone, struct port, gone);
		out->connections += gate_now(&p->gate);
		out->ports += p->n_fds;
	}
}

/* Visits a worker's lanes, those of deleted mappings too, until fn has enough. */
typedef bool (*lane_fn)(struct lane *l, const struct port *p, void *arg);

static void each_lane(struct port_table *t, unsigned worker, lane_fn fn, void *arg)
{
	struct port *p;
	size_t it = 0;

	while ((p = map_next(&t->by_id, &it)) != NULL)
		if (p->lanes[worker] != NULL && !fn(p->lanes[worker], p, arg))
			return;
	LIST_FOREACH (gone, &t->gone) {
		p = CONTAINER_OF(gone, struct port, gone);
		if (p->lanes[worker] != NULL && !fn(p->lanes[worker], p, arg))
			return;
	}
}

struct listing {
	struct port_table *table;
	const char *mapping; /* NULL: all */
	conn_info_fn fn;
	void *arg;
	bool enough;
};

static bool list_lane(struct lane *l, const struct port *p, void *arg)
{
	struct listing *x = arg;

	if (x->mapping == NULL || str_eq(x->mapping, p->id))
		x->enough = !p->kind->lane_list(l, x->fn, x->arg);
	return !x->enough;
}

static void work_list(struct worker *w, void *arg)
{
	struct listing *x = arg;

	if (!x->enough)
		each_lane(x->table, w->index, list_lane, x);
}

void port_table_list(struct port_table *t, const char *mapping, conn_info_fn fn, void *arg)
{
	struct listing x = { .table = t, .mapping = mapping, .fn = fn, .arg = arg };

	workers_call_each(t->workers, work_list, &x);
}

struct cutting {
	struct port_table *table;
	uint64_t conn;
	bool found;
};

static bool cut_in_lane(struct lane *l, const struct port *p, void *arg)
{
	struct cutting *x = arg;

	x->found = p->kind->lane_cut_one(l, x->conn);
	return !x->found;
}

static void work_cut(struct worker *w, void *arg)
{
	struct cutting *x = arg;

	if (!x->found)
		each_lane(x->table, w->index, cut_in_lane, x);
}

bool port_table_cut(struct port_table *t, uint64_t conn)
{
	struct cutting x = { .table = t, .conn = conn };

	workers_call_each(t->workers, work_cut, &x);
	return x.found;
}

struct handing {
	struct port_table *table;
	handover_fn fn;
	void *arg;
	int rc;
};

static int hand_over_sockets(struct port *p, handover_fn fn, void *arg)
{
	const struct mapping_conf *conf = &p->object->mapping;
	int rc = 0;

	for (unsigned i = 0; i < p->n_fds && rc == 0; i++) {
		struct port_socket at = { .bind = conf->bind };
		struct handover_socket out = { .fd = p->fds[i] };

		at.port = (uint16_t)(conf->port_first + port_offset(p, i));
		port_socket_key(out.key, p->kind->name, &at, i % p->group);
		rc = fn(&out, arg);
	}
	return rc;
}

static bool hand_over_lane(struct lane *l, const struct port *p, void *arg)
{
	struct handing *x = arg;

	if (p->kind->lane_hand_over != NULL && p->state == PORT_OPEN)
		x->rc = p->kind->lane_hand_over(l, x->fn, x->arg);
	return x->rc == 0;
}

static void work_hand_over(struct worker *w, void *arg)
{
	struct handing *x = arg;

	if (x->rc == 0)
		each_lane(x->table, w->index, hand_over_lane, x);
}

int port_table_hand_over(struct port_table *t, handover_fn fn, void *arg)
{
	struct handing x = { .table = t, .fn = fn, .arg = arg };
	struct port *p;
	size_t it = 0;

	while (x.rc == 0 && (p = map_next(&t->by_id, &it)) != NULL)
		x.rc = hand_over_sockets(p, fn, arg);
	if (x.rc == 0)
		workers_call_each(t->workers, work_hand_over, &x);
	return x.rc;
}
