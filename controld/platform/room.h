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

/* The same inside of a transaction. */
int platform_read_in(const struct platform *p, struct db *db, struct settings_now *out, struct err *e) MUST_CHECK;

/* What one call makes of a setting. */
enum setting_step { SETTING_LEAVE, SETTING_SET, SETTING_RESET };

/*
 * secret_home.c: secrets cannot be read, so none may follow a URL to another host: 0 when each that would be sent somewhere
 * else is in the call as well. was: what is in force before; wanted: what is set. ERR_VALIDATION names the secret.
 */
int secret_home_check(const struct platform *p, const struct settings_now *was, const struct settings_now *wanted,
	const enum setting_step *steps, struct err *e) MUST_CHECK;

/* platform_api.c */
extern const struct route platform_rows[];
extern const size_t platform_rows_n;

#endif
