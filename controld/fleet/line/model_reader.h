/*
 * model_reader - keeps the model and the roster as the database says: loads both, then follows the change log.
 *
 * The log says what changed; the rows are read again, in one snapshot with the log. Where it cannot read, it stays where
 * it is and the next call goes on from there. Where rows are missing that it has not read (it stood still for longer than
 * the log is kept), all is loaded anew.
 *
 * Owner: fleet. Thread: the fleet thread (model_reader_new() before it runs).
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_READER_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_READER_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct model;
struct model_reader;
struct node;
struct roster;
struct store;

/* A node's row changed, and the roster knows it already; NULL: it is gone. before: as the roster had it, or NULL. */
typedef void (*model_reader_node_fn)(const char *id, const struct node *before, const struct node *now, void *arg);

struct model_reader_conf {
	struct store *store;
	struct roster *roster;
	size_t changes_max; /* of one group in the model */
	size_t recall_max;  /* rows of the log read back at the start */
	model_reader_node_fn on_node;
	void (*on_ca)(void *arg); /* the fleet's CAs have changed; may be NULL */
	void *arg;
};

int model_reader_new(struct model_reader **out, const struct model_reader_conf *c, struct err *e) MUST_CHECK;
void model_reader_free(struct model_reader *r);
struct model *model_reader_model(struct model_reader *r);
/* Up to the end of the log: 1 when the model moved, 0 when there was nothing, -1 on error (what was read counts). */
int model_reader_catch_up(struct model_reader *r, struct err *e) MUST_CHECK;

#endif
