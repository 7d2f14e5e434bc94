/*
 * link_child - the process that speaks nng: two REQ sockets to one controld, and the socketpair to its parent.
 *
 * It knows messages as bytes only. Every trouble ends it; its parent starts another one. It never closes an nng socket
 * (nng 1.5 can wait for ever in that) and so leaves by _exit() only.
 *
 * Threads: this one, and nng's, whose callbacks only note what happened and wake it.
 */
#ifndef PORTWAY_RELAYD_LINK_LINK_CHILD_H
#define PORTWAY_RELAYD_LINK_LINK_CHILD_H

/* The word in argv[1] that makes a relayd a link process. */
#define LINK_CHILD_WORD "--link-process"

/* fd: the socketpair, blocking. */
_Noreturn void link_child_run(int fd);

#endif
