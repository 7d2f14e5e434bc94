#define _GNU_SOURCE
#include "common/uv/connector.h"

#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/uv/worker.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

/*
 *   RESOLVING --addresses--> CONNECTING --connected, none left, too late--> OVER
 *       |                                                                    ^
 *       +--------- not known, too late, cancelled ---------------------------+
 */
enum connector_state { CONNECTOR_RESOLVING, CONNECTOR_CONNECTING, CONNECTOR_OVER };

static const struct sm_state states[] = {
	[CONNECTOR_RESOLVING] = { "resolving", BIT(CONNECTOR_CONNECTING) | BIT(CONNECTOR_OVER) },
	[CONNECTOR_CONNECTING] = { "connecting", BIT(CONNECTOR_OVER) },
	[CONNECTOR_OVER] = { "over", 0 },
};

/* Outlives the connector if need be: libuv cannot take back a query that a thread works on. */
struct query {
	uv_getaddrinfo_t req;
	struct connector *connector; /* NULL: nobody wants it any more */
};

struct connector {
	int state;
	struct worker *worker;
	struct connector_conf conf;
	char host[CONNECTOR_HOST_SIZE];
	struct query *query;
	unsigned n, next;
	bool denied; /* an address was not fine */
	struct addr at[CONNECTOR_ADDRS_MAX];
	struct io io;
	struct timer timer;
	uint64_t ends_ns;
	struct task task; /* the first step; the burial */
	struct err why;   /* of the last address */
};

static void connector_move(struct connector *d, enum connector_state to)
{
	sm_move(states, &d->state, (int)to);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct connector, task));
}

static void connector_end(struct connector *d)
{
	connector_move(d, CONNECTOR_OVER);
	if (d->query != NULL) {
		d->query->connector = NULL;
		uv_cancel((uv_req_t *)&d->query->req);
		d->query = NULL;
	}
	wheel_disarm(&d->timer);
	list_remove(&d->task.link);
	d->task.run = on_buried;
	worker_bury(d->worker, &d->task);
}

static void give_up_attempt(struct connector *d)
{
	if (d->io.fd < 0)
		return;
	io_del(d->worker, &d->io);
	io_close(&d->io);
}

void connector_cancel(struct connector *d)
{
	if (d == NULL || d->state == CONNECTOR_OVER)
		return;
	give_up_attempt(d);
	connector_end(d);
}

static void connector_fail(struct connector *d)
{
	if (d->why.code == ERR_NONE && d->denied)
		err_set(&d->why, ERR_DENIED_TARGET, NULL, "%s:%u %s", d->host, (unsigned)d->conf.port,
			d->conf.denied != NULL ? d->conf.denied : "may not be connected to");
	else if (d->why.code == ERR_NONE)
		err_set(&d->why, ERR_UNAVAILABLE, NULL, "%s: no address", d->host);
	give_up_attempt(d);
	connector_end(d);
	d->conf.on_done(d->conf.arg, -1, NULL, &d->why);
}

static void connector_succeed(struct connector *d, int fd, const struct addr *to)
{
	struct addr copy = *to;

	connector_end(d);
	d->conf.on_done(d->conf.arg, fd, &copy, NULL);
}

/* ---- one address after the other ---------------------------------------------------------------------------------- */

static enum err_code code_of(int errnum)
{
	switch (errnum) {
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case ECONNREFUSED:
		return ERR_TARGET_REFUSED;
	case ENETUNREACH:
		return ERR_NO_ROUTE;
	default:
		return ERR_UNAVAILABLE;
	}
}

static void note(struct connector *d, const struct addr *to, int errnum)
{
	char text[ADDR_STRLEN];

	addr_print(to, text);
	err_set_sys(&d->why, code_of(errnum), errnum, "%s", text);
}

/* Connecting is under way; -1: not even that. */
static int start(struct connector *d, const struct addr *to)
{
	int fd = socket(to->sa.sa_family, d->conf.type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		note(d, to, errno);
		return -1;
	}
	if (connect(fd, &to->sa, to->len) == 0 || errno == EINPROGRESS)
		return fd;
	note(d, to, errno);
	close(fd);
	return -1;
}

/* What is left of the time is shared by the addresses that are left, so that one that does not answer leaves some. */
static void arm(struct connector *d, unsigned left)
{
	uint64_t now = d->worker->now_ns, rest = d->ends_ns > now ? d->ends_ns - now : 0;

	wheel_arm(&d->worker->wheel, &d->timer, now + rest / MAX(left, 1));
}

