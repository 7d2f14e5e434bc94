/*
 * h2_front - a client's connection that speaks HTTP/2 (RFC 9113): each of its streams is one exchange.
 *
 *   wire -> nghttp2 -> h2_stream (h2_stream.c) -> exchange          the request
 *   wire <- outbox <- nghttp2 <- h2_stream <- exchange              the answer
 *
 * What waits is bounded by windows: of a request's content, what its backend does not take stays unacknowledged, at most H2_WINDOW for a
 * stream and H2_CONNECTION_WINDOW for all; of an answer, what the client's window or socket does not take stays in the stream, whose
 * backend is not read meanwhile.
 *
 * What a client may do is a budget, not a rule for each attack: frames that cost it nothing and us something (resets, settings, pings, data
 * that is empty or hardly any) are paid from it, time and bytes that pass fill it. Who has spent it is told ENHANCE_YOUR_CALM.
 *
 * Owner: the desk. Thread: the worker's.
 * Ends:  by itself, h2_front_cut(), or h2_front_drain() when its streams are done; the memory goes at the end of the round.
 */
#ifndef PORTWAY_RELAYD_HTTP_H2_FRONT_H
#define PORTWAY_RELAYD_HTTP_H2_FRONT_H

#include "common/base/list.h"
#include "common/http/http.h"
#include "relayd/http/wire.h"

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct conn_info;
struct front_seat;
struct h2_front;
struct http_desk;

#define H2_PREFACE           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_STREAMS_MAX       128
#define H2_WINDOW            (64 * 1024)
#define H2_CONNECTION_WINDOW (1024 * 1024)

struct h2_opening {
	struct front_seat *seat; /* the shared port that it came to: whose hosts it may ask for */
	const struct addr *from; /* behind a proxy that is trusted */
	bool tls;
	bool counted;           /* as a connection that was taken */
	struct http_span first; /* bytes that were read already; at most INBOX_READ, and only for the call */
};

/* For the desk. */
size_t h2_stream_size(void);
size_t h2_asking_size(void);
/* Takes over the open wire, or leaves it where it is for lack of memory. Its bytes begin with the client's preface. */
void h2_front_open(struct http_desk *d, struct wire *w, const struct h2_opening *o);
struct h2_front *h2_front_of(struct list *in_desk);
/* No new streams; ends with the last one. */
void h2_front_drain(struct h2_front *f);
void h2_front_cut(struct h2_front *f);

uint64_t h2_front_id(const struct h2_front *f);
/* out->mapping: the route of a request under way, that route if there is one and it is not NULL, else the one of the last request. */
void h2_front_info(const struct h2_front *f, const char *route, struct conn_info *out);

#endif
