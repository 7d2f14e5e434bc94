#include "relayd/handover/successor.h"

#include "common/base/err.h"

#include <stdlib.h>
#include <unistd.h>

struct successor {
	int fd;
	uv_poll_t readable;
	bool watching; /* readable is an open handle */
	void (*on_go)(void *arg, bool ok);
	void *arg;
};

int successor_take(struct successor **out, int fd, uint64_t timeout_ms, parcel_fn fn, void *arg, struct err *e)
{
	struct successor *s = calloc(1, sizeof *s);
	uint32_t total = 0;
	int word;

	if (s == NULL) {
		close(fd);
		return err_set(e, ERR_NOMEM, NULL, "handover: out of memory");
	}
	s->fd = fd;
	parcel_set_timeout(fd, timeout_ms);
	if (parcel_say(fd, PARCEL_HELLO, e) != 0)
		goto fail;
	do {
		word = parcel_read(fd, fn, arg, &total, e);
	} while (word == PARCEL_GOODS);
	if (word == PARCEL_END) {
		*out = s;
		return 0;
	}
	if (word > 0)
		err_set(e, ERR_PROTOCOL, NULL, "handover: the old process says nonsense");
fail:
	successor_free(s);
	return -1;
}

static void on_readable(uv_poll_t *watch, int status, int events)
{
	struct successor *s = watch->data;
	uint32_t total = 0;
	int word = status < 0 ? -1 : parcel_read(s->fd, NULL, NULL, &total, NULL);

	(void)events;
	uv_poll_stop(watch);
	s->on_go(s->arg, word == PARCEL_GO); /* may free s */
}

int successor_ready(struct successor *s, uv_loop_t *loop, void (*on_go)(void *arg, bool ok), void *arg, struct err *e)
{
	if (parcel_say(s->fd, PARCEL_READY, e) != 0)
		return -1;
	s->on_go = on_go;
	s->arg = arg;
	uv_poll_init(loop, &s->readable, s->fd);
	s->readable.data = s;
	s->watching = true;
	uv_poll_start(&s->readable, UV_READABLE, on_readable);
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	struct successor *s = h->data;

	close(s->fd);
	free(s);
}

void successor_free(struct successor *s)
{
	if (s == NULL)
		return;
	if (s->watching) {
		uv_close((uv_handle_t *)&s->readable, on_closed);
		return;
	}
	close(s->fd);
	free(s);
}
