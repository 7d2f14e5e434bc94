/*
 * app_room - the inside of the app: what app.c (starting, signals, settings, draining, ending) and app_handover.c (a
 * successor takes over) share. Private to the two. Thread: the control thread.
 */
#ifndef PORTWAY_RELAYD_APP_ROOM_H
#define PORTWAY_RELAYD_APP_ROOM_H

#include "common/base/macros.h"
#include "relayd/data_dir.h"
#include "relayd/engine.h"
#include "relayd/inheritance.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct admin;
struct bequest;
struct err;
struct options;
struct saver;
struct settings;
struct uplink;

enum app_state { APP_STARTING, APP_SERVING, APP_DRAINING, APP_FLUSHING, APP_CLOSING };
enum { ON_TERM, ON_INT, ON_HUP, ON_USR2, SIGNALS_N };

struct app {
	const struct options *options;
	struct settings *settings;
	uv_loop_t loop;
	int state;
	struct data_dir dir;
	struct engine engine;
	struct saver *saver;   /* NULL once a successor keeps the file */
	struct uplink *uplink; /* NULL once a successor has the line */
	struct admin *admin;   /* NULL when it is off */
	char program[PATH_MAX];
	struct inheritance inheritance; /* of a successor, until it is told to go */
	struct bequest *bequest;        /* a successor of ours that does not serve alone yet */
	bool stepping_back;             /* it serves; our line and our file are being closed for it */
	unsigned stepping;              /* how many of the two are still open */
	bool handed_over;               /* it serves alone */
	bool hand_over_wanted;          /* asked for before this one served alone */
	uv_signal_t signals[SIGNALS_N];
	uv_work_t first_work;
	uv_timer_t drain_timer;
	bool handles_open;
	uint64_t drain_until; /* monotonic */
};

/* app.c */
const char *app_state_name(const struct app *a);
/* Serving ends: live connections may go on for ms; 0: they end now. Again is fine. */
void app_drain(struct app *a, uint64_t ms);
/* The line to controld, and the file of the last good configuration. */
int app_open_uplink(struct app *a, struct err *e) MUST_CHECK;

/* app_handover.c: begins; the rest follows from what the successor says. Logs why not. */
void app_hand_over(struct app *a);

#endif