static void on_socket(struct io *io, uint32_t events);

static void next_address(struct connector *d)
{
	while (d->next < d->n) {
		const struct addr *to = &d->at[(d->conf.first + d->next) % d->n];
		unsigned left = d->n - d->next++;
		int fd;

		if (d->conf.may != NULL && !d->conf.may(to, d->conf.arg)) {
			d->denied = true;
			continue;
		}
		fd = start(d, to);
		if (fd < 0)
			continue;
		if (d->conf.type == SOCK_DGRAM) {
			connector_succeed(d, fd, to);
			return;
		}
		io_init(&d->io, on_socket, fd);
		if (io_add(d->worker, &d->io, EPOLLOUT | EPOLLET) == 0) {
			arm(d, left);
			return;
		}
		note(d, to, errno);
		io_close(&d->io);
	}
	connector_fail(d);
}

static const struct addr *current(const struct connector *d)
{
	return &d->at[(d->conf.first + d->next - 1) % d->n];
}

static void on_socket(struct io *io, uint32_t events)
{
	struct connector *d = CONTAINER_OF(io, struct connector, io);
	socklen_t len = sizeof(int);
	int error = 0, fd = io->fd;

	if (d->state != CONNECTOR_CONNECTING || !(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	io_del(d->worker, io);
	io->fd = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0) {
		connector_succeed(d, fd, current(d));
		return;
	}
	close(fd);
	note(d, current(d), error != 0 ? error : ECONNABORTED);
	next_address(d);
}

static void on_due(struct timer *t)
{
	struct connector *d = CONTAINER_OF(t, struct connector, timer);

	if (d->state == CONNECTOR_RESOLVING) {
		err_set(&d->why, ERR_TIMEOUT, NULL, "%s: the name was not resolved in time", d->host);
		connector_fail(d);
		return;
	}
	give_up_attempt(d);
	note(d, current(d), ETIMEDOUT);
	next_address(d);
}

/* ---- the name ----------------------------------------------------------------------------------------------------- */

static void take_addresses(struct connector *d, const struct addrinfo *list)
{
	for (; list != NULL && d->n < CONNECTOR_ADDRS_MAX; list = list->ai_next) {
		struct addr *a = &d->at[d->n];

		if (list->ai_family != AF_INET && list->ai_family != AF_INET6)
			continue;
		addr_from_sockaddr(a, list->ai_addr, list->ai_addrlen);
		addr_set_port(a, d->conf.port);
		d->n++;
	}
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct query *q = CONTAINER_OF(req, struct query, req);
	struct connector *d = q->connector;

	free(q);
	if (d != NULL) {
		d->query = NULL;
		if (status == 0)
			take_addresses(d, list);
		else
			err_set(&d->why, ERR_UNAVAILABLE, NULL, "%s: %s", d->host, uv_strerror(status));
		connector_move(d, CONNECTOR_CONNECTING);
		next_address(d);
	}
	uv_freeaddrinfo(list);
}

static int ask(struct connector *d)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = d->conf.type };
	struct query *q = malloc(sizeof *q);

	if (q == NULL)
		return -1;
	q->connector = d;
	if (uv_getaddrinfo(&d->worker->uv, &q->req, on_resolved, d->host, NULL, &hints) != 0) {
		free(q);
		return -1;
	}
	d->query = q;
	return 0;
}

static void on_first_step(struct task *t)
{
	struct connector *d = CONTAINER_OF(t, struct connector, task);

	if (addr_parse_ip(&d->at[0], d->host, d->conf.port) == 0) {
		d->n = 1;
		connector_move(d, CONNECTOR_CONNECTING);
		next_address(d);
	} else if (ask(d) != 0) {
		err_set(&d->why, ERR_NOMEM, NULL, "%s: cannot be resolved now", d->host);
		connector_fail(d);
	}
}

struct connector *connector_start(struct worker *w, const struct connector_conf *conf)
{
	struct connector *d = calloc(1, sizeof *d);

	if (d == NULL || str_copy(d->host, sizeof d->host, conf->host) != 0) {
		free(d);
		return NULL;
	}
	d->worker = w;
	d->conf = *conf;
	d->conf.host = d->host;
	d->ends_ns = w->now_ns + conf->timeout_ms * UINT64_C(1000000);
	io_init(&d->io, on_socket, -1);
	timer_init(&d->timer, on_due);
	task_init(&d->task, on_first_step);
	wheel_arm(&w->wheel, &d->timer, d->ends_ns);
	worker_again(w, &d->task);
	return d;
}
