#include "controld/mail/suppression.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"

#include <ctype.h>

enum { SQL_ADD, SQL_REMOVE, SQL_FIND, SQL_LIST };
static const char *const sql[] = {
	[SQL_ADD] = "INSERT INTO mail_suppressions (address, tenant_id, reason, created_ms) VALUES (?1, '', ?2, ?3) ON "
		    "CONFLICT "
		    "(address) DO NOTHING",
	[SQL_REMOVE] = "DELETE FROM mail_suppressions WHERE address = ?1",
	[SQL_FIND] = "SELECT reason FROM mail_suppressions WHERE address = ?1",
	[SQL_LIST] = "SELECT address, reason, created_ms FROM mail_suppressions WHERE address > ?1 ORDER BY 1 LIMIT ?2",
};
const struct sql_table suppression_sql = { "suppression", sql, ARRAY_LEN(sql) };

static void lower(char dst[SUPPRESSION_ADDRESS_MAX + 1], const char *address)
{
	(void)str_copy(dst, SUPPRESSION_ADDRESS_MAX + 1, address);
	for (char *c = dst; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
}

int suppression_add(struct db *tx, const char *address, const char *reason, int64_t now_ms, struct err *e)
{
	char key[SUPPRESSION_ADDRESS_MAX + 1];

	lower(key, address);
	return db_exec(tx, sql[SQL_ADD], e, bind_s(key), bind_s(reason), bind_i(now_ms));
}

int suppression_remove(struct db *tx, const char *address, struct err *e)
{
	char key[SUPPRESSION_ADDRESS_MAX + 1];
	int n;

	lower(key, address);
	if ((n = db_exec(tx, sql[SQL_REMOVE], e, bind_s(key))) == 0)
		return err_set(e, ERR_NOT_FOUND, NULL, "'%.100s' gets mail already", key);
	return MIN(n, 0);
}

int suppression_find(
	struct db *db, const char *address, bool *found, char reason[SUPPRESSION_REASON_MAX + 1], struct err *e)
{
	char key[SUPPRESSION_ADDRESS_MAX + 1];
	struct query *q;
	int rc;

	lower(key, address);
	if (db_query(db, &q, sql[SQL_FIND], e, bind_s(key)) != 0)
		return -1;
	rc = query_next(q, e);
	*found = rc == 1;
	if (rc == 1)
		(void)str_copy(reason, SUPPRESSION_REASON_MAX + 1, query_text(q, 0));
	query_end(q);
	return MIN(rc, 0);
}

int suppression_print(struct db *db, const char *after, unsigned limit, struct buf *out,
	char last[SUPPRESSION_ADDRESS_MAX + 1], bool *more, struct err *e)
{
	unsigned n = 0;
	struct query *q;
	int rc;

	last[0] = '\0';
	*more = false;
	if (db_query(db, &q, sql[SQL_LIST], e, bind_s(after), bind_i((int64_t)limit + 1)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		if (n++ == limit) {
			*more = true;
			rc = 0;
			break;
		}
		(void)str_copy(last, SUPPRESSION_ADDRESS_MAX + 1, query_text(q, 0));
		jsonw_object(out, NULL);
		jsonw_str(out, "address", query_text(q, 0));
		jsonw_str(out, "reason", query_text(q, 1));
		jsonw_time(out, "created_at", query_int(q, 2));
		jsonw_end_object(out);
	}
	query_end(q);
	return rc;
}
