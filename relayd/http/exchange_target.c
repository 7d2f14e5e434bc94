#include "relayd/conf/object.h"
#include "relayd/http/exchange_inside.h"
#include "relayd/http/exchange_probe.h"
#include "relayd/lb/lb_outlier.h"
#include "relayd/site/site_env.h"

#include <string.h>

#define REFUSALS_MAX 3
#define LOOK_NS      UINT64_C(20000000) /* for places that other workers gave back */

static struct pool_seat *seat_of(const struct exchange *x)
{
	return &x->pool->seats[exchange_worker(x)->index];
}

/* ---- the choice ----------------------------------------------------------------------------------------------------- */

static uint64_t source_key(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return site_hash(&a->v4.sin_addr, sizeof a->v4.sin_addr);
	return site_hash(&a->v6.sin6_addr, sizeof a->v6.sin6_addr);
}

static enum lb_verdict pick(struct exchange *x, struct pool_seat *s, struct upstream **up)
{
	const unsigned worker = exchange_worker(x)->index;
	struct lb_worker *lb = pool_lb(s, worker);
	struct lb_ask ask = { .now_ns = exchange_worker(x)->now_ns, .n_tried = x->n_tried };

	memcpy(ask.tried, x->tried, sizeof ask.tried);
	if (x->sticky && lb_worker_take(lb, &ask, x->sticky_key, up))
		return LB_CHOSEN;
	if (s->now->lb.conf.algorithm->uses_key)
		ask.key = source_key(&x->origin.from);
	return lb_worker_pick(lb, &ask, up);
}

/* The place is taken. */
static void start(struct exchange *x, struct backend *b)
{
	const unsigned worker = exchange_worker(x)->index;

	x->backend = b;
	x->placed = true;
	x->started_ns = exchange_worker(x)->now_ns;
	backend_enter(&b->seats[worker]);
	tally_count(b->tally, worker, METER_requests, 1);
	if (x->attempts++ == 0)
		lb_retry_request(&seat_of(x)->retry);
	x->back = back_start(x->desk, b, x);
	if (x->back == NULL) {
		exchange_unserved(x, HTTP_TROUBLE_resource);
		return;
	}
	x->back->ops->go(x->back);
}

static enum http_counter counter_of(enum http_trouble why)
{
	if (why == HTTP_TROUBLE_resource)
		return HTTP_COUNT_resource;
	switch (trouble_of(why)->status) {
	case 501:
		return HTTP_COUNT_bad_request;
	case 502:
		return HTTP_COUNT_bad_gateway;
	case 504:
		return HTTP_COUNT_gateway_timeout;
	default:
		return HTTP_COUNT_unavailable;
	}
}

void exchange_unserved(struct exchange *x, enum http_trouble why)
{
	const struct trouble *t = trouble_of(why);

	x->trouble = (uint8_t)why;
	if (!x->origin.copy)
		desk_trouble(x->desk, why);
	if (x->response != ANSWER_NONE) {
		exchange_fail(x, t->exact);
		return;
	}
	exchange_note(x, counter_of(why));
	if (t->meter >= 0)
		exchange_count(x, (enum meter_counter)t->meter, 1);
	exchange_leave_back(x);
	exchange_answer_own(x, t->status, t->exact);
}

/* Nobody is up, or nobody is there who could be. */
static enum http_trouble why_none(const struct pool_version *v)
{
	bool weighs = false, ill = false;

	for (uint32_t i = 0; i < v->n; i++) {
		if (upstream_configured_weight(v->ups[i]) == 0)
			continue;
		weighs = true;
		ill |= (__atomic_load_n(&v->ups[i]->down, __ATOMIC_RELAXED) & UPSTREAM_UNHEALTHY) != 0;
	}
	if (!weighs)
		return v->n == 0 ? HTTP_TROUBLE_no_backends : HTTP_TROUBLE_drained;
	return ill ? HTTP_TROUBLE_down : HTTP_TROUBLE_put_aside;
}

static void end_wait(struct exchange *x)
{
	x->queued = false;
	x->waited_ns += exchange_worker(x)->now_ns - x->queued_ns;
}

static void on_serve(struct task *t)
{
	struct pool_seat *s = CONTAINER_OF(t, struct pool_seat, serve);

	while (!list_empty(&s->queue.waiters)) {
		struct exchange *x = CONTAINER_OF(s->queue.waiters.next, struct exchange, waiter.node);
		struct upstream *up = NULL;

		if (s->now != NULL && pick(x, s, &up) != LB_CHOSEN)
			return;
		lb_queue_remove(&s->queue, &x->waiter);
		end_wait(x);
		if (s->now == NULL)
			exchange_unserved(x, HTTP_TROUBLE_no_pool);
		else
			start(x, backend_of(up));
	}
}

