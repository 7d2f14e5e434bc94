#include "controld/eraser.h"

#include "common/base/log.h"
#include "controld/balancer/balancer.h"
#include "controld/certs/certs.h"
#include "controld/clients/clients.h"
#include "controld/device_login/device_login.h"
#include "controld/identity/service.h"
#include "controld/jobs/jobs.h"
#include "controld/notify/notify.h"
#include "controld/panel/panels.h"
#include "controld/store/erasure.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"

#define BATCH 100 /* rows in one transaction: others wait for it */

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

static int erase_kind(struct store *store, const struct erasure *erasure, const struct erase_owner *o,
	const struct eraser_stop *stop, struct err *e)
{
	struct batch b = { .erasure = erasure, .owner = o };
	uint64_t rows = 0;

	do {
		if (store_write(store, STORE_LOGGED, work_erase, &b, e) != 0)
			return -1;
		rows += b.n;
		b.from = b.to;
	} while (b.n >= BATCH && !(stop != NULL && stop->asked(stop->arg)));
	if (rows > 0)
		log_info("erased", log_s(o->tenant ? "tenant" : "user", o->id), log_s("kind", erasure->kind),
			log_u("rows", rows));
	return 0;
}

/* In the order in which rows depend on each other: the owner's own is identity's last. */
static const struct {
	const struct erasure *const *all;
	const size_t *n;
} rooms[] = {
	{ clients_erasures, &clients_erasures_n },
	{ tunnels_erasures, &tunnels_erasures_n },
	{ balancer_erasures, &balancer_erasures_n },
	{ certs_erasures, &certs_erasures_n },
	{ jobs_erasures, &jobs_erasures_n },
	{ notify_erasures, &notify_erasures_n },
	{ panels_erasures, &panels_erasures_n },
	{ device_login_erasures, &device_login_erasures_n },
	{ identity_erasures, &identity_erasures_n },
};

int eraser_erase(struct store *store, const struct erase_owner *o, const struct eraser_stop *stop, struct err *e)
{
	for (size_t room = 0; room < ARRAY_LEN(rooms); room++)
		for (size_t i = 0; i < *rooms[room].n; i++) {
			if (stop != NULL && stop->asked(stop->arg))
				return 0;
			if (erase_kind(store, rooms[room].all[i], o, stop, e) != 0)
				return -1;
		}
	return 0;
}

int eraser_leaving(struct store *store, unsigned max, eraser_fn fn, void *arg, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(store, &db, e) != 0)
		return -1;
	rc = identity_leaving(db, max, fn, arg, e);
	store_read_end(db);
	return rc;
}
