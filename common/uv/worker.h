/*
 * worker - one forwarding thread: an epoll for its sockets, a timer wheel, and what its callbacks share.
 *
 * Data sockets live in the worker's own edge-triggered epoll, and libuv's loop is one more descriptor in it (libuv's
 * documented embedding by uv_backend_fd). The other way round, an epoll inside libuv's, would cost every wake-up two
 * more system calls. libuv brings the calls of the control thread (uv_async) and name resolution (uv_getaddrinfo);
 * its timers are not used here: deadlines belong to the wheel.
 *
 *   round:  wait -> events -> due timers -> tasks put off by the last round -> what ends a round -> burials
 *   wait:   with busy_ns set, who waited briefly of late looks that long before it sleeps, as waking up takes tens of us
 *
 * Owner:  struct workers. Thread: its own; the fields are for code that runs in its callbacks.
 * Each callback does a bounded amount of work and calls worker_again() for the rest.
 */
#ifndef PORTWAY_UV_WORKER_H
#define PORTWAY_UV_WORKER_H

#include "common/base/list.h"
#include "common/uv/io.h"
#include "common/uv/pipe_pool.h"
#include "common/uv/wheel.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct err;
struct fd_share;

#define WORKER_SCRATCH (256 * 1024)

struct worker;
typedef void (*worker_fn)(struct worker *w, void *arg);
/* Gives back n descriptors that are kept for later, or as many as there are. */
typedef void (*worker_spare_fn)(void *arg, unsigned n);

/* Something to run once, later. Embedded; list_remove(&task.link) takes it back. */
struct task;
typedef void (*task_fn)(struct task *t);
struct task {
	struct list link;
	task_fn run;
};

struct worker {
	unsigned index;
	uint64_t now_ns;  /* monotonic, read once a round */
	uint8_t *scratch; /* WORKER_SCRATCH bytes that belong to the running callback */
	size_t turn;      /* bytes that one callback of this round may move: the more are ready, the less for each */
	uint64_t busy_ns; /* how long it looks before it sleeps; 0: not at all. Set before the thread starts */
	struct wheel wheel;
	struct pipe_pool pipes;
	uint64_t kept; /* bytes that flows hold, outside of pipes, because their far sides do not take them */
	uv_loop_t uv;
	struct fd_budget *fds;
	worker_spare_fn spare; /* of whoever keeps some; NULL: nobody */
	void *spare_arg;
	uint64_t last_id; /* worker_next_id()'s */
	/* private */
	int epfd;
	uint16_t last_tag;
	bool stopping;
	bool soon;            /* the last wait was short, the next may be */
	uint64_t found, vain; /* busy waits: events came, or it slept after all; atomic */
	unsigned n_again;     /* tasks that the last round put off */
	struct io uv_io;
	uv_async_t wake, letter;
	uv_mutex_t lock;
	struct list posted; /* by other threads, under lock */
	struct list again, ends, graves;
	uint64_t lag_ns; /* longest round since it was last asked for; atomic */
	worker_fn on_wake;
	void *on_wake_arg;
};

/* on_wake runs on the worker's thread after worker_wake(). */
int worker_init(struct worker *w, unsigned index, struct fd_budget *fds, worker_fn on_wake, void *arg,
	struct err *e) MUST_CHECK;
void worker_fini(struct worker *w);
/* The thread's body: until worker_stop() is called in one of its callbacks. */
void worker_run(struct worker *w);
void worker_stop(struct worker *w);
/* From any thread. */
void worker_wake(struct worker *w);
uint64_t worker_take_lag_ns(struct worker *w);

/* From any thread: runs the task on the worker's. The sender lets go of it, and of what it is embedded in. */
void worker_post(struct worker *w, struct task *t);
/* Now; for whoever ends things after the thread was joined. */
void worker_take_posted(struct worker *w);

/* For sessions, of the process's descriptors: where they are short, those that are kept for later go first. */
bool worker_take_fds(struct worker *w, uint32_t n) MUST_CHECK;
/* The same for a session of one among many, who may not take them all (fd_budget.h). Nothing that is kept goes for who has too many. */
bool worker_take_fds_of(struct worker *w, struct fd_share *share, uint32_t n) MUST_CHECK;
void worker_give_fds_of(struct worker *w, struct fd_share *share, uint32_t n);

/* For a connection or a session: no other has it, on any worker; its low byte is the worker's index. */
static inline uint64_t worker_next_id(struct worker *w)
{
	return ++w->last_id << 8 | w->index;
}

void task_init(struct task *t, task_fn run);
/* Runs it in the next round; asking twice is asking once. */
void worker_again(struct worker *w, struct task *t);
/* Runs it at the end of this round: what several callbacks add to is done once for all of them. */
void worker_finish(struct worker *w, struct task *t);
/* Runs it at the end of this round, when no caller can still hold what it frees. */
void worker_bury(struct worker *w, struct task *t);
/* Now; for whoever ends things after the thread was joined. */
void worker_bury_all(struct worker *w);

/* For io.c: what an event carries, the io and its tag in the 16 bits that no user address uses. */
static inline uint64_t worker_event_data(const struct io *io)
{
	return (uint64_t)(uintptr_t)io | (uint64_t)io->tag << 48;
}

#endif
