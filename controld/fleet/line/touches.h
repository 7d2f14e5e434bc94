/*
 * touches - which objects a part of the change log touched, and what else has to be read again because of them.
 *
 * The log names what was changed. Who suspends a user touches his mappings, clients, pools and routes as well: these are
 * added by touches_resolve(), as the database has them in the caller's transaction.
 *
 * Owner: who reads the log (model_reader.c), for one part of it. Thread: the fleet thread. Memory that runs out while rows
 * are read is told by touches_resolve().
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_TOUCHES_H
#define PORTWAY_CONTROLD_FLEET_LINE_TOUCHES_H

#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/base/map.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct err;

enum touched_kind {
	TOUCHED_MAPPING,
	TOUCHED_CLIENT,
	TOUCHED_POOL,
	TOUCHED_ROUTE,
	TOUCHED_CERT,
	TOUCHED_ANSWER,
	TOUCHED_TICKETS,
	TOUCHED_OWNER,
	TOUCHED_NODE,
	TOUCHED_CA
};

struct touched {
	struct list link;
	enum touched_kind kind;
	const char *log_kind; /* of an owner or a client: as the log calls it */
	char id[PROTO_ID_SIZE];
	int64_t seq; /* of its newest change */
};

/* In the order of their first change; each object once (`once`) or once per change (recall). */
struct touches {
	struct list all;
	struct map by_id;
	bool once;
	bool no_memory;
	bool gap;      /* rows after `after` are missing: numbers have no gap of their own */
	int64_t after; /* where reading began */
	int64_t last;  /* seq of the last row read, or 0 */
	unsigned rows;
};

/* once: each object once; after: the log is read behind this number. */
void touches_init(struct touches *t, bool once, int64_t after);
void touches_fini(struct touches *t);
/* log_kind: static. */
void touches_add(struct touches *t, enum touched_kind kind, const char *log_kind, const char *id, int64_t seq);
/* At most `limit` rows of the log. */
int touches_read(struct touches *t, struct db *db, unsigned limit, struct err *e) MUST_CHECK;
/* Adds what the owners among them have, and what routes need; -1 also when an object found no room before. */
int touches_resolve(struct touches *t, struct db *db, struct err *e) MUST_CHECK;

#endif
