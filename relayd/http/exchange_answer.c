#include "common/base/clock.h"
#include "common/base/str.h"
#include "relayd/conf/object.h"
#include "relayd/http/exchange_inside.h"
#include "relayd/http/exchange_probe.h"
#include "relayd/http/inbox.h"
#include "relayd/lb/lb_sticky.h"

#include <string.h>

#define SESSION_S 86400 /* a cookie that ends with the browser is read for a day */

static void count_status(const struct exchange *x)
{
	static const enum meter_counter classes[] = { METER_answers_2xx, METER_answers_3xx, METER_answers_4xx,
		METER_answers_5xx };

	if (x->status >= 200 && x->status < 600)
		exchange_count(x, classes[x->status / 100 - 2], 1);
}

/* What is missing of it is not wanted any more. */
void exchange_drop_request(struct exchange *x)
{
	if (x->request == ASK_DONE || x->request == ASK_DROPPED)
		return;
	exchange_ask_move(x, x->has_content && !x->ended ? ASK_DROPPED : ASK_DONE);
}

static void ask_filters(struct exchange *x, const struct http_head *head, struct edit *e)
{
	struct filter_request view;

	if (!x->filtered || (head != NULL && (x->sees & FILTER_SEES_ANSWER) == 0))
		return;
	view = exchange_filter_view(x, NULL);
	x->desk->filters->response(&view, head != NULL ? head->status : e->status, head, e);
}

void exchange_refuse(struct exchange *x, unsigned status, const char *why)
{
	x->has_content = true; /* whatever follows is not read */
	exchange_answer_own(x, status, why);
}

/* ---- of the relay's own --------------------------------------------------------------------------------------------- */

static void answer_with(struct exchange *x, struct edit *e, const char *why)
{
	const struct http_client_ops *ops = x->origin.ops;
	struct answer a = {
		.status = e->status,
		.edit = e,
		.close = x->has_content && !x->ended,
		.body = e->body.n > 0 && x->method != HTTP_HEAD ? HTTP_BY_LENGTH : HTTP_NO_BODY,
		.has_length = e->status >= 200 && e->status != 204 && e->status != 304,
		.length = e->body.n,
		.request_id = x->request_id[0] != '\0' ? x->request_id : NULL,
	};

	x->status = e->status;
	x->own = true;
	x->why = why;
	count_status(x);
	exchange_drop_request(x);
	exchange_answer_move(x, ANSWER_CONTENT);
	ops->head(x, &a);
	if (a.body == HTTP_BY_LENGTH)
		ops->content(x, e->body);
	exchange_answer_move(x, ANSWER_DONE);
	ops->end(x, NULL);
}

void exchange_answer_edit(struct exchange *x, struct edit *e, const char *why)
{
	if (x->response != ANSWER_NONE)
		exchange_fail(x, why);
	else
		answer_with(x, e, why);
}

void exchange_answer_own(struct exchange *x, unsigned status, const char *why)
{
	struct edit *e = &x->desk->response_edit;
	char text[256];

	if (x->response != ANSWER_NONE) {
		exchange_fail(x, why);
		return;
	}
	edit_reset(e);
	e->status = (uint16_t)status;
	x->why = why;
	(void)str_fmt(text, sizeof text, "%u %s: %s.\n", status, http_writer_reason(status),
		x->trouble != HTTP_TROUBLE_none ? trouble_of((enum http_trouble)x->trouble)->told : why);
	e->body = edit_keep(e, text, strlen(text));
	edit_set_str(e, "content-type", "text/plain; charset=utf-8");
	edit_set_str(e, "cache-control", "no-store");
	ask_filters(x, NULL, e);
	answer_with(x, e, why);
}

void exchange_fail(struct exchange *x, const char *why)
{
	exchange_note(x, HTTP_COUNT_aborted);
	exchange_count(x, METER_reset, 1);
	x->why = why;
	exchange_drop_request(x);
	exchange_answer_move(x, ANSWER_FAILED);
	exchange_leave_back(x);
	x->origin.ops->abort(x);
}

/* ---- of the backend ------------------------------------------------------------------------------------------------- */

