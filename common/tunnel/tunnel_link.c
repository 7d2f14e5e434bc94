#include "common/tunnel/tunnel_link.h"

#include "common/base/err.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "common/tunnel/carrier.h"
#include "common/uv/fd_budget.h"
#include "common/uv/sys.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEAL_MAX   ((size_t)256 * 1024) /* sealed at once, */
#define SEALED_MAX (2 * SEAL_MAX)       /* with room for what TLS adds */
#define IN_MAX     ((size_t)262496)     /* received at once: that is what SEAL_MAX comes to, so records come whole */
#define PLAIN_MAX  ((size_t)320 * 1024) /* opened at once */
#define SEND_MIN   ((size_t)128 * 1024) /* a turn's worth, however many wait for theirs */
#define LOST_PINGS 3
#define LAST_MS    5000  /* for the last words to be taken */
#define UNACKED_MS 15000 /* sent, and the peer's kernel does not say that it has it: however rare pings are */
#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define RTT_DRIFT  8 /* of what a ping took longer than the shortest, an eighth is believed */

static const struct sm_state states[] = {
	[TUNNEL_CARRYING] = { "carrying", BIT(TUNNEL_SECURING) | BIT(TUNNEL_CLOSED) },
	[TUNNEL_SECURING] = { "securing", BIT(TUNNEL_GREETING) | BIT(TUNNEL_CLOSED) },
	[TUNNEL_GREETING] = { "greeting", BIT(TUNNEL_UP) | BIT(TUNNEL_CLOSED) },
	[TUNNEL_UP] = { "up", BIT(TUNNEL_CLOSED) },
	[TUNNEL_CLOSED] = { "closed", 0 },
};

int tunnel_desk_init(struct tunnel_desk *d)
{
	*d = (struct tunnel_desk){
		.in = { .raw = malloc(IN_MAX), .raw_n = IN_MAX, .plain = malloc(PLAIN_MAX), .plain_n = PLAIN_MAX }
	};
	partings_init(&d->partings);
	buf_init(&d->sealed, SEALED_MAX);
	buf_init(&d->wire, 2 * SEALED_MAX);
	return d->in.raw != NULL && d->in.plain != NULL ? 0 : -1;
}

void tunnel_desk_fini(struct tunnel_desk *d)
{
	partings_fini(&d->partings);
	free(d->in.raw);
	free(d->in.plain);
	d->in.raw = d->in.plain = NULL;
	buf_free(&d->sealed);
	buf_free(&d->wire);
	mux_pool_fini(&d->pool);
}

static void link_move(struct tunnel_link *l, enum tunnel_state to)
{
	sm_move(states, &l->state, (int)to);
}

/* ---- what TLS sees as its transport ------------------------------------------------------------------------------- */

static ssize_t tls_send(void *arg, const void *p, size_t n)
{
	struct tunnel_link *l = arg;

	buf_put(&l->desk->sealed, p, n);
	return l->desk->sealed.failed ? TLS_FAILED : (ssize_t)n;
}

/*
 * A short read was all, and the next event tells of more; but the end is told once, maybe with these bytes. A link has its
 * turn like any flow; the rest waits for the next round.
 */
static ssize_t socket_recv(void *arg, void *p, size_t n)
{
	struct tunnel_link *l = arg;
	ssize_t r;

	if (!l->readable || l->bytes_in >= l->turn_ends)
		return TLS_AGAIN;
	n = MIN(n, l->worker->turn);
	r = sys_recv(l->io.fd, p, n, 0);
	if (r > 0) {
		l->readable = (size_t)r == n || l->fin;
		l->bytes_in += (uint64_t)r;
		l->heard_ns = l->worker->now_ns;
		return r;
	}
	l->readable = false;
	if (r < 0 && errno == EAGAIN && !l->unheard)
		return TLS_AGAIN;
	l->broke = r == 0 ? ENODATA : errno;
	return r == 0 ? TLS_CLOSED : TLS_FAILED;
}

