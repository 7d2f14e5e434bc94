#include "controld/eraser.h"

#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/clients/clients.h"
#include "controld/identity/service.h"
#include "controld/store/erasure.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"

#define OWNERS_MAX 50  /* of each kind, in one run */
#define BATCH      100 /* rows in one transaction: others wait for it */

struct owner {
	bool tenant;
	char id[RAND_ID_SIZE];
	int64_t since_ms;
};

struct owners {
	struct owner all[2 * OWNERS_MAX];
	size_t n;
};

struct batch {
	const struct erasure *erasure;
	const struct erase_owner *owner;
	int64_t from, to; /* position before and after */
	unsigned n;
};

/* May run twice: it begins where the batch before ended. */
static int work_erase(struct db *tx, void *arg, struct err *e)
{
	struct batch *b = arg;

	b->to = b->from;
	return b->erasure->erase(tx, b->owner, BATCH, &b->to, &b->n, e);
}

static int erase_kind(struct store *store, const struct erasure *erasure, const struct erase_owner *o, struct err *e)
{
	struct batch b = { .erasure = erasure, .owner = o };
	uint64_t rows = 0;

	do {
		if (store_write(store, STORE_LOGGED, work_erase, &b, e) != 0)
			return -1;
		rows += b.n;
		b.from = b.to;
	} while (b.n >= BATCH);
	if (rows > 0)
		log_info("erased", log_s(o->tenant ? "tenant" : "user", o->id), log_s("kind", erasure->kind),
			log_u("rows", rows));
	return 0;
}

static int erase_all(
	struct store *store, const struct erasure *const *all, size_t n, const struct erase_owner *o, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (erase_kind(store, all[i], o, e) != 0)
			return -1;
	return 0;
}

static int on_leaving(bool tenant, const char *id, int64_t since_ms, void *arg)
{
	struct owners *o = arg;

	if (o->n == ARRAY_LEN(o->all))
		return 1;
	o->all[o->n].tenant = tenant;
	o->all[o->n].since_ms = since_ms;
	(void)str_copy(o->all[o->n++].id, sizeof o->all[0].id, id);
	return 0;
}

static int find_owners(struct store *store, struct owners *o, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(store, &db, e) != 0)
		return -1;
	rc = identity_leaving(db, OWNERS_MAX, on_leaving, o, e);
	store_read_end(db);
	return rc;
}

int eraser_run(struct store *store, int64_t now_ms, struct err *e)
{
	struct owners owners = { .n = 0 };

	if (find_owners(store, &owners, e) != 0)
		return -1;
	for (size_t i = 0; i < owners.n; i++) {
		const struct owner *it = &owners.all[i];
		const struct erase_owner o = { it->tenant, it->id, now_ms, now_ms - it->since_ms >= ERASER_RIPE_MS };

		if (erase_all(store, clients_erasures, clients_erasures_n, &o, e) != 0 ||
			erase_all(store, tunnels_erasures, tunnels_erasures_n, &o, e) != 0 ||
			erase_all(store, identity_erasures, identity_erasures_n, &o, e) != 0)
			return -1;
	}
	return 0;
}
