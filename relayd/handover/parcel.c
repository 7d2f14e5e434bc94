#define _GNU_SOURCE
#include "relayd/handover/parcel.h"

#include "common/base/clock.h"
#include "common/base/cursor.h"
#include "common/base/err.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SEND_MS    10000 /* for all goods, or one word */
#define BYTES_MAX  65536u
#define RECORD_MAX 16384u
#define OWNER_SIZE 32u
#define GONE       "handover: the other process is gone"
#define ENTRY_MAX  (2u + OWNER_SIZE + 2u + sizeof(((struct handover_socket *)NULL)->key) + 4u + RECORD_MAX)

void parcel_init(struct parcel *p, int fd)
{
	*p = (struct parcel){ .fd = fd, .until_ms = clock_mono_ms() + SEND_MS };
	buf_init(&p->bytes, BYTES_MAX);
}

void parcel_fini(struct parcel *p)
{
	buf_free(&p->bytes);
}

void parcel_set_timeout(int fd, uint64_t ms)
{
	struct timeval t = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

/* libuv makes what it watches non-blocking; the goods go out in one piece all the same. */
static bool wait_for_room(int fd, uint64_t until_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int r;

	do {
		uint64_t now_ms = clock_mono_ms();

		r = poll(&p, 1, until_ms > now_ms ? (int)(until_ms - now_ms) : 0);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		errno = ETIMEDOUT;
	return r > 0;
}

struct message {
	const void *p;
	size_t n;
	const int *fds;
	uint32_t n_fds;
};

static int send_message(int fd, const struct message *m, uint64_t until_ms, struct err *e)
{
	union {
		char bytes[CMSG_SPACE(PARCEL_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)m->p, .iov_len = m->n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (m->n_fds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof control);
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(m->n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(m->n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), m->fds, m->n_fds * sizeof(int));
	}
	do {
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && (errno == EINTR || (errno == EAGAIN && wait_for_room(fd, until_ms))));
	if (sent == (ssize_t)m->n)
		return 0;
	return err_set_sys(e, ERR_IO, sent < 0 ? errno : EMSGSIZE, "handover: send");
}

int parcel_say(int fd, enum parcel_word word, struct err *e)
{
	uint8_t byte = (uint8_t)word;

	return send_message(fd, &(struct message){ .p = &byte, .n = 1 }, clock_mono_ms() + SEND_MS, e);
}

static int parcel_flush(struct parcel *p, struct err *e)
{
	struct message m = { p->bytes.data, p->bytes.len, p->fds, p->n };
	int r;

	if (p->n == 0)
		return 0;
	if (p->bytes.failed)
		return err_set(e, ERR_NOMEM, NULL, "handover: out of memory");
	r = send_message(p->fd, &m, p->until_ms, e);
	p->total += p->n;
	p->n = 0;
	buf_reset(&p->bytes);
	return r;
}

int parcel_put(struct parcel *p, const char *owner, const struct handover_socket *s, struct err *e)
{
	if (s->record_n > RECORD_MAX || strlen(owner) >= OWNER_SIZE)
		return err_set(e, ERR_TOO_LARGE, NULL, "handover: %s has %zu bytes with it", s->key, s->record_n);
	if ((p->n == PARCEL_FDS || p->bytes.len + ENTRY_MAX > BYTES_MAX) && parcel_flush(p, e) != 0)
		return -1;
	if (p->n == 0)
		buf_u8(&p->bytes, PARCEL_GOODS);
	buf_str16(&p->bytes, owner);
	buf_str16(&p->bytes, s->key);
	buf_blob32(&p->bytes, s->record, s->record_n);
	p->fds[p->n++] = s->fd;
	return 0;
}

int parcel_end(struct parcel *p, struct err *e)
{
	struct buf b;
	int r;

	if (parcel_flush(p, e) != 0)
		return -1;
	buf_init(&b, 16);
	buf_u8(&b, PARCEL_END);
	buf_u32(&b, p->total);
	r = b.failed ? err_set(e, ERR_NOMEM, NULL, "handover: out of memory")
	             : send_message(p->fd, &(struct message){ .p = b.data, .n = b.len }, p->until_ms, e);
	buf_free(&b);
	return r;
}

/* ---- the other side ---------------------------------------------------------------------------------------------- */

struct received {
	uint8_t bytes[BYTES_MAX];
	size_t n;
	int fds[PARCEL_FDS];
	uint32_t n_fds;
};

static int receive_message(int fd, struct received *m, struct err *e)
{
	union {
		char bytes[CMSG_SPACE(PARCEL_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = m->bytes, .iov_len = sizeof m->bytes };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes
	};
	ssize_t n;

	m->n_fds = 0;
	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ECONNRESET) /* it ended with goods that it had not taken */
		return err_set(e, ERR_UNAVAILABLE, NULL, GONE);
	if (n < 0)
		return err_set_sys(e, errno == EAGAIN ? ERR_TIMEOUT : ERR_IO, errno, "handover: receive");
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		m->n_fds = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fds, CMSG_DATA(c), m->n_fds * sizeof(int));
	}
	m->n = (size_t)n;
	if (n == 0)
		return err_set(e, ERR_UNAVAILABLE, NULL, GONE);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return err_set(e, ERR_NO_DESCRIPTORS, NULL, "handover: no room for %u descriptors", m->n_fds);
	return 0;
}

static void close_from(struct received *m, uint32_t from)
{
	for (uint32_t i = from; i < m->n_fds; i++)
		close(m->fds[i]);
}

static int take_goods(struct received *m, struct cursor *c, parcel_fn fn, void *arg, struct err *e)
{
	uint32_t i = 0;

	for (; i < m->n_fds; i++) {
		struct handover_socket s = { .fd = m->fds[i] };
		char owner[OWNER_SIZE];

		cursor_str16(c, owner, sizeof owner);
		cursor_str16(c, s.key, sizeof s.key);
		s.record = cursor_blob32(c, &s.record_n);
		if (c->failed)
			break;
		fn(owner, &s, arg);
	}
	close_from(m, i);
	return cursor_done(c) == 0 ? 0 : err_set(e, ERR_PROTOCOL, NULL, "handover: goods that do not fit");
}

int parcel_read(int fd, parcel_fn fn, void *arg, uint32_t *total, struct err *e)
{
	struct received m = { .n = 0 };
	struct cursor c;
	uint8_t word;

	if (receive_message(fd, &m, e) != 0) {
		close_from(&m, 0);
		return -1;
	}
	cursor_init(&c, m.bytes, m.n);
	word = cursor_u8(&c);
	if (word == PARCEL_GOODS && fn != NULL) {
		*total += m.n_fds;
		return take_goods(&m, &c, fn, arg, e) == 0 ? (int)word : -1;
	}
	close_from(&m, 0);
	if (word == PARCEL_END && cursor_u32(&c) != *total)
		return err_set(e, ERR_PROTOCOL, NULL, "handover: %u descriptors came, but not all", *total);
	if (cursor_done(&c) != 0 || word < PARCEL_HELLO || word > PARCEL_GO)
		return err_set(e, ERR_PROTOCOL, NULL, "handover: a message that makes no sense");
	return word;
}
