#include "relayd/health/probe.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/crypto/tls.h"
#include "common/http/http_check.h"
#include "common/uv/connector.h"
#include "common/uv/fd_budget.h"
#include "common/uv/side.h"
#include "common/uv/sys.h"
#include "common/uv/worker.h"
#include "proto/pool_conf.h"
#include "relayd/health/agent_way.h"
#include "relayd/health/grpc_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(POOL_BODY_SIZE <= HTTP_CHECK_TEXT, "what a pool may look for is found");
_Static_assert(sizeof(struct pool_status) == sizeof(struct http_check_status), "one list of statuses");

/*
 *   CONNECTING --> [ HANDSHAKE ] --> [ ASKING ] --> OVER
 *       `--------------+-----------------+----------^      an error, too late, cancelled
 */
enum probe_state { PROBE_CONNECTING, PROBE_HANDSHAKE, PROBE_ASKING, PROBE_OVER };

struct probe {
	struct worker *worker;
	struct probe_conf conf;
	enum probe_state state;
	struct connector *connector; /* NULL: connected, or an agent does it */
	struct agent_way way;
	struct side side; /* a socket, or a stream of an agent */
	struct tls_session *tls;
	struct timer timer;
	struct task grave;
	struct buf request;
	struct http_check check;
	struct grpc_check grpc; /* with POOL_CHECK_GRPC; its `out` is what is sent */
	struct http_check_conf question;
	uint64_t began_ns, asked_ns;
	struct probe_result result;
};

static bool is_agents(const struct probe *p)
{
	return p->conf.client != NULL && p->conf.client[0] != '\0';
}

/* ---- the end ---- */

static void on_buried(struct task *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, grave);

	tls_session_free(p->tls);
	buf_free(&p->request);
	http_check_fini(&p->check);
	grpc_check_fini(&p->grpc);
	free(p);
}

void probe_cancel(struct probe *p)
{
	if (p == NULL || p->state == PROBE_OVER)
		return;
	p->state = PROBE_OVER;
	connector_cancel(p->connector);
	agent_way_fini(&p->way);
	wheel_disarm(&p->timer);
	side_close(&p->side, false);
	if (!is_agents(p))
		fd_budget_give(p->worker->fds, 1);
	worker_bury(p->worker, &p->grave);
}

static void probe_end(struct probe *p, const struct err *why)
{
	const uint64_t now = clock_mono_ns();

	p->result.why = why;
	p->result.status = p->check.status;
	if (why == NULL && p->asked_ns != 0)
		p->result.answer_ns = MAX(1, now - p->asked_ns);
	probe_cancel(p);
	p->conf.on_done(p->conf.arg, &p->result);
}

/* ---- bytes of the socket or the stream: as agent_way_read(), with errno ---- */

static ssize_t raw_send(struct probe *p, const void *from, size_t n)
{
	ssize_t r;

	if (p->side.ops != NULL) {
		errno = EPIPE;
		return agent_way_write(&p->way, from, n);
	}
	r = sys_send(p->side.io.fd, from, n, MSG_NOSIGNAL);
	return r >= 0 ? r : errno == EAGAIN ? -1 : -2;
}

static ssize_t raw_receive(struct probe *p, void *to, size_t n)
{
	ssize_t r;

	if (p->side.ops != NULL)
		return agent_way_read(&p->way, to, n);
	r = sys_recv(p->side.io.fd, to, n, 0);
	return r >= 0 ? r : errno == EAGAIN ? -1 : -2;
}

/* ---- bytes, in clear or not: a number, 0 at the end, -1 for later, -2 and *e ---- */

static ssize_t send_some(struct probe *p, const void *from, size_t n, struct err *e)
{
	const ssize_t r = p->tls != NULL ? tls_session_write(p->tls, from, n) : raw_send(p, from, n);

	if (r > 0)
		return r;
	if (p->tls != NULL ? r == TLS_AGAIN : r != -2)
		return -1;
	if (p->tls != NULL)
		err_set(e, ERR_UNAVAILABLE, NULL, "TLS: %s", r == TLS_CLOSED ? "closed" : tls_session_reason(p->tls));
	else
		err_set_sys(e, ERR_UNAVAILABLE, errno, "the check's request");
	return -2;
}

static ssize_t receive_some(struct probe *p, void *to, size_t n, struct err *e)
{
	const ssize_t r = p->tls != NULL ? tls_session_read(p->tls, to, n) : raw_receive(p, to, n);

	if (r > 0 || (p->tls == NULL && r == 0))
		return r;
	if (p->tls != NULL && r == TLS_CLOSED)
		return 0;
	if (p->tls != NULL ? r == TLS_AGAIN : r == -1)
		return -1;
	if (p->tls != NULL)
		err_set(e, ERR_UNAVAILABLE, NULL, "TLS: %s", tls_session_reason(p->tls));
	else
		err_set_sys(e, ERR_UNAVAILABLE, errno, "no answer to the check");
	return -2;
}

static ssize_t on_tls_send(void *arg, const void *p, size_t n)
{
	const ssize_t r = raw_send(arg, p, n);

	return r >= 0 ? r : r == -1 ? TLS_AGAIN : TLS_FAILED;
}

