#include "controld/identity/audit.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "controld/identity/identity.h"
#include "controld/rest/route.h"

#include <stdlib.h>
#include <string.h>

enum { SQL_LIST, SQL_EXPORT, SQL_NEWEST };
static const char *const sql[] = {
	[SQL_LIST] =
		"SELECT seq, time_ms, tenant_id, actor, request_id, kind, op, subject, fields, object FROM changes "
		"WHERE seq < ?1 AND (?2 = '' OR tenant_id = ?2) AND (?3 = '' OR kind = ?3) AND (?4 = '' OR op = ?4) "
		"AND (?5 = '' OR subject = ?5) AND (?6 = '' OR actor = ?6) AND time_ms >= ?7 AND time_ms < ?8 "
		"ORDER BY seq DESC LIMIT ?9",
	[SQL_EXPORT] = "SELECT seq, time_ms, tenant_id, actor, request_id, kind, op, subject, fields, object, digest, "
		       "chain, tx FROM "
		       "changes WHERE seq > ?1 AND (?2 = '' OR tenant_id = ?2) AND (?3 = '' OR kind = ?3) AND (?4 = '' "
		       "OR op = ?4) "
		       "AND (?5 = '' OR subject = ?5) AND (?6 = '' OR actor = ?6) AND time_ms >= ?7 AND time_ms < ?8 "
		       "AND seq <= ?10 ORDER BY seq LIMIT ?9",
	[SQL_NEWEST] = "SELECT coalesce(max(seq), 0) FROM changes",
};
const struct sql_table audit_sql = { "audit", sql, ARRAY_LEN(sql) };

int audit_append(struct db *tx, const struct request *rq, struct change c, json_t *object, struct err *e)
{
	const struct identity *who = rq != NULL ? request_identity(rq) : NULL;
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
	int rc;

	if (c.actor == NULL)
		c.actor = who != NULL ? who->actor : "system";
	c.request_id = rq != NULL ? request_id(rq) : "";
	c.object = text;
	rc = changes_append(tx, &c, NULL, e);
	free(text);
	json_decref(object);
	return rc;
}

/* "a,b" as ["a", "b"]. */
static json_t *audit_fields(const char *s)
{
	json_t *list = json_array();

	while (*s != '\0') {
		size_t n = strcspn(s, ",");

		json_array_append_new(list, json_stringn(s, n));
		s += n + (s[n] == ',');
	}
	return list;
}

static json_t *audit_row(struct query *q)
{
	const char *object = query_text(q, 9);
	char time[CLOCK_RFC3339_SIZE];

	clock_rfc3339(time, query_int(q, 1));
	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o?}", "seq", (json_int_t)query_int(q, 0),
		"time", time, "tenant_id", query_text(q, 2), "actor", query_text(q, 3), "request_id", query_text(q, 4),
		"kind", query_text(q, 5), "op", query_text(q, 6), "subject", query_text(q, 7), "fields",
		audit_fields(query_text(q, 8)), "object", object != NULL ? json_loads(object, 0, NULL) : NULL);
}

int audit_list(struct db *db, const struct audit_filter *f, json_t *items, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_LIST], e, bind_i(f->before_seq), bind_s(f->tenant_id), bind_s(f->kind),
		    bind_s(f->op), bind_s(f->subject), bind_s(f->actor), bind_i(f->since_ms), bind_i(f->until_ms),
		    bind_i(f->limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		json_array_append_new(items, audit_row(q));
	query_end(q);
	return rc;
}

static void put_line(struct buf *b, struct query *q)
{
	static const char *const names[] = { "tenant_id", "actor", "request_id", "kind", "op", "subject", "fields" };
	const char *object = query_text(q, 9);

	jsonw_object(b, NULL);
	jsonw_int(b, "seq", query_int(q, 0));
	jsonw_time(b, "time", query_int(q, 1));
	jsonw_int(b, "ms", query_int(q, 1)); /* ms and tx are part of what is hashed */
	jsonw_int(b, "tx", query_int(q, 12));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		jsonw_str(b, names[i], query_text(q, (int)i + 2));
	if (object != NULL && object[0] == '{' && strchr(object, '\n') == NULL)
		jsonw_raw(b, "object", object, strlen(object));
	else
		jsonw_null(b, "object");
	jsonw_str(b, "digest", query_text(q, 10));
	jsonw_str(b, "chain", query_text(q, 11));
	jsonw_end_object(b);
	buf_put(b, "\n", 1);
}

int audit_newest(struct db *db, int64_t *seq, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_NEWEST], e) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*seq = query_int(q, 0);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int audit_export(struct db *db, const struct audit_filter *f, const struct audit_piece *piece, struct buf *out,
	int64_t *last, struct err *e)
{
	struct query *q;
	unsigned n = 0;
	int rc;

	*last = 0;
	if (db_query(db, &q, sql[SQL_EXPORT], e, bind_i(piece->after_seq), bind_s(f->tenant_id), bind_s(f->kind),
		    bind_s(f->op), bind_s(f->subject), bind_s(f->actor), bind_i(f->since_ms), bind_i(f->until_ms),
		    bind_i((int64_t)f->limit + 1), bind_i(piece->until_seq)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && n < f->limit && out->len < piece->bytes) {
		struct buf line;

		buf_init(&line, AUDIT_LINE_MAX); /* jsonw looks at what stands before for its commas */
		put_line(&line, q);
		buf_put(out, line.data, line.len);
		buf_free(&line);
		*last = query_int(q, 0);
		n++;
	}
	query_end(q);
	if (rc == 0)
		*last = 0; /* there is no more */
	return MIN(rc, 0);
}
