#include "relayd/http/wire_tls.h"

#include <stdlib.h>
#include <string.h>

enum { RECORD = 16 * 1024, READ_AHEAD = RECORD + 512, FLIGHT_MAX = 256 * 1024 };

struct wire_tls {
	const struct wire_ops *clear;
	struct wire *wire;
	struct worker *worker;
	struct tls_session *session;
	/* In the handshake what is written is held until a step of it ends: OpenSSL sends each ticket by itself. */
	bool shaking;
	uint8_t *flight;
	size_t flight_at, flight_n;
};

/* ---- what the session stands on ----------------------------------------------------------------------------------- */

static ssize_t hold(struct wire_tls *t, const void *p, size_t n)
{
	uint8_t *more = n <= FLIGHT_MAX - t->flight_n ? realloc(t->flight, t->flight_n + n) : NULL;

	if (more == NULL)
		return TLS_FAILED;
	memcpy(more + t->flight_n, p, n);
	t->flight = more;
	t->flight_n += n;
	return (ssize_t)n;
}

/* 0 when all of it is with the kernel. */
static int send_flight(struct wire_tls *t)
{
	while (t->flight_at < t->flight_n) {
		const struct iovec iov = { t->flight + t->flight_at, t->flight_n - t->flight_at };
		const ssize_t r = t->clear->writev(t->wire, &iov, 1);

		if (r <= 0)
			return (int)r;
		t->flight_at += (size_t)r;
	}
	free(t->flight);
	t->flight = NULL;
	t->flight_at = t->flight_n = 0;
	return 0;
}

static ssize_t on_send(void *arg, const void *p, size_t n)
{
	struct wire_tls *t = arg;
	const struct iovec iov = { (void *)(uintptr_t)p, n };
	ssize_t r;

	if (t->shaking)
		return hold(t, p, n);
	r = t->clear->writev(t->wire, &iov, 1);
	return r > 0 ? r : r == WIRE_FAILED ? TLS_FAILED : TLS_AGAIN;
}

static ssize_t on_recv(void *arg, void *p, size_t n)
{
	const struct wire_tls *t = arg;
	ssize_t r;

	if (!t->wire->side.readable) /* OpenSSL asks again after each flight */
		return TLS_AGAIN;
	r = t->clear->read(t->wire, t->worker, p, n);
	if (r > 0)
		return r;
	return r == 0 ? TLS_CLOSED : r == WIRE_AGAIN ? TLS_AGAIN : TLS_FAILED;
}

/* ---- the wire's calls --------------------------------------------------------------------------------------------- */

static ssize_t tls_read(struct wire *w, struct worker *on, uint8_t *p, size_t n)
{
	const struct wire_tls *t = w->below;
	const ssize_t r = tls_session_read(t->session, p, n);

	(void)on;
	if (r == TLS_AGAIN)
		return WIRE_AGAIN;
	if (r > 0 && tls_session_has_more(t->session))
		w->side.readable = true;
	return r > 0 ? r : r == TLS_CLOSED ? 0 : WIRE_FAILED;
}

/*
 * A head and the content behind it are one record: small pieces are put together first. What the session has begun to send it must be
 * given again from the same byte on, and at least as much; whoever writes keeps what was not taken, so that is so.
 */
static size_t gather(uint8_t *dst, size_t room, const struct iovec *iov, int n)
{
	size_t at = 0;

	for (int i = 0; i < n && at < room; i++) {
		const size_t part = MIN(iov[i].iov_len, room - at);

		memcpy(dst + at, iov[i].iov_base, part);
		at += part;
	}
	return at;
}

static ssize_t write_some(const struct wire_tls *t, const struct iovec *iov, int n)
{
	uint8_t together[RECORD];

	if (n == 1 || iov[0].iov_len >= RECORD)
		return tls_session_write(t->session, iov[0].iov_base, iov[0].iov_len);
	return tls_session_write(t->session, together, gather(together, sizeof together, iov, n));
}

/* Where the next byte to be written is, `sum` bytes on. */
static int skip(struct iovec *dst, const struct iovec *iov, int n, size_t sum)
{
	int k = 0;

	for (int i = 0; i < n; i++) {
		const size_t off = MIN(sum, iov[i].iov_len);

		sum -= off;
		if (iov[i].iov_len > off)
			dst[k++] = (struct iovec){ (uint8_t *)iov[i].iov_base + off, iov[i].iov_len - off };
	}
	return k;
}

