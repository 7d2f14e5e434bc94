#include "relayd/port/port_service.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/loop/workers.h"
#include "relayd/port/adopted.h"
#include "relayd/port/port.h"
#include "relayd/port/port_kind.h"
#include "relayd/port/port_steps.h"
#include "relayd/port/port_table.h"

#include <stdlib.h>
#include <unistd.h>

#define RETRY_MIN_MS UINT64_C(1000)
#define RETRY_MAX_MS UINT64_C(30000)
#define LOOK_MAX_MS  60000 /* the wall clock may be set: expiry is looked at this often at least */

struct port_service {
	const struct port_kind *kind;
	struct service_env env;
	void **desks; /* by worker */
	struct port_table ports;
	struct list todo;        /* the change under way */
	struct list waiting;     /* for a retry or an expiry */
	struct adopted *adopted; /* until the first apply */
	enum port_mode mode;
	uint64_t drain_ms; /* monotonic; when the last connection ends; 0: no drain */
	uv_timer_t timer;
	uv_async_t on_unused;
	unsigned handles; /* libuv's, to be closed */
	uv_mutex_t lock;
	struct list unused; /* ports without a reference, under lock */
};

static struct port *todo_port(struct list *it)
{
	return CONTAINER_OF(it, struct port, todo);
}

/* ---- ports that nobody uses any more ---------------------------------------------------------------------------- */

/* On the thread that dropped the last reference. */
static void work_unused(struct port *p, void *arg)
{
	struct port_service *s = arg;

	uv_mutex_lock(&s->lock);
	list_push_back(&s->unused, &p->unused);
	uv_mutex_unlock(&s->lock);
	uv_async_send(&s->on_unused);
}

static void close_port(struct port_service *s, struct port *p)
{
	port_close_sockets(p, s->env.fds);
	if (p->kind->release != NULL)
		p->kind->release(p, &s->env);
}

static void reap(struct port_service *s)
{
	struct list dead, *first;

	list_init(&dead);
	uv_mutex_lock(&s->lock);
	list_splice(&dead, &s->unused);
	uv_mutex_unlock(&s->lock);
	while ((first = list_first(&dead)) != NULL) {
		struct port *p = CONTAINER_OF(first, struct port, unused);

		list_remove(&p->unused);
		list_remove(&p->gone);
		close_port(s, p);
		if (p->metered)
			meter_slot_put(s->env.meter, &p->gate.slot);
		port_free(p);
	}
}

static void on_unused(uv_async_t *async)
{
	reap(async->data);
}

/* ---- carrying out a change -------------------------------------------------------------------------------------- */

static void refuse(struct port_service *s, struct port *p, const struct err *why)
{
	refusals_set(s->env.refusals, p->object, why);
	p->refused = true;
	p->retry_ms = clock_mono_ms() + MIN(RETRY_MIN_MS << MIN(p->attempt, 8), RETRY_MAX_MS);
	p->attempt++;
	log_debug("port_refused", log_s("mapping", p->id), log_s("reason", why->msg));
}

static void shut_port(struct port_service *s, struct port *p)
{
	close_port(s, p);
	if (p->state == PORT_OPEN)
		p->state = PORT_OFF;
}

/* The mapping is gone: only its connections hold the port now, and with it sockets that they live by. */
static void leave_port(struct port_service *s, struct port *p)
{
	p->state = PORT_GONE;
	if (p->refused)
		refusals_clear(s->env.refusals, p->id);
	map_remove_str(&s->ports.by_id, p->id);
	list_push_back(&s->ports.gone, &p->gone);
	port_unref(p);
}

static void clear_todo(struct list *todo)
{
	struct list *first;

	while ((first = list_first(todo)) != NULL)
		list_remove(first);
}

/* Sessions of deleted mappings end where their port numbers are p's now. False: nobody held one. */
static bool take_from_deleted(struct port_service *s, const struct port *p)
{
	struct list holders;

	list_init(&holders);
	LIST_FOREACH (it, &s->ports.gone) {
		struct port *gone = CONTAINER_OF(it, struct port, gone);

		if (gone->n_fds == 0 || !port_overlaps(gone->object, p->object))
			continue;
		gone->steps = STEP_SHUT;
		list_push_back(&holders, &gone->todo);
	}
	if (list_empty(&holders))
		return false;
	port_steps_run(&holders, s->env.workers, s->desks, NULL);
	LIST_FOREACH (it, &holders)
		shut_port(s, todo_port(it));
	clear_todo(&holders);
	return true;
}

