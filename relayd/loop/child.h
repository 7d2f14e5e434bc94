/*
 * child - a process of ours: started with one descriptor of its own, watched, ended. TERM, INT, HUP and USR2 wait until it unblocks them.
 *
 * Owner:  whoever started it. Thread: control thread.
 * Ends:   when the process has ended, by itself or by child_kill(): on_exit runs once, then the object is gone.
 */
#ifndef PORTWAY_RELAYD_LOOP_CHILD_H
#define PORTWAY_RELAYD_LOOP_CHILD_H

#include "common/base/macros.h"

#include <sys/types.h>
#include <uv.h>

struct child;
struct err;

#define CHILD_FD 3 /* where the child finds its descriptor */

/* status: as waitpid() tells it. */
typedef void (*child_exit_fn)(struct child *c, int status, void *arg);

/* fd is borrowed. argv[0] is the name shown; path is what is run. */
int child_start(struct child **out, uv_loop_t *loop, const char *path, char *const argv[], int fd,
	child_exit_fn on_exit, void *arg, struct err *e) MUST_CHECK;
pid_t child_pid(const struct child *c);
void child_kill(struct child *c); /* SIGKILL; any number of times */
/* Its end is nobody's business any more; it goes on. */
void child_abandon(struct child *c);

#endif
