#define _GNU_SOURCE
#include "client/agent/status_socket.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/uv/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG     16
#define DEADLINE_NS UINT64_C(5000000000)
#define ASK_S       5

/* One who asked and has not taken all of the answer yet. */
struct answer {
	struct status_socket *socket; /* NULL: free */
	struct io io;
	struct timer timer;
	struct buf text;
};

struct status_socket {
	struct worker *worker;
	struct io io;
	struct sockaddr_un at;
	void (*print)(void *arg, struct buf *out);
	void *arg;
	struct task grave;
	struct answer answers[STATUS_ANSWERS_MAX];
};

static int address(struct sockaddr_un *at, const char *dir, struct err *e)
{
	*at = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (str_fmt(at->sun_path, sizeof at->sun_path, "%s/" STATUS_SOCKET_NAME, dir) != 0)
		return err_set(
			e, ERR_VALIDATION, "runtime_dir", "runtime_dir: '%s' is too long for a socket's path", dir);
	return 0;
}

/* ---- answering ---------------------------------------------------------------------------------------------------- */

static void answer_end(struct answer *a)
{
	if (a->socket == NULL)
		return;
	io_close(&a->io);
	wheel_disarm(&a->timer);
	buf_free(&a->text);
	a->socket = NULL;
}

static void answer_go_on(struct answer *a)
{
	while (a->text.len > 0) {
		ssize_t n = send(a->io.fd, a->text.data, a->text.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		buf_consume(&a->text, (size_t)n);
	}
	answer_end(a);
}

static void on_asker(struct io *io, uint32_t events)
{
	struct answer *a = CONTAINER_OF(io, struct answer, io);

	if (a->socket != NULL && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		answer_go_on(a);
}

static void on_too_late(struct timer *t)
{
	answer_end(CONTAINER_OF(t, struct answer, timer));
}

static struct answer *free_answer(struct status_socket *s)
{
	for (unsigned i = 0; i < STATUS_ANSWERS_MAX; i++)
		if (s->answers[i].socket == NULL)
			return &s->answers[i];
	return NULL;
}

static void on_listener(struct io *io, uint32_t events)
{
	struct status_socket *s = CONTAINER_OF(io, struct status_socket, io);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct answer *a = free_answer(s);

	(void)events;
	if (fd < 0)
		return;
	if (a == NULL) {
		close(fd);
		return;
	}
	a->socket = s;
	io_init(&a->io, on_asker, fd);
	timer_init(&a->timer, on_too_late);
	buf_init(&a->text, STATUS_ANSWER_BYTES);
	s->print(s->arg, &a->text);
	buf_u8(&a->text, '\n');
	if (a->text.failed || io_add(s->worker, &a->io, EPOLLOUT | EPOLLET) != 0) {
		answer_end(a);
		return;
	}
	wheel_arm(&s->worker->wheel, &a->timer, s->worker->now_ns + DEADLINE_NS);
}

/* ---- beginning and end -------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct status_socket, grave));
}

void status_socket_close(struct status_socket *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < STATUS_ANSWERS_MAX; i++)
		answer_end(&s->answers[i]);
	unlink(s->at.sun_path);
	io_close(&s->io);
	worker_bury(s->worker, &s->grave);
}

/* What a killed agent left; the folder's lock (instance.h) says that no other one lives. */
static int bind_anew(int fd, const struct sockaddr_un *at)
{
	unlink(at->sun_path);
	if (bind(fd, (const struct sockaddr *)at, sizeof *at) != 0 || chmod(at->sun_path, 0600) != 0)
		return -1;
	return listen(fd, BACKLOG);
}

static int listen_at(const struct sockaddr_un *at, struct err *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), probe, r;

	if (fd < 0)
		return err_set_sys(e, ERR_IO, errno, "%s", at->sun_path);
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = connect(probe, (const struct sockaddr *)at, sizeof *at);
	close(probe);
	if (r == 0)
		err_set(e, ERR_CONFLICT, "runtime_dir", "%s: another agent answers there", at->sun_path);
	else if (bind_anew(fd, at) == 0)
		return fd;
	else
		err_set_sys(e, ERR_IO, errno, "%s", at->sun_path);
	close(fd);
	return -1;
}

int status_socket_open(struct status_socket **out, struct worker *w, const char *dir,
	void (*print)(void *arg, struct buf *out), void *arg, struct err *e)
{
	struct status_socket *s = calloc(1, sizeof *s);
	int fd;

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "the status socket: out of memory");
	s->worker = w;
	s->print = print;
	s->arg = arg;
	task_init(&s->grave, on_buried);
	if (file_mkdirs(dir, 0700, e) != 0 || address(&s->at, dir, e) != 0 || (fd = listen_at(&s->at, e)) < 0) {
		free(s);
		return -1;
	}
	io_init(&s->io, on_listener, fd);
	if (io_add(w, &s->io, EPOLLIN) != 0) {
		status_socket_close(s);
		return err_set(e, ERR_NOMEM, NULL, "the status socket: out of memory");
	}
	*out = s;
	return 0;
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static int read_all(int fd, struct buf *out)
{
	for (;;) {
		uint8_t *room = buf_reserve(out, 4096);
		ssize_t n = room != NULL ? recv(fd, room, 4096, 0) : -1;

		if (n <= 0)
			return n == 0 && out->len > 0 ? 0 : -1;
		out->len += (size_t)n;
	}
}

int status_socket_ask(const char *dir, struct buf *out, struct err *e)
{
	const struct timeval limit = { .tv_sec = ASK_S };
	struct sockaddr_un at;
	int fd, r;

	if (address(&at, dir, e) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_sys(e, ERR_IO, errno, "%s", at.sun_path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	r = connect(fd, (const struct sockaddr *)&at, sizeof at);
	if (r != 0 && (errno == ENOENT || errno == ECONNREFUSED))
		err_set(e, ERR_NOT_FOUND, NULL, "no agent runs here (%s)", at.sun_path);
	else if (r != 0)
		err_set_sys(e, errno == EACCES ? ERR_PERMISSION : ERR_IO, errno, "%s", at.sun_path);
	else if ((r = read_all(fd, out)) != 0)
		err_set(e, ERR_TIMEOUT, NULL, "%s: the agent does not answer", at.sun_path);
	close(fd);
	return r;
}
