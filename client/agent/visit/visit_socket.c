#define _GNU_SOURCE
#include "client/agent/visit/visit_socket.h"

#include "client/agent/visit/visit_tcp.h"
#include "client/agent/visit/visit_udp.h"
#include "client/agent/visit/visits.h"
#include "common/base/err.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "common/uv/accept.h"
#include "common/uv/fd_budget.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static int address_of(const struct visit *v, uint16_t port, struct addr *out)
{
	return addr_parse_ip(out, v->offer.bind[0] != '\0' ? v->offer.bind : VISIT_BIND, port);
}

bool visit_sockets_are_allowed(const struct visit *v)
{
	struct addr a;

	for (unsigned port = v->offer.first; port <= v->offer.last; port++)
		if (address_of(v, (uint16_t)port, &a) != 0 || !allow_has_addr(v->all->allow, &a))
			return false;
	return true;
}

/* ---- TCP ---------------------------------------------------------------------------------------------------------- */

static void on_pause_over(struct timer *t)
{
	struct visit_socket *s = CONTAINER_OF(t, struct visit_socket, pause);

	if (io_add(s->visit->all->worker, &s->io, EPOLLIN) != 0)
		wheel_arm(&s->visit->all->worker->wheel, t, s->visit->all->worker->now_ns + ACCEPT_PAUSE_NS);
}

static void pause_accepting(struct visit_socket *s)
{
	struct worker *w = s->visit->all->worker;

	io_del(w, &s->io);
	wheel_arm(&w->wheel, &s->pause, w->now_ns + ACCEPT_PAUSE_NS);
}

static void on_accepted(void *arg, int fd, const struct addr *from)
{
	const struct visit_socket *s = arg;

	visit_tcp_open(s->visit, fd, s->port, from);
}

/* Level-triggered: what is left wakes us again. */
static void on_connection(struct io *io, uint32_t events)
{
	struct visit_socket *s = CONTAINER_OF(io, struct visit_socket, io);
	bool shortage;

	(void)events;
	accept_some(io->fd, ACCEPT_MAX, on_accepted, s, &shortage);
	if (shortage)
		pause_accepting(s);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static int refuse_sys(const struct visit *v, uint16_t port, struct err *e)
{
	const enum err_code code = errno == EADDRINUSE ? ERR_ADDR_IN_USE : errno == EACCES ? ERR_IO : ERR_UNAVAILABLE;

	return err_set_sys(e, code, errno, "%s:%u", v->offer.bind[0] != '\0' ? v->offer.bind : VISIT_BIND, port);
}

static int open_fd(int *out, const struct visit *v, uint16_t port, struct err *e)
{
	bool udp = v->offer.kind == FRAME_UDP;
	struct addr a;
	int fd, one = 1;

	if (address_of(v, port, &a) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "'%s' is not an IP address", v->offer.bind);
	fd = socket(a.sa.sa_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse_sys(v, port, e);
	if (!udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, &a.sa, a.len) == 0 && (udp || listen(fd, BACKLOG) == 0)) {
		*out = fd;
		return 0;
	}
	refuse_sys(v, port, e);
	close(fd);
	return -1;
}

static void init_one(struct visit_socket *s, struct visit *v, uint16_t port)
{
	s->visit = v;
	s->port = port;
	timer_init(&s->pause, on_pause_over);
	task_init(&s->again, visit_udp_on_again);
	io_init(&s->io, v->offer.kind == FRAME_UDP ? visit_udp_on_socket : on_connection, -1);
}

static int open_one(struct visit_socket *s, struct err *e)
{
	uint32_t events = s->visit->offer.kind == FRAME_UDP ? EPOLLIN | EPOLLET : EPOLLIN;

	if (open_fd(&s->io.fd, s->visit, s->port, e) != 0)
		return -1;
	return io_add(s->visit->all->worker, &s->io, events) == 0 ? 0 : err_set(e, ERR_NOMEM, NULL, "out of memory");
}

int visit_sockets_open(struct visit *v, struct err *e)
{
	unsigned n = (unsigned)(v->offer.last - v->offer.first) + 1;

	if (!visit_sockets_are_allowed(v))
		return err_set(e, ERR_PERMISSION, NULL, "the agent's `listen` does not let it listen on %s, port %u",
			v->offer.bind[0] != '\0' ? v->offer.bind : VISIT_BIND, v->offer.first);
	if (!fd_budget_take(v->all->worker->fds, n, FD_FOR_PORTS))
		return err_set(e, ERR_NO_DESCRIPTORS, NULL, "the agent has no descriptor left for %u ports", n);
	v->sockets = calloc(1, sizeof *v->sockets + n * sizeof v->sockets->at[0]);
	if (v->sockets == NULL) {
		fd_budget_give(v->all->worker->fds, n);
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	}
	v->sockets->n = n;
	for (unsigned i = 0; i < n; i++)
		init_one(&v->sockets->at[i], v, (uint16_t)(v->offer.first + i));
	for (unsigned i = 0; i < n; i++)
		if (open_one(&v->sockets->at[i], e) != 0) {
			visit_sockets_close(v);
			return -1;
		}
	return 0;
}

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct visit_sockets, grave));
}

void visit_sockets_close(struct visit *v)
{
	struct worker *w = v->all->worker;

	if (v->sockets == NULL)
		return;
	for (unsigned i = 0; i < v->sockets->n; i++) {
		struct visit_socket *s = &v->sockets->at[i];

		wheel_disarm(&s->pause);
		list_remove(&s->again.link);
		io_close(&s->io);
	}
	fd_budget_give(w->fds, v->sockets->n);
	task_init(&v->sockets->grave, on_buried);
	worker_bury(w, &v->sockets->grave); /* events of this round may still be told */
	v->sockets = NULL;
}
