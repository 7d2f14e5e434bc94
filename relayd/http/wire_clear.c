#define _GNU_SOURCE
#include "relayd/http/wire.h"

#include "common/uv/pipe_pool.h"
#include "common/uv/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

/* ---- a socket ------------------------------------------------------------------------------------------------------- */

/* A short read was all there is, unless the end is behind it. */
static ssize_t socket_read(struct wire *w, struct worker *on, uint8_t *p, size_t n)
{
	const ssize_t r = sys_recv(w->side.io.fd, p, n, 0);

	if (r < 0 && errno != EAGAIN)
		return WIRE_FAILED;
	if (r < 0 || ((size_t)r < n && r > 0 && !w->side.fin && !w->side.urgent))
		side_drained(&w->side, on);
	return r < 0 ? WIRE_AGAIN : r;
}

static ssize_t socket_writev(struct wire *w, const struct iovec *iov, int n)
{
	const struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	size_t all = 0;
	ssize_t r;

	for (int i = 0; i < n; i++)
		all += iov[i].iov_len;
	side_before_write(&w->side, all);
	r = n == 1 ? sys_send(w->side.io.fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
	           : sys_sendmsg(w->side.io.fd, &m, MSG_NOSIGNAL);
	if (r < 0 && errno != EAGAIN)
		return WIRE_FAILED;
	if (r < (ssize_t)all)
		w->side.writable = false;
	return r < 0 ? WIRE_AGAIN : r;
}

/* One that moved little says nothing about what is left: many small packets fill a pipe. */
static ssize_t socket_pull(struct wire *w, struct worker *on, const struct pipe *to, size_t n)
{
	const ssize_t r = sys_splice(w->side.io.fd, to->in, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (r >= 0)
		return r;
	if (errno != EAGAIN)
		return WIRE_FAILED;
	side_drained(&w->side, on);
	return WIRE_AGAIN;
}

static ssize_t socket_push(struct wire *w, const struct pipe *from, size_t n)
{
	ssize_t r;

	side_before_write(&w->side, n);
	r = sys_splice(from->out, w->side.io.fd, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (r < 0 && errno != EAGAIN)
		return WIRE_FAILED;
	if (r < (ssize_t)n)
		w->side.writable = false;
	return r < 0 ? WIRE_AGAIN : r;
}

static int socket_finish(struct wire *w)
{
	return side_finish(&w->side);
}

static void socket_close(struct wire *w, bool reset)
{
	side_close(&w->side, reset);
}

/* ---- a stream of an agent ------------------------------------------------------------------------------------------- */

static ssize_t stream_read(struct wire *w, struct worker *on, uint8_t *p, size_t n)
{
	const uint8_t *from;
	const size_t there = w->side.ops->peek(&w->side, &from);
	const size_t taken = MIN(there, n);

	if (there == 0) {
		side_drained(&w->side, on);
		return w->side.fin ? 0 : WIRE_AGAIN;
	}
	memcpy(p, from, taken);
	w->side.ops->take(&w->side, taken);
	return (ssize_t)taken;
}

static ssize_t stream_writev(struct wire *w, const struct iovec *iov, int n)
{
	ssize_t sum = 0;

	for (int i = 0; i < n; i++) {
		for (size_t at = 0; at < iov[i].iov_len;) {
			const size_t part = MIN(w->side.ops->room(&w->side), iov[i].iov_len - at);

			if (part == 0) {
				w->side.writable = false;
				return sum > 0 ? sum : WIRE_AGAIN;
			}
			if (w->side.ops->send(&w->side, (const uint8_t *)iov[i].iov_base + at, part) != (ssize_t)part)
				return WIRE_FAILED;
			at += part;
			sum += (ssize_t)part;
		}
	}
	return sum;
}

static const struct wire_ops socket_ops = {
	.read = socket_read,
	.writev = socket_writev,
	.pull = socket_pull,
	.push = socket_push,
	.finish = socket_finish,
	.close = socket_close,
};
static const struct wire_ops stream_ops = {
	.read = stream_read, .writev = stream_writev, .finish = socket_finish, .close = socket_close
};

void wire_open_clear(struct wire *w)
{
	w->ops = w->side.ops != NULL ? &stream_ops : &socket_ops;
}

void wire_close(struct wire *w, bool reset)
{
	if (w->ops != NULL)
		w->ops->close(w, reset);
	w->ops = NULL;
}
