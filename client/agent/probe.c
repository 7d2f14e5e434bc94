#define _GNU_SOURCE
#include "client/agent/probe.h"

#include "client/agent/dial.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/tunnel/frame_check.h"
#include "common/uv/fd_budget.h"
#include "common/uv/sys.h"
#include "common/uv/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_LINE 12 /* "HTTP/1.1 200": the rest does not matter */

struct probe {
	struct worker *worker;
	const struct frame_check_spec *spec;
	const struct probe_ops *ops;
	void *arg;
	struct dial *dial; /* NULL: connected */
	struct io io;
	struct timer timer;
	struct task grave;
	struct buf request;
	size_t sent;
	uint8_t answer[STATUS_LINE];
	size_t got;
	bool over;
};

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void on_buried(struct task *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, grave);

	buf_free(&p->request);
	free(p);
}

void probe_cancel(struct probe *p)
{
	if (p == NULL || p->over)
		return;
	p->over = true;
	dial_cancel(p->dial);
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

int probe_status(const uint8_t *p, size_t n)
{
	static const char shape[] = "HTTP/1.d ddd";
	int status = 0;

	for (size_t i = 0; i < MIN(n, (size_t)STATUS_LINE); i++) {
		if (shape[i] == 'd' ? p[i] < '0' || p[i] > '9' : p[i] != (uint8_t)shape[i])
			return -1;
		if (i >= 9)
			status = status * 10 + (p[i] - '0');
	}
	if (n < STATUS_LINE)
		return 0;
	return status >= 100 ? status : -1;
}

static bool is_expected(const struct frame_check_spec *s, int status)
{
	return s->expect != 0 ? status == s->expect : status >= 200 && status < 400;
}

static void write_request(struct probe *p)
{
	const bool literal = strchr(p->spec->host, ':') != NULL;

	buf_printf(&p->request, "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\n", p->spec->path, literal ? "[" : "",
		p->spec->host, literal ? "]" : "", (unsigned)p->spec->port);
	buf_printf(&p->request, "User-Agent: portway-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n");
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
	while (p->got < STATUS_LINE) {
		ssize_t n = sys_recv(p->io.fd, p->answer + p->got, STATUS_LINE - p->got, 0);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return err_set_sys(e, ERR_UNAVAILABLE, n < 0 ? errno : ECONNRESET, "no answer to the check");
		p->got += (size_t)n;
	}
	int status = probe_status(p->answer, p->got);

	if (status < 0)
		return err_set(e, ERR_PROTOCOL, NULL, "the answer to the check is not HTTP");
	return is_expected(p->spec, status) ? 1 : err_set(e, ERR_UNAVAILABLE, NULL, "HTTP status %d", status);
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
	write_request(p);
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
	const struct dial_conf conf = { .host = spec->host,
		.port = spec->port,
		.type = SOCK_STREAM,
		.timeout_ms = spec->timeout_ms,
		.may = may_dial,
		.on_done = on_dialled,
		.arg = p };

	if (p == NULL || !fd_budget_take(w->fds, 1, FD_FOR_SESSIONS)) {
		free(p);
		return NULL;
	}
	p->ops = ops;
	p->arg = arg;
	p->dial = dial_start(w, &conf);
	if (p->dial == NULL) {
		free(p);
		fd_budget_give(w->fds, 1);
		return NULL;
	}
	probe_init(p, w, spec);
	return p;
}
