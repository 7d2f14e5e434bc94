/*
 * member - a controld among those that share a database: its row and its SQL.
 *
 * A row is of one run of one process: a restart makes another. `beat` rises as long as it lives; clocks of two machines
 * are never compared to tell who is alive.
 */
#ifndef PORTWAY_CONTROLD_CLUSTER_MEMBER_H
#define PORTWAY_CONTROLD_CLUSTER_MEMBER_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/store/store.h"

#include <stdint.h>

struct db;
struct err;

#define MEMBER_NAME_SIZE    64
#define MEMBER_ADDRESS_SIZE 256

struct member {
	char id[RAND_ID_SIZE];
	char name[MEMBER_NAME_SIZE];
	char version[32];
	char address[MEMBER_ADDRESS_SIZE];      /* of its API */
	char line_address[MEMBER_ADDRESS_SIZE]; /* where relays come in */
	int64_t schema;                         /* newest migration that it knows */
	int64_t started_ms, seen_ms;
	int64_t beat;
	int64_t seq; /* up to where it has read the change log */
};

int member_insert(struct db *tx, const struct member *m, struct err *e) MUST_CHECK;
/* Writes seen_ms, beat and seq; 0 rows when others have removed it. Number of rows, or -1. */
int member_beat(struct db *tx, const struct member *m, struct err *e) MUST_CHECK;
int member_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;
/* Those that have not been seen since then. */
int member_prune(struct db *tx, int64_t before_ms, struct err *e) MUST_CHECK;
/* In the order of their starts; fn: 0 goes on. */
typedef int (*member_fn)(const struct member *m, void *arg);
int member_list(struct db *db, member_fn fn, void *arg, struct err *e) MUST_CHECK;

extern const struct sql_table member_sql;

#endif
