#include "common/tunnel/stream_side.h"

#include "common/base/err.h"

#include <errno.h>
#include <stdlib.h>

struct stream *stream_side_stream(const struct side *s)
{
	return s->far;
}

static void on_stream(struct stream *s, uint32_t events)
{
	struct side *side = s->owner;

	side->io.on_event(&side->io, events);
}

static size_t side_peek(struct side *s, const uint8_t **p)
{
	return stream_peek(stream_side_stream(s), p);
}

static void side_take(struct side *s, size_t n)
{
	stream_take(stream_side_stream(s), n);
}

static size_t side_room(struct side *s)
{
	return MIN(stream_room(stream_side_stream(s)), FRAME_DATA_FULL);
}

static bool side_more(const struct side *s)
{
	return stream_more(stream_side_stream(s));
}

static uint8_t *side_space(struct side *s, size_t n)
{
	return stream_space(stream_side_stream(s), n);
}

static ssize_t side_send(struct side *s, const uint8_t *p, size_t n)
{
	struct stream *stream = stream_side_stream(s);

	if (stream->mux != NULL)
		return (ssize_t)stream_send(stream, p, n);
	errno = EPIPE;
	return -1;
}

static int side_end(struct side *s)
{
	struct stream *stream = stream_side_stream(s);

	if (stream->mux == NULL)
		return -1;
	stream_finish(stream);
	return 0;
}

static void side_shut(struct side *s, bool reset)
{
	struct stream *stream = stream_side_stream(s);

	if (!reset)
		stream_finish(stream); /* as the close of a socket does, where that was not said before */
	stream_close(stream, reset ? ERR_UNAVAILABLE : ERR_NONE, reset ? "the other end was reset" : "");
	s->far = NULL;
	free(stream);
}

static const struct side_ops ops = {
	.peek = side_peek,
	.take = side_take,
	.more = side_more,
	.room = side_room,
	.space = side_space,
	.send = side_send,
	.finish = side_end,
	.close = side_shut,
};

int stream_side_open(struct side *s, struct mux *m, const struct frame_open *o)
{
	struct stream *stream = malloc(sizeof *stream);

	if (stream == NULL || stream_open(stream, m, o, on_stream, s) != 0) {
		free(stream);
		return -1;
	}
	s->far = stream;
	s->ops = &ops;
	return 0;
}

int stream_side_accept(struct side *s, struct mux *m, uint32_t id, const struct frame_open *o)
{
	struct stream *stream = malloc(sizeof *stream);

	if (stream == NULL || stream_accept(stream, m, id, o, on_stream, s) != 0) {
		free(stream);
		return -1;
	}
	s->far = stream;
	s->ops = &ops;
	return 0;
}
