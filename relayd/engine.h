/*
 * engine - the half of a relay that needs no controld: workers, services, counters, and the configuration they run.
 *
 * Owner: app, embedded. Thread: control thread.
 * Ends:  engine_halt() joins the workers; engine_stop() frees the services, whose memory goes with the loop's next turns;
 *        engine_fini() the rest, after the loop has ended.
 */
#ifndef PORTWAY_RELAYD_ENGINE_H
#define PORTWAY_RELAYD_ENGINE_H

#include "common/base/macros.h"
#include "common/uv/fd_budget.h"
#include "proto/report.h"
#include "relayd/http/http_conf.h"
#include "relayd/load.h"
#include "relayd/pool_watch.h"
#include "relayd/services.h"

#include <stdbool.h>
#include <uv.h>

struct access_log;
struct agents;
struct buf;
struct chain;
struct data_dir;
struct err;
struct front;
struct pages_view;
struct settings;
struct snapshot;

struct engine_events {
	void (*on_refusals)(void *arg); /* their list changed */
	void (*on_agents)(void *arg);   /* some came or went */
	void (*on_backends)(void *arg); /* some went down or came up */
	void (*on_current)(void *arg, struct snapshot *s);
	/* A message to controld: spending_conf.send. */
	int (*send)(void *arg, struct buf *message, void (*on_reply)(void *arg, const void *msg, size_t n), void *of);
};

struct engine {
	struct refusals *refusals;
	struct meter *meter;
	struct fd_budget fds;
	uint32_t fds_max;
	struct workers *workers;
	struct services services;
	char agents_at[NODE_AGENTS_SIZE]; /* where controld tells them to connect; "": nowhere */
	struct agents *agents;            /* one of the services; NULL: agents.listen is off */
	struct http_conf http;            /* of the service of routes */
	struct access_log *access_log;    /* NULL: off */
	struct chain *filters;
	struct pool_watch health; /* of the backends of pools */
	struct front *fronts[2];  /* the shared ports, by enum front_kind */
	struct running *running;
	struct quotas *quotas;
	struct spending *spending;
	struct load load;
	uv_loop_t *loop;
	uv_timer_t sync_timer;
	uv_work_t sync_work;
	bool sync_timer_open, syncing;
	struct engine_events events;
	void *arg;
};

/* Zeroed before. On error what was made is there for halt, stop and fini. */
int engine_init(struct engine *g, uv_loop_t *loop, const struct settings *s, const struct data_dir *dir,
	const struct engine_events *events, void *arg, struct err *e) MUST_CHECK;
/* Who this relay is from now on, for those who connect to it; PEM texts. */
void engine_set_identity(struct engine *g, const char *node, const char *cert, const char *ca, const char *key);
void engine_set_sync_interval(struct engine *g, uint64_t ms);
void engine_halt(struct engine *g);
void engine_stop(struct engine *g);
void engine_fini(struct engine *g);
void engine_load(struct engine *g, struct node_load *out);
void engine_view(struct engine *g, struct pages_view *out); /* its part of the view */

#endif
