#include "controld/rest/dispatch.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/rest/access_log.h"
#include "controld/rest/call.h"
#include "controld/rest/call_identity.h"
#include "controld/rest/call_rate.h"
#include "controld/rest/cors.h"
#include "controld/rest/headers.h"
#include "controld/rest/idempotency.h"
#include "controld/rest/input.h"
#include "controld/rest/parks.h"
#include "controld/rest/peer.h"
#include "controld/rest/produce.h"
#include "controld/rest/rate_limit.h"
#include "controld/rest/rest_metrics.h"
#include "controld/rest/stream.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DISPATCH_RATE_ENTRIES 65536
#define DISPATCH_LANES        4
#define DISPATCH_SPARE        128   /* calls kept for the next requests: too large to be given back every time */
#define DISPATCH_SPARE_BODY   16384 /* bytes of room for an answer that such a call may keep */
#define DISPATCH_WAKE         8     /* requests of one turn of the loop that a worker is woken for at the latest */

struct dispatch {
	struct dispatch_parts parts;
	struct pool *lanes[DISPATCH_LANES]; /* none for LANE_LOOP */
	struct parks *parks;
	struct call_rates rates;
	struct call_identity who;
	atomic_uint producing; /* answers that are made in pieces */
	struct peer_proxies proxies;
	struct call *spare[DISPATCH_SPARE]; /* loop thread, as all below */
	size_t n_spare;
	unsigned unwoken[DISPATCH_LANES]; /* requests handed to a lane since somebody was woken there */
	struct loop_task turn_end;
	bool turn_ends; /* that is deferred */
};

static void work_call(struct pool_job *job);
static void on_call_done(void *arg);

/* ---- a call ------------------------------------------------------------------------------------------------------- */

static struct call *call_new(struct dispatch *d, struct conn *conn, struct conn_input *in)
{
	struct call *c = d->n_spare > 0 ? d->spare[--d->n_spare] : calloc(1, sizeof *c);
	struct buf body;

	if (c == NULL)
		return NULL;
	body = c->rp.body; /* of a call before, or zeroed */
	memset(c, 0, offsetof(struct call, errors));
	c->errors.n = c->errors.dropped = 0;
	c->dispatch = d;
	c->conf = d->parts.conf;
	c->rate = d->parts.conf->per_identity;
	c->row_rate_percent = d->parts.conf->row_rate_percent;
	c->conn = conn;
	c->job.work = work_call;
	list_init(&c->job.node);
	c->done = (struct loop_task){ .fn = on_call_done, .arg = c };
	c->start_ns = clock_mono_ns();
	c->rq.errors = &c->errors;
	c->rq.in = *in;
	headers_init(&c->rq.in.headers);
	headers_move(&c->rq.in.headers, &in->headers);
	reply_init(&c->rp, body);
	return c;
}

static void call_release(struct call *c)
{
	buf_free(&c->rp.body);
	free(c);
}

static void call_free(struct call *c)
{
	struct dispatch *d = c->dispatch;

	request_fini(&c->rq);
	reply_fini(&c->rp);
	free(c->claim);
	if (c->rp.body.cap > DISPATCH_SPARE_BODY)
		buf_free(&c->rp.body);
	if (d->n_spare < DISPATCH_SPARE)
		d->spare[d->n_spare++] = c;
	else
		call_release(c);
}

static void on_client_gone(void *arg)
{
	((struct call *)arg)->conn = NULL;
}

static void call_fail(struct call *c, const struct err *e)
{
	reply_fail(c, e, 1, 0);
}

/* ---- loop: the answer --------------------------------------------------------------------------------------------- */

/* The headers that every answer has. A handler may know that its answer can be kept. */
static void call_standing(const struct call *c, char *dst, size_t size)
{
	const struct reply *rp = &c->rp;

	(void)str_fmt(dst, size, "X-Request-ID: %s\r\n%s%s%s%s%s", c->rq.id,
		rp->content_type[0] != '\0' ? "Content-Type: " : "", rp->content_type,
		rp->content_type[0] != '\0' ? "\r\n" : "",
		reply_header_get(rp, "Cache-Control") == NULL ? "Cache-Control: no-store\r\n" : "",
		headers_security(c->conf->tls != NULL));
}

