#include "relayd/link/link_process.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/crypto/seal.h"
#include "relayd/link/link_child.h"
#include "relayd/loop/child.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK 65536
#define WRITE_MAX  (4u * (LINK_FRAME_HEAD + LINK_FRAME_MAX)) /* its credentials and a request on each line fit */

struct link_process {
	struct child *child;
	uv_pipe_t pipe;
	bool pipe_open; /* its handle is not closed yet */
	bool ending;
	struct buf in;
	struct link_process_events events;
	void *arg;
};

/* Bytes on their way out. */
struct sending {
	uv_write_t req;
	struct buf bytes;
};

/* Frames may hold keys. */
static void frames_free(struct buf *frames)
{
	seal_wipe(frames->data, frames->len);
	buf_free(frames);
}

static void process_gone_if_done(struct link_process *p)
{
	void (*on_gone)(void *arg) = p->events.on_gone;
	void *arg = p->arg;

	if (!p->ending || p->child != NULL || p->pipe_open)
		return;
	buf_free(&p->in);
	free(p);
	on_gone(arg);
}

static void process_trouble(struct link_process *p, const char *why)
{
	if (!p->ending)
		p->events.on_trouble(p->arg, why);
}

static void on_exit_(struct child *c, int status, void *arg)
{
	struct link_process *p = arg;

	(void)c, (void)status;
	p->child = NULL;
	process_trouble(p, "the link process ended");
	process_gone_if_done(p);
}

static void on_pipe_closed(uv_handle_t *h)
{
	struct link_process *p = h->data;

	p->pipe_open = false;
	process_gone_if_done(p);
}

void link_process_end(struct link_process *p)
{
	if (p->ending)
		return;
	p->ending = true;
	if (p->child != NULL)
		child_kill(p->child);
	if (p->pipe_open)
		uv_close((uv_handle_t *)&p->pipe, on_pipe_closed);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct link_process *p = h->data;
	uint8_t *room = buf_reserve(&p->in, READ_CHUNK);

	(void)suggested;
	*b = uv_buf_init((char *)room, room != NULL ? READ_CHUNK : 0);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct link_process *p = s->data;
	size_t at = 0;
	struct link_frame f;
	ssize_t used = 0;

	(void)b;
	if (n < 0) {
		uv_read_stop(s);
		process_trouble(p, n == UV_EOF ? "the link process ended" : uv_strerror((int)n));
		return;
	}
	p->in.len += (size_t)n;
	while (!p->ending && (used = link_frame_get(&f, p->in.data + at, p->in.len - at)) > 0) {
		at += (size_t)used;
		p->events.on_frame(p->arg, &f);
	}
	buf_consume(&p->in, at);
	if (p->in.len == 0) /* an update may be a megabyte, and the next one far away */
		buf_free(&p->in);
	if (used < 0)
		process_trouble(p, "the link process said nonsense");
}

static void on_written(uv_write_t *req, int status)
{
	struct sending *s = CONTAINER_OF(req, struct sending, req);

	(void)status; /* a broken socket is noticed by reading */
	frames_free(&s->bytes);
	free(s);
}

void link_process_send(struct link_process *p, struct buf *frames)
{
	struct sending *s = calloc(1, sizeof *s);
	bool stuck = uv_stream_get_write_queue_size((uv_stream_t *)&p->pipe) > WRITE_MAX;
	uv_buf_t b;

	if (s == NULL || frames->failed || stuck || p->ending) {
		frames_free(frames);
		free(s);
		process_trouble(p, stuck ? "the link process takes no messages" : "out of memory");
		return;
	}
	s->bytes = *frames;
	*frames = (struct buf){ .max = frames->max };
	b = uv_buf_init((char *)s->bytes.data, (unsigned)s->bytes.len);
	if (uv_write(&s->req, (uv_stream_t *)&p->pipe, &b, 1, on_written) != 0)
		on_written(&s->req, UV_EPIPE);
}

int link_process_start(struct link_process **out, uv_loop_t *loop, const char *program,
	const struct link_process_events *events, void *arg, struct err *e)
{
	char *const argv[] = { (char *)"relayd", (char *)LINK_CHILD_WORD, NULL };
	struct link_process *p = calloc(1, sizeof *p);
	int fds[2] = { -1, -1 };

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "link: out of memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
		err_set_sys(e, ERR_IO, errno, "link: socketpair");
		goto fail;
	}
	if (child_start(&p->child, loop, program, argv, fds[1], on_exit_, p, e) != 0)
		goto fail;
	close(fds[1]);
	buf_init(&p->in, LINK_FRAME_HEAD + LINK_FRAME_MAX + READ_CHUNK);
	p->arg = arg;
	uv_pipe_init(loop, &p->pipe, 0);
	p->pipe.data = p;
	p->pipe_open = true;
	if (uv_pipe_open(&p->pipe, fds[0]) != 0 || uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_read) != 0)
		abort(); /* a fresh socket of our own */
	p->events = *events;
	*out = p;
	return 0;
fail:
	if (fds[0] >= 0) {
		close(fds[0]);
		close(fds[1]);
	}
	free(p);
	return -1;
}
