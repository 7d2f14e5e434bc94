#include "controld/certs/certs.h"

#include "common/base/err.h"
#include "controld/certs/room.h"
#include "controld/certs/ticket_keys.h"

#include <stdlib.h>

const struct sql_table *const certs_sql[] = { &certificate_sql, &certificate_placed_sql, &ticket_keys_sql };
const size_t certs_sql_n = ARRAY_LEN(certs_sql);
const struct erasure *const certs_erasures[] = { &certificate_erasure };
const size_t certs_erasures_n = ARRAY_LEN(certs_erasures);

int certs_new(struct certs **out, const struct certs_conf *conf, struct store *store, struct err *e)
{
	struct certs *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificates: out of memory");
	c->conf = *conf;
	c->store = store;
	*out = c;
	return 0;
}

void certs_free(struct certs *c)
{
	free(c);
}

struct route_table certs_routes(struct certs *c)
{
	return (struct route_table){ certificate_rows, certificate_rows_n, c };
}

static int work_rotate(struct db *tx, void *arg, struct err *e)
{
	const int64_t *now_ms = arg;

	return ticket_keys_rotate(tx, *now_ms, e);
}

int certs_rotate_tickets(void *certs, int64_t now_ms, struct err *e)
{
	const struct certs *c = certs;
	bool due;

	if (ticket_keys_due(c->store, now_ms, &due, e) != 0)
		return -1;
	return due ? store_write(c->store, STORE_LOGGED, work_rotate, &now_ms, e) : 0;
}
