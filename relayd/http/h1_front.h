/*
 * h1_front - a client's connection that speaks HTTP/1.1: requests in, one after the other, answers out in the same order.
 *
 *   OPEN --> LINGER --> CLOSED        LINGER: nothing more is said; what still comes is read and thrown away, as closing over it would
 *     `-------------------^           send a reset that overtakes the answer
 *
 * In OPEN there is an exchange or there is none. The next request is looked at when the answer to the one before was taken by the client's
 * kernel; what came of it meanwhile waits.
 *
 * Owner: the desk (connections). Thread: the worker's.
 * Ends:  by itself, or h1_front_close(); the memory goes at the end of the round.
 */
#ifndef PORTWAY_RELAYD_HTTP_H1_FRONT_H
#define PORTWAY_RELAYD_HTTP_H1_FRONT_H

#include "relayd/http/wire.h"

#include <stdbool.h>

struct addr;
struct conn_info;
struct front_seat;
struct h1_front;
struct http_desk;

size_t h1_front_size(void);
struct h1_front *h1_front_of(struct list *link); /* in the desk's connections */

/* An accepted connection in clear; takes fd. proxied: a PROXY header comes first. */
void h1_front_open(struct http_desk *d, struct front_seat *seat, int fd, const struct addr *from, bool proxied);
/* One with a transport of its own: the caller fills the wire, then h1_front_begin(). NULL: no memory or descriptor, fd is closed. */
struct h1_front *h1_front_new(struct http_desk *d, struct front_seat *seat, int fd, const struct addr *from);
struct wire *h1_front_wire(struct h1_front *f);
void h1_front_begin(struct h1_front *f, bool tls);
void h1_front_close(struct h1_front *f, bool reset); /* any number of times */
/* Ends when the answer under way is whole, at once if there is none. */
void h1_front_drain(struct h1_front *f);

uint64_t h1_front_id(const struct h1_front *f);
void h1_front_info(const struct h1_front *f, struct conn_info *out); /* out->mapping: the route of its last request */

#endif
