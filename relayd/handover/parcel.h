/*
 * parcel - descriptors, each with its owner's name, a key and a record, on their way to a successor; and the few words
 * that both sides say. One SOCK_SEQPACKET socket; calls block, for seconds in all at most.
 *
 *	successor                      predecessor
 *	HELLO            -->
 *	                 <--           GOODS ... GOODS END
 *	READY            -->                              (it serves from the same sockets)
 *	                 <--           GO                 (it is alone responsible now)
 */
#ifndef PORTWAY_RELAYD_HANDOVER_PARCEL_H
#define PORTWAY_RELAYD_HANDOVER_PARCEL_H

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "relayd/loop/service.h"

struct err;

enum parcel_word { PARCEL_HELLO = 1, PARCEL_GOODS, PARCEL_END, PARCEL_READY, PARCEL_GO };

#define PARCEL_FDS 64 /* descriptors in one message */

struct parcel {
	int fd; /* borrowed */
	struct buf bytes;
	int fds[PARCEL_FDS];
	uint32_t n;        /* in the message being made */
	uint32_t total;    /* in all that were sent */
	uint64_t until_ms; /* monotonic; the receiver is given up then, as workers wait for it too */
};

/* Begins the time that everything may take. */
void parcel_init(struct parcel *p, int fd);
void parcel_fini(struct parcel *p);
/* Duplicates nothing: the descriptor must stay open until the call that sends it, the next few or parcel_end(). */
int parcel_put(struct parcel *p, const char *owner, const struct handover_socket *s, struct err *e) MUST_CHECK;
int parcel_end(struct parcel *p, struct err *e) MUST_CHECK;

/* A word without goods. */
int parcel_say(int fd, enum parcel_word word, struct err *e) MUST_CHECK;
/*
 * The next word, or -1 (ERR_UNAVAILABLE: the other process is gone). With GOODS, fn is called for each; it takes the
 * descriptor. END checks that none is missing.
 */
typedef void (*parcel_fn)(const char *owner, const struct handover_socket *s, void *arg);
int parcel_read(int fd, parcel_fn fn, void *arg, uint32_t *total, struct err *e) MUST_CHECK;
/* How long reading may block. */
void parcel_set_timeout(int fd, uint64_t ms);

#endif