static void call_send(struct call *c, bool apart)
{
	struct reply *rp = &c->rp;
	char standing[CONN_STANDING_MAX];
	struct conn_output out = {
		.status = rp->status,
		.headers = &rp->headers,
		.standing = standing,
		.head_only = str_eq(c->rq.in.method, "HEAD"),
		.apart = apart,
	};

	call_standing(c, standing, sizeof standing);
	if (rp->stream != NULL && !out.head_only) {
		const struct stream_ops *ops = rp->stream;

		rp->stream = NULL;
		stream_begin(c->conn, &out, ops, rp->stream_state);
		return;
	}
	out.body = rp->body.data;
	out.body_len = rp->body.len;
	conn_answer(c->conn, &out);
	if (out.body == NULL) /* goes with the answer */
		rp->body = (struct buf){ .max = rp->body.max };
}

/* apart: the connection is not just handing over the request. */
static void call_answer(struct call *c, bool apart)
{
	struct rest_metrics *metrics = c->dispatch->parts.metrics;
	const uint64_t duration_ns = clock_mono_ns() - c->start_ns;

	rest_metrics_request(metrics, c->entry, c->rq.in.method, c->rp.status, duration_ns);
	rest_metrics_in_flight(metrics, -1);
	access_log_write(c, duration_ns);
	if (c->conn != NULL)
		call_send(c, apart);
	call_free(c);
}

static void on_call_done(void *arg)
{
	call_answer(arg, true);
}

/* ---- worker: before the handler ----------------------------------------------------------------------------------- */

/* What is wrong is answered as it is, or after the handler has looked at the rest. */
static int call_judge(struct call *c)
{
	return (c->entry->route->flags & ROUTE_JUDGES) != 0 && input_leave_right(&c->rq) ? 0 : -1;
}

/* 0: the handler may run. 1: the answer is there already. */
static int call_prepare(struct call *c, struct err *e)
{
	if (call_identity_find(&c->dispatch->who, c, e) != 0 || call_rate_identity(&c->dispatch->rates, c, e) != 0 ||
		call_rate_row(&c->dispatch->rates, c, e) != 0 || input_read(&c->rq, c->conf->body_max, e) != 0)
		return -1;
	if (c->errors.n > 0)
		return call_judge(c);
	switch (idempotency_begin(c->dispatch->parts.store, c, e)) {
	case IDEMPOTENCY_RUN:
		return 0;
	case IDEMPOTENCY_STORED:
		return 1;
	default:
		return -1;
	}
}

/* ---- worker: the handler ------------------------------------------------------------------------------------------- */

static void call_fail_with_all(struct call *c, struct err *e)
{
	c->outcome_unknown = e->code == ERR_OUTCOME_UNKNOWN;
	if (c->errors.n > 0)
		reply_fail(c, c->errors.items, c->errors.n, c->errors.dropped);
	else
		call_fail(c, e);
	if (c->rp.status == 500)
		log_error("request_failed", log_s("request_id", c->rq.id), log_s("path", c->rq.path), log_err(e));
	else if (c->rp.status == 503 && reply_header_get(&c->rp, "Retry-After") == NULL)
		reply_retry_after(&c->rp, 1000);
}

static int call_handle(struct call *c, struct err *e)
{
	const struct route *route = c->entry->route;
	int rc = route->handler(c->entry->feature, &c->rq, &c->rp, e);

	if (rc != 0 && str_eq(route->method, "GET") && route->lane == LANE_DB && call_lost_its_session(e)) {
		reply_restart(&c->rp);
		err_clear(e);
		rc = route->handler(c->entry->feature, &c->rq, &c->rp, e);
	}
	return rc;
}

