/*
 * mirror - copies of a route's requests for its mirror pool: each one an exchange of its own for which no client waits.
 *
 *   TAKING --whole--> SENDING --answered, failed, out of time--> gone
 *      `--> dropped: its content is too long, or never came whole
 *
 * The request itself is never touched by it: its head is copied when it was written, its content as it passes, and the copy goes out at the
 * end of the round. What a copy may take is bounded: how many there are on a worker, the content of each, the time for its answer, which is
 * thrown away as it comes. What is beyond that is dropped and counted. No copy is made of what changes the protocol (Upgrade, CONNECT).
 *
 * Owner: the exchange whose copy it is while it is being taken, then the desk (mirrors). Thread: the worker's.
 * Ends:  by itself, mirror_drop(), mirror_cut(); the memory goes at the end of the round.
 */
#ifndef PORTWAY_RELAYD_HTTP_MIRROR_H
#define PORTWAY_RELAYD_HTTP_MIRROR_H

#include "common/http/http_head.h"

struct exchange;
struct http_desk;
struct http_route;
struct list;
struct mirror;

/*
 * The request of x, whose head is written; h: as it came. Without content the copy goes, and NULL is returned; also where none is to
 * be, or can be.
 */
struct mirror *mirror_begin(struct exchange *x, const struct http_head *h);
/* Some of its content. NULL: it was too long, and the copy is gone. */
struct mirror *mirror_content(struct mirror *m, struct http_span p);
/* The content is whole: the copy goes. */
void mirror_send(struct mirror *m);
/* It will not come whole. */
void mirror_drop(struct mirror *m);

struct mirror *mirror_of(struct list *in_desk);
void mirror_cut(struct mirror *m);
/* Those of one route. */
void mirror_cut_route(struct http_desk *d, const struct http_route *r);

#endif
