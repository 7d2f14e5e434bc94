/*
 * stream_side - a stream as one end of a session: what side.h asks of an end without a socket.
 *
 * Owner:  the side; the stream is allocated here and goes with side_close(). Thread: the link's worker.
 * Events of the stream are told to side.io.on_event, as those of a socket would be: EPOLLOUT with the first OPENED, EPOLLERR
 * when the far end or the link has gone.
 */
#ifndef PORTWAY_TUNNEL_STREAM_SIDE_H
#define PORTWAY_TUNNEL_STREAM_SIDE_H

#include "common/tunnel/mux.h"
#include "common/uv/side.h"

/* The side has been initialised (side_init() with fd -1). -1: out of memory, or the link takes no more; it stays closed. */
int stream_side_open(struct side *s, struct mux *m, const struct frame_open *o) MUST_CHECK;
int stream_side_accept(struct side *s, struct mux *m, uint32_t id, const struct frame_open *o) MUST_CHECK;
/* Of an open side. */
struct stream *stream_side_stream(const struct side *s);

#endif