/* The part that a handler parked for, or the handler itself. */
static int call_step(struct call *c, struct err *e)
{
	struct reply_park park = c->rp.park;
	int rc;

	if (park.key == NULL)
		return call_handle(c, e) != 0 || c->errors.n > 0 ? -1 : 0;
	c->rp.park = (struct reply_park){ .key = NULL };
	rc = park.finish(c->entry->feature, &c->rq, &c->rp, park.state, e);
	if (park.free_state != NULL && (c->rp.park.key == NULL || c->rp.park.state != park.state))
		park.free_state(park.state);
	return rc;
}

/* Runs until the answer is there (true) or the call waits (false): then it is not ours any more. */
static bool call_run(struct call *c)
{
	struct err e;
	int rc = 0;

	err_clear(&e);
	if (c->rp.park.key == NULL)
		rc = call_prepare(c, &e);
	while (rc == 0) {
		rc = call_step(c, &e);
		if (rc != 0 || c->rp.park.key == NULL)
			break;
		if (parks_add(c->dispatch->parks, c))
			return false;
	}
	if (rc >= 0 && c->rp.status == 0)
		rc = err_set(&e, ERR_INTERNAL, NULL, "the handler gave no answer");
	if (rc < 0)
		call_fail_with_all(c, &e);
	reply_check(&c->rp);
	idempotency_end(c->dispatch->parts.store, c);
	return true;
}

static void work_call(struct pool_job *job)
{
	struct call *c = CONTAINER_OF(job, struct call, job);

	if (call_run(c))
		loop_post(c->dispatch->parts.loop, &c->done);
}

/* A parked call whose time has come: any thread. */
static void call_resume(struct call *c)
{
	struct dispatch *d = c->dispatch;
	struct pool *lane = d->lanes[c->entry->route->lane];

	pool_resume(lane != NULL ? lane : d->lanes[LANE_DB], &c->job);
}

/* ---- loop: the request --------------------------------------------------------------------------------------------- */

static bool call_id_is_sane(const char *id)
{
	const size_t n = strlen(id);

	return n > 0 && n < REQUEST_ID_SIZE &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:") == n;
}

static void call_name(struct call *c)
{
	const char *given = request_header(&c->rq, "X-Request-ID");
	char made[RAND_ID_SIZE];

	if (given != NULL && call_id_is_sane(given)) {
		(void)str_copy(c->rq.id, sizeof c->rq.id, given);
		return;
	}
	rand_id(made, "req");
	(void)str_copy(c->rq.id, sizeof c->rq.id, made);
}

/* c->entry, or what there is instead; *query gets what is behind the path. */
static enum router_result call_find(struct call *c, char **query)
{
	enum router_result found;

	*query = c->rq.in.target;
	(void)str_copy(c->rq.path, sizeof c->rq.path, strsep(query, "?"));
	found = router_find(c->dispatch->parts.router, c->rq.in.method, c->rq.in.target, &c->rq.match);
	c->entry = c->rq.match.entry;
	return found;
}

/* 0 with a row that takes it; or -1, also for OPTIONS, which is answered here (then the reply has a status). */
static int call_route(struct call *c, enum router_result found, struct err *e)
{
	if (found == ROUTER_FOUND)
		return 0;
	if (str_eq(c->rq.in.method, "OPTIONS") && (found == ROUTER_NO_METHOD || str_eq(c->rq.path, "*"))) {
		reply_empty(&c->rp, 204);
		reply_header(
			&c->rp, "Allow", found == ROUTER_NO_METHOD ? c->rq.match.allow : "GET, HEAD, POST, OPTIONS");
		return -1;
	}
	if (found == ROUTER_BAD_PATH)
		return err_set(e, ERR_BAD_REQUEST, NULL, "the path is not percent-encoded UTF-8");
	if (found == ROUTER_NO_PATH)
		return err_set(e, ERR_NOT_FOUND, NULL, "there is nothing at %s", c->rq.path);
	reply_header(&c->rp, "Allow", c->rq.match.allow);
	return err_set(e, ERR_METHOD_NOT_ALLOWED, NULL, "%s is not possible at %s, but %s", c->rq.in.method, c->rq.path,
		c->rq.match.allow);
}