/* The client is to come back to this backend: it is told so when it does not know yet, or knows another one. */
static void add_cookie(struct exchange *x, struct edit *e)
{
	const struct pool_conf *conf = exchange_pool_conf(x);
	const struct upstream *up = &x->backend->up;
	char value[LB_STICKY_LEN + 1], text[256];
	int64_t ttl_ms;

	if (conf == NULL || conf->sticky != POOL_STICKY_COOKIE || (x->sticky && x->sticky_key == up->conf.key))
		return;
	ttl_ms = (conf->sticky_ttl_s != 0 ? conf->sticky_ttl_s : SESSION_S) * INT64_C(1000);
	lb_sticky_make(value, conf->secret, x->pool->id, up->conf.key, clock_wall_ms() + ttl_ms);
	if (conf->sticky_ttl_s != 0)
		(void)str_fmt(text, sizeof text, "%s=%s; Path=/; Max-Age=%u; HttpOnly; SameSite=Lax%s", conf->cookie,
			value, conf->sticky_ttl_s, x->origin.tls ? "; Secure" : "");
	else
		(void)str_fmt(text, sizeof text, "%s=%s; Path=/; HttpOnly; SameSite=Lax%s", conf->cookie, value,
			x->origin.tls ? "; Secure" : "");
	edit_add(e, "set-cookie", (struct http_span){ text, strlen(text) });
}

static void pass_interim(struct exchange *x, const struct http_head *head)
{
	const struct answer a = { .status = head->status, .head = head, .interim = true };

	if (x->to_http10 || (head->status == 100 && !x->expects))
		return;
	x->origin.ops->head(x, &a);
	x->origin.ops->flush(x);
}

void exchange_answer_head(struct exchange *x, const struct http_head *head)
{
	struct edit *e = &x->desk->response_edit;
	struct answer a = {
		.status = head->status,
		.head = head,
		.edit = e,
		.raw = head->switches,
		.body = head->body,
		.has_length = head->has_length,
		.length = head->length,
		.request_id = x->request_id,
	};

	if (head->status < 200 && !head->switches) {
		pass_interim(x, head);
		return;
	}
	edit_reset(e);
	add_cookie(x, e);
	if (!a.raw)
		ask_filters(x, head, e);
	if (e->recoded && a.body != HTTP_NO_BODY) {
		x->recoded = true;
		a.body = HTTP_CHUNKED;
		a.has_length = false;
	}
	x->status = head->status;
	count_status(x);
	block_put(&x->desk->blocks, x->head);
	x->head = NULL;
	x->raw = a.raw;
	exchange_answer_move(x, a.raw ? ANSWER_RAW : ANSWER_CONTENT);
	exchange_set_timer(x);
	x->origin.ops->head(x, &a);
}

/* Content as the filters make it. */
static int recode(struct exchange *x, struct http_span p, bool last)
{
	const struct filter_request view = exchange_filter_view(x, NULL);
	struct blocks *bs = &x->desk->blocks;
	struct block *out = NULL;
	const int rc = x->desk->filters->content(&view, p, last, bs, &out);

	if (rc == 0 && out != NULL)
		x->origin.ops->content(x, (struct http_span){ (char *)out->bytes + out->at, block_waiting(out) });
	block_put(bs, out);
	return rc;
}

void exchange_on_content(struct exchange *x, struct http_span p)
{
	if (x->probing) {
		exchange_probe_content(x, p.n);
		return;
	}
	exchange_spend(x, HTTP_ROUTE_OUT, p.n);
	x->active_ns = exchange_worker(x)->now_ns;
	if (!x->recoded)
		x->origin.ops->content(x, p);
	else if (recode(x, p, false) != 0)
		exchange_fail(x, "a filter could not read the content");
}

/*
 * Where bandwidth is limited a pipe takes no more than a read: what may pass is asked before each of them, and paid for afterwards.
 * Who is given the pipe says how it is emptied.
 */
struct pipe *exchange_lend_pipe(struct exchange *x, size_t *most)
{
	const struct http_client_ops *ops = x->origin.ops;
	struct http_route *r = x->route;
	struct pipe *pipe;

	if (r == NULL || x->recoded || ops->splices == NULL || !ops->splices(x))
		return NULL;
	pipe = stock_lend(&r->seats[exchange_worker(x)->index].stock, NULL, NULL);
	if (pipe != NULL)
		*most = rate_limits(&r->tally->rate[HTTP_ROUTE_OUT]) ? INBOX_READ : pipe->size;
	return pipe;
}

void exchange_on_piped(struct exchange *x, struct pipe *pipe, size_t n)
{
	exchange_spend(x, HTTP_ROUTE_OUT, n);
	x->active_ns = exchange_worker(x)->now_ns;
	x->origin.ops->piped(x, pipe, n);
}

void exchange_answer_end(struct exchange *x, const struct http_head *trailers)
{
	if (x->recoded && recode(x, (struct http_span){ NULL, 0 }, true) != 0) {
		exchange_fail(x, "a filter could not read the content");
		return;
	}
	exchange_done_with_back(x);
	exchange_drop_request(x);
	exchange_answer_move(x, ANSWER_DONE);
	x->origin.ops->end(x, trailers);
}

/* Both ways of a connection without messages have ended. */
void exchange_raw_over(struct exchange *x)
{
	if (x->response == ANSWER_RAW)
		exchange_answer_move(x, ANSWER_DONE);
}
