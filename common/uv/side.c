#include "common/uv/side.h"

#include "common/net/addr.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#define PROBES          4
#define PROBE_EVERY_MAX 32767 /* seconds; the kernel's own limit */

void side_init(struct side *s, io_event_fn on_event, int fd)
{
	*s = (struct side){ .muted = false };
	io_init(&s->io, on_event, fd);
}

void side_hear(struct side *s, struct worker *w, uint32_t events)
{
	if (events & EPOLLIN && s->readable && s->ops == NULL && ++s->told >= SIDE_TOLD_MAX && !s->muted) {
		s->muted = true;
		io_change(w, &s->io, IO_STREAM & ~(uint32_t)(EPOLLIN | EPOLLPRI)); /* either is told of each packet */
	}
	if (events & EPOLLPRI)
		s->urgent = true;
	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		s->writable = true;
	if (events & EPOLLRDHUP)
		s->fin = true;
}

void side_drained(struct side *s, struct worker *w)
{
	s->readable = false;
	s->told = 0;
	if (s->muted) {
		s->muted = false;
		io_change(w, &s->io, IO_STREAM);
	}
}

void side_before_write(struct side *s, uint64_t written)
{
	int on = 1;

	if (s->nodelay || written == 0 || s->ops != NULL)
		return;
	s->nodelay = true;
	setsockopt(s->io.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int side_send_first(struct side *s, const uint8_t *p, size_t n)
{
	ssize_t r;

	if (s->ops != NULL) {
		r = s->ops->send(s, p, n);
	} else {
		side_before_write(s, n);
		r = send(s->io.fd, p, n, MSG_NOSIGNAL);
	}
	return r == (ssize_t)n ? 0 : -1;
}

int side_finish(struct side *s)
{
	return s->ops != NULL ? s->ops->finish(s) : shutdown(s->io.fd, SHUT_WR);
}

void side_close(struct side *s, bool reset)
{
	if (s->ops != NULL) {
		s->ops->close(s, reset);
		s->ops = NULL;
		return;
	}
	if (reset && s->io.fd >= 0)
		side_reset_on_close(s->io.fd);
	io_close(&s->io);
}

bool side_is_open(const struct side *s)
{
	return s->ops != NULL || s->io.fd >= 0;
}

void side_reset_on_close(int fd)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void side_probe(const struct side *s, unsigned interval_s)
{
	int on = 1, every = (int)MIN(interval_s, PROBE_EVERY_MAX), probes = PROBES;

	if (s->ops != NULL)
		return;
	setsockopt(s->io.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(s->io.fd, IPPROTO_TCP, TCP_KEEPIDLE, &every, sizeof every);
	setsockopt(s->io.fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
	setsockopt(s->io.fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

int side_local(const struct side *s, struct addr *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;

	if (getsockname(s->io.fd, (struct sockaddr *)&ss, &len) != 0)
		return -1;
	addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
	return 0;
}

int side_remote(const struct side *s, struct addr *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;

	if (getpeername(s->io.fd, (struct sockaddr *)&ss, &len) != 0)
		return -1;
	addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
	return 0;
}