static ssize_t tls_recv(void *arg, void *p, size_t n)
{
	struct tunnel_link *l = arg;

	return l->carrier == NULL ? socket_recv(l, p, n) : carrier_recv(l->carrier, p, n, &l->desk->wire);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void set_timer(struct tunnel_link *l)
{
	wheel_arm(&l->worker->wheel, &l->timer, l->due_ns);
}

static void on_buried(struct task *t)
{
	struct tunnel_link *l = CONTAINER_OF(t, struct tunnel_link, grave);

	carrier_free(l->carrier);
	tls_session_free(l->tls);
	mux_fini(&l->mux);
	outlet_fini(&l->out);
	l->ops->on_closed(l, l->why); /* may free l */
}

/* Its socket is closed, or another's. */
static void end(struct tunnel_link *l, const char *why)
{
	link_move(l, TUNNEL_CLOSED);
	if (why != l->why)
		str_copy(l->why, sizeof l->why, why);
	wheel_disarm(&l->timer);
	list_remove(&l->flush.link);
	list_remove(&l->more.link);
	mux_break(&l->mux);
	worker_bury(l->worker, &l->grave);
}

void tunnel_link_close(struct tunnel_link *l, const char *why)
{
	if (l->state == TUNNEL_CLOSED)
		return;
	io_close(&l->io);
	fd_budget_give(l->worker->fds, 1);
	end(l, why);
}

/* The kernel has its last words; the peer has not yet. */
static void part(struct tunnel_link *l)
{
	partings_take(&l->desk->partings, l->worker, &l->io);
	end(l, l->why);
}

void tunnel_link_close_after(struct tunnel_link *l, const char *why)
{
	const uint64_t last = l->worker->now_ns + LAST_MS * NS_PER_MS;

	if (l->state == TUNNEL_CLOSED || l->last_words)
		return;
	str_copy(l->why, sizeof l->why, why);
	l->last_words = true;
	l->due_ns = l->state == TUNNEL_UP ? last : MIN(l->due_ns, last); /* what was due of one that is up was a ping */
	set_timer(l);
	tunnel_link_flush(l);
}

/* ---- sending ------------------------------------------------------------------------------------------------------ */

static int push_all(struct tunnel_link *l, struct buf *b)
{
	int r = b->failed ? -1 : 0;

	if (r == 0 && b->len > 0)
		r = outlet_push(&l->out, b->data, b->len, l->worker->now_ns);
	buf_reset(b);
	return r;
}

/* Also what nobody asked for: a handshake, a new key, an answer of the carrier's. */
static int push_sealed(struct tunnel_link *l)
{
	struct buf *sealed = &l->desk->sealed, *wire = &l->desk->wire;

	if (l->carrier == NULL)
		return push_all(l, sealed);
	if (sealed->len > 0 && !sealed->failed && carrier_put(l->carrier, sealed->data, sealed->len, wire) != 0)
		wire->failed = true;
	wire->failed |= sealed->failed;
	buf_reset(sealed);
	return push_all(l, wire);
}

/* One piece of the mux's output through TLS into the socket. */
static int seal_some(struct tunnel_link *l)
{
	const uint8_t *frames;
	size_t n = MIN(mux_output(&l->mux, &frames), MIN(MAX(l->worker->turn, SEND_MIN), MIN(SEAL_MAX, l->out.high)));

	if (tls_session_seal(l->tls, frames, n, &l->desk->sealed) != 0 || push_sealed(l) != 0)
		return -1;
	mux_sent(&l->mux, n); /* streams that waited may write, and their sessions may end */
	return 0;
}

static bool has_output(const struct tunnel_link *l)
{
	const uint8_t *frames;

	return mux_output(&l->mux, &frames) > 0;
}

static int send_some(struct tunnel_link *l)
{
	uint64_t turn_ends = l->out.bytes + MAX(l->worker->turn, SEND_MIN);

	if (outlet_waiting(&l->out) > 0 && outlet_resume(&l->out, l->worker->now_ns) != 0)
		return -1;
	l->mux.high = l->out.high;
	while (l->state != TUNNEL_CLOSED && outlet_waiting(&l->out) == 0 && has_output(l)) {
		if (l->out.bytes >= turn_ends) {
			worker_again(l->worker, &l->flush);
			break;
		}
		if (seal_some(l) != 0)
			return -1;
	}
	return l->mux.out.failed ? -1 : 0;
}

/* A peer that is gone may have said why before: that is read, and the end is found behind it. */
static void on_send_failed(struct tunnel_link *l)
{
	const bool gone = errno == EPIPE || errno == ECONNRESET;

	if (l->mux.out.failed || l->out.kept.failed) {
		tunnel_link_close(l, "the peer does not read");
	} else if (l->last_words) {
		tunnel_link_close(l, l->why);
	} else if (!gone) {
		tunnel_link_close(l, "the connection broke");
	} else if (l->state != TUNNEL_CLOSED) {
		l->unheard = l->readable = l->fin = true;
		worker_again(l->worker, &l->more);
	}
}

static void flush(struct tunnel_link *l)
{
	if (l->unheard) {
		if (l->last_words)
			tunnel_link_close(l, l->why);
		return;
	}
	errno = 0;
	if (send_some(l) != 0) {
		on_send_failed(l);
		return;
	}
	if (l->state == TUNNEL_CLOSED || has_output(l))
		return;
	mux_rest(&l->mux);
	if (l->last_words && outlet_waiting(&l->out) == 0)
		part(l);
}

static void on_flush(struct task *t)
{
	flush(CONTAINER_OF(t, struct tunnel_link, flush));
}

/* At the end of the round, with all that this round adds. Before TLS is up there is nothing that may be sent. */
void tunnel_link_flush(struct tunnel_link *l)
{
	if (l->state == TUNNEL_GREETING || l->state == TUNNEL_UP)
		worker_finish(l->worker, &l->flush);
}

/* ---- receiving ---------------------------------------------------------------------------------------------------- */

static const char *why_broken(const struct tunnel_link *l)
{
	if (l->broke == ENODATA)
		return "the peer closed";
	if (l->broke != 0)
		return strerror(l->broke);
	return l->state == TUNNEL_CARRYING ? carrier_reason(l->carrier) : tls_session_reason(l->tls);
}

static void secure(struct tunnel_link *l)
{
	int r;

	r = tls_session_handshake(l->tls);
	if (push_sealed(l) != 0 || (r == 0 && tls_session_begin_bulk(l->tls) != 0))
		r = TLS_FAILED;
	if (r == TLS_AGAIN)
		return;
	if (r != 0) {
		l->other_ca = tls_session_met_other_ca(l->tls);
		tunnel_link_close(l, why_broken(l));
		return;
	}
	link_move(l, TUNNEL_GREETING);
	l->ops->on_secured(l);
}

static int carry_in(struct tunnel_link *l, const char *host, const char *path, struct tls_ctx *outer, struct err *e)
{
	const struct carrier_conf conf = { .host = host, .path = path, .outer = outer, .recv = socket_recv, .arg = l };

	return carrier_new(&l->carrier, &conf, e);
}

/* TLS begins with another byte (22) than HTTP. */
static int find_carrier(struct tunnel_link *l)
{
	uint8_t first = 0;
	ssize_t n = sys_recv(l->io.fd, &first, 1, MSG_PEEK);
	struct err e;

	if (n < 0 && errno == EAGAIN) {
		l->readable = false;
		return TLS_AGAIN;
	}
	if (n <= 0) {
		l->broke = n == 0 ? ENODATA : errno;
		return TLS_FAILED;
	}
	return first == 'G' && carry_in(l, NULL, NULL, NULL, &e) != 0 ? TLS_FAILED : 0;
}

/* Who accepted learns from the first byte whether there is a carrier. */
static void carry(struct tunnel_link *l)
{
	int r = l->carrier == NULL ? find_carrier(l) : 0;

	if (r == 0 && l->carrier != NULL) {
		r = carrier_open(l->carrier, &l->desk->wire);
		if (push_sealed(l) != 0)
			r = TLS_FAILED;
	}
	if (r == 0)
		link_move(l, TUNNEL_SECURING);
	else if (r != TLS_AGAIN)
		tunnel_link_close(l, l->carrier == NULL && l->broke == 0 ? "out of memory" : why_broken(l));
}

/* Several records go into the mux together: what they carry for one stream leaves in one system call. */
static bool digest_some(struct tunnel_link *l)
{
	ssize_t end;
	size_t n = tls_session_unseal(l->tls, &l->desk->in, &end);

	if (push_sealed(l) != 0)
		end = TLS_FAILED;
	if (n > 0 && mux_input(&l->mux, l->desk->in.plain, n) != 0)
		tunnel_link_close(l, l->mux.fault);
	if (end > 0)
		return true;
	if (end != TLS_AGAIN)
		tunnel_link_close(l, end == TLS_CLOSED ? "the peer closed" : why_broken(l));
	return false;
}

static void receive(struct tunnel_link *l)
{
	l->turn_ends = l->bytes_in + l->worker->turn;
	if (l->state == TUNNEL_CARRYING)
		carry(l);
	if (l->state == TUNNEL_SECURING)
		secure(l);
	while ((l->state == TUNNEL_GREETING || l->state == TUNNEL_UP) && digest_some(l))
		;
	if (l->state != TUNNEL_CLOSED && l->readable)
		worker_again(l->worker, &l->more);
}

static void on_more(struct task *t)
{
	receive(CONTAINER_OF(t, struct tunnel_link, more));
}

/* The end that EPOLLRDHUP announces is found by reading. */
static void on_socket(struct io *io, uint32_t events)
{
	struct tunnel_link *l = CONTAINER_OF(io, struct tunnel_link, io);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		l->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		l->fin = true;
	if (events & EPOLLOUT && !(events & (EPOLLHUP | EPOLLERR))) {
		if (outlet_waiting(&l->out) > 0 || has_output(l))
			flush(l);
		else if (l->state <= TUNNEL_SECURING && !l->readable)
			receive(l);
	}
	if (l->state != TUNNEL_CLOSED && l->readable)
		receive(l);
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void on_due(struct timer *t)
{
	struct tunnel_link *l = CONTAINER_OF(t, struct tunnel_link, timer);
	uint64_t now = l->worker->now_ns, ping_ns = l->ping_ms * NS_PER_MS;

	if (l->state != TUNNEL_UP || l->last_words) {
		tunnel_link_close(l, l->last_words ? l->why : "too late");
		return;
	}
	if (now - l->heard_ns >= LOST_PINGS * ping_ns) {
		tunnel_link_close(l, "the peer is silent");
		return;
	}
	if (now - l->looked_ns >= MUX_LOOK_NS) {
		l->looked_ns = now;
		if (mux_look(&l->mux) != 0) {
			tunnel_link_close(l, l->mux.fault);
			return;
		}
	}
	if (now - l->heard_ns >= ping_ns || l->rtt_us == 0) {
		l->pinged_ns = now;
		frame_ping_put(&l->mux.out, FRAME_PING, now);
		tunnel_link_flush(l);
	}
	l->due_ns = now + MIN(ping_ns, MUX_LOOK_NS);
	set_timer(l);
}

/* ---- frames of the link itself ------------------------------------------------------------------------------------ */

/* What waits in front of a ping makes it long; it is the shortest that says how far away the peer is, or nearly. */
static void measured(struct tunnel_link *l, uint64_t took_ns)
{
	uint64_t *rtt = &l->mux.rtt_ns;

	l->rtt_us = (uint32_t)MIN(MAX(took_ns / NS_PER_US, 1), UINT32_MAX);
	*rtt = *rtt == 0 || took_ns < *rtt ? took_ns : *rtt + (took_ns - *rtt) / RTT_DRIFT;
}

static int on_ping(struct tunnel_link *l, const struct frame_head *h, const uint8_t *p)
{
	uint64_t stamp;

	if (frame_ping_get(&stamp, p, h->n) != 0 || l->state != TUNNEL_UP)
		return -1;
	if (h->type == FRAME_PONG) {
		if (stamp != l->pinged_ns || l->worker->now_ns < stamp)
			return 0;
		measured(l, l->worker->now_ns - stamp);
		return 0;
	}
	frame_ping_put(&l->mux.out, FRAME_PONG, stamp);
	tunnel_link_flush(l);
	return 0;
}

static int on_control(struct mux *m, const struct frame_head *h, const uint8_t *payload)
{
	struct tunnel_link *l = CONTAINER_OF(m, struct tunnel_link, mux);

	if (h->type == FRAME_PING || h->type == FRAME_PONG)
		return on_ping(l, h, payload);
	return l->ops->on_control(l, h, payload);
}

static void on_open(struct mux *m, uint32_t id, const struct frame_open *o)
{
	struct tunnel_link *l = CONTAINER_OF(m, struct tunnel_link, mux);

	if (l->state != TUNNEL_UP)
		m->fault =
			"a stream before the greeting's end"; /* a stranger's: it is owed no answer that has to be kept */
	else if (l->ops->on_open == NULL)
		stream_refuse(m, id, ERR_FORBIDDEN, "streams are opened from the other side");
	else
		l->ops->on_open(l, id, o);
}

static void on_output(struct mux *m)
{
	tunnel_link_flush(CONTAINER_OF(m, struct tunnel_link, mux));
}

static void on_idle(struct mux *m)
{
	struct tunnel_link *l = CONTAINER_OF(m, struct tunnel_link, mux);

	if (l->ops->on_idle != NULL && l->state == TUNNEL_UP)
		l->ops->on_idle(l);
}

static const struct mux_ops mux_ops = {
	.on_open = on_open, .on_control = on_control, .on_idle = on_idle, .on_output = on_output
};

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

int tunnel_link_start(struct tunnel_link *l, struct worker *w, struct tunnel_desk *desk, struct tls_ctx *tls,
	bool server, int fd, const struct tunnel_link_ops *ops, struct err *e)
{
	const struct tls_io io = { .send = tls_send, .recv = tls_recv, .arg = l };
	int on = 1;

	*l = (struct tunnel_link){
		.state = server ? TUNNEL_CARRYING : TUNNEL_SECURING, .ops = ops, .worker = w, .desk = desk
	};
	io_init(&l->io, on_socket, fd);
	task_init(&l->flush, on_flush);
	task_init(&l->more, on_more);
	task_init(&l->grave, on_buried);
	timer_init(&l->timer, on_due);
	outlet_init(&l->out, fd, &desk->pool);
	mux_init(&l->mux, &mux_ops, server ? 2 : 1);
	l->mux.pool = &desk->pool;
	l->mux.now_ns = &w->now_ns;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (!fd_budget_take(w->fds, 1, FD_FOR_SESSIONS)) {
		err_set(e, ERR_NO_DESCRIPTORS, NULL, "a link: no descriptor is left");
		goto fail;
	}
	if (tls_session_new(&l->tls, tls, &io, e) != 0 || io_add(w, &l->io, IO_STREAM) != 0) {
		fd_budget_give(w->fds, 1);
		err_set(e, ERR_NOMEM, NULL, "a link: out of memory");
		goto fail;
	}
	l->heard_ns = w->now_ns;
	l->due_ns = w->now_ns + TUNNEL_SECURE_MS * NS_PER_MS;
	set_timer(l);
	return 0;
fail:
	tls_session_free(l->tls);
	l->state = TUNNEL_CLOSED;
	io_close(&l->io);
	return -1;
}

int tunnel_link_carry(struct tunnel_link *l, const char *host, const char *path, struct tls_ctx *outer, struct err *e)
{
	if (carry_in(l, host, path, outer, e) != 0)
		return -1;
	l->state = TUNNEL_CARRYING; /* nothing has happened yet: it begins there */
	return 0;
}

void tunnel_link_set_ping(struct tunnel_link *l, uint32_t ping_ms)
{
	unsigned dead_ms = (unsigned)MIN(LOST_PINGS * (uint64_t)ping_ms, UNACKED_MS);

	if (l->state != TUNNEL_UP || l->last_words || l->ping_ms == ping_ms)
		return;
	setsockopt(l->io.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
	if (l->ping_ms != 0) { /* what was quiet by the old measure is not lost by the new one */
		l->heard_ns = l->worker->now_ns;
		l->due_ns = l->worker->now_ns + MIN(ping_ms * NS_PER_MS, MUX_LOOK_NS);
	}
	l->ping_ms = ping_ms;
	set_timer(l);
}

void tunnel_link_up(struct tunnel_link *l, uint32_t ping_ms)
{
	link_move(l, TUNNEL_UP);
	l->due_ns = l->worker->now_ns;
	tunnel_link_set_ping(l, ping_ms);
}

int tunnel_link_export(struct tunnel_link *l, uint8_t out[FRAME_EXPORTED])
{
	return tls_session_export(l->tls, FRAME_EXPORT_LABEL, out, FRAME_EXPORTED);
}

/* ---- from one worker to another ----------------------------------------------------------------------------------- */

void tunnel_link_leave(struct tunnel_link *l)
{
	io_del(l->worker, &l->io);
	wheel_disarm(&l->timer);
	list_remove(&l->flush.link);
	list_remove(&l->more.link);
	l->worker = NULL;
}

/* What came meanwhile is told by being registered. */
void tunnel_link_enter(struct tunnel_link *l, struct worker *w, struct tunnel_desk *desk)
{
	l->worker = w;
	l->desk = desk;
	l->mux.pool = l->out.pool = &desk->pool;
	l->mux.now_ns = &w->now_ns;
	l->readable = true;
	set_timer(l);
	if (io_add(w, &l->io, IO_STREAM) != 0)
		tunnel_link_close(l, "no memory for one more connection");
	else
		tunnel_link_flush(l);
}