static int open_sockets(struct port_service *s, struct port *p, struct err *why)
{
	if (p->kind->claim != NULL)
		return p->kind->claim(p, &s->env, why);
	if (port_open_sockets(p, s->adopted, s->env.fds, why) == 0)
		return 0;
	if ((why->code != ERR_ADDR_IN_USE && why->code != ERR_NO_DESCRIPTORS) || !take_from_deleted(s, p))
		return -1;
	return port_open_sockets(p, s->adopted, s->env.fds, why);
}

/* The sockets; -1 with the reason. */
static int open_port(struct port_service *s, struct port *p, struct err *why)
{
	if (p->object->mapping.target_client[0] != '\0' && s->env.agents == NULL)
		return err_set(
			why, ERR_UNAVAILABLE, "target_client_id", "this relay takes no agents: agents.listen is off");
	if (!p->metered && meter_slot_get(s->env.meter, p->id, &p->gate.slot, why) != 0)
		return -1;
	p->metered = true;
	if (open_sockets(s, p, why) != 0)
		return -1;
	p->state = PORT_OPEN;
	p->steps = STEP_OPEN;
	return 0;
}

static void open_ports(struct port_service *s)
{
	struct err why;

	LIST_FOREACH (it, &s->todo) {
		struct port *p = todo_port(it);

		p->steps = 0;
		if (p->state != PORT_OFF || s->mode != PORTS_SERVE || !port_steps_may_serve(p->object))
			continue;
		if (open_port(s, p, &why) != 0)
			refuse(s, p, &why);
	}
	port_steps_run(&s->todo, s->env.workers, s->desks, s->adopted);
}

/* A worker without memory or descriptors for its lane makes the port off everywhere. */
static void shut_failed(struct port_service *s)
{
	struct err why;

	LIST_FOREACH (it, &s->todo)
		todo_port(it)->steps = todo_port(it)->failed ? STEP_SHUT : 0;
	port_steps_run(&s->todo, s->env.workers, s->desks, NULL);
	LIST_FOREACH (it, &s->todo) {
		struct port *p = todo_port(it);

		if (!p->failed)
			continue;
		p->failed = 0;
		shut_port(s, p);
		err_set(&why, ERR_OVERLOADED, NULL, "out of memory or descriptors for port %u",
			(unsigned)p->object->mapping.port_first);
		refuse(s, p, &why);
	}
}

/* It is neither in a change nor in trouble: what is left to wait for? */
static void finish_port(struct port_service *s, struct port *p)
{
	p->next = NULL;
	if (p->retry_ms == 0) {
		if (p->refused)
			refusals_clear(s->env.refusals, p->id);
		p->refused = false;
		p->attempt = 0;
	}
	if (p->retry_ms != 0 || (p->state == PORT_OPEN && p->object->mapping.expires_ms != 0))
		list_push_back(&s->waiting, &p->waiting);
}

static void look_later(struct port_service *s);

/* Carries out what is in todo: first everything that lets go of sockets, then what needs them. */
static void settle(struct port_service *s)
{
	struct list *first;

	LIST_FOREACH (it, &s->todo) {
		struct port *p = todo_port(it);

		list_remove(&p->waiting);
		p->retry_ms = 0;
		port_steps_plan(p, s->mode);
	}
	port_steps_run(&s->todo, s->env.workers, s->desks, NULL);
	LIST_FOREACH_SAFE (it, &s->todo) {
		struct port *p = todo_port(it);

		if (p->steps & STEP_SHUT)
			shut_port(s, p);
		if (p->steps & STEP_LEAVE) {
			list_remove(&p->todo);
			leave_port(s, p);
		}
	}
	open_ports(s);
	shut_failed(s);
	while ((first = list_first(&s->todo)) != NULL) {
		list_remove(first);
		finish_port(s, todo_port(first));
	}
	reap(s);
	look_later(s);
}

static void add_todo(struct port_service *s, struct port *p, const struct object *next)
{
	p->next = next;
	list_remove(&p->todo);
	list_push_back(&s->todo, &p->todo);
}

