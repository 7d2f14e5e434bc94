#include "client/agent/target/probe.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/http/http_check.h"
#include "common/tunnel/frame_check.h"
#include "common/uv/connector.h"
#include "common/uv/fd_budget.h"
#include "common/uv/sys.h"
#include "common/uv/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct probe {
	struct worker *worker;
	const struct frame_check_spec *spec;
	const struct probe_ops *ops;
	void *arg;
	struct connector *dial; /* NULL: connected */
	struct io io;
	struct timer timer;
	struct task grave;
	struct buf request;
	size_t sent;
	struct http_check check;
	struct http_check_conf conf;
	struct http_check_status status;
	bool over;
};

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, grave);

	buf_free(&p->request);
	http_check_fini(&p->check);
	free(p);
}

void probe_cancel(struct probe *p)
{
	if (p == NULL || p->over)
		return;
	p->over = true;
	connector_cancel(p->dial);
	wheel_disarm(&p->timer);
	io_close(&p->io);
	fd_budget_give(p->worker->fds, 1);
	worker_bury(p->worker, &p->grave);
}

static void probe_end(struct probe *p, const struct err *why)
{
	probe_cancel(p);
	p->ops->on_done(p->arg, why);
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------- */

static void ask(struct probe *p)
{
	const struct frame_check_spec *s = p->spec;

	p->status = (struct http_check_status){ s->expect, s->expect };
	p->conf = (struct http_check_conf){ .method = "GET",
		.path = s->path,
		.host = s->host,
		.port = s->port,
		.agent = "portway-agent",
		.statuses = &p->status,
		.n_statuses = s->expect != 0 ? 1 : 0,
		.text = "" };
	http_check_init(&p->check, &p->conf);
	http_check_request(&p->check, &p->request);
}

/* 0: it goes on; -1 and *e. */
static int send_request(struct probe *p, struct err *e)
{
	while (p->sent < p->request.len) {
		ssize_t n = sys_send(p->io.fd, p->request.data + p->sent, p->request.len - p->sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : err_set_sys(e, ERR_UNAVAILABLE, errno, "the check's request");
		p->sent += (size_t)n;
	}
	return 0;
}

/* 1: it works; 0: more is to come; -1 and *e. */
static int read_answer(struct probe *p, struct err *e)
{
	enum http_check_says says = HTTP_CHECK_MORE;
	uint8_t bytes[1024];

	while (says == HTTP_CHECK_MORE) {
		ssize_t n = sys_recv(p->io.fd, bytes, sizeof bytes, 0);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return err_set_sys(e, ERR_UNAVAILABLE, errno, "no answer to the check");
		says = n > 0 ? http_check_feed(&p->check, bytes, (size_t)n) : http_check_eof(&p->check);
	}
	return says == HTTP_CHECK_GOOD ? 1 : err_set(e, ERR_UNAVAILABLE, NULL, "%s", p->check.why);
}

static void on_socket(struct io *io, uint32_t events)
{
	struct probe *p = CONTAINER_OF(io, struct probe, io);
	struct err e = { .code = ERR_NONE };
	int r;

	(void)events;
	r = send_request(p, &e);
	if (r == 0)
		r = read_answer(p, &e);
	if (r != 0)
		probe_end(p, r > 0 ? NULL : &e);
}

/* ---- the way there ------------------------------------------------------------------------------------------------ */

static void on_due(struct timer *t)
{
	struct err e = { .code = ERR_NONE };

	err_set(&e, ERR_TIMEOUT, NULL, "no answer in time");
	probe_end(CONTAINER_OF(t, struct probe, timer), &e);
}

static void on_dialled(void *arg, int fd, const struct addr *to, const struct err *e)
{
	struct probe *p = arg;
	struct err why = { .code = ERR_NONE };

	(void)to;
	p->dial = NULL;
	if (fd < 0) {
		probe_end(p, e);
		return;
	}
	io_init(&p->io, on_socket, fd);
	if (p->spec->type == FRAME_CHECK_TCP) {
		probe_end(p, NULL);
		return;
	}
	ask(p);
	if (!p->request.failed && io_add(p->worker, &p->io, IO_STREAM) == 0)
		return;
	err_set(&why, ERR_NOMEM, NULL, "the agent is out of memory");
	probe_end(p, &why);
}

static bool may_dial(const struct addr *to, void *arg)
{
	const struct probe *p = arg;

	return p->ops->may(to, p->arg);
}

static void probe_init(struct probe *p, struct worker *w, const struct frame_check_spec *spec)
{
	p->worker = w;
	p->spec = spec;
	io_init(&p->io, on_socket, -1);
	timer_init(&p->timer, on_due);
	task_init(&p->grave, on_buried);
	buf_init(&p->request, 1024);
	wheel_arm(&w->wheel, &p->timer, w->now_ns + spec->timeout_ms * UINT64_C(1000000));
}

struct probe *probe_start(struct worker *w, const struct frame_check_spec *spec, const struct probe_ops *ops, void *arg)
{
	struct probe *p = calloc(1, sizeof *p);
	const struct connector_conf conf = { .host = spec->host,
		.port = spec->port,
		.type = SOCK_STREAM,
		.timeout_ms = spec->timeout_ms,
		.may = may_dial,
		.denied = "is not on the agent's allow list",
		.on_done = on_dialled,
		.arg = p };

	if (p == NULL || !fd_budget_take(w->fds, 1, FD_FOR_SESSIONS)) {
		free(p);
		return NULL;
	}
	p->ops = ops;
	p->arg = arg;
	p->dial = connector_start(w, &conf);
	if (p->dial == NULL) {
		free(p);
		fd_budget_give(w->fds, 1);
		return NULL;
	}
	probe_init(p, w, spec);
	return p;
}
