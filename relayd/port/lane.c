#include "relayd/port/lane.h"

#include "relayd/port/port_kind.h"

static void on_deadline(struct timer *t)
{
	struct lane *l = CONTAINER_OF(t, struct lane, deadline);

	l->port->kind->lane_cut(l);
}

static void on_buried(struct task *t)
{
	struct lane *l = CONTAINER_OF(t, struct lane, grave);
	struct port *p = l->port;

	p->lanes[l->worker->index] = NULL;
	p->kind->lane_free(l);
	port_unref(p);
}

void lane_init(struct lane *l, struct worker *w, void *desk, struct port *p)
{
	l->worker = w;
	l->desk = desk;
	l->port = port_ref(p);
	l->object = object_ref(p->object);
	l->live = 0;
	l->leaving = false;
	timer_init(&l->deadline, on_deadline);
	task_init(&l->grave, on_buried);
}

void lane_fini(struct lane *l)
{
	wheel_disarm(&l->deadline);
	object_unref(l->object);
}

void lane_set_object(struct lane *l, const struct object *o)
{
	object_unref(l->object);
	l->object = object_ref(o);
}

void lane_leave(struct lane *l, uint64_t until_ns)
{
	l->leaving = true;
	if (l->live == 0)
		worker_bury(l->worker, &l->grave);
	else if (until_ns == 0)
		l->port->kind->lane_cut(l);
	else if (until_ns != UINT64_MAX)
		wheel_arm(&l->worker->wheel, &l->deadline, until_ns);
}

void lane_add(struct lane *l)
{
	l->live++;
}

void lane_remove(struct lane *l)
{
	if (--l->live == 0 && l->leaving)
		worker_bury(l->worker, &l->grave);
}