static ssize_t on_tls_receive(void *arg, void *p, size_t n)
{
	const ssize_t r = raw_receive(arg, p, n);

	return r > 0 ? r : r == 0 ? TLS_CLOSED : r == -1 ? TLS_AGAIN : TLS_FAILED;
}

/* ---- steps: 1: the next one, or it works; 0: later; -1 and *e ---- */

static int shake_hands(struct probe *p, struct err *e)
{
	const int r = tls_session_handshake(p->tls);

	if (r == TLS_AGAIN)
		return 0;
	if (r != 0)
		return err_set(e, ERR_UNAVAILABLE, NULL, "TLS handshake: %s",
			r == TLS_CLOSED ? "the connection ended" : tls_session_reason(p->tls));
	return 1;
}

static bool is_grpc(const struct probe *p)
{
	return p->conf.how->type == POOL_CHECK_GRPC;
}

static int send_request(struct probe *p, struct err *e)
{
	struct buf *out = is_grpc(p) ? &p->grpc.out : &p->request;

	while (out->len > 0) {
		const ssize_t n = send_some(p, out->data, out->len, e);

		if (n < 0)
			return n == -1 ? 0 : -1;
		buf_consume(out, (size_t)n);
	}
	return 1;
}

/* Acknowledgements that the answer asked for go out at once. */
static int read_grpc(struct probe *p, struct err *e)
{
	enum grpc_check_says says = GRPC_CHECK_MORE;
	uint8_t bytes[4096];

	while (says == GRPC_CHECK_MORE) {
		const ssize_t n = receive_some(p, bytes, sizeof bytes, e);

		if (n < 0)
			return n == -1 ? 0 : -1;
		says = n > 0 ? grpc_check_feed(&p->grpc, bytes, (size_t)n) : grpc_check_eof(&p->grpc);
		if (says == GRPC_CHECK_MORE && send_request(p, e) < 0)
			return -1;
	}
	return says == GRPC_CHECK_GOOD ? 1 : err_set(e, ERR_UNAVAILABLE, NULL, "%s", p->grpc.why);
}

static int read_answer(struct probe *p, struct err *e)
{
	enum http_check_says says = HTTP_CHECK_MORE;
	uint8_t bytes[4096];

	while (says == HTTP_CHECK_MORE) {
		const ssize_t n = receive_some(p, bytes, sizeof bytes, e);

		if (n < 0)
			return n == -1 ? 0 : -1;
		says = n > 0 ? http_check_feed(&p->check, bytes, (size_t)n) : http_check_eof(&p->check);
	}
	return says == HTTP_CHECK_GOOD ? 1 : err_set(e, ERR_UNAVAILABLE, NULL, "%s", p->check.why);
}

static int ask(struct probe *p, struct err *e)
{
	const struct pool_health *how = p->conf.how;
	const bool own_host = how->host != NULL && how->host[0] != '\0';

	p->asked_ns = clock_mono_ns();
	if (is_grpc(p)) {
		grpc_check_init(&p->grpc, own_host ? how->host : p->conf.host, how->service, p->tls != NULL);
		return p->grpc.out.failed ? err_set(e, ERR_NOMEM, NULL, "the relay is out of memory") : 1;
	}

	p->question = (struct http_check_conf){ .method = how->method[0] != '\0' ? how->method : "GET",
		.path = how->path[0] != '\0' ? how->path : "/",
		.host = own_host ? how->host : p->conf.host,
		.port = own_host ? 0 : p->conf.port,
		.agent = "portway-relay",
		.statuses = (const struct http_check_status *)how->statuses,
		.n_statuses = how->n_statuses,
		.text = how->body };
	http_check_init(&p->check, &p->question);
	http_check_request(&p->check, &p->request);
	return p->request.failed ? err_set(e, ERR_NOMEM, NULL, "the relay is out of memory") : 1;
}

static int step(struct probe *p, struct err *e)
{
	int r = 1;

	if (p->state == PROBE_HANDSHAKE) {
		r = shake_hands(p, e);
		if (r <= 0 || p->conf.how->type == POOL_CHECK_TLS)
			return r;
		p->state = PROBE_ASKING;
		r = ask(p, e);
	}
	if (r == 1)
		r = send_request(p, e);
	if (r != 1)
		return r;
	return is_grpc(p) ? read_grpc(p, e) : read_answer(p, e);
}

/* ---- the way there ---- */

static void on_due(struct timer *t)
{
	static const char *const where[] = { [PROBE_CONNECTING] = "no connection",
		[PROBE_HANDSHAKE] = "no TLS handshake",
		[PROBE_ASKING] = "no answer",
		[PROBE_OVER] = "" };
	struct probe *p = CONTAINER_OF(t, struct probe, timer);
	struct err e = { .code = ERR_NONE };

	err_set(&e, ERR_TIMEOUT, NULL, "%s within %u ms",
		is_agents(p) && !side_is_open(&p->side) ? "no agent of its client is here" : where[p->state],
		(unsigned)p->conf.how->timeout_ms);
	probe_end(p, &e);
}

