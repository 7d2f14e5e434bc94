#include "controld/store/erasure.h"

#include "controld/store/store.h"

int erase_by(struct db *tx, const char *of_user, const char *of_tenant, const struct erase_owner *o, unsigned limit,
	unsigned *n, struct err *e)
{
	const int gone = db_exec(tx, o->tenant ? of_tenant : of_user, e, bind_s(o->id), bind_i(limit));

	*n = gone > 0 ? (unsigned)gone : 0;
	return gone < 0 ? -1 : 0;
}

int erase_leaving(struct db *db, const char *statement, unsigned limit, erase_leaving_fn fn, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, statement, e, bind_i(limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && fn(query_text(q, 0), query_int(q, 1), arg) == 0)
		;
	query_end(q);
	return rc < 0 ? -1 : 0;
}
