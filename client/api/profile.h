/*
 * profile - where a login is kept between commands: the address of one controld and the tokens for it.
 *
 * One file each, $XDG_CONFIG_HOME/portway/<name>.json, mode 0600, in a folder of mode 0700. A file that others can read is
 * refused. Whoever changes it holds its lock: two commands that refresh at the same time use the tokens of the first.
 */
#ifndef PORTWAY_CLIENT_API_PROFILE_H
#define PORTWAY_CLIENT_API_PROFILE_H

#include "common/base/macros.h"

#include <stdint.h>

struct err;

#define PROFILE_NAME_MAX    32
#define PROFILE_URL_SIZE    512
#define PROFILE_ACCESS_SIZE 4096

struct profile {
	char name[PROFILE_NAME_MAX + 1];
	char url[PROFILE_URL_SIZE];
	char ca[PROFILE_URL_SIZE]; /* file that vouches for controld; "": the system's */
	char email[256];           /* whose login, for people */
	char access[PROFILE_ACCESS_SIZE];
	char refresh[1024];
	int64_t expires_ms; /* of the access token, wall clock */
};

/* "default": letters, digits, '.', '_', '-', not first a '.'. Names from --profile become names of files. */
int profile_check_name(const char *name, struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND: there is no such login. ERR_PERMISSION: others may read it. */
int profile_load(struct profile *out, const char *name, struct err *e) MUST_CHECK;
int profile_save(const struct profile *p, struct err *e) MUST_CHECK;
int profile_remove(const char *name, struct err *e) MUST_CHECK; /* none there: fine */
/* Waits for whoever has the lock; *fd is given to profile_unlock(). */
int profile_lock(const char *name, int *fd, struct err *e) MUST_CHECK;
void profile_unlock(int fd);

#endif
