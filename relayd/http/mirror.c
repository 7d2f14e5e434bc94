#include "relayd/http/mirror.h"

#include "relayd/conf/object.h"
#include "relayd/http/exchange_inside.h"

#include <stdlib.h>
#include <string.h>

#define SLICE (64 * 1024) /* of content that is given at once */

struct mirror {
	struct http_desk *desk;
	struct http_route *route; /* held: its mirror pool is there as long as it is */
	struct exchange *x;       /* NULL: not sent yet */
	struct block *head, *content;
	struct addr from, to;
	struct task task, grave;
	struct list in_desk;
	uint8_t method;
	bool has_content, chunked;
	bool told; /* its exchange knows that the content is whole */
	bool over;
	char request_id[MESSAGE_REQUEST_ID];
};

struct mirror *mirror_of(struct list *in_desk)
{
	return CONTAINER_OF(in_desk, struct mirror, in_desk);
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

static void on_buried(struct task *t)
{
	free(CONTAINER_OF(t, struct mirror, grave));
}

static void end(struct mirror *m, enum http_counter how)
{
	struct http_desk *d = m->desk;

	if (m->over)
		return;
	m->over = true;
	desk_count(d, how);
	if (m->x != NULL)
		exchange_close(m->x);
	m->x = NULL;
	block_put(&d->blocks, m->head);
	block_put(&d->blocks, m->content);
	list_remove(&m->task.link);
	list_remove(&m->in_desk);
	desk_now(&d->counts.mirrors_now, -1);
	http_route_let_go(m->route, d->worker->index);
	worker_bury(d->worker, &m->grave);
}

void mirror_drop(struct mirror *m)
{
	end(m, HTTP_COUNT_mirror_dropped);
}

void mirror_cut(struct mirror *m)
{
	end(m, m->x != NULL ? HTTP_COUNT_mirror_failed : HTTP_COUNT_mirror_dropped);
}

void mirror_cut_route(struct http_desk *d, const struct http_route *r)
{
	LIST_FOREACH_SAFE (it, &d->mirrors)
		if (mirror_of(it)->route == r && mirror_of(it)->x != NULL)
			mirror_cut(mirror_of(it));
}

/* ---- the answer, which nobody reads --------------------------------------------------------------------------------- */

static void on_head(struct exchange *x, const struct answer *a)
{
	(void)x, (void)a;
}

static void on_content(struct exchange *x, struct http_span p)
{
	(void)x, (void)p;
}

/* What the relay answers itself where no backend did is no answer. */
static void on_end(struct exchange *x, const struct http_head *trailers)
{
	(void)trailers;
	end(exchange_client(x), x->own ? HTTP_COUNT_mirror_failed : HTTP_COUNT_mirror_answered);
}

static void on_abort(struct exchange *x)
{
	end(exchange_client(x), HTTP_COUNT_mirror_failed);
}

static bool is_full(const struct exchange *x)
{
	(void)x;
	return false;
}

static void on_resume(struct exchange *x)
{
	struct mirror *m = exchange_client(x);

	worker_finish(m->desk->worker, &m->task);
}

static void on_local(const struct exchange *x, struct addr *to)
{
	const struct mirror *m = exchange_client(x);

	*to = m->to;
}

static void on_flush(struct exchange *x)
{
	(void)x;
}

static const struct http_client_ops ops = {
	.head = on_head,
	.content = on_content,
	.end = on_end,
	.abort = on_abort,
	.full = is_full,
	.resume = on_resume,
	.local = on_local,
	.flush = on_flush,
};

/* ---- the request ---------------------------------------------------------------------------------------------------- */

static uint64_t answer_ms(const struct exchange *x)
{
	const struct pool_conf *pool = exchange_pool_conf(x);

	return pool != NULL && pool->response_timeout_ms != 0 ? pool->response_timeout_ms
	                                                      : x->desk->conf->response_timeout_ms;
}

static void start(struct mirror *m)
{
	struct http_desk *d = m->desk;
	const struct exchange_origin origin = {
		.ops = &ops, .client = m, .from = m->from, .peer = &m->from, .proto = "1.1", .copy = true
	};
	struct exchange *x = exchange_open(d, &origin);

	if (x == NULL) {
		mirror_drop(m);
		return;
	}
	desk_count(d, HTTP_COUNT_mirrored);
	m->x = x;
	x->head = m->head;
	m->head = NULL;
	x->method = m->method;
	x->has_content = m->has_content;
	x->chunked = m->chunked;
	x->pool = m->route->mirror;
	x->total_due_ns = d->worker->now_ns + answer_ms(x) * UINT64_C(1000000);
	memcpy(x->request_id, m->request_id, sizeof x->request_id);
	exchange_ask_move(x, ASK_WAIT);
	exchange_set_timer(x);
	if (!m->has_content) {
		m->told = true;
		exchange_content_end(x, NULL);
	}
	exchange_choose(x);
}

static void give(struct mirror *m)
{
	size_t n;

	while (m->x != NULL && (n = MIN(block_waiting(m->content), SLICE)) > 0 && exchange_takes(m->x)) {
		m->content->at += n;
		exchange_content(m->x, (struct http_span){ (const char *)m->content->bytes + m->content->at - n, n });
	}
	if (m->x != NULL && block_waiting(m->content) == 0 && !m->told) {
		m->told = true;
		exchange_content_end(m->x, NULL);
	}
	if (m->x != NULL)
		exchange_flush(m->x);
}

static void on_task(struct task *t)
{
	struct mirror *m = CONTAINER_OF(t, struct mirror, task);

	if (m->x == NULL)
		start(m);
	else
		give(m);
}

void mirror_send(struct mirror *m)
{
	worker_finish(m->desk->worker, &m->task);
}

struct mirror *mirror_content(struct mirror *m, struct http_span p)
{
	if (p.n > m->desk->conf->mirror_body_max - block_waiting(m->content) ||
		block_append(&m->desk->blocks, &m->content, p.p, p.n) != 0) {
		mirror_drop(m);
		return NULL;
	}
	return m;
}

/* ---- the begin ------------------------------------------------------------------------------------------------------ */

static bool is_sampled(struct exchange *x)
{
	const uint32_t draw = (uint32_t)(lb_rand_next(&x->desk->rand) >> 32);

	return ((uint64_t)draw * 100 >> 32) < x->route->conf->mirror_percent;
}

static bool may_be(const struct exchange *x, const struct http_head *h)
{
	const struct http_conf *conf = x->desk->conf;

	return x->desk->counts.mirrors_now < conf->mirror_max &&
	       (h->body != HTTP_BY_LENGTH || h->length <= conf->mirror_body_max);
}

static struct mirror *mirror_new(struct exchange *x)
{
	struct http_desk *d = x->desk;
	struct mirror *m = calloc(1, sizeof *m);

	if (m == NULL)
		return NULL;
	if (block_append(&d->blocks, &m->head, x->head->bytes, x->head->n) != 0) {
		free(m);
		return NULL;
	}
	m->desk = d;
	m->route = x->route;
	m->method = x->method;
	m->has_content = x->has_content;
	m->chunked = x->chunked;
	memcpy(m->request_id, x->request_id, sizeof m->request_id);
	exchange_addrs(x, &m->from, &m->to);
	task_init(&m->task, on_task);
	task_init(&m->grave, on_buried);
	list_push_back(&d->mirrors, &m->in_desk);
	desk_now(&d->counts.mirrors_now, 1);
	http_route_hold(m->route, d->worker->index);
	return m;
}

struct mirror *mirror_begin(struct exchange *x, const struct http_head *h)
{
	struct mirror *m;

	if (x->route->mirror == NULL || x->upgrade || x->method == HTTP_CONNECT || !is_sampled(x))
		return NULL;
	m = may_be(x, h) ? mirror_new(x) : NULL;
	if (m == NULL) {
		desk_count(x->desk, HTTP_COUNT_mirror_dropped);
		return NULL;
	}
	if (x->has_content)
		return m;
	mirror_send(m);
	return NULL;
}
