/*
 * room - the inside of struct platform, for the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_PLATFORM_ROOM_H
#define PORTWAY_CONTROLD_PLATFORM_ROOM_H

#include "controld/platform/platform.h"

struct platform {
	struct platform_conf conf;
};

/* What the file says, over it what the database has. */
int platform_read(struct platform *p, struct settings_now *out, struct err *e) MUST_CHECK;

/* platform_api.c */
extern const struct route platform_rows[];
extern const size_t platform_rows_n;

#endif
