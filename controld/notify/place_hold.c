#include "controld/notify/place_hold.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/notify/delivery.h"
#include "controld/notify/format.h"
#include "controld/store/db.h"

#include <ctype.h>
#include <string.h>

enum { SQL_HOLD, SQL_HELD, SQL_SET_BACK, SQL_PRUNE };
static const char *const sql[] = {
	[SQL_HOLD] = "INSERT INTO webhook_holds (place, until_ms) VALUES (?1, ?2) ON CONFLICT (place) DO UPDATE SET "
		     "until_ms = "
		     "excluded.until_ms WHERE webhook_holds.until_ms < excluded.until_ms",
	[SQL_HELD] = "SELECT until_ms FROM webhook_holds WHERE place = ?1 AND until_ms > ?2",
	[SQL_SET_BACK] = "UPDATE webhook_holds SET until_ms = CASE WHEN until_ms - ?2 - ?3 > ?1 "
			 "THEN ?1 ELSE until_ms - ?2 END "
			 "WHERE until_ms > ?1",
	[SQL_PRUNE] = "DELETE FROM webhook_holds WHERE until_ms < ?1",
};
const struct sql_table place_hold_sql = { "webhook_hold", sql, ARRAY_LEN(sql) };

void place_of(char dst[PLACE_SIZE], const struct webhook *w)
{
	const struct format *f = format_of_url(w->url);
	const char *host = strstr(w->url, "://");
	size_t n;

	if (f->is_url != NULL) {
		(void)str_copy(dst, PLACE_SIZE, f->name);
		return;
	}
	host = host != NULL ? host + 3 : w->url;
	n = strcspn(host, "/?#");
	for (size_t i = n; i > 0; i--)
		if (host[i - 1] == '@') { /* a name and a password */
			host += i;
			n -= i;
			break;
		}
	n = MIN(n, PLACE_SIZE - 1);
	for (size_t i = 0; i < n; i++)
		dst[i] = (char)tolower((unsigned char)host[i]);
	dst[n] = '\0';
}

int place_hold(struct db *tx, const char *place, int64_t until_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_HOLD], e, bind_s(place), bind_i(until_ms)), 0);
}

int place_held(struct db *db, const char *place, int64_t now_ms, int64_t *until_ms, struct err *e)
{
	struct query *q;
	int rc;

	*until_ms = 0;
	if (db_query(db, &q, sql[SQL_HELD], e, bind_s(place), bind_i(now_ms)) != 0)
		return -1;
	if ((rc = query_next(q, e)) == 1)
		*until_ms = query_int(q, 0);
	query_end(q);
	return MIN(rc, 0);
}

int place_hold_set_back(struct db *tx, const struct set_back *s, struct err *e)
{
	return db_exec(tx, sql[SQL_SET_BACK], e, bind_i(s->now_ms), bind_i(s->by_ms), bind_i(s->most_ms));
}

int place_hold_prune(struct db *tx, int64_t now_ms, struct err *e)
{
	return MIN(db_exec(tx, sql[SQL_PRUNE], e, bind_i(now_ms)), 0);
}
