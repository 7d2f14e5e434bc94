#include "controld/fleet/line/reports.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/fleet/line/mailbox.h"
#include "controld/fleet/line/refused.h"
#include "controld/loop/pool.h"
#include "controld/store/store.h"
#include "controld/tunnels/tunnels.h"
#include "proto/report.h"

#include <stdlib.h>

/* Of one transaction: reports, and rows, beyond which no further report is added. Other writers wait that long. */
#define BATCH_MAX  64
#define BATCH_ROWS 1000

struct report {
	struct list link;
	char node[PROTO_ID_SIZE];
	struct msg_report m; /* without its lists */
	void *request;
	uint32_t skipped; /* of its meters */
	struct err why;   /* of a failure */
};

struct reports {
	struct reports_conf conf;
	struct list waiting;
	struct list batch; /* the worker's while busy */
	bool busy, ending;
	struct pool_job job;
	struct letter done;
	struct buf message; /* reused */
	struct reports_stats stats;
};

static void work_batch(struct pool_job *job);
static void on_done(struct letter *l);

int reports_new(struct reports **out, const struct reports_conf *c, struct err *e)
{
	struct reports *r = calloc(1, sizeof *r);

	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "reports: out of memory");
	r->conf = *c;
	list_init(&r->waiting);
	list_init(&r->batch);
	list_init(&r->job.node);
	r->job.work = work_batch;
	letter_init(&r->done, on_done);
	buf_init(&r->message, PROTO_MSG_MAX);
	*out = r;
	return 0;
}

static void drop_all(struct reports *r, struct list *all)
{
	LIST_FOREACH_SAFE (it, all) {
		struct report *one = CONTAINER_OF(it, struct report, link);

		list_remove(it);
		r->conf.ops->drop(r->conf.owner, one->request);
		free(one);
	}
}

void reports_free(struct reports *r)
{
	if (r == NULL)
		return;
	drop_all(r, &r->batch);
	drop_all(r, &r->waiting);
	buf_free(&r->message);
	free(r);
}

void reports_end(struct reports *r)
{
	r->ending = true;
}

/* ---- on the worker ----------------------------------------------------------------------------------------------- */

/* What became of it; the list was sorted meanwhile. */
static void note(const struct traffic_report *r)
{
	struct report *one = (struct report *)(uintptr_t)CONTAINER_OF(r->m, struct report, m);

	one->skipped = r->skipped;
	err_clear(&one->why);
	if (r->refused)
		err_set(&one->why, ERR_OVERLOADED, NULL, "node %s has %d boots that have not ended, which is the most",
			one->node, TRAFFIC_BOOTS_MAX);
}

static int work_store(struct db *tx, void *arg, struct err *e)
{
	struct list *batch = arg;
	struct traffic_report all[BATCH_MAX];
	size_t n = 0;
	int rc;

	LIST_FOREACH (it, batch) {
		const struct report *one = CONTAINER_OF(it, struct report, link);

		all[n++] = (struct traffic_report){ .node_id = one->node, .m = &one->m };
	}
	rc = traffic_store_reports(tx, all, n, clock_wall_ms(), e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		note(&all[i]);
	return rc;
}

static int work_store_alone(struct db *tx, void *arg, struct err *e)
{
	struct report *one = arg;
	struct traffic_report r = { .node_id = one->node, .m = &one->m };
	const int rc = traffic_store_reports(tx, &r, 1, clock_wall_ms(), e);

	err_clear(&one->why);
	if (rc == 0)
		note(&r);
	return rc;
}

/* One that cannot be stored must not keep the others from it: then each is tried alone. */
static void work_batch(struct pool_job *job)
{
	struct reports *r = CONTAINER_OF(job, struct reports, job);
	struct err e;

	if (store_write(r->conf.store, STORE_OPERATIONAL, work_store, &r->batch, &e) != 0) {
		LIST_FOREACH (it, &r->batch) {
			struct report *one = CONTAINER_OF(it, struct report, link);

			if (store_write(r->conf.store, STORE_OPERATIONAL, work_store_alone, one, &e) != 0)
				one->why = e;
		}
	}
	LIST_FOREACH (it, &r->batch) {
		const struct report *one = CONTAINER_OF(it, struct report, link);

		if (one->why.code != ERR_NONE)
			log_warn("report_not_stored", log_s("node", one->node), log_err(&one->why));
	}
	mailbox_post(r->conf.mailbox, &r->done);
}

/* ---- on the fleet thread ----------------------------------------------------------------------------------------- */

static void start_batch(struct reports *r)
{
	uint32_t rows = 0;

	if (r->busy || r->ending || list_empty(&r->waiting))
		return;
	for (unsigned n = 0; n < BATCH_MAX && rows < BATCH_ROWS && !list_empty(&r->waiting); n++) {
		struct list *first = list_first(&r->waiting);

		rows += CONTAINER_OF(first, struct report, link)->m.n_rows;
		list_remove(first);
		list_push_back(&r->batch, first);
	}
	r->busy = true;
	r->stats.batches++;
	pool_resume(r->conf.worker, &r->job); /* one job at a time: it needs no limit */
}

static void answer(struct reports *r, struct report *one)
{
	struct msg_report_ack ack = { .stored = one->m.number, .forget = one->m.last };

	r->stats.meters_skipped += one->skipped;
	buf_reset(&r->message);
	if (one->why.code == ERR_NONE) {
		r->stats.stored++;
		str_copy(ack.boot, sizeof ack.boot, one->m.boot);
		msg_report_ack_encode(&ack, &r->message);
	} else {
		r->stats.failed += one->why.code != ERR_OVERLOADED;
		r->stats.refused += one->why.code == ERR_OVERLOADED;
		refused_encode(&one->why, &r->message);
	}
	r->conf.ops->answer(r->conf.owner, one->request, &r->message);
}

static void on_done(struct letter *l)
{
	struct reports *r = CONTAINER_OF(l, struct reports, done);

	r->busy = false;
	LIST_FOREACH_SAFE (it, &r->batch) {
		struct report *one = CONTAINER_OF(it, struct report, link);

		list_remove(it);
		r->stats.waiting--;
		answer(r, one);
		free(one);
	}
	start_batch(r);
}

void reports_take(struct reports *r, const char *node, const struct msg_report *m, void *request)
{
	struct report *one = calloc(1, sizeof *one);

	if (one == NULL) {
		r->conf.ops->drop(r->conf.owner, request);
		return;
	}
	list_init(&one->link);
	str_copy(one->node, sizeof one->node, node);
	one->m = *m;
	one->m.state = (struct node_state){ .n = 0 };
	one->m.clients = (struct client_states){ .told = false };
	one->request = request;
	list_push_back(&r->waiting, &one->link);
	r->stats.waiting++;
	start_batch(r);
}

void reports_stats(const struct reports *r, struct reports_stats *out)
{
	*out = r->stats;
}
