/*
 * who - in whose name a row is changed, for the change log.
 */
#ifndef PORTWAY_CONTROLD_FLEET_WHO_H
#define PORTWAY_CONTROLD_FLEET_WHO_H

#include <stdint.h>

struct who {
	const char *actor;      /* "usr_...", "key:...", "node:...", "system" */
	const char *request_id; /* "" outside of a request */
	int64_t now_ms;         /* wall clock */
};

#endif
