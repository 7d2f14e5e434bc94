#include "relayd/filter/chain.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/uv/worker.h"
#include "proto/route_conf.h"
#include "relayd/filter/access_line.h"
#include "relayd/filter/access_log.h"
#include "relayd/filter/cors.h"
#include "relayd/filter/error_page.h"
#include "relayd/filter/gzip.h"
#include "relayd/filter/header_rules.h"
#include "relayd/filter/kept.h"
#include "relayd/filter/redirect.h"
#include "relayd/filter/request_rate.h"
#include "relayd/filter/rewrite.h"
#include "relayd/filter/trace.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES    (16 * 1024)
#define UPSTREAM_SIZE 300
#define TEXTS_MAX     768 /* bytes of a request's own texts that a line of the log needs after the head has gone */

struct lane {            /* a worker's */
	unsigned gzips;  /* answers that are being compressed */
	struct buf line; /* reused */
};

struct chain {
	struct http_filters filters;
	struct access_log *log;
	unsigned n;
	struct lane lanes[];
};

struct chain_route {
	const char *id;
	const struct route_conf *conf;
	struct redirect redirect;
	struct header_rules on_request, on_answer;
	struct kept_names wanted;      /* of a request, by on_answer */
	struct request_rate *requests; /* NULL: no limit */
};

/* What is kept of a request when its head has gone. Spans lie in texts. */
struct chain_request {
	int64_t began_ms;
	struct gzip *gzip;
	struct kept *kept;
	char trace[TRACE_SIZE];
	struct http_span method, host, path, query, referer, user_agent, origin;
	bool takes_gzip;
	uint8_t likes; /* enum filter_likes */
	uint16_t used;
	char texts[TEXTS_MAX];
};

/* ---- routes ---- */

static void route_free(void *route)
{
	struct chain_route *r = route;

	if (r == NULL)
		return;
	kept_names_fini(&r->wanted);
	header_rules_fini(&r->on_request);
	header_rules_fini(&r->on_answer);
	request_rate_unref(r->requests);
	free(r);
}

static struct request_rate *limit_requests(const struct chain_route *before, const struct route_rate *conf)
{
	const bool keyed = conf->key != ROUTE_RATE_ALL;

	if (before != NULL && before->requests != NULL && request_rate_is_keyed(before->requests) == keyed)
		return request_rate_ref(before->requests);
	return request_rate_new(keyed);
}

static int route_new(void *arg, void **out, const struct http_filter_route *what, struct err *e)
{
	const struct route_conf *const conf = what->conf;
	struct chain_route *r = calloc(1, sizeof *r);

	(void)arg;
	if (r == NULL)
		return err_set(e, ERR_NOMEM, NULL, "filters of a route: out of memory");
	r->id = what->id;
	r->conf = conf;
	r->redirect.status = conf->redirect_status;
	if (conf->rate.per_second != 0 && (r->requests = limit_requests(what->before, &conf->rate)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "filters of a route: out of memory");
		goto fail;
	}
	if ((conf->redirect_status != 0 && template_read(&r->redirect.to, conf->redirect_to, e) != 0) ||
		header_rules_init(&r->on_request, conf->request_rules, conf->n_request_rules, e) != 0 ||
		header_rules_init(&r->on_answer, conf->response_rules, conf->n_response_rules, e) != 0)
		goto fail;
	if (kept_names_init(&r->wanted, &r->on_answer) != 0) {
		err_set(e, ERR_NOMEM, NULL, "filters of a route: out of memory");
		goto fail;
	}
	*out = r;
	return 0;
fail:
	route_free(r);
	return -1;
}

/* ---- a request ---- */

static struct filter_view view_of(const struct filter_request *r)
{
	const struct chain_route *route = r->route;
	const struct chain_request *s = r->state;

