#include "relayd/http/exchange.h"

#include "common/base/clock.h"
#include "common/base/sm.h"
#include "common/base/str.h"
#include "common/crypto/tls.h"
#include "relayd/conf/object.h"
#include "relayd/http/exchange_inside.h"
#include "relayd/http/mirror.h"

#include <string.h>

static const struct sm_state asking[] = {
	[ASK_HEAD] = { "head", BIT(ASK_WAIT) | BIT(ASK_DONE) | BIT(ASK_DROPPED) },
	[ASK_WAIT] = { "wait", BIT(ASK_CONTENT) | BIT(ASK_DONE) | BIT(ASK_DROPPED) },
	[ASK_CONTENT] = { "content", BIT(ASK_DONE) | BIT(ASK_DROPPED) | BIT(ASK_WAIT) },
	[ASK_DONE] = { "done", BIT(ASK_WAIT) }, /* another attempt */
	[ASK_DROPPED] = { "dropped", 0 },
};
static const struct sm_state answering[] = {
	[ANSWER_NONE] = { "none", BIT(ANSWER_CONTENT) | BIT(ANSWER_RAW) | BIT(ANSWER_FAILED) },
	[ANSWER_CONTENT] = { "content", BIT(ANSWER_DONE) | BIT(ANSWER_FAILED) },
	[ANSWER_RAW] = { "raw", BIT(ANSWER_DONE) | BIT(ANSWER_FAILED) },
	[ANSWER_DONE] = { "done", 0 },
	[ANSWER_FAILED] = { "failed", 0 },
};

void exchange_ask_move(struct exchange *x, enum asking to)
{
	sm_move(asking, &x->request, (int)to);
}

void exchange_answer_move(struct exchange *x, enum answering to)
{
	sm_move(answering, &x->response, (int)to);
}

void *exchange_filter_state(struct exchange *x)
{
	return x + 1;
}

void *exchange_client(const struct exchange *x)
{
	return x->origin.client;
}

bool exchange_is_raw(const struct exchange *x)
{
	return x->response == ANSWER_RAW;
}

bool exchange_was_raw(const struct exchange *x)
{
	return x->raw;
}

bool exchange_has_content(const struct exchange *x)
{
	return x->has_content;
}

bool exchange_back_full(const struct exchange *x)
{
	return x->back != NULL && x->back->ops->full(x->back);
}

void exchange_route_id(const struct exchange *x, char id[])
{
	str_copy(id, PROTO_ID_SIZE, x->route != NULL ? http_route_id(x->route) : "");
}

void exchange_target_text(const struct exchange *x, char *dst, size_t size)
{
	const struct mapping_conf *dial = x->backend != NULL ? &x->backend->dial : NULL;

	if (dial == NULL)
		return;
	(void)str_fmt(dst, size, "%.60s:%u", dial->target_host, dial->target_port);
}

bool exchange_request_done(const struct exchange *x)
{
	return x->ended;
}

bool exchange_dropped(const struct exchange *x)
{
	return x->request == ASK_DROPPED;
}

uint64_t exchange_body_max(const struct exchange *x)
{
	const uint64_t own = x->route != NULL ? x->route->conf->max_body : 0;

	if (own != 0)
		return own;
	return x->desk->conf->max_body != 0 ? x->desk->conf->max_body : UINT64_MAX;
}

