/*
 * changes_row - a row of the change log as a query gives it: which columns, in which order. For the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_STORE_CHANGES_ROW_H
#define PORTWAY_CONTROLD_STORE_CHANGES_ROW_H

#include "controld/store/changes.h"
#include "controld/store/store.h"

#define CHANGES_COLUMNS   "seq, tx, time_ms, tenant_id, actor, request_id, kind, op, subject, fields, object"
#define CHANGES_COLUMNS_N 11

/* Of a query that begins with CHANGES_COLUMNS; its texts last until the next row. */
static inline struct change changes_row(struct query *q)
{
	return (struct change){
		.seq = query_int(q, 0),
		.tx = query_int(q, 1),
		.time_ms = query_int(q, 2),
		.tenant = query_text(q, 3),
		.actor = query_text(q, 4),
		.request_id = query_text(q, 5),
		.kind = query_text(q, 6),
		.op = query_text(q, 7),
		.subject = query_text(q, 8),
		.fields = query_text(q, 9),
		.object = query_text(q, 10),
	};
}

#endif