	return (struct filter_view){ .head = r->head,
		.kept = s->kept,
		.host = r->head != NULL ? http_head_part(r->head, r->head->host) : s->host,
		.path = r->head != NULL ? r->path : s->path,
		.query = r->head != NULL ? http_head_part(r->head, r->head->query) : s->query,
		.client = r->client,
		.route = route != NULL ? route->id : "",
		.tls = r->tls,
		.origin = s->origin,
		.takes_gzip = s->takes_gzip,
		.likes = s->likes,
		.now_ns = r->worker->now_ns,
		.request_id = r->request_id,
		.trace = text_span(s->trace) };
}

static struct http_span keep(struct chain_request *s, struct http_span text, size_t max)
{
	const size_t n = MIN(MIN(text.n, max), sizeof s->texts - s->used);
	char *const to = s->texts + s->used;

	if (n > 0)
		memcpy(to, text.p, n);
	s->used = (uint16_t)(s->used + n);
	return (struct http_span){ to, n };
}

static struct http_span value_of(const struct http_head *h, enum http_name id)
{
	const struct http_field *f = http_head_find(h, id);

	return f != NULL ? http_field_value(h, f) : (struct http_span){ "", 0 };
}

static void keep_for_log(struct chain_request *s, const struct filter_view *v)
{
	s->method = keep(s, http_head_part(v->head, v->head->method_at), 16);
	s->host = keep(s, v->host, 128);
	s->path = keep(s, v->path, 256);
	s->user_agent = keep(s, value_of(v->head, HTTP_NAME_USER_AGENT), 128);
	s->query = keep(s, v->query, 128);
	s->referer = keep(s, value_of(v->head, HTTP_NAME_REFERER), 256);
}

static bool is_logged(const struct chain *c, const struct chain_route *route)
{
	return c->log != NULL && (route == NULL || route->conf->access_log);
}

static void keep_answer_needs(const struct chain_route *route, struct chain_request *s, const struct filter_request *r)
{
	if (route->wanted.n > 0) {
		const struct filter_view v = view_of(r);

		s->kept = kept_take(&route->wanted, &v);
	}
	s->likes = (uint8_t)error_page_likes(r->head);
	if (route->conf->gzip.on)
		s->takes_gzip = gzip_taken(r->head);
	if (route->conf->cors.on)
		s->origin = keep(s, value_of(r->head, HTTP_NAME_ORIGIN), 256);
}

static unsigned on_begin(const struct filter_request *r)
{
	const struct chain_route *route = r->route;
	struct chain_request *s = r->state;
	const bool logged = is_logged(r->arg, route);
	unsigned sees = logged ? FILTER_SEES_END : 0;

	assert(r->head != NULL); /* filter.h: here it is always there */
	if (route != NULL) {
		keep_answer_needs(route, s, r);
		if (route->on_answer.n > 0 || route->conf->cors.on || route->conf->gzip.on)
			sees |= FILTER_SEES_ANSWER | FILTER_SEES_END;
	}
	if (logged) {
		const struct filter_view v = view_of(r);

		s->began_ms = clock_wall_ms();
		keep_for_log(s, &v);
	}
	return sees;
}

