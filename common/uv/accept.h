/*
 * accept - connections from a listening socket, some at a time.
 *
 * Thread: any; it keeps nothing.
 */
#ifndef PORTWAY_UV_ACCEPT_H
#define PORTWAY_UV_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

#define ACCEPT_MAX       32                  /* connections of one door in one round */
#define ACCEPT_QUEUE_MAX 65536               /* none is longer */
#define ACCEPT_PAUSE_NS  UINT64_C(100000000) /* after the kernel had no descriptor or memory for another one */

struct addr;
/* Takes fd, which does not block. */
typedef void (*accept_fn)(void *arg, int fd, const struct addr *from);

/*
 * How many came, max at most; a connection that is already gone (ECONNABORTED) ends it, and is found by the next event.
 * *shortage: out of descriptors or memory. The socket stays readable, so it must not wake anybody for a while.
 */
unsigned accept_some(int fd, unsigned max, accept_fn fn, void *arg, bool *shortage);

#endif
