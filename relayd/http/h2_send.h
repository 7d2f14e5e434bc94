/*
 * h2_send - what a session of HTTP/2 has to say, written to a wire: many frames at once.
 *
 * nghttp2 gives one frame after the other. Each by itself would be a system call, and over TLS a record, too; answers of a turn go together.
 *
 * Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_SEND_H
#define PORTWAY_RELAYD_HTTP_H2_SEND_H

#include "relayd/http/outbox.h"

#include <nghttp2/nghttp2.h>

/* Content of one DATA frame at most, so that the frame with its head fills a TLS record and no second one is begun for its last bytes. */
#define H2_SEND_DATA (16 * 1024 - 9)

/* Behind what waits, until the session has no more or the wire is full. Callbacks of the session are called. */
void h2_send(nghttp2_session *ng, struct outbox *out, struct blocks *bs, struct wire *w);

#endif
