#include "relayd/handover/handover.h"

#include "common/base/err.h"
#include "common/base/sm.h"
#include "relayd/loop/child.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum handover_state { HANDOVER_WAITING, HANDOVER_OFFERED, HANDOVER_DONE, HANDOVER_FAILED };

static const struct sm_state states[] = {
	[HANDOVER_WAITING] = { "waiting", BIT(HANDOVER_OFFERED) | BIT(HANDOVER_FAILED) },
	[HANDOVER_OFFERED] = { "offered", BIT(HANDOVER_DONE) | BIT(HANDOVER_FAILED) },
	[HANDOVER_DONE] = { "done", 0 },
	[HANDOVER_FAILED] = { "failed", 0 },
};

struct handover {
	int state;
	struct child *child; /* NULL once it ended or is a process on its own */
	int fd;
	uv_poll_t readable;
	uv_timer_t timer;
	unsigned open_handles;
	bool freed;
	struct handover_events events;
	void *arg;
};

static void handover_move(struct handover *h, enum handover_state to)
{
	sm_move(states, &h->state, (int)to);
}

static void handover_end_if_done(struct handover *h)
{
	if (!h->freed || h->open_handles > 0 || h->child != NULL)
		return;
	close(h->fd);
	free(h);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct handover *h = handle->data;

	h->open_handles--;
	handover_end_if_done(h);
}

static void handover_stop_watching(struct handover *h)
{
	if (uv_is_closing((uv_handle_t *)&h->readable))
		return;
	uv_close((uv_handle_t *)&h->readable, on_handle_closed);
	uv_close((uv_handle_t *)&h->timer, on_handle_closed);
}

static void handover_fail(struct handover *h, const char *why)
{
	if (h->state == HANDOVER_DONE || h->state == HANDOVER_FAILED)
		return;
	handover_move(h, HANDOVER_FAILED);
	handover_stop_watching(h);
	if (h->child != NULL)
		child_kill(h->child);
	h->events.on_failed(h->arg, why); /* may free h */
}

static const char ended[] = "the new process ended before it served";

static void on_exit_(struct child *c, int status, void *arg)
{
	struct handover *h = arg;

	(void)c, (void)status;
	h->child = NULL;
	if (h->freed)
		handover_end_if_done(h);
	else
		handover_fail(h, ended);
}

static void on_timeout(uv_timer_t *t)
{
	handover_fail(t->data, "the new process did not serve in time");
}

static int offer(struct handover *h, struct err *e)
{
	struct parcel p;
	int r;

	parcel_init(&p, h->fd);
	r = h->events.on_collect(h->arg, &p, e);
	parcel_fini(&p);
	return r;
}

static void on_readable(uv_poll_t *watch, int status, int events)
{
	struct handover *h = watch->data;
	struct err e = { .code = ERR_UNAVAILABLE }; /* what a bad status says of a socket pair */
	uint32_t total = 0;
	int word = status < 0 ? -1 : parcel_read(h->fd, NULL, NULL, &total, &e);

	(void)events;
	if (h->state == HANDOVER_WAITING && word == PARCEL_HELLO) {
		if (offer(h, &e) == 0)
			handover_move(h, HANDOVER_OFFERED);
		else
			handover_fail(h, e.msg);
	} else if (h->state == HANDOVER_OFFERED && word == PARCEL_READY) {
		uv_timer_stop(&h->timer);
		uv_poll_stop(&h->readable);
		h->events.on_ready(h->arg);
	} else if (word < 0 && e.code == ERR_TIMEOUT) {
		return; /* woken for nothing */
	} else if (word < 0) {
		handover_fail(h, e.code == ERR_UNAVAILABLE ? ended : e.msg);
	} else {
		handover_fail(h, "the new process says nonsense");
	}
}

int handover_start(struct handover **out, uv_loop_t *loop, const char *program, char *const argv[], uint64_t timeout_ms,
	const struct handover_events *events, void *arg, struct err *e)
{
	struct handover *h = calloc(1, sizeof *h);
	int fds[2];

	if (h == NULL)
		return err_set(e, ERR_NOMEM, NULL, "handover: out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
		free(h);
		return err_set_sys(e, ERR_IO, errno, "handover: socketpair");
	}
	if (child_start(&h->child, loop, program, argv, fds[1], on_exit_, h, e) != 0) {
		close(fds[0]);
		close(fds[1]);
		free(h);
		return -1;
	}
	close(fds[1]);
	h->fd = fds[0];
	h->events = *events;
	h->arg = arg;
	uv_poll_init(loop, &h->readable, h->fd);
	uv_timer_init(loop, &h->timer);
	h->readable.data = h->timer.data = h;
	h->open_handles = 2;
	uv_poll_start(&h->readable, UV_READABLE, on_readable);
	uv_timer_start(&h->timer, on_timeout, timeout_ms, 0);
	*out = h;
	return 0;
}

int handover_go(struct handover *h, struct err *e)
{
	if (parcel_say(h->fd, PARCEL_GO, e) != 0)
		return -1;
	handover_move(h, HANDOVER_DONE);
	if (h->child != NULL)
		child_abandon(h->child);
	h->child = NULL;
	return 0;
}

void handover_free(struct handover *h)
{
	if (h == NULL || h->freed)
		return;
	h->freed = true;
	handover_stop_watching(h);
	if (h->child != NULL)
		child_kill(h->child);
	handover_end_if_done(h);
}
