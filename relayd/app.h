/*
 * app - the root of relayd: makes every part, runs the control thread's loop, drains, hands over, ends.
 *
 *   STARTING --> SERVING --TERM--> DRAINING --last connection or time--> FLUSHING --> CLOSING --> end
 *                   |                 ^
 *                   +--USR2: a successor took over (its own link and reports from now on); one that starts itself does it when it serves alone
 *
 * Thread: the main thread is the control thread; workers forward; libuv's pool writes files.
 */
#ifndef PORTWAY_RELAYD_APP_H
#define PORTWAY_RELAYD_APP_H

#include "common/base/macros.h"

struct options;
struct settings;

/* First thing in main: a signal that comes before app_run() can hear it waits. */
void app_hold_signals(void);
/* Takes the settings. The exit status. */
int app_run(const struct options *options, struct settings *settings) MUST_CHECK;

#endif