/* Everything that is decided on the loop. 0: a lane may have it. */
static int call_enter(struct call *c, struct err *e)
{
	const struct dispatch *d = c->dispatch;
	const struct conn_input *in = &c->rq.in;
	enum router_result found;
	char *query;

	call_name(c);
	c->rq.peer = peer_client(&d->proxies, conn_peer(c->conn), &c->rq.in.headers);
	if (in->bad != ERR_NONE || in->target == NULL) {
		rest_metrics_refused(d->parts.metrics, "malformed");
		return err_set(e, in->bad != ERR_NONE ? in->bad : ERR_NOMEM, NULL, "%s",
			in->bad_reason != NULL ? in->bad_reason : "out of memory");
	}
	cors_headers(
		&c->rp, d->parts.conf->cors_origins, request_header(&c->rq, "Origin"), str_eq(in->method, "OPTIONS"));
	found = call_find(c, &query);
	/* before anything is answered: what is nowhere, or an OPTIONS, is work as well */
	if (call_rate_address(&c->dispatch->rates, c, e) != 0 || query_parse(&c->rq.args, query, e) != 0)
		return -1;
	return call_route(c, found, e);
}

static void dispatch_wake(struct dispatch *d, size_t lane)
{
	if (d->unwoken[lane] == 0)
		return;
	d->unwoken[lane] = 0;
	pool_wake(d->lanes[lane]);
}

static void on_turn_end(void *arg)
{
	struct dispatch *d = arg;

	d->turn_ends = false;
	for (size_t i = 0; i < DISPATCH_LANES; i++)
		dispatch_wake(d, i);
}

/*
 * Requests come many in one turn of the loop. A worker that is woken for each runs it, sleeps, and is woken again: that
 * costs more than to read a row.
 */
static int dispatch_submit(struct dispatch *d, size_t lane, struct pool_job *job)
{
	if (pool_submit_quietly(d->lanes[lane], job) != 0)
		return -1;
	if (!d->turn_ends)
		loop_defer(d->parts.loop, &d->turn_end);
	d->turn_ends = true;
	if (++d->unwoken[lane] == DISPATCH_WAKE)
		dispatch_wake(d, lane);
	return 0;
}

/* Hands it to a worker, or runs it here. 0, or -1: no worker has room. */
static int call_start(struct call *c, struct err *e)
{
	struct pool *lane = c->dispatch->lanes[c->entry->route->lane];

	if (lane == NULL) {
		if (call_run(c))
			call_answer(c, false);
		return 0;
	}
	if (dispatch_submit(c->dispatch, c->entry->route->lane, &c->job) == 0)
		return 0;
	rest_metrics_refused(c->dispatch->parts.metrics, "queue");
	reply_retry_after(&c->rp, 1000);
	return err_set(e, ERR_OVERLOADED, NULL, "too many requests wait already; try again in a second");
}

