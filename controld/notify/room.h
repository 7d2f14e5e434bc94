/*
 * room - the inside of struct notify, for the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_ROOM_H
#define PORTWAY_CONTROLD_NOTIFY_ROOM_H

#include "common/base/list.h"
#include "controld/loop/pool.h"
#include "controld/notify/attempt.h"
#include "controld/notify/notify.h"
#include "controld/rest/route.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct notify_metrics;

struct notify {
	struct notify_conf conf;
	struct notify_metrics *metrics;
	struct pool *senders;
	atomic_uint busy;   /* queues that senders are at, or will be */
	struct list rounds; /* those; under the lock */
	atomic_bool stopping;
	pthread_t thread; /* reads the log and hands queues to senders */
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool poked;       /* under the lock */
	int64_t read_seq; /* the thread's: up to where the log was looked at */
	bool looked;      /* the thread's: it knows the next */
	int64_t ahead_ms; /* by how much the time of day is ahead of the clock that only runs forward */
};

void notify_poke(struct notify *n);
bool notify_is_stopping(void *arg);

/* log_reader.c: queues what the log has that is new. *more: there may be more of it. */
int log_reader_step(struct notify *n, bool *more, struct err *e) MUST_CHECK;
/* courier.c: hands queues that are due to senders; *next_ms: when one will be (0: none is known). */
int courier_step(struct notify *n, int64_t *next_ms, struct err *e) MUST_CHECK;

/* notify_metrics.c */
int notify_metrics_new(struct notify_metrics **out, struct err *e) MUST_CHECK;
void notify_metrics_free(struct notify_metrics *m);
struct metrics *notify_metrics_registry(struct notify_metrics *m);
void notify_metrics_queued(struct notify_metrics *m, uint64_t n);
void notify_metrics_tried(struct notify_metrics *m, const struct attempt *a);
void notify_metrics_totals(struct notify_metrics *m, int64_t waiting, int64_t paused);

/* webhook_api.c */
extern const struct route webhook_rows[];
extern const size_t webhook_rows_n;
/* webhook_admin_api.c */
extern const struct route webhook_admin_rows[];
extern const size_t webhook_admin_rows_n;
/* dispatch_api.c */
extern const struct route dispatch_rows[];
extern const size_t dispatch_rows_n;

#endif
