#include "controld/fleet/line/grants.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/balancer/request_grant.h"
#include "controld/fleet/line/mailbox.h"
#include "controld/fleet/line/refused.h"
#include "controld/loop/pool.h"
#include "controld/store/store.h"
#include "controld/tunnels/quota_grant.h"

#include <stdlib.h>

struct wish {
	struct list link;
	char node[PROTO_ID_SIZE];
	struct msg_spend spend;
	struct msg_grant grant;
	void *request;
};

struct grants {
	struct reports_conf conf;
	struct list waiting;
	struct wish *now; /* the worker's */
	bool ending;
	struct pool_job job;
	struct letter done;
	struct err why;
	struct buf message; /* reused */
};

/* ---- on the worker ------------------------------------------------------------------------------------------------ */

static int work_grant_tx(struct db *tx, void *arg, struct err *e)
{
	struct wish *w = arg;
	struct request_ask ask = { .node_id = w->node, .boot = w->spend.boot, .now_ms = clock_wall_ms() };

	if (quota_grant(tx, w->node, &w->spend, ask.now_ms, &w->grant, e) != 0)
		return -1;
	for (uint32_t i = 0; i < w->spend.n; i++) { /* what is no user's may be a tenant's */
		ask.item = &w->spend.items[i];
		if (request_grant(tx, &ask, &w->grant.items[i], e) < 0)
			return -1;
	}
	return 0;
}

static void work_grant(struct pool_job *job)
{
	struct grants *g = CONTAINER_OF(job, struct grants, job);

	if (store_write(g->conf.store, STORE_OPERATIONAL, work_grant_tx, g->now, &g->why) == 0)
		err_clear(&g->why);
	mailbox_post(g->conf.mailbox, &g->done);
}

/* ---- on the fleet thread ------------------------------------------------------------------------------------------ */

static void start(struct grants *g)
{
	struct list *first = list_first(&g->waiting);

	if (g->now != NULL || g->ending || first == NULL)
		return;
	list_remove(first);
	g->now = CONTAINER_OF(first, struct wish, link);
	pool_resume(g->conf.worker, &g->job); /* one job at a time: it needs no limit */
}

static void on_done(struct letter *l)
{
	struct grants *g = CONTAINER_OF(l, struct grants, done);
	struct wish *w = g->now;

	g->now = NULL;
	buf_reset(&g->message);
	if (g->why.code == ERR_NONE) {
		msg_grant_encode(&w->grant, &g->message);
	} else {
		log_warn("quota_not_granted", log_s("node", w->node), log_err(&g->why));
		refused_encode(&g->why, &g->message);
	}
	g->conf.ops->answer(g->conf.owner, w->request, &g->message);
	free(w);
	start(g);
}

int grants_take(struct grants *g, const char *node, const void *p, size_t n, void *request)
{
	struct wish *w = calloc(1, sizeof *w);

	if (w == NULL || msg_spend_decode(&w->spend, p, n) != 0) {
		free(w);
		return -1;
	}
	str_copy(w->node, sizeof w->node, node);
	w->request = request;
	list_init(&w->link);
	list_push_back(&g->waiting, &w->link);
	start(g);
	return 0;
}

int grants_new(struct grants **out, const struct reports_conf *c, struct err *e)
{
	struct grants *g = calloc(1, sizeof *g);

	if (g == NULL)
		return err_set(e, ERR_NOMEM, NULL, "grants: out of memory");
	g->conf = *c;
	list_init(&g->waiting);
	list_init(&g->job.node);
	g->job.work = work_grant;
	letter_init(&g->done, on_done);
	buf_init(&g->message, PROTO_MSG_MAX);
	*out = g;
	return 0;
}

void grants_end(struct grants *g)
{
	g->ending = true;
}

static void drop(struct grants *g, struct wish *w)
{
	g->conf.ops->drop(g->conf.owner, w->request);
	free(w);
}

void grants_free(struct grants *g)
{
	if (g == NULL)
		return;
	if (g->now != NULL)
		drop(g, g->now);
	LIST_FOREACH_SAFE (it, &g->waiting)
		drop(g, CONTAINER_OF(it, struct wish, link));
	buf_free(&g->message);
	free(g);
}
