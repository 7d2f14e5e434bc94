#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/proxy_protocol.h"
#include "common/tunnel/stream_side.h"
#include "common/uv/fd_budget.h"
#include "proto/dial_rule.h"
#include "relayd/conf/object.h"
#include "relayd/http/h2_back.h"
#include "relayd/http/wire_tls.h"
#include "relayd/tunnel/client_gate.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const struct mapping_conf *dial_of(const struct h1_back *b)
{
	return &b->base.backend->dial;
}

static struct backend_seat *seat_of(const struct h1_back *b)
{
	return &b->base.backend->seats[b->desk->worker->index];
}

static void set_timer(struct h1_back *b)
{
	if (b->dial.due_ns == UINT64_MAX)
		wheel_disarm(&b->timer);
	else
		wheel_arm(&b->desk->worker->wheel, &b->timer, b->dial.due_ns);
}

void h1_dial_end(struct h1_back *b)
{
	dial_fini(&b->dial);
	if (b->gate != NULL) {
		client_gate_leave(b->gate);
		client_gate_unref(b->gate);
		b->gate = NULL;
	}
}

int h1_dial_put_proxy_header(struct h1_back *b)
{
	uint8_t header[PROXY_OUT_MAX];
	const struct exchange *x = b->h2 != NULL ? h2_back_first(b) : b->base.x;
	struct addr from, to;
	size_t n;

	if (x == NULL)
		return -1;
	exchange_addrs(x, &from, &to);
	if (b->base.backend->dial.proxy_out == MAPPING_PROXY_V1)
		n = proxy_write_v1(header, &from, &to);
	else
		n = proxy_write_v2(header, &from, &to, false);
	return block_append(&b->desk->blocks, &b->out.kept, header, n);
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------- */

/* HTTP/2 over TLS is agreed on, or it is not spoken (RFC 9113 section 3.2). */
static bool agrees(const struct h1_back *b)
{
	size_t n;
	const char *alpn = tls_session_alpn(wire_tls_session(&b->wire), &n);

	return b->base.backend->object->pool.protocol != POOL_H2 || (n == 2 && memcmp(alpn, "h2", 2) == 0);
}

static void shake(struct h1_back *b)
{
	const int rc = wire_tls_handshake(&b->wire);

	if (rc == WIRE_AGAIN)
		return;
	b->securing = false;
	wheel_disarm(&b->timer);
	if (rc == 0 && agrees(b)) {
		h1_back_on_connected(b);
		return;
	}
	desk_count(b->desk, HTTP_COUNT_backend_tls);
	log_debug("backend_tls_failed", log_s("backend", backend_id(b->base.backend)),
		log_s("reason", rc == 0 ? "it does not speak HTTP/2" : wire_tls_reason(&b->wire)));
	h1_back_fail(b, BACK_NO_TLS);
}

/* A PROXY header stands in front of the handshake, in clear. */
static void secure(struct h1_back *b, uint64_t ends_ns)
{
	struct worker *w = b->desk->worker;

	if (dial_of(b)->proxy_out != MAPPING_PROXY_NONE) {
		if (h1_dial_put_proxy_header(b) != 0) {
			h1_back_fail(b, BACK_RESOURCE);
			return;
		}
		outbox_flush(&b->out, &b->desk->blocks, &b->wire);
	}
	if (!outbox_is_empty(&b->out) ||
		wire_tls_connect(&b->wire, w, b->base.backend->tls, backend_server_name(b->base.backend)) != 0) {
		h1_back_fail(b, BACK_RESOURCE);
		return;
	}
	b->securing = true;
	if (ends_ns != UINT64_MAX)
		wheel_arm(&w->wheel, &b->timer, ends_ns);
	shake(b);
}

static void connected(struct h1_back *b)
{
	const uint64_t ends_ns = b->dial.ends_ns;

	dial_fini(&b->dial);
	wheel_disarm(&b->timer);
	wire_open_clear(&b->wire);
	if (b->base.backend->tls != NULL)
		secure(b, ends_ns);
	else
		h1_back_on_connected(b);
}

/* ---- a socket of this relay ------------------------------------------------------------------------------------------ */

static bool may_be_dialled(const struct h1_back *b)
{
	const struct targets *t = b->dial.targets;

	for (unsigned i = 0; i < t->n; i++)
		if (dial_rule_allows(dial_of(b), &t->at[i]))
			return true;
	return false;
}

/* Of the last address that was tried. */
static enum back_failure why_not(const struct h1_back *b)
{
	if (b->error == ECONNREFUSED)
		return BACK_NOT_LISTENING;
	if (b->error == ETIMEDOUT)
		return BACK_CONNECT_LATE;
	return b->error != 0 || may_be_dialled(b) ? BACK_NO_CONNECTION : BACK_FORBIDDEN;
}

static int error_of(int fd)
{
	socklen_t len = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0 ? error : ECONNRESET;
}

/* The next of the target's addresses, or the end. */
static void dial_some(struct h1_back *b)
{
	struct worker *w = b->desk->worker;
	const int fd = dial_next(&b->dial, dial_of(b), w->now_ns);
	io_event_fn on_event = b->wire.side.io.on_event;

	if (fd < 0) {
		h1_back_fail(b, why_not(b));
		return;
	}
	side_init(&b->wire.side, on_event, fd);
	if (io_add(w, &b->wire.side.io, IO_STREAM) != 0) {
		io_close(&b->wire.side.io);
		h1_back_fail(b, BACK_RESOURCE);
		return;
	}
	set_timer(b);
}

/* ---- an agent that dials --------------------------------------------------------------------------------------------- */

static int open_stream(struct h1_back *b, const struct agents_found *found)
{
	struct frame_open open = { .kind = FRAME_TCP, .port = dial_of(b)->target_port, .zip = found->zip };

	str_copy(open.mapping, sizeof open.mapping, backend_id(b->base.backend));
	str_copy(open.host, sizeof open.host, dial_of(b)->target_host);
	if (stream_side_open(&b->wire.side, found->link, &open) != 0)
		return -1;
	b->wire.side.writable = true;
	if (b->fd_taken)
		fd_budget_give(b->desk->worker->fds, 1);
	b->fd_taken = false;
	return 0;
}

static struct agents_ask ask_of(struct h1_back *b)
{
	return (struct agents_ask){ .client = dial_of(b)->target_client,
		.mapping = backend_id(b->base.backend),
		.port = dial_of(b)->target_port,
		.wait = &b->task,
		.tried = &b->tried };
}

static bool enter_client(struct h1_back *b)
{
	struct client_gate *g;

	if (b->gate != NULL)
		return true;
	g = agents_gate(b->desk->agents, dial_of(b)->target_client);
	if (g == NULL || !client_gate_enter(g)) {
		client_gate_unref(g);
		return false;
	}
	b->gate = g;
	return true;
}

static void go_to_agent(struct h1_back *b, const struct agents_found *to)
{
	const uint64_t now = b->desk->worker->now_ns;

	b->tried.agent[b->tried.n++] = to->agent;
	if (open_stream(b, to) != 0) {
		h1_back_fail(b, BACK_RESOURCE);
		return;
	}
	b->dial.due_ns = b->dial.ends_ns;
	if (to->others && b->dial.ends_ns != UINT64_MAX)
		b->dial.due_ns = now + (b->dial.ends_ns - now) / 2;
	set_timer(b);
}

static void find_agent(struct h1_back *b)
{
	const struct agents_ask ask = ask_of(b);
	struct agents_found found;

	if (b->desk->agents == NULL) {
		h1_back_fail(b, BACK_NO_AGENT);
		return;
	}
	switch (agents_find(b->desk->agents, b->desk->worker, &ask, &found)) {
	case AGENTS_HERE:
		if (b->state == H1_BACK_NAME)
			h1_back_move(b, H1_BACK_DIAL);
		if (enter_client(b))
			go_to_agent(b, &found);
		else
			h1_back_fail(b, BACK_CLIENT_FULL);
		return;
	case AGENTS_WAIT:
		set_timer(b);
		return;
	case AGENTS_DOWN:
		h1_back_fail(b, BACK_AGENT_DOWN);
		return;
	case AGENTS_SHUT:
		h1_back_fail(b, BACK_AGENT_SHUT);
		return;
	case AGENTS_NONE:
		h1_back_fail(b, b->tried.n > 0 ? BACK_AGENT_FAILED : BACK_NO_AGENT);
	}
}

static void tell_of_agent(struct h1_back *b, bool reached)
{
	const struct agents_ask ask = ask_of(b);

	agents_tell(b->desk->agents, b->desk->worker, &ask, reached);
}

/* It did not reach the target: nothing was sent there, so the next one may be asked. */
static void leave_agent(struct h1_back *b)
{
	io_event_fn on_event = b->wire.side.io.on_event;

	tell_of_agent(b, false);
	side_close(&b->wire.side, true);
	side_init(&b->wire.side, on_event, -1);
	if (b->desk->worker->now_ns >= b->dial.ends_ns || b->tried.n == AGENTS_TRIES_MAX)
		h1_back_fail(b, BACK_AGENT_FAILED);
	else
		find_agent(b);
}

/* ---- the way --------------------------------------------------------------------------------------------------------- */

void h1_dial_find(struct h1_back *b)
{
	if (dial_of(b)->target_client[0] != '\0') {
		find_agent(b);
		return;
	}
	switch (target_get(&seat_of(b)->target, &b->task, &b->dial.targets)) {
	case TARGET_KNOWN:
		h1_back_move(b, H1_BACK_DIAL);
		dial_some(b);
		return;
	case TARGET_WAIT:
		set_timer(b);
		return;
	case TARGET_FAILED:
		h1_back_fail(b, BACK_UNRESOLVED);
	}
}

void h1_dial_begin(struct h1_back *b)
{
	dial_init(&b->dial, dial_of(b)->target_port, dial_of(b)->connect_timeout_ms, b->desk->worker->now_ns);
	h1_dial_find(b);
}

void h1_dial_on_event(struct h1_back *b, uint32_t events)
{
	struct side *s = &b->wire.side;

	if (b->securing) {
		side_hear(s, b->desk->worker, events);
		if (events & EPOLLERR)
			h1_back_fail(b, BACK_NO_TLS);
		else
			shake(b);
		return;
	}
	if (s->ops != NULL) {
		if (events & EPOLLERR) {
			leave_agent(b);
			return;
		}
		side_hear(s, b->desk->worker, events);
		if (stream_side_stream(s)->opened) {
			tell_of_agent(b, true);
			connected(b);
		}
		return;
	}
	side_hear(s, b->desk->worker, events);
	if (events & (EPOLLERR | EPOLLHUP)) {
		b->error = error_of(s->io.fd);
		io_close(&s->io);
		dial_some(b);
	} else if (events & EPOLLOUT) {
		connected(b);
	}
}

void h1_dial_on_due(struct h1_back *b)
{
	if (b->securing) {
		h1_back_fail(b, BACK_NO_TLS);
	} else if (b->state == H1_BACK_DIAL && b->wire.side.ops != NULL) {
		leave_agent(b);
	} else if (b->state == H1_BACK_DIAL) {
		b->error = ETIMEDOUT;
		io_close(&b->wire.side.io);
		dial_some(b);
	} else { /* it waited for an agent, or for a name */
		h1_back_fail(b, dial_of(b)->target_client[0] != '\0' ? BACK_NO_AGENT : BACK_UNRESOLVED);
	}
}