static uint64_t hash(const void *p, size_t n)
{
	const uint8_t *const bytes = p;
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* An IPv6 source counts by its /64, which is what one site is given (as in limit/source_table.h). */
static uint64_t source_key(const struct addr *a)
{
	char text[ADDR_STRLEN];

	addr_print_site(a, text);
	return hash(text, strlen(text));
}

/* Who leaves the field out counts by his address: no key of his own to choose. */
static uint64_t rate_key(const struct route_rate *conf, const struct filter_view *v)
{
	const struct http_field *f;

	if (conf->key == ROUTE_RATE_ALL)
		return 0;
	f = conf->key == ROUTE_RATE_FIELD ? http_head_find_text(v->head, conf->field) : NULL;
	if (f != NULL)
		return hash(http_field_value(v->head, f).p, f->value_len);
	return v->client != NULL ? source_key(v->client) : 0;
}

/* True: it has to wait, and e is the 429. */
static bool held_off(const struct chain_route *r, const struct filter_view *v, struct edit *e)
{
	const struct route_rate *conf = &r->conf->rate;
	uint64_t wait_ns;
	size_t from;

	if (r->requests == NULL)
		return false;
	wait_ns = request_rate_take(r->requests, rate_key(conf, v), conf->per_second,
		conf->burst != 0 ? conf->burst : conf->per_second, v->now_ns);
	if (wait_ns == 0)
		return false;
	e->status = 429;
	from = text_begin(e);
	text_u64(e, (wait_ns + UINT64_C(999999999)) / UINT64_C(1000000000));
	text_field(e, "retry-after", text_since(e, from));
	return true;
}

/* True: e is an answer. In the order of the chain. */
static bool answers_itself(const struct chain_route *r, const struct filter_view *v, struct edit *e)
{
	const struct route_conf *conf = r->conf;

	if (conf->redirect_status != 0)
		redirect_answer(&r->redirect, v, e);
	else if (!conf->cors.on || !cors_preflight(&conf->cors, v, e))
		return held_off(r, v, e);
	return true;
}

/* What the relay answers by itself: a page, and what the route says of answers. */
static void finish_answer(const struct chain_route *r, struct filter_view *v, const char *why, struct edit *e)
{
	if (v->status >= 300 && v->status != 304)
		error_page_fill(r->conf->pages, r->conf->n_pages, v, why, e);
	header_rules_run(&r->on_answer, v, e);
	if (r->conf->cors.on && v->status != 204)
		cors_answer(&r->conf->cors, v, e);
}

/* A redirect that is no URI, a rule whose text does not fit: nothing of it goes out. */
static void answer_failed(const struct chain_route *r, struct filter_view *v, struct edit *e)
{
	edit_reset(e);
	e->status = 500;
	v->status = 500;
	error_page_fill(NULL, 0, v, "what the route says cannot be said of this request", e);
	(void)r;
}

static enum filter_verdict on_request(const struct filter_request *r, struct edit *e)
{
	const struct chain_route *route = r->route;
	struct chain_request *s = r->state;
	struct filter_view v = view_of(r);

	if (answers_itself(route, &v, e)) {
		v.status = e->status;
		finish_answer(route, &v, e->status == 429 ? "more requests than the route takes" : "", e);
		if (e->failed)
			answer_failed(route, &v, e);
		return FILTER_ANSWER;
	}
	trace_take(s->trace, &v, e);
	v.trace = text_span(s->trace);
	if (route->conf->rewrite)
		rewrite_path(e, &v, text_span(route->conf->path_prefix), text_span(route->conf->rewrite_prefix));
	if (route->conf->rewrite_host[0] != '\0')
		rewrite_host(e, text_span(route->conf->rewrite_host));
	header_rules_run(&route->on_request, &v, e);
	if (!e->failed)
		return FILTER_PASS;
	answer_failed(route, &v, e);
	return FILTER_ANSWER;
}

/* ---- its answer ---- */

static void compress(struct lane *lane, const struct route_gzip *conf, const struct filter_view *v,
	struct chain_request *s, struct edit *e)
{
	if (!conf->on || lane->gzips >= GZIP_STREAMS_MAX || !gzip_wanted(conf, v, e))
		return;
	s->gzip = gzip_open(conf->level);
	if (s->gzip != NULL)
		lane->gzips++;
	else
		e->failed = true; /* the head says gzip already */
}

static void on_response(const struct filter_request *r, unsigned status, const struct http_head *head, struct edit *e)
{
	const struct chain_route *route = r->route;
	struct chain *c = r->arg;
	struct filter_view v = view_of(r);

	v.answer = head;
	v.status = status;
	if (head == NULL) {
		finish_answer(route, &v, status == 429 ? r->why : r->told, e);
		return;
	}
	header_rules_run(&route->on_answer, &v, e);
	if (route->conf->cors.on)
		cors_answer(&route->conf->cors, &v, e);
	compress(&c->lanes[r->worker->index], &route->conf->gzip, &v, r->state, e);
}

static int on_content(
	const struct filter_request *r, struct http_span in, bool last, struct blocks *bs, struct block **out)
{
	struct chain_request *s = r->state;

	/* What came is passed on at once: whoever streams waits for nobody. */
	return gzip_put(s->gzip, in, last ? GZIP_LAST : GZIP_FLUSH, bs, out);
}

/* ---- its end ---- */

static uint64_t ns_of(uint64_t us)
{
	return us != UINT64_MAX ? us * 1000 : UINT64_MAX;
}

static void write_line(struct chain *c, const struct filter_request *r, const struct filter_outcome *how)
{
	const struct chain_route *route = r->route;
	const struct chain_request *s = r->state;
	struct buf *b = &c->lanes[r->worker->index].line;
	char upstream[UPSTREAM_SIZE] = "";
	const struct access_line line = { /* of one that was no request nothing was begun */
		.wall_ms = s->began_ms != 0 ? s->began_ms : clock_wall_ms() - (int64_t)(how->took_us / 1000),
		.request_id = r->request_id.p,
		.trace = s->trace,
		.client = r->client,
		.method = s->method,
		.host = s->host,
		.path = s->path,
		.query = s->query,
		.referer = s->referer,
		.user_agent = s->user_agent,
		.tls = r->tls,
		.protocol = how->protocol,
		.tls_version = how->tls_version,
		.route = route != NULL ? route->id : NULL,
		.pool = how->pool,
		.backend = how->backend,
		.upstream = upstream,
		.status = how->status,
		.upstream_status = how->own ? 0 : how->status,
		.bytes_in = how->bytes_in,
		.bytes_out = how->bytes_out,
		.duration_ns = ns_of(how->took_us),
		.queue_ns = how->pool[0] != '\0' ? ns_of(how->queue_us) : UINT64_MAX,
		.connect_ns = ns_of(how->connect_us),
		.first_byte_ns = how->backend_us != 0 ? ns_of(how->backend_us) : UINT64_MAX,
		.attempts = how->attempts,
		.aborted = how->aborted,
		.reason = how->reason,
		.error = how->why
	};

	if (how->upstream[0] != '\0')
		(void)str_fmt(upstream, sizeof upstream, "%s:%u", how->upstream, (unsigned)how->upstream_port);
	buf_reset(b);
	access_line_put(b, &line);
	if (!b->failed)
		access_log_put(c->log, r->worker->index, b->data, b->len);
}

static void on_end(const struct filter_request *r, const struct filter_outcome *how)
{
	struct chain_request *s = r->state;
	struct chain *c = r->arg;

	if (s->gzip != NULL) {
		gzip_free(s->gzip);
		s->gzip = NULL;
		c->lanes[r->worker->index].gzips--;
	}
	kept_free(s->kept);
	s->kept = NULL;
	if (is_logged(c, r->route))
		write_line(c, r, how);
}

/* ---- life ---- */

int chain_new(struct chain **out, struct access_log *log, unsigned workers, struct err *e)
{
	struct chain *c = calloc(1, sizeof *c + workers * sizeof c->lanes[0]);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "filters: out of memory");
	c->filters = (struct http_filters){ .arg = c,
		.state_size = sizeof(struct chain_request),
		.route_new = route_new,
		.route_free = route_free,
		.begin = on_begin,
		.request = on_request,
		.response = on_response,
		.content = on_content,
		.end = on_end };
	c->log = log;
	c->n = workers;
	for (unsigned i = 0; i < workers; i++)
		buf_init(&c->lanes[i].line, LINE_BYTES);
	*out = c;
	return 0;
}

void chain_free(struct chain *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->n; i++)
		buf_free(&c->lanes[i].line);
	free(c);
}

const struct http_filters *chain_filters(const struct chain *c)
{
	return &c->filters;
}
