#include "controld/rest/stream.h"

#include "common/base/str.h"
#include "controld/rest/call.h"
#include "controld/rest/conn.h"

#include <stdbool.h>
#include <stdlib.h>

struct stream {
	struct conn *conn;
	const struct stream_ops *ops; /* NULL: abandoned */
	void *state;
	bool ended;
};

void reply_stream(struct reply *rp, const char *content_type, const struct stream_ops *ops, void *state)
{
	rp->status = 200;
	(void)str_copy(rp->content_type, sizeof rp->content_type, content_type);
	rp->stream = ops;
	rp->stream_state = state;
}

static void on_gone(void *arg)
{
	struct stream *s = arg;

	if (s->ops != NULL)
		s->ops->gone(s->state);
	free(s);
}

void stream_begin(struct conn *c, struct conn_output *out, const struct stream_ops *ops, void *state)
{
	struct stream *s = c != NULL ? calloc(1, sizeof *s) : NULL;

	if (s == NULL) {
		ops->gone(state);
		if (c != NULL)
			conn_doom(c);
		return;
	}
	*s = (struct stream){ .conn = c, .ops = ops, .state = state };
	conn_stream(c, out);
	conn_on_gone(c, on_gone, s);
	ops->begin(state, s);
}

size_t stream_waiting(const struct stream *s)
{
	return conn_stream_waiting(s->conn);
}

void stream_write(struct stream *s, const void *p, size_t n)
{
	if (!s->ended)
		conn_stream_write(s->conn, p, n);
}

void stream_write_then(struct stream *s, const void *p, size_t n, void (*taken)(void *arg), void *arg)
{
	if (!s->ended)
		conn_stream_write_then(s->conn, p, n, taken, arg);
}

void stream_end(struct stream *s)
{
	if (s->ended)
		return;
	s->ended = true;
	conn_stream_end(s->conn); /* may free s */
}

void stream_cut(struct stream *s)
{
	s->ended = true;
	conn_doom(s->conn);
}

void stream_abandon(struct stream *s)
{
	s->ops = NULL;
	s->ended = true;
}