/* 0: there is more to do than to connect; 1: it works; -1 and *e. A socket is watched from then on; a stream tells of itself. */
static int begin(struct probe *p, struct err *e)
{
	const struct tls_io io = { .send = on_tls_send, .recv = on_tls_receive, .arg = p };

	if (p->conf.how->type == POOL_CHECK_TCP)
		return 1;
	if (p->conf.tls != NULL) {
		p->state = PROBE_HANDSHAKE;
		p->asked_ns = clock_mono_ns();
		if (tls_session_new(&p->tls, p->conf.tls, &io, e) != 0)
			return -1;
		if (tls_session_expect(p->tls, p->conf.server_name) != 0)
			return err_set(e, ERR_NOMEM, NULL, "TLS: '%s' cannot be asked for", p->conf.server_name);
	} else {
		p->state = PROBE_ASKING;
		if (ask(p, e) < 0)
			return -1;
	}
	if (p->side.ops == NULL && io_add(p->worker, &p->side.io, IO_STREAM) != 0)
		return err_set_sys(e, ERR_NOMEM, errno, "the relay cannot watch the check's connection");
	return 0;
}

static int hear(struct probe *p, uint32_t events, struct err *e)
{
	int r;

	if (p->state == PROBE_CONNECTING) {
		r = agent_way_hear(&p->way, events, e);
		if (r == 1) {
			p->result.connect_ns = MAX(1, clock_mono_ns() - p->began_ns);
			r = begin(p, e);
		}
		if (r != 0 || p->state == PROBE_CONNECTING)
			return r;
	} else if (p->side.ops != NULL) {
		side_hear(&p->side, p->worker, events);
		if (events & EPOLLERR)
			return err_set(e, ERR_UNAVAILABLE, NULL, "its agent ended the connection");
	}
	return step(p, e);
}

static void on_event(struct io *io, uint32_t events)
{
	struct probe *p = CONTAINER_OF(io, struct probe, side.io);
	struct err e = { .code = ERR_NONE };
	int r;

	if (p->state == PROBE_OVER)
		return;
	r = hear(p, events, &e);
	if (r != 0)
		probe_end(p, r > 0 ? NULL : &e);
}

static void on_connected(void *arg, int fd, const struct addr *to, const struct err *why)
{
	struct probe *p = arg;
	struct err e = { .code = ERR_NONE };
	int r;

	(void)to;
	p->connector = NULL;
	if (fd < 0) {
		probe_end(p, why);
		return;
	}
	p->result.connect_ns = MAX(1, clock_mono_ns() - p->began_ns);
	side_init(&p->side, on_event, fd);
	r = begin(p, &e);
	if (r != 0)
		probe_end(p, r > 0 ? NULL : &e);
}

/* Its agents are found in a turn of its own: nothing is told within probe_start(). */
static void on_find(struct task *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, way.task);
	struct err e = { .code = ERR_NONE };

	if (p->state == PROBE_CONNECTING && agent_way_find(&p->way, &e) != 0)
		probe_end(p, &e);
}

static bool on_may(const struct addr *to, void *arg)
{
	const struct probe *p = arg;

	return p->conf.may == NULL || p->conf.may(to, p->conf.arg);
}

static int start_agents(struct probe *p)
{
	p->way = (struct agent_way){ .worker = p->worker,
		.agents = p->conf.agents,
		.client = p->conf.client,
		.backend = p->conf.backend,
		.host = p->conf.host,
		.port = p->conf.how->port != 0 ? p->conf.how->port : p->conf.port,
		.side = &p->side };
	task_init(&p->way.task, on_find);
	worker_finish(p->worker, &p->way.task);
	return 0;
}

static int start_socket(struct probe *p)
{
	const struct probe_conf *conf = &p->conf;
	const struct connector_conf way = { .host = conf->host,
		.port = conf->how->port != 0 ? conf->how->port : conf->port,
		.type = SOCK_STREAM,
		.timeout_ms = conf->how->timeout_ms,
		.may = on_may,
		.denied = "is not an address that its pool may be served from",
		.on_done = on_connected,
		.arg = p };

	if (!worker_take_fds(p->worker, 1))
		return -1;
	p->connector = connector_start(p->worker, &way);
	if (p->connector != NULL)
		return 0;
	fd_budget_give(p->worker->fds, 1);
	return -1;
}

struct probe *probe_start(struct worker *w, const struct probe_conf *conf)
{
	struct probe *p = calloc(1, sizeof *p);

	if (p == NULL)
		return NULL;
	p->worker = w;
	p->conf = *conf;
	p->began_ns = clock_mono_ns();
	side_init(&p->side, on_event, -1);
	task_init(&p->way.task, on_find);
	timer_init(&p->timer, on_due);
	task_init(&p->grave, on_buried);
	buf_init(&p->request, 4096);
	if ((is_agents(p) ? start_agents(p) : start_socket(p)) != 0) {
		free(p);
		return NULL;
	}
	wheel_arm(&w->wheel, &p->timer, w->now_ns + conf->how->timeout_ms * UINT64_C(1000000));
	return p;
}
