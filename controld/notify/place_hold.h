/*
 * place_hold - a place that is not called by any webhook for a while, because it said so (a global limit of Discord's).
 *
 * All URLs that are Discord's own are one place; any other URL is the place of its host and port, so that a receiver of one
 * tenant cannot hold up those of others.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_PLACE_HOLD_H
#define PORTWAY_CONTROLD_NOTIFY_PLACE_HOLD_H

#include "common/base/macros.h"
#include "controld/notify/webhook.h"

#include <stdint.h>

struct db;
struct err;
struct sql_table;

#define PLACE_SIZE 300

void place_of(char dst[PLACE_SIZE], const struct webhook *w);
/* Not before until_ms; a hold that is longer stays. */
int place_hold(struct db *tx, const char *place, int64_t until_ms, struct err *e) MUST_CHECK;
/* *until_ms: 0 for none. */
int place_held(struct db *db, const char *place, int64_t now_ms, int64_t *until_ms, struct err *e) MUST_CHECK;
/* delivery.h: it lasts for as long as it did. How many; or -1. */
struct set_back;
int place_hold_set_back(struct db *tx, const struct set_back *s, struct err *e) MUST_CHECK;
int place_hold_prune(struct db *tx, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct sql_table place_hold_sql;

#endif
