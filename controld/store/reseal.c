#include "controld/store/reseal.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/store/secrets.h"
#include "controld/store/store.h"

#include <stdlib.h>
#include <string.h>

#define BATCH       100       /* rows in one transaction: others wait for it */
#define PLAIN_MAX   (1 << 20) /* bytes of one value */
#define KEY_SIZE    300
#define CONTEXT_MAX (KEY_SIZE + 64)

struct row {
	char key[KEY_SIZE];
	struct buf sealed;
};

struct batch {
	const struct sealed_column *column;
	struct row *rows;
	size_t n;
	uint64_t sealed;
};

static int read_rows(struct db *tx, struct batch *b, struct err *e)
{
	uint8_t head[SECRETS_HEAD];
	struct query *q;
	int rc;

	b->n = 0;
	if (secrets_head(tx, head, e) != 0 ||
		db_query(tx, &q, b->column->stale, e, bind_b(head, sizeof head), bind_i(BATCH)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && b->n < BATCH) {
		struct row *r = &b->rows[b->n++];
		size_t n;
		const void *p = query_blob(q, 1, &n);

		(void)str_copy(r->key, sizeof r->key, query_text(q, 0));
		buf_reset(&r->sealed);
		buf_put(&r->sealed, p, n);
	}
	query_end(q);
	return MIN(rc, 0);
}

static int seal_row(struct db *tx, const struct sealed_column *c, const struct row *r, struct err *e)
{
	char context[CONTEXT_MAX];
	struct buf plain, again;
	int rc = -1;

	(void)str_fmt(context, sizeof context, "%s%s", c->context, c->for_all ? "" : r->key);
	buf_init(&plain, PLAIN_MAX);
	buf_init(&again, PLAIN_MAX + SECRETS_OVERHEAD);
	if (secrets_unseal(tx, context, r->sealed.data, r->sealed.len, &plain, e) == 0 &&
		secrets_seal(tx, context, plain.data, plain.len, &again, e) == 0)
		rc = MIN(db_exec(tx, c->reseal, e, bind_s(r->key), bind_b(again.data, again.len),
				 bind_b(r->sealed.data, r->sealed.len)),
			0);
	if (plain.data != NULL)
		seal_wipe(plain.data, plain.len);
	buf_free(&plain);
	buf_free(&again);
	return rc;
}

static int work_batch(struct db *tx, void *arg, struct err *e)
{
	struct batch *b = arg;

	if (read_rows(tx, b, e) != 0)
		return -1;
	for (size_t i = 0; i < b->n; i++)
		if (seal_row(tx, b->column, &b->rows[i], e) != 0)
			return -1;
	return 0;
}

int reseal_column(struct store *s, const struct sealed_column *c, uint64_t *n, struct err *e)
{
	struct batch b = { .column = c, .rows = calloc(BATCH, sizeof *b.rows) };
	int rc;

	if (b.rows == NULL)
		return err_set(e, ERR_NOMEM, NULL, "%s: out of memory", c->name);
	for (size_t i = 0; i < BATCH; i++)
		buf_init(&b.rows[i].sealed, PLAIN_MAX + SECRETS_OVERHEAD);
	do {
		if ((rc = store_write(s, STORE_OPERATIONAL, work_batch, &b, e)) == 0)
			*n += b.n;
	} while (rc == 0 && b.n > 0);
	for (size_t i = 0; i < BATCH; i++)
		buf_free(&b.rows[i].sealed);
	free(b.rows);
	return rc;
}