void exchange_count(const struct exchange *x, enum meter_counter c, uint64_t n)
{
	const unsigned worker = exchange_worker(x)->index;

	if (x->route != NULL)
		tally_count(x->route->tally, worker, c, n);
	if (x->backend != NULL && !x->probing)
		tally_count(x->backend->tally, worker, c, n);
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

static uint64_t after_ms(uint64_t since_ns, uint64_t ms)
{
	return ms != 0 ? since_ns + ms * UINT64_C(1000000) : UINT64_MAX;
}

static uint32_t first_of(uint32_t a, uint32_t b, uint32_t c)
{
	return a != 0 ? a : b != 0 ? b : c;
}

const struct pool_conf *exchange_pool_conf(const struct exchange *x)
{
	const struct pool_version *now = x->pool->seats[exchange_worker(x)->index].now;

	return now != NULL ? &now->object->pool : NULL;
}

static uint64_t answer_due(const struct exchange *x)
{
	const struct pool_conf *pool = exchange_pool_conf(x);
	const uint32_t ms = first_of(x->route->conf->response_timeout_ms, pool != NULL ? pool->response_timeout_ms : 0,
		x->desk->conf->response_timeout_ms);

	return after_ms(MAX(x->sent_ns, x->active_ns), ms);
}

/* When what is awaited now has lasted too long. How long a backend may take to connect is the back's own matter. */
static uint64_t due_ns(const struct exchange *x)
{
	const struct http_conf *conf = x->desk->conf;
	uint64_t due = UINT64_MAX;

	if (x->route == NULL)
		return x->queued ? MIN(x->waiter.until_ns, x->total_due_ns) : x->total_due_ns;
	if (x->queued)
		due = x->waiter.until_ns;
	else if (x->response == ANSWER_NONE && x->sent_ns != 0)
		due = answer_due(x);
	else if (x->response == ANSWER_RAW)
		due = after_ms(x->active_ns, first_of(x->route->conf->idle_timeout_ms, conf->tunnel_timeout_ms, 0));
	else if (x->response == ANSWER_CONTENT)
		due = after_ms(x->active_ns, first_of(x->route->conf->idle_timeout_ms, conf->response_timeout_ms, 0));
	return x->response == ANSWER_RAW ? due : MIN(due, x->total_due_ns);
}

/* An armed timer that is early looks again: most exchanges are over before, so it is not moved with each byte. */
void exchange_set_timer(struct exchange *x)
{
	const uint64_t due = due_ns(x);

	if (due != UINT64_MAX && (!timer_armed(&x->timer) || due >> WHEEL_TICK_SHIFT < x->timer.due))
		wheel_arm(&exchange_worker(x)->wheel, &x->timer, due);
}

static void time_out(struct exchange *x)
{
	if (x->queued) {
		exchange_unserved(x, HTTP_TROUBLE_queue_timeout);
	} else if (x->response == ANSWER_NONE && x->back != NULL) {
		exchange_on_failed(x, BACK_TIMED_OUT);
	} else if (x->response == ANSWER_NONE) {
		exchange_unserved(x, HTTP_TROUBLE_route_timeout);
	} else if (x->origin.ops->full(x)) {
		exchange_note(x, HTTP_COUNT_slow_client);
		exchange_fail(x, "the client takes no answer");
	} else {
		exchange_fail(x, "the backend went silent");
	}
}

static void on_due(struct timer *t)
{
	struct exchange *x = CONTAINER_OF(t, struct exchange, timer);

	if (x->closed || x->response >= ANSWER_DONE)
		return;
	if (exchange_worker(x)->now_ns < due_ns(x)) {
		exchange_set_timer(x);
		return;
	}
	exchange_count(x, METER_timed_out, 1);
	time_out(x);
}

/* ---- bandwidth ------------------------------------------------------------------------------------------------------ */

static void on_pace(struct timer *t)
{
	struct exchange *x = CONTAINER_OF(t, struct exchange, pace);

	if (x->closed)
		return;
	x->active_ns = exchange_worker(x)->now_ns; /* it was not silent, it waited for us */
	exchange_drained(x);
	if (!x->closed && x->response < ANSWER_DONE)
		x->origin.ops->resume(x);
}

bool exchange_is_held(struct exchange *x, enum http_route_way way)
{
	struct worker *w = exchange_worker(x);
	struct rate *r = x->route != NULL ? &x->route->tally->rate[way] : NULL;
	uint64_t wait;

	if (r == NULL || !rate_limits(r) || (wait = rate_owed_ns(r, w->now_ns)) == 0)
		return false;
	if (!timer_armed(&x->pace))
		wheel_arm(&w->wheel, &x->pace, w->now_ns + wait);
	return true;
}

void exchange_spend(struct exchange *x, enum http_route_way way, uint64_t n)
{
	struct rate *r = x->route != NULL ? &x->route->tally->rate[way] : NULL;

	if (r != NULL && rate_limits(r))
		rate_spend(r, n, exchange_worker(x)->now_ns);
}

/* ---- made, ended ---------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	struct exchange *x = CONTAINER_OF(t, struct exchange, grave);

	slab_put(&x->desk->exchanges, x);
}

struct exchange *exchange_open(struct http_desk *d, const struct exchange_origin *origin)
{
	struct exchange *x = slab_get(&d->exchanges);

	if (x == NULL)
		return NULL;
	x->desk = d;
	x->origin = *origin;
	x->why = "";
	x->id = worker_next_id(d->worker);
	x->began_ns = x->active_ns = d->worker->now_ns;
	x->total_due_ns = UINT64_MAX;
	x->connect_ns = UINT64_MAX;
	list_init(&x->in_route);
	list_init(&x->waiter.node);
	timer_init(&x->timer, on_due);
	timer_init(&x->pace, on_pace);
	task_init(&x->grave, on_buried);
	if (!x->origin.copy)
		desk_now(&d->counts.requests_now, 1);
	return x;
}

static void tell_filters(struct exchange *x)
{
	const struct filter_request view = exchange_filter_view(x, NULL);
	const struct filter_outcome how = {
		.status = x->status,
		.aborted = x->response != ANSWER_DONE,
		.own = x->own,
		.attempts = x->attempts,
		.pool = x->pool != NULL ? x->pool->id : "",
		.backend = x->backend != NULL ? backend_id(x->backend) : "",
		.upstream = x->backend != NULL ? x->backend->conf->host : "",
		.upstream_port = x->backend != NULL ? x->backend->conf->port : 0,
		.protocol = str_eq(x->origin.proto, "2") ? "HTTP/2"
		            : x->to_http10               ? "HTTP/1.0"
		                                         : "HTTP/1.1",
		.tls_version = x->origin.session != NULL ? tls_session_version(x->origin.session) : NULL,
		.why = x->why,
		.reason = trouble_of((enum http_trouble)x->trouble)->word,
		.bytes_in = x->bytes_in,
		.bytes_out = x->bytes_out,
		.took_us = (clock_mono_ns() - x->began_ns) / 1000,
		.backend_us = x->backend_us,
		.queue_us = x->waited_ns / 1000,
		.connect_us = x->connect_ns != UINT64_MAX ? x->connect_ns / 1000 : UINT64_MAX,
	};

	x->desk->filters->end(&view, &how);
}

/* Answered without a route: no filter has seen more of it than its begin. */
static bool is_stray(const struct exchange *x)
{
	return x->route == NULL && x->status != 0 && !x->origin.copy && x->desk->filters != NULL;
}

void exchange_close(struct exchange *x)
{
	struct http_desk *d = x->desk;

	if (x->closed)
		return;
	x->closed = true;
	if (x->response != ANSWER_DONE && x->response != ANSWER_FAILED)
		exchange_note(x, HTTP_COUNT_client_gone);
	if ((x->filtered && (x->sees & FILTER_SEES_END) != 0) || is_stray(x))
		tell_filters(x);
	exchange_leave_back(x);
	block_put(&d->blocks, x->head);
	x->head = NULL;
	wheel_disarm(&x->timer);
	wheel_disarm(&x->pace);
	if (!x->origin.copy)
		desk_now(&d->counts.requests_now, -1);
	if (x->mirror != NULL)
		mirror_drop(x->mirror);
	x->mirror = NULL;
	if (x->route != NULL) {
		exchange_count(x, METER_closed, 1);
		http_route_exit(x->route, d->worker->index, &x->in_route);
	}
	worker_bury(d->worker, &x->grave);
}

void exchange_cut_in_route(struct list *in_route)
{
	struct exchange *x = CONTAINER_OF(in_route, struct exchange, in_route);

	if (x->response < ANSWER_DONE)
		exchange_fail(x, "the route is off");
	else
		x->origin.ops->abort(x);
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

void exchange_sent(struct exchange *x, uint64_t n)
{
	if (n == 0)
		return;
	x->bytes_out += n;
	x->active_ns = exchange_worker(x)->now_ns;
	exchange_count(x, METER_bytes_out, n);
}

void exchange_received(struct exchange *x, uint64_t n)
{
	if (n == 0)
		return;
	x->bytes_in += n;
	x->active_ns = exchange_worker(x)->now_ns;
	exchange_count(x, METER_bytes_in, n);
}

void exchange_flush_client(struct exchange *x)
{
	if (!x->closed)
		x->origin.ops->flush(x);
}

void exchange_addrs(const struct exchange *x, struct addr *from, struct addr *to)
{
	*from = x->origin.from;
	x->origin.ops->local(x, to);
}

bool exchange_client_full(struct exchange *x)
{
	return x->origin.ops->full(x) || exchange_is_held(x, HTTP_ROUTE_OUT);
}

void exchange_flush(struct exchange *x)
{
	if (x->back != NULL && !x->closed)
		x->back->ops->flush(x->back);
}

void exchange_drained(struct exchange *x)
{
	if (x->back != NULL && !x->closed)
		x->back->ops->resume(x->back);
}
