/*
 * settings_check - what no single row of the table of settings can say: addresses, ranges, the join token, the name.
 *
 * Owner: settings.c, when it has read them. Thread: as settings.h. Every member may be NULL: that it is wrong was said
 * already.
 */
#ifndef PORTWAY_RELAYD_SETTINGS_CHECK_H
#define PORTWAY_RELAYD_SETTINGS_CHECK_H

#include "common/base/macros.h"

struct err_list;
struct settings;

/* An empty name becomes the host's. 0, or -1 with every error in *errs. */
int settings_check(struct settings *s, struct err_list *errs) MUST_CHECK;

#endif
