/*
 * arrival - a connection to a shared port until it is known whom it is for; or that leaves, with some last words.
 *
 * The first bytes are looked at where they lie, in the kernel, and never taken: nothing is kept for a slow client, and whoever gets
 * the connection reads it from its first byte, as if it had come to a port of its own.
 *
 * Owner: its seat. Thread: the worker's.
 * Ends:  by itself, or by arrival_cut(); the memory goes at the end of the round.
 */
#ifndef PORTWAY_RELAYD_VHOST_ARRIVAL_H
#define PORTWAY_RELAYD_VHOST_ARRIVAL_H

#include "relayd/vhost/refusal.h"

#include <stddef.h>

struct addr;
struct arrival;
struct front_seat;
struct list;

size_t arrival_size(void);
struct arrival *arrival_of(struct list *link); /* in the seat's lists */

/* An accepted connection; takes fd. */
void arrival_open(struct front_seat *s, int fd, const struct addr *from);
/* A connection that could not be served; takes fd, which is in no epoll. */
void arrival_leave(struct front_seat *s, int fd, struct refusal words);
/* Ends it with a reset. */
void arrival_cut(struct arrival *a);

#endif