static void on_look(struct timer *t)
{
	struct pool_seat *s = CONTAINER_OF(t, struct pool_seat, look);
	struct worker *w = s->worker;

	on_serve(&s->serve);
	if (s->queue.n > 0)
		wheel_arm(&w->wheel, &s->look, w->now_ns + LOOK_NS);
}

static void wait_for_place(struct exchange *x, struct pool_seat *s)
{
	struct worker *w = exchange_worker(x);

	if (s->worker == NULL) {
		s->worker = w;
		timer_init(&s->look, on_look);
		task_init(&s->serve, on_serve);
	}
	if (!lb_queue_push(&s->queue, &x->waiter, w->now_ns)) {
		exchange_unserved(x, HTTP_TROUBLE_queue_full);
		return;
	}
	x->queued = true;
	x->queued_ns = w->now_ns;
	exchange_set_timer(x);
	if (!timer_armed(&s->look))
		wheel_arm(&w->wheel, &s->look, w->now_ns + LOOK_NS);
}

/* When everybody was tried, anybody may be tried again. */
static enum lb_verdict pick_again(struct exchange *x, struct pool_seat *s, struct upstream **up)
{
	const enum lb_verdict v = pick(x, s, up);

	if (v == LB_CHOSEN || x->n_tried == 0)
		return v;
	x->n_tried = 0;
	return pick(x, s, up);
}

void exchange_choose(struct exchange *x)
{
	struct pool_seat *s = seat_of(x);
	struct upstream *up;

	if (s->now == NULL) {
		exchange_unserved(x, HTTP_TROUBLE_no_pool);
		return;
	}
	switch (pick_again(x, s, &up)) {
	case LB_CHOSEN:
		if (s->now->lb.conf.algorithm == &lb_adaptive_ai)
			exchange_probe(x->desk, x->pool);
		start(x, backend_of(up));
		return;
	case LB_FULL:
		wait_for_place(x, s);
		return;
	case LB_NONE:
		exchange_unserved(x, why_none(s->now));
	}
}

/* ---- letting go ----------------------------------------------------------------------------------------------------- */

static void give_place_back(struct exchange *x)
{
	struct pool_seat *s;

	if (!x->placed)
		return;
	x->placed = false;
	upstream_release(&x->backend->up);
	s = seat_of(x);
	if (s->queue.n > 0)
		worker_finish(exchange_worker(x), &s->serve);
}

static void release_back(struct exchange *x, bool whole)
{
	struct back *b = x->back;

	x->back = NULL;
	if (b != NULL)
		b->ops->release(b, whole);
	give_place_back(x);
}

void exchange_leave_back(struct exchange *x)
{
	struct backend *b = x->backend;

	if (x->queued) {
		lb_queue_remove(&seat_of(x)->queue, &x->waiter);
		end_wait(x);
	}
	release_back(x, false);
	x->backend = NULL;
	if (b != NULL)
		backend_exit(b, exchange_worker(x)->index);
}

/* How it answered, for passive health and for those who choose by it. */
static void judge(struct exchange *x, bool failed)
{
	struct pool_seat *s = seat_of(x);
	const uint64_t now = exchange_worker(x)->now_ns;

	if (s->now == NULL || x->backend->seats[exchange_worker(x)->index].left)
		return;
	lb_outlier_answer(&s->now->outlier, &x->backend->up, failed, now);
	if (!failed)
		upstream_observe(&x->backend->up, now - x->sent_ns, now);
}

/* ---- another attempt ------------------------------------------------------------------------------------------------ */

static bool may_try_again(const struct exchange *x, uint32_t reason, bool sent)
{
	const struct route_conf *c = x->route != NULL ? x->route->conf : NULL;

	return c != NULL && x->response == ANSWER_NONE && !x->closed && !x->given && x->attempts <= c->retries &&
	       (c->retry_on & reason) != 0 && x->n_tried < LB_TRIED_MAX && (!sent || exchange_is_idempotent(x)) &&
	       exchange_worker(x)->now_ns < x->total_due_ns &&
	       lb_retry_take(&seat_of(x)->retry, exchange_worker(x)->now_ns);
}

/* The one that failed has been left. */
static void begin_again(struct exchange *x)
{
	x->sent_ns = 0;
	if (x->request != ASK_WAIT)
		exchange_ask_move(x, ASK_WAIT);
	exchange_choose(x);
}

static void try_again(struct exchange *x)
{
	exchange_note(x, HTTP_COUNT_retried);
	exchange_count(x, METER_retries, 1);
	x->tried[x->n_tried++] = &x->backend->up;
	exchange_leave_back(x);
	begin_again(x);
}

