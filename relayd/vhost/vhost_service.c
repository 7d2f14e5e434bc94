#include "relayd/vhost/vhost_service.h"

#include "common/base/err.h"
#include "relayd/port/port_service.h"
#include "relayd/vhost/front.h"
#include "relayd/vhost/vhost_lane.h"

#include <stdlib.h>

/* What a port service does for the mappings, and what the shared port needs besides. */
struct vhost_service {
	struct port_service *mappings;
	struct front *front;
};

/* The shared port opens with the first configuration: before it, every host would be unknown. */
static void apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	struct vhost_service *s = self;
	struct err ignored; /* it is in the log, and in the reasons of the mappings */

	if (front_port(s->front) != 0)
		(void)!front_open(s->front, &ignored);
	port_service_apply(s->mappings, old, new_);
	front_listen(s->front);
}

static void quiesce(void *self, bool handed_over)
{
	struct vhost_service *s = self;

	front_quiesce(s->front);
	port_service_quiesce(s->mappings, handed_over);
}

static void drain(void *self, uint64_t deadline_mono_ms)
{
	struct vhost_service *s = self;

	if (deadline_mono_ms == 0)
		front_cut(s->front);
	port_service_drain(s->mappings, deadline_mono_ms);
}

static void stop(void *self)
{
	struct vhost_service *s = self;

	port_service_stop(s->mappings);
	front_stop(s->front);
	free(s);
}

static void stats(void *self, struct service_stats *out)
{
	struct vhost_service *s = self;

	port_service_stats(s->mappings, out);
	front_stats(s->front, out);
}

static void list(void *self, const char *mapping, conn_info_fn fn, void *arg)
{
	port_service_list(((struct vhost_service *)self)->mappings, mapping, fn, arg);
}

static bool cut(void *self, uint64_t conn)
{
	return port_service_cut(((struct vhost_service *)self)->mappings, conn);
}

static int hand_over(void *self, handover_fn fn, void *arg)
{
	return front_hand_over(((struct vhost_service *)self)->front, fn, arg);
}

static void adopt(void *self, const struct handover_socket *socket)
{
	front_adopt(((struct vhost_service *)self)->front, socket);
}

#define OPS(service)                                                                                               \
	{                                                                                                          \
		.name = service, .apply = apply, .quiesce = quiesce, .drain = drain, .stop = stop, .stats = stats, \
		.list = list, .cut = cut, .hand_over = hand_over, .adopt = adopt                                   \
	}
static const struct service_ops http_ops = OPS("http"), tls_ops = OPS("tls");

static int service_new(struct service *out, const struct service_ops *ops, const struct port_kind *kind,
	const struct service_env *env, struct err *e)
{
	struct vhost_service *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "%s: out of memory", ops->name);
	if (port_service_new(&s->mappings, kind, env, e) != 0) {
		free(s);
		return -1;
	}
	s->front = env->fronts[kind == &vhost_http_kind ? FRONT_HTTP : FRONT_TLS];
	*out = (struct service){ .ops = ops, .self = s };
	return 0;
}

int vhost_http_service_new(struct service *out, const struct service_env *env, struct err *e)
{
	return service_new(out, &http_ops, &vhost_http_kind, env, e);
}

int vhost_tls_service_new(struct service *out, const struct service_env *env, struct err *e)
{
	return service_new(out, &tls_ops, &vhost_tls_kind, env, e);
}
