#include "relayd/services.h"

#include "relayd/datagram/datagram_service.h"
#include "relayd/http/http_service.h"
#include "relayd/stream/stream_service.h"
#include "relayd/vhost/vhost_service.h"

#include <string.h>
#include <unistd.h>

int services_init(struct services *s, const struct service_env *env, struct err *e)
{
	static int (*const makers[])(struct service * out, const struct service_env *env, struct err *e) = {
		stream_service_new,
		datagram_service_new,
		http_service_new, /* before those that open the shared ports: a host must not be unknown only because it comes next */
		vhost_http_service_new,
		vhost_tls_service_new,
	};

	for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
		if (makers[i](&s->list[s->n], env, e) != 0)
			return -1;
		s->n++;
	}
	return 0;
}

struct service *services_find(struct services *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->list[i].ops->name, name) == 0)
			return &s->list[i];
	return NULL;
}

void services_apply(struct services *s, struct snapshot *old, struct snapshot *new_)
{
	for (size_t i = 0; i < s->n; i++)
		s->list[i].ops->apply(s->list[i].self, old, new_);
}

/* The agents, who are first, go last: whoever is still in the queue of a port is served by them. */
void services_quiesce(struct services *s, bool handed_over)
{
	for (size_t i = s->n; i-- > 0;)
		s->list[i].ops->quiesce(s->list[i].self, handed_over);
}

void services_drain(struct services *s, uint64_t deadline_mono_ms)
{
	for (size_t i = 0; i < s->n; i++)
		s->list[i].ops->drain(s->list[i].self, deadline_mono_ms);
}

void services_stop(struct services *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->list[i].ops->stop(s->list[i].self);
	s->n = 0;
}

void services_stats(struct services *s, struct service_stats *sum)
{
	*sum = (struct service_stats){ .connections = 0 };
	for (size_t i = 0; i < s->n; i++) {
		struct service_stats one = { .connections = 0 };

		s->list[i].ops->stats(s->list[i].self, &one);
		sum->connections += one.connections;
		sum->ports += one.ports;
		sum->fds += one.fds;
	}
}

struct collect {
	struct conn_info *out;
	uint32_t n, max;
	bool more;
};

static bool on_connection(const struct conn_info *c, void *arg)
{
	struct collect *to = arg;

	if (to->n == to->max) {
		to->more = true;
		return false;
	}
	to->out[to->n++] = *c;
	return true;
}

uint32_t services_connections(struct services *s, const char *mapping, struct conn_info *out, uint32_t max, bool *more)
{
	struct collect to = { .out = out, .max = max };

	for (size_t i = 0; i < s->n && !to.more; i++)
		s->list[i].ops->list(s->list[i].self, mapping, on_connection, &to);
	*more = to.more;
	return to.n;
}

bool services_cut(struct services *s, uint64_t conn)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].ops->cut(s->list[i].self, conn))
			return true;
	return false;
}

struct named {
	const char *service;
	services_socket_fn fn;
	void *arg;
};

static int on_socket(const struct handover_socket *s, void *arg)
{
	struct named *to = arg;

	return to->fn(to->service, s, to->arg);
}

int services_hand_over(struct services *s, services_socket_fn fn, void *arg)
{
	for (size_t i = 0; i < s->n; i++) {
		struct named to = { s->list[i].ops->name, fn, arg };
		int r = s->list[i].ops->hand_over(s->list[i].self, on_socket, &to);

		if (r != 0)
			return r;
	}
	return 0;
}

void services_adopt(struct services *s, const char *service, const struct handover_socket *socket)
{
	const struct service *to = services_find(s, service);

	if (to != NULL)
		to->ops->adopt(to->self, socket);
	else
		close(socket->fd);
}
