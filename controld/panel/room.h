/*
 * room - the inside of struct panels, for the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_PANEL_ROOM_H
#define PORTWAY_CONTROLD_PANEL_ROOM_H

#include "common/base/rand.h"
#include "controld/panel/panels.h"
#include "controld/panel/sync_log.h"

#include <pthread.h>

struct job_run;
struct rate;

enum panel_slot { PANEL_SLOT_GAME, PANEL_SLOT_VIRTFUSION, PANEL_SLOTS };

struct sync_settings {
	int64_t automatic; /* 0 or 1 */
	int64_t interval_s;
	int64_t batch; /* objects on a page */
};

struct panels {
	struct panels_conf conf;
	struct rate *rates[PANEL_SLOTS];
	char self[RAND_ID_SIZE]; /* this process, as turn.h knows it */
	pthread_mutex_t lock;
	/* under the lock */
	const struct panel_driver *driver[PANEL_SLOTS]; /* as last seen; NULL: not asked yet */
	struct mirror_counts counts;
	uint64_t counted_ms; /* monotonic; 0: never */
	bool scheduled;      /* the schedule is as `schedule` says */
	struct sync_settings schedule;
};

/* What the settings say now. out->url is "" when there is no such panel. */
int panels_access(struct panels *p, enum panel_slot slot, struct panel_access *out, struct err *e) MUST_CHECK;
int panels_settings(struct panels *p, struct sync_settings *out, struct err *e) MUST_CHECK;

#define SYNC_KIND "panel.sync"
#define SYNC_FULL "full"
extern const char *const sync_types[]; /* "full" and plurals of kinds; NULL at the end */

/* BIT(kind) of what a sync of this type brings; 0: there is no such type. */
unsigned sync_kinds_of(const char *type);

/* How far a sync is, over all its panels. */
struct sync_tally {
	int64_t total, synced, failed;
};

/* One panel, within a sync: sync_panel.c */
struct sync_panel {
	struct panels *panels;
	struct job_run *job;
	const struct sync_log *log;
	enum panel_slot slot;
	struct panel_access access;
	unsigned per_page;
	unsigned wanted;                   /* BIT(kind) */
	struct sync_tally *tally;          /* of all panels */
	const struct panel_driver *driver; /* found out by the run */
	/* what came of it */
	bool in_vain;    /* with -1: trying again does not help */
	unsigned denied; /* BIT(kind) that the key may not read */
	unsigned unsure; /* BIT(kind) that changed while they were read: nothing of them was removed */
};
int sync_panel_run(struct sync_panel *s, struct err *e) MUST_CHECK;

/* sync_job.c */
extern const struct job_kind sync_job_kinds[];
extern const size_t sync_job_kinds_n;
struct sync_order {
	const char *tenant_id, *user_id, *actor, *request_id, *requested_by;
	const char *type;
	bool skip_users;
};
/* Queues one; of two that are the same, and wait or run, there is one. *s: its log. */
int sync_start(struct panels *p, const struct sync_order *o, struct sync_log *s, struct err *e) MUST_CHECK;

/* sync_schedule.c: the schedule is made, changed or paused, so that it is what the settings say. */
int sync_schedule_follow(struct panels *p, const struct sync_settings *s, int64_t now_ms, struct err *e) MUST_CHECK;

/* panels_routes.c, sync_api.c, object_api.c, stats_api.c */
extern const struct route panels_rows[];
extern const size_t panels_rows_n;
int sync_api_start(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_start_admin(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_status(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_overview(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_logs(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_cancel(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_cancel_admin(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_settings(void *feature, struct request *rq, struct reply *rp, struct err *e);
int sync_api_set_settings(void *feature, struct request *rq, struct reply *rp, struct err *e);
int object_api_list(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_public(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_overview(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_servers(void *feature, struct request *rq, struct reply *rp, struct err *e);
int stats_api_users(void *feature, struct request *rq, struct reply *rp, struct err *e);

#endif
