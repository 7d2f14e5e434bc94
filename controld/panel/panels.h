/*
 * panels - hosting panels (Pterodactyl, Pelican, VirtFusion): what they have is read into the database, now and then.
 *
 * Owner:  app. Thread: any.
 * Ends:   panels_free(), after the jobs have stopped.
 */
#ifndef PORTWAY_CONTROLD_PANEL_PANELS_H
#define PORTWAY_CONTROLD_PANEL_PANELS_H

#include "common/base/macros.h"
#include "controld/jobs/kind.h"
#include "controld/panel/mirror.h"
#include "controld/panel/panel_call.h"
#include "controld/rest/route.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct erasure;
struct jobs;
struct mail;
struct outbound;
struct panels;
struct platform;
struct store;

enum panels_driver { PANELS_AUTO, PANELS_PTERODACTYL, PANELS_PELICAN };

struct panels_conf {
	struct store *store;
	struct outbound *outbound;
	struct jobs *jobs;
	struct platform *platform; /* says which panels there are, and how often they are looked at */
	struct mail *mail;         /* that reports of syncs are sent with; NULL: none are */
	enum panels_driver driver; /* of the first slot */
	unsigned rate_limit;       /* requests of each panel in a window; 0: as many as there is time for */
	uint64_t rate_window_ms;
	unsigned parallel;   /* requests of a panel at once */
	uint64_t timeout_ms; /* of one */
	uint64_t keep_ms;    /* logs of syncs, and what is gone from a panel */
};

int panels_new(struct panels **out, const struct panels_conf *conf, struct err *e) MUST_CHECK;
void panels_free(struct panels *p); /* takes NULL */

struct job_kinds panels_kinds(struct panels *p);
struct route_table panels_routes(struct panels *p);
/* For the janitor, every few seconds by one controld: ends of syncs written down, the schedule as the settings say. */
int panels_tick(struct panels *p, int64_t now_ms, struct err *e) MUST_CHECK;
/* Every minute by one controld: what is too old goes. */
int panels_clean(struct panels *p, int64_t now_ms, struct err *e) MUST_CHECK;

/* How much there is of what; a few seconds old at most. */
int panels_counts(struct panels *p, struct mirror_counts *out, struct err *e) MUST_CHECK;

extern const struct sql_table *const panels_sql[];
extern const size_t panels_sql_n;
extern const struct erasure *const panels_erasures[];
extern const size_t panels_erasures_n;

#endif