enum { IOV_MAX_HERE = 8 };

static ssize_t tls_writev(struct wire *w, const struct iovec *iov, int n)
{
	const struct wire_tls *t = w->below;
	struct iovec left[IOV_MAX_HERE];
	ssize_t sum = 0;
	int k;

	n = MIN(n, IOV_MAX_HERE);
	while ((k = skip(left, iov, n, (size_t)sum)) > 0) {
		const ssize_t r = write_some(t, left, k);

		if (r > 0) {
			sum += r;
			continue;
		}
		if (r != TLS_AGAIN)
			return WIRE_FAILED;
		w->side.writable = false; /* the socket was full; never anything else, as there is no renegotiation */
		break;
	}
	return sum > 0 ? sum : k > 0 ? WIRE_AGAIN : 0;
}

static int tls_finish(struct wire *w)
{
	const struct wire_tls *t = w->below;

	tls_session_shutdown(t->session);
	return t->clear->finish(w);
}

static void tls_close(struct wire *w, bool reset)
{
	struct wire_tls *t = w->below;
	const struct wire_ops *clear = t->clear;

	if (!reset)
		tls_session_shutdown(t->session);
	tls_session_free(t->session);
	free(t->flight);
	free(t);
	w->below = NULL;
	clear->close(w, reset);
}

static const struct wire_ops tls_ops = {
	.read = tls_read, .writev = tls_writev, .finish = tls_finish, .close = tls_close
};

/* ---- the beginning ------------------------------------------------------------------------------------------------ */

static struct wire_tls *begin(struct wire *w, struct worker *on)
{
	struct wire_tls *t = calloc(1, sizeof *t);

	if (t == NULL)
		return NULL;
	t->clear = w->ops;
	t->wire = w;
	t->worker = on;
	t->shaking = true;
	return t;
}

static int finish(struct wire *w, struct wire_tls *t, int rc)
{
	if (rc != 0) {
		free(t);
		return -1;
	}
	tls_session_read_ahead(t->session, READ_AHEAD);
	w->below = t;
	w->ops = &tls_ops;
	return 0;
}

int wire_tls_accept(struct wire *w, struct worker *on, struct tls_ctx *c, const struct tls_accept *a)
{
	struct wire_tls *t = begin(w, on);
	const struct tls_io io = { on_send, on_recv, t };

	return t == NULL ? -1 : finish(w, t, tls_server_accept(&t->session, c, a, &io, NULL));
}

int wire_tls_connect(struct wire *w, struct worker *on, struct tls_ctx *c, const char *name)
{
	struct wire_tls *t = begin(w, on);
	const struct tls_io io = { on_send, on_recv, t };
	int rc = t != NULL ? tls_session_new(&t->session, c, &io, NULL) : -1;

	if (t == NULL)
		return -1;
	if (rc == 0 && name != NULL && tls_session_expect(t->session, name) != 0) {
		tls_session_free(t->session);
		rc = -1;
	}
	return finish(w, t, rc);
}

int wire_tls_handshake(struct wire *w)
{
	struct wire_tls *t = w->below;
	int rc, sent = send_flight(t);

	if (sent != 0)
		return sent;
	rc = tls_session_handshake(t->session);
	sent = send_flight(t); /* also what says why it failed */
	if (rc != 0 && rc != TLS_AGAIN)
		return WIRE_FAILED;
	if (sent != 0)
		return sent;
	if (rc == TLS_AGAIN)
		return WIRE_AGAIN;
	t->shaking = false;
	if (tls_session_has_more(t->session))
		w->side.readable = true; /* it came behind the handshake, and is inside already */
	return 0;
}

struct tls_session *wire_tls_session(const struct wire *w)
{
	return w->ops == &tls_ops ? ((struct wire_tls *)w->below)->session : NULL;
}

const char *wire_tls_reason(const struct wire *w)
{
	return tls_session_reason(wire_tls_session(w));
}

void wire_move(struct wire *to, struct wire *from, struct worker *on)
{
	io_event_fn on_event = to->side.io.on_event;

	*to = *from;
	io_init(&to->side.io, on_event, -1);
	io_pass(on, &to->side.io, &from->side.io, IO_STREAM);
	to->side.muted = false;
	if (to->ops == &tls_ops)
		((struct wire_tls *)to->below)->wire = to;
	from->ops = NULL;
	from->below = NULL;
}
