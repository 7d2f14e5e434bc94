/*
 * audit - the change log as people read it: who did what to which object.
 *
 * Changes of state and audit verbs ("login", "login_failed", "token_reuse", "logout") are rows of the same log.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_AUDIT_H
#define PORTWAY_CONTROLD_IDENTITY_AUDIT_H

#include "common/base/macros.h"
#include "controld/store/changes.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct page;
struct request;

/* Appends c with the actor and request id of rq (NULL: "system") and with object (taken; may be NULL). */
int audit_append(struct db *tx, const struct request *rq, struct change c, json_t *object, struct err *e) MUST_CHECK;

/* Members that are "" do not filter. */
struct audit_filter {
	const char *tenant_id, *kind, *op, *subject, *actor;
	int64_t since_ms, until_ms; /* from, and before */
	int64_t before_seq;         /* newest first: rows with a smaller number */
	unsigned limit;
};
/* Rows as API objects, appended to items. */
int audit_list(struct db *db, const struct audit_filter *f, json_t *items, struct err *e) MUST_CHECK;
/* The cursor of a page is the number of the last row seen. Error: VALIDATION of the field cursor. */
int audit_cursor(const struct page *page, int64_t *before_seq, struct err *e) MUST_CHECK;

/*
 * Rows beyond after_seq and up to until_seq, the oldest first, each a line of JSON with its digest and its hash
 * (store/chain.h), until out has about `bytes`. *last: the last one's number when there may be more, else 0.
 */
#define AUDIT_LINE_MAX 65536
struct audit_piece {
	int64_t after_seq, until_seq;
	size_t bytes;
};
int audit_export(struct db *db, const struct audit_filter *f, const struct audit_piece *piece, struct buf *out,
	int64_t *last, struct err *e) MUST_CHECK;
/* The number of the newest row of all; 0: there is none. */
int audit_newest(struct db *db, int64_t *seq, struct err *e) MUST_CHECK;

extern const struct sql_table audit_sql;

#endif