static void add_all(struct port_service *s)
{
	struct port *p;
	size_t it = 0;

	while ((p = map_next(&s->ports.by_id, &it)) != NULL)
		add_todo(s, p, p->object);
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

/* Monotonic milliseconds of the next thing to do for a waiting port. */
static uint64_t due_ms(const struct port *p, uint64_t now_ms)
{
	int64_t left;

	if (p->retry_ms != 0)
		return p->retry_ms;
	left = p->object->mapping.expires_ms - clock_wall_ms();
	return left > 0 ? now_ms + (uint64_t)left : now_ms;
}

static void add_gone(struct port_service *s)
{
	LIST_FOREACH (it, &s->ports.gone) {
		struct port *p = CONTAINER_OF(it, struct port, gone);

		add_todo(s, p, NULL);
	}
}

static void cut_all(struct port_service *s)
{
	add_all(s);
	add_gone(s);
	LIST_FOREACH (it, &s->todo)
		todo_port(it)->steps = STEP_CUT;
	port_steps_run(&s->todo, s->env.workers, s->desks, NULL);
	clear_todo(&s->todo);
}

/* Sessions that go on by the sockets of deleted mappings hold up the end no longer than the others. */
static void quiesce_gone(struct port_service *s)
{
	add_gone(s);
	LIST_FOREACH (it, &s->todo)
		todo_port(it)->steps = todo_port(it)->n_fds > 0 ? STEP_QUIESCE : 0;
	port_steps_run(&s->todo, s->env.workers, s->desks, NULL);
	clear_todo(&s->todo);
}

static void on_timer(uv_timer_t *timer)
{
	struct port_service *s = timer->data;
	uint64_t now_ms = clock_mono_ms();

	if (s->drain_ms != 0 && now_ms >= s->drain_ms) {
		s->drain_ms = 0;
		cut_all(s);
	}
	LIST_FOREACH (it, &s->waiting) {
		struct port *p = CONTAINER_OF(it, struct port, waiting);

		if (due_ms(p, now_ms) <= now_ms)
			add_todo(s, p, p->object);
	}
	settle(s);
}

static void look_later(struct port_service *s)
{
	uint64_t now_ms = clock_mono_ms(), next = UINT64_MAX;

	LIST_FOREACH (it, &s->waiting)
		next = MIN(next, due_ms(CONTAINER_OF(it, struct port, waiting), now_ms));
	if (s->drain_ms != 0)
		next = MIN(next, s->drain_ms);
	uv_timer_stop(&s->timer);
	if (next == UINT64_MAX)
		return;
	uv_update_time(s->env.loop);
	uv_timer_start(&s->timer, on_timer, next > now_ms ? MIN(next - now_ms, LOOK_MAX_MS) : 0, 0);
}

/* ---- the service ------------------------------------------------------------------------------------------------ */

static struct port *new_port(struct port_service *s, const struct object *o)
{
	struct port *p;
	struct err why = { .code = ERR_NONE };

	if (port_new(&p, s->kind, o, workers_count(s->env.workers)) == 0) {
		if (map_put_str(&s->ports.by_id, p->id, p, NULL) == 0) {
			p->on_unused = work_unused;
			p->arg = s;
			gate_set(&p->gate, &o->mapping, clock_mono_ns());
			return p;
		}
		port_free(p);
	}
	err_set(&why, ERR_NOMEM, NULL, "out of memory for this mapping");
	refusals_set(s->env.refusals, o, &why);
	return NULL;
}

static void on_difference(const struct object *old, const struct object *new_, void *arg)
{
	struct port_service *s = arg;
	struct port *p = old != NULL ? map_get_str(&s->ports.by_id, old->id) : NULL;

	if (new_ != NULL && (new_->kind != OBJECT_MAPPING || !port_kind_takes(s->kind, new_->mapping.protocol)))
		new_ = NULL;
	if (p == NULL && new_ != NULL)
		p = new_port(s, new_);
	if (p != NULL)
		add_todo(s, p, new_);
}

void port_service_apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	struct port_service *s = self;

	snapshot_diff(old, new_, on_difference, s);
	settle(s);
	adopted_free(s->adopted);
	s->adopted = NULL;
}

