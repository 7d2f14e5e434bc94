#include "relayd/http/tls_gate.h"

#include "common/base/str.h"
#include "common/net/proxy_protocol.h"
#include "common/uv/fd_budget.h"
#include "relayd/http/desk.h"
#include "relayd/http/h1_front.h"
#include "relayd/http/h2_front.h"
#include "relayd/http/wire_tls.h"
#include "relayd/site/site.h"
#include "relayd/site/site_tls.h"
#include "relayd/tls/certs.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is spoken here, best first. */
#define ALPN "\x02h2\x08http/1.1"

struct tls_gate {
	struct wire wire;
	struct http_desk *desk;
	struct front_seat *seat;
	struct addr from;
	struct list in_desk;
	struct timer timer;
	struct task grave;
	bool fd_taken, over;
};

struct tls_gate *tls_gate_of(struct list *in_desk)
{
	return CONTAINER_OF(in_desk, struct tls_gate, in_desk);
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct tls_gate, grave));
}

/* Its connection has passed on, or is closed here. */
static void gate_end(struct tls_gate *g, bool reset)
{
	if (g->over)
		return;
	g->over = true;
	if (wire_is_open(&g->wire)) {
		io_del(g->desk->worker, &g->wire.side.io);
		wire_close(&g->wire, reset);
	}
	if (g->fd_taken)
		fd_budget_give(g->desk->worker->fds, 1);
	wheel_disarm(&g->timer);
	list_remove(&g->in_desk);
	worker_bury(g->desk->worker, &g->grave);
}

void tls_gate_cut(struct tls_gate *g)
{
	gate_end(g, true);
}

/* ---- what it becomes ----------------------------------------------------------------------------------------------- */

static void become_h1(struct tls_gate *g)
{
	struct http_desk *d = g->desk;
	struct h1_front *f = h1_front_new(d, g->seat, -1, &g->from);
	struct wire *to = f != NULL ? h1_front_wire(f) : NULL;

	if (f == NULL)
		return;
	wire_move(to, &g->wire, d->worker);
	h1_front_begin(f, true);
}

static void pass_on(struct tls_gate *g)
{
	const struct h2_opening o = { .seat = g->seat, .from = &g->from, .tls = true };
	size_t n;
	const char *alpn = tls_session_alpn(wire_tls_session(&g->wire), &n);

	desk_count(g->desk, HTTP_COUNT_tls_handshakes);
	fd_budget_give(g->desk->worker->fds, 1); /* who comes after takes it */
	g->fd_taken = false;
	if (tls_server_is_challenge(wire_tls_session(&g->wire)))
		; /* the CA has seen it */
	else if (n == 2 && alpn[0] == 'h')
		h2_front_open(g->desk, &g->wire, &o);
	else
		become_h1(g);
	gate_end(g, false);
}

static void handshake(struct tls_gate *g)
{
	switch (wire_tls_handshake(&g->wire)) {
	case 0:
		pass_on(g);
		return;
	case WIRE_AGAIN:
		return;
	default:
		desk_count(g->desk, HTTP_COUNT_tls_failed);
		gate_end(g, false);
	}
}

static void on_event(struct io *io, uint32_t events)
{
	struct tls_gate *g = CONTAINER_OF(io, struct tls_gate, wire.side.io);

	if (g->over)
		return;
	side_hear(&g->wire.side, g->desk->worker, events);
	if (events & (EPOLLERR | EPOLLHUP))
		gate_end(g, false);
	else
		handshake(g);
}

static void on_due(struct timer *t)
{
	struct tls_gate *g = CONTAINER_OF(t, struct tls_gate, timer);

	desk_count(g->desk, HTTP_COUNT_tls_slow);
	gate_end(g, true);
}

/* ---- the begin ----------------------------------------------------------------------------------------------------- */

/* The header is in the kernel whole, as who gave the connection has read what stands behind it. */
static int take_proxy_header(struct tls_gate *g)
{
	const int fd = g->wire.side.io.fd;
	uint8_t *p = g->desk->worker->scratch;
	const ssize_t n = recv(fd, p, PROXY_V2_MAX, MSG_PEEK);
	struct proxy_header h;
	const int used = n > 0 ? proxy_parse(&h, p, (size_t)n) : -1;

	if (used <= 0 || recv(fd, p, (size_t)used, 0) != used)
		return -1;
	if (!h.local)
		g->from = h.src;
	return 0;
}

static int accept_tls(struct tls_gate *g, const struct site_seat *site)
{
	const struct site_tls *about = site->tls;
	const struct http_desk *d = g->desk;
	const struct tls_accept a = {
		.store = certs_store(d->certs, d->worker),
		.challenges = certs_challenges(d->certs, d->worker),
		.realm = about->realm,
		.scope = site->site->host,
		.clients = about->clients,
		.client_required = about->required,
		.alpn = ALPN,
		.alpn_n = sizeof ALPN - 1,
	};

	return wire_tls_accept(&g->wire, d->worker, d->tls, &a);
}

static struct tls_gate *gate_new(struct http_desk *d, struct front_seat *seat, int fd, const struct addr *from)
{
	struct tls_gate *g = worker_take_fds(d->worker, 1) ? calloc(1, sizeof *g) : NULL;

	if (g == NULL)
		return NULL;
	g->desk = d;
	g->fd_taken = true;
	g->seat = seat;
	g->from = *from;
	side_init(&g->wire.side, on_event, fd);
	g->wire.side.nodelay = true; /* of the listening socket */
	wire_open_clear(&g->wire);
	timer_init(&g->timer, on_due);
	task_init(&g->grave, on_buried);
	list_push_back(&d->tls_gates, &g->in_desk);
	return g;
}

void tls_gate_take(struct http_desk *d, const struct site_seat *site, struct front_seat *seat, int fd,
	const struct addr *from, bool proxied)
{
	struct tls_gate *g = gate_new(d, seat, fd, from);

	if (g == NULL) {
		desk_count(d, HTTP_COUNT_resource);
		side_reset_on_close(fd);
		close(fd);
		return;
	}
	if (site->tls == NULL || (proxied && take_proxy_header(g) != 0) || accept_tls(g, site) != 0 ||
		io_add(d->worker, &g->wire.side.io, IO_STREAM) != 0) {
		gate_end(g, true);
		return;
	}
	wheel_arm(&d->worker->wheel, &g->timer, d->worker->now_ns + d->conf->head_timeout_ms * UINT64_C(1000000));
	g->wire.side.readable = g->wire.side.writable = true; /* a ClientHello is why it is here */
	handshake(g);
}