struct failure {
	uint32_t retry;
	bool health; /* it says something of the backend */
	uint8_t trouble;
};
static const struct failure failures[] = {
	[BACK_NO_CONNECTION] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_unreachable },
	[BACK_UNRESOLVED] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_unresolved },
	[BACK_NOT_LISTENING] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_not_listening },
	[BACK_CONNECT_LATE] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_connect_timeout },
	[BACK_NO_TLS] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_tls },
	[BACK_NO_AGENT] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_no_agent },
	[BACK_AGENT_DOWN] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_agent_down },
	[BACK_AGENT_SHUT] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_agent_shut },
	[BACK_AGENT_FAILED] = { ROUTE_RETRY_CONNECT, true, HTTP_TROUBLE_agent_failed },
	[BACK_FORBIDDEN] = { ROUTE_RETRY_CONNECT, false, HTTP_TROUBLE_forbidden },
	[BACK_CLIENT_FULL] = { 0, false, HTTP_TROUBLE_client_full },
	[BACK_REFUSED] = { ROUTE_RETRY_RESET, false, HTTP_TROUBLE_no_stream },
	[BACK_RESET] = { ROUTE_RETRY_RESET, true, HTTP_TROUBLE_ended },
	[BACK_TIMED_OUT] = { ROUTE_RETRY_TIMEOUT, true, HTTP_TROUBLE_timeout },
	[BACK_BAD] = { 0, true, HTTP_TROUBLE_bad_answer },
	[BACK_NO_WEBSOCKET] = { 0, false, HTTP_TROUBLE_no_websocket },
	[BACK_RESOURCE] = { 0, false, HTTP_TROUBLE_resource },
};

/* A connection that waited may have been ended by the backend the moment it was used: that says nothing about the backend. */
static bool lost_race(struct exchange *x, enum back_failure why)
{
	return why == BACK_RESET && x->back->reused && !x->races && !x->given && x->response == ANSWER_NONE &&
	       exchange_is_idempotent(x);
}

/* Nothing has happened to it, whatever its method; another connection may take it. */
static bool is_unseen(const struct exchange *x, enum back_failure why)
{
	return why == BACK_REFUSED && !x->given && x->response == ANSWER_NONE && x->refusals < REFUSALS_MAX;
}

void exchange_on_failed(struct exchange *x, enum back_failure why)
{
	const struct failure *f = &failures[why];

	if (x->probing) {
		exchange_probe_failed(x, why == BACK_TIMED_OUT);
		return;
	}
	if (lost_race(x, why) || is_unseen(x, why)) {
		x->races = x->races || why != BACK_REFUSED;
		x->refusals = (uint8_t)(x->refusals + (why == BACK_REFUSED));
		x->attempts--;
		exchange_leave_back(x);
		begin_again(x);
		return;
	}
	if (f->health)
		judge(x, true);
	if (may_try_again(x, f->retry, x->sent_ns != 0))
		try_again(x);
	else
		exchange_unserved(x, (enum http_trouble)f->trouble);
}

/* ---- what the backend says ------------------------------------------------------------------------------------------ */

bool exchange_has_request(const struct exchange *x)
{
	return x->head != NULL;
}

struct exchange_sending exchange_sending(const struct exchange *x)
{
	return (struct exchange_sending){
		.head = { (const char *)x->head->bytes, x->head->n },
		.asked = { .head = x->method == HTTP_HEAD,
			.connect = x->method == HTTP_CONNECT,
			.upgrade = x->upgrade },
		.content = x->has_content,
		.chunked = x->chunked,
	};
}

void exchange_on_sent(struct exchange *x)
{
	x->sent_ns = exchange_worker(x)->now_ns;
	x->connect_ns = x->sent_ns - x->started_ns;
	exchange_ask_move(x, ASK_CONTENT);
	exchange_set_timer(x);
}

static bool is_passing_failure(unsigned status)
{
	return status >= 502 && status <= 504;
}

void exchange_on_head(struct exchange *x, const struct http_head *head)
{
	const bool final = head->status >= 200 || head->switches;

	if (x->probing) {
		exchange_probe_head(x, head);
		return;
	}
	if (final) {
		judge(x, head->status >= 500);
		if (is_passing_failure(head->status) && may_try_again(x, ROUTE_RETRY_5XX, true)) {
			try_again(x);
			return;
		}
		x->backend_us = (exchange_worker(x)->now_ns - x->began_ns) / 1000;
		exchange_count(x, METER_answer_us, (exchange_worker(x)->now_ns - x->sent_ns) / 1000);
	}
	x->active_ns = exchange_worker(x)->now_ns;
	exchange_answer_head(x, head);
}

void exchange_on_end(struct exchange *x, const struct http_head *trailers)
{
	if (x->probing) {
		exchange_probe_end(x);
		return;
	}
	if (x->response == ANSWER_RAW) { /* the way back has ended; the other one may go on */
		x->origin.ops->end(x, NULL);
		return;
	}
	exchange_answer_end(x, trailers);
}

/* The answer is with the client: nothing more is wanted of the backend. */
void exchange_done_with_back(struct exchange *x)
{
	release_back(x, x->request == ASK_DONE);
}