void port_service_quiesce(void *self, bool handed_over)
{
	struct port_service *s = self;

	s->mode = handed_over ? PORTS_HANDED_OVER : PORTS_QUIET;
	if (!handed_over)
		quiesce_gone(s);
	add_all(s);
	settle(s);
}

void port_service_drain(void *self, uint64_t deadline_mono_ms)
{
	struct port_service *s = self;

	if (deadline_mono_ms == 0)
		cut_all(s);
	s->drain_ms = deadline_mono_ms;
	look_later(s);
}

void port_service_stats(void *self, struct service_stats *out)
{
	struct port_service *s = self;

	port_table_stats(&s->ports, out);
	out->fds = out->ports + out->connections * s->kind->conn_fds;
}

void port_service_list(void *self, const char *mapping, conn_info_fn fn, void *arg)
{
	struct port_service *s = self;
	bool all = mapping == NULL || mapping[0] == '\0';

	port_table_list(&s->ports, all ? NULL : mapping, fn, arg);
}

bool port_service_cut(void *self, uint64_t conn)
{
	struct port_service *s = self;

	return port_table_cut(&s->ports, conn);
}

int port_service_hand_over(void *self, handover_fn fn, void *arg)
{
	struct port_service *s = self;

	return port_table_hand_over(&s->ports, fn, arg);
}

void port_service_adopt(void *self, const struct handover_socket *socket)
{
	struct port_service *s = self;

	if (s->adopted != NULL || adopted_new(&s->adopted) == 0)
		adopted_add(s->adopted, socket);
	else
		close(socket->fd);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

int port_service_new(
	struct port_service **out, const struct port_kind *kind, const struct service_env *env, struct err *e)
{
	struct port_service *s = calloc(1, sizeof *s);
	unsigned n = workers_count(env->workers);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "%s ports: out of memory", kind->name);
	s->kind = kind;
	s->env = *env;
	port_table_init(&s->ports, env->workers);
	list_init(&s->todo);
	list_init(&s->waiting);
	list_init(&s->unused);
	uv_mutex_init(&s->lock);
	s->desks = calloc(n, sizeof *s->desks);
	for (unsigned i = 0; s->desks != NULL && i < n; i++) {
		s->desks[i] = kind->desk_new(workers_at(env->workers, i), env);
		if (s->desks[i] == NULL)
			goto fail;
	}
	if (s->desks == NULL || uv_timer_init(env->loop, &s->timer) != 0)
		goto fail;
	s->timer.data = s;
	s->handles++;
	if (uv_async_init(env->loop, &s->on_unused, on_unused) != 0)
		goto fail;
	s->on_unused.data = s;
	s->handles++;
	*out = s;
	return 0;
fail:
	err_set(e, ERR_NOMEM, NULL, "%s ports: out of memory for %u workers", kind->name, n);
	port_service_stop(s);
	return -1;
}

static void free_service(struct port_service *s)
{
	uv_mutex_destroy(&s->lock);
	free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct port_service *s = h->data;

	if (--s->handles == 0)
		free_service(s);
}

/* Every connection ends here: the workers do not run, so the calls to them run on this thread. */
static void end_ports(struct port_service *s)
{
	struct port *p;
	size_t it = 0;

	cut_all(s);
	s->mode = PORTS_QUIET;
	while ((p = map_next(&s->ports.by_id, &it)) != NULL)
		add_todo(s, p, NULL);
	settle(s);
	for (unsigned i = 0; i < workers_count(s->env.workers); i++)
		worker_bury_all(workers_at(s->env.workers, i));
	reap(s);
}

void port_service_stop(void *self)
{
	struct port_service *s = self;

	if (s->handles == 2)
		end_ports(s);
	for (unsigned i = 0; s->desks != NULL && i < workers_count(s->env.workers); i++)
		if (s->desks[i] != NULL)
			s->kind->desk_free(s->desks[i]);
	free(s->desks);
	port_table_fini(&s->ports);
	adopted_free(s->adopted);
	if (s->handles == 0) {
		free_service(s);
		return;
	}
	if (s->handles == 2)
		uv_close((uv_handle_t *)&s->on_unused, on_handle_closed);
	uv_close((uv_handle_t *)&s->timer, on_handle_closed);
}