void dispatch_request(void *arg, struct conn *conn, struct conn_input *in)
{
	struct dispatch *d = arg;
	struct call *c = call_new(d, conn, in);
	struct err e;

	if (c == NULL) {
		conn_input_fini(in);
		conn_doom(conn);
		return;
	}
	err_clear(&e);
	rest_metrics_in_flight(d->parts.metrics, 1);
	conn_on_gone(conn, on_client_gone, c);
	if (call_enter(c, &e) == 0 && call_start(c, &e) == 0)
		return;
	if (c->rp.status == 0)
		call_fail(c, &e);
	call_answer(c, false);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static int dispatch_new_lanes(struct dispatch *d, struct err *e)
{
	const struct server_conf *conf = d->parts.conf;
	const struct pool_conf db = { .name = "db", .threads = conf->db_threads, .queue_max = conf->db_queue_max };
	const struct pool_conf slow = {
		.name = "slow", .threads = conf->slow_threads, .queue_max = conf->slow_queue_max
	};
	const struct pool_conf away = {
		.name = "away", .threads = conf->slow_threads, .queue_max = conf->slow_queue_max
	};

	if (pool_new(&d->lanes[LANE_DB], &db, e) != 0 || pool_new(&d->lanes[LANE_SLOW], &slow, e) != 0)
		return -1;
	return pool_new(&d->lanes[LANE_AWAY], &away, e);
}

int dispatch_new(struct dispatch **out, const struct dispatch_parts *parts, struct err *e)
{
	struct dispatch *d = calloc(1, sizeof *d);

	if (d == NULL)
		return err_set(e, ERR_NOMEM, NULL, "http: out of memory");
	d->parts = *parts;
	d->rates.metrics = parts->metrics;
	d->who = (struct call_identity){ parts->auth, parts->metrics };
	d->turn_end = (struct loop_task){ .fn = on_turn_end, .arg = d };
	if (peer_proxies_parse(&d->proxies, parts->conf->trusted_proxies, e) != 0 ||
		rate_limit_new(&d->rates.all, DISPATCH_RATE_ENTRIES, e) != 0 ||
		parks_new(&d->parks, parts->loop, parts->conf->parked_max, call_resume, e) != 0 ||
		dispatch_new_lanes(d, e) != 0)
		goto fail;
	*out = d;
	return 0;
fail:
	dispatch_free(d);
	return -1;
}

void dispatch_set_plans(struct dispatch *d, const struct rate_plans *plans)
{
	d->rates.plans = *plans;
}

struct parks *dispatch_parks(struct dispatch *d)
{
	return d->parks;
}

bool dispatch_may_produce(struct dispatch *d)
{
	if (atomic_fetch_add(&d->producing, 1) < PRODUCE_MAX)
		return true;
	atomic_fetch_sub(&d->producing, 1);
	rest_metrics_refused(d->parts.metrics, "long_answers");
	return false;
}

void dispatch_produced(struct dispatch *d)
{
	atomic_fetch_sub(&d->producing, 1);
}

struct loop *dispatch_loop(struct dispatch *d)
{
	return d->parts.loop;
}

struct pool *dispatch_lane(struct dispatch *d, enum lane lane)
{
	return d->lanes[lane];
}

const struct router *dispatch_router(const struct dispatch *d)
{
	return d->parts.router;
}

struct rest_metrics *dispatch_metrics(struct dispatch *d)
{
	return d->parts.metrics;
}

void dispatch_collect(struct dispatch *d)
{
	struct parks_stats parked;
	struct pool_stats stats;

	pool_stats(d->lanes[LANE_DB], &stats);
	rest_metrics_lane(d->parts.metrics, "db", &stats);
	pool_stats(d->lanes[LANE_SLOW], &stats);
	rest_metrics_lane(d->parts.metrics, "slow", &stats);
	pool_stats(d->lanes[LANE_AWAY], &stats);
	rest_metrics_lane(d->parts.metrics, "away", &stats);
	rest_metrics_long(d->parts.metrics, MIN(atomic_load(&d->producing), (unsigned)PRODUCE_MAX));
	parks_stats(d->parks, &parked);
	rest_metrics_parked(d->parts.metrics, parked.waiting, parked.full);
	rest_metrics_lag(d->parts.metrics, loop_lag_us(d->parts.loop));
}

void dispatch_drain(struct dispatch *d)
{
	parks_close(d->parks);
}

void dispatch_finish(struct dispatch *d)
{
	if (d->parks != NULL)
		parks_close(d->parks);
	for (size_t i = 0; i < DISPATCH_LANES; i++) {
		pool_free(d->lanes[i]); /* wakes all of its workers */
		d->lanes[i] = NULL;
		d->unwoken[i] = 0;
	}
}

void dispatch_free(struct dispatch *d)
{
	if (d == NULL)
		return;
	dispatch_finish(d);
	loop_flush(d->parts.loop); /* answers that came meanwhile */
	parks_free(d->parks);
	rate_limit_free(d->rates.all);
	while (d->n_spare > 0)
		call_release(d->spare[--d->n_spare]);
	free(d);
}
