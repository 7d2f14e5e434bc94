/*
 * fleet_json - what the nouns of this folder share when they print themselves and write themselves into the change log.
 */
#ifndef PORTWAY_CONTROLD_FLEET_FLEET_JSON_H
#define PORTWAY_CONTROLD_FLEET_FLEET_JSON_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdint.h>

struct change;
struct db;
struct err;
struct who;

json_t *fleet_json_time(int64_t wall_ms); /* null for 0 */
/* Appends *c with the object (taken), the actor and the time filled in; *seq may be NULL. */
int fleet_json_log(struct db *tx, const struct change *c, json_t *object, const struct who *who, int64_t *seq,
	struct err *e) MUST_CHECK;

#endif
