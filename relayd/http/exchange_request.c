#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/str.h"
#include "common/crypto/tls_server.h"
#include "common/net/allowance.h"
#include "common/net/cidr.h"
#include "common/net/host_name.h"
#include "relayd/conf/object.h"
#include "relayd/http/exchange_inside.h"
#include "relayd/http/mirror.h"
#include "relayd/lb/lb_sticky.h"
#include "relayd/route/route_path.h"
#include "relayd/site/site.h"
#include "relayd/tls/certs.h"

#include <string.h>

#define METHODS_IDEMPOTENT \
	(BIT(HTTP_GET) | BIT(HTTP_HEAD) | BIT(HTTP_PUT) | BIT(HTTP_DELETE) | BIT(HTTP_OPTIONS) | BIT(HTTP_TRACE))

bool exchange_is_idempotent(const struct exchange *x)
{
	return (METHODS_IDEMPOTENT >> x->method & 1) != 0;
}

/* ---- what is known of it -------------------------------------------------------------------------------------------- */

static bool is_trusted(const struct exchange *x)
{
	const struct mapping_cidrs *t = &x->desk->conf->trusted;

	return t->n > 0 && cidr_match_any(t->items, t->n, x->origin.peer);
}

/* A client's own id stays, as it knows the request by it; else one that no other relay makes. */
static void name_it(struct exchange *x, const struct http_head *h)
{
	const struct http_field *f = http_head_find(h, HTTP_NAME_X_REQUEST_ID);
	const struct http_span given = f != NULL ? http_field_value(h, f) : (struct http_span){ NULL, 0 };

	if (f != NULL && message_id_is_sound(given)) {
		memcpy(x->request_id, given.p, given.n);
		x->request_id[given.n] = '\0';
		return;
	}
	memcpy(x->request_id, x->desk->id_prefix, sizeof x->desk->id_prefix);
	hex_u64(x->request_id + 16, ++x->desk->id_last);
	x->request_id[32] = '\0';
}

/* The first address that no trusted proxy has: who the client is, read from the back. */
static void find_client(struct exchange *x, const struct http_head *h)
{
	const struct mapping_cidrs *t = &x->desk->conf->trusted;
	const struct http_field *f = http_head_find(h, HTTP_NAME_X_FORWARDED_FOR);
	struct http_span list;
	char text[ADDR_STRLEN];

	if (f == NULL || !is_trusted(x))
		return;
	list = http_field_value(h, f);
	while (list.n > 0) {
		size_t from = list.n;
		struct addr a;

		while (from > 0 && list.p[from - 1] != ',')
			from--;
		while (from < list.n && list.p[from] == ' ')
			from++;
		if (str_fmt(text, sizeof text, "%.*s", (int)(list.n - from), list.p + from) != 0 ||
			addr_parse_ip(&a, text, 0) != 0)
			return;
		x->origin.from = a;
		if (!cidr_match_any(t->items, t->n, &a))
			return;
		while (from > 0 && (list.p[from - 1] == ' ' || list.p[from - 1] == ','))
			from--;
		list.n = from;
	}
}

struct filter_request exchange_filter_view(struct exchange *x, const struct http_head *head)
{
	return (struct filter_request){
		.arg = x->desk->filters->arg,
		.worker = exchange_worker(x),
		.head = head,
		.client = &x->origin.from,
		.host = "",
		.request_id = { x->request_id, strlen(x->request_id) },
		.tls = x->origin.tls,
		.why = x->why,
		.told = trouble_of((enum http_trouble)x->trouble)->told,
		.route = x->route != NULL ? x->route->filters : NULL,
		.state = exchange_filter_state(x),
	};
}

/* ---- may it pass ---------------------------------------------------------------------------------------------------- */

static bool may_ask(const struct route_conf *c, const struct addr *from)
{
	if (cidr_match_any(c->deny.items, c->deny.n, from))
		return false;
	return c->allow.n == 0 || cidr_match_any(c->allow.items, c->allow.n, from);
}

/* What the handshake let in may be known to another route of the host alone. */
static bool is_known(const struct exchange *x)
{
	if (x->route->conf->client_auth != ROUTE_CLIENT_REQUIRED)
		return true;
	return x->origin.session != NULL && tls_server_client_is_of(x->origin.session, x->route->clients);
}

/* In clear to a route that is for TLS only: the same over TLS. */
static void lead_to_tls(struct exchange *x, const struct http_head *h, struct http_span path)
{
	const struct http_span host = http_head_part(h, h->host), query = http_head_part(h, h->query);
	struct edit *e = &x->desk->response_edit;
	char to[1024];

	edit_reset(e);
	e->status = x->method == HTTP_GET || x->method == HTTP_HEAD ? 301 : 308;
	if (str_fmt(to, sizeof to, "https://%.*s%.*s%.*s", (int)host.n, host.p, (int)path.n, path.p, (int)query.n,
		    query.p) != 0) {
		exchange_answer_own(x, 414, "the address is too long to be led to TLS");
		return;
	}
	edit_set_str(e, "location", to);
	exchange_answer_edit(x, e, "");
}

/* True: it was answered; its tenant has had all requests of the month, or as many as this relay knows of. */
static bool is_unpaid(struct exchange *x)
{
	struct allowance *a = x->route->requests;

	if (a == NULL)
		return false;
	if (allowance_take(a, 1) == 1)
		return false;
	desk_count(x->desk, HTTP_COUNT_no_quota);
	exchange_count(x, METER_refused_quota, 1);
	exchange_answer_own(x, 429,
		allowance_is_over(a) ? "the tenant's requests of this month are used up"
				     : "how many requests the tenant has left is being asked for");
	return true;
}

/* True: it was answered. */
static bool is_stopped(struct exchange *x, const struct http_head *h, struct http_span path)
{
	const struct route_conf *c = x->route->conf;
	const uint64_t most = exchange_body_max(x);

	if (!x->origin.tls && c->ssl == ROUTE_SSL_ONLY) {
		lead_to_tls(x, h, path);
	} else if (!is_known(x)) {
		exchange_note(x, HTTP_COUNT_forbidden);
		exchange_answer_own(x, 403, "a client's certificate is needed here");
	} else if (!may_ask(c, &x->origin.from)) {
		exchange_note(x, HTTP_COUNT_forbidden);
		exchange_count(x, METER_refused_cidr, 1);
		exchange_answer_own(x, 403, "the address may not ask here");
	} else if (c->max_in_flight != 0 &&
		   __atomic_load_n(&x->route->tally->in_flight, __ATOMIC_RELAXED) > c->max_in_flight) {
		exchange_unserved(x, HTTP_TROUBLE_route_full);
	} else if (h->body == HTTP_BY_LENGTH && h->length > most) {
		exchange_note(x, HTTP_COUNT_too_large);
		exchange_answer_own(x, 413, "the content is longer than allowed");
	} else {
		return false;
	}
	return true;
}

static struct filter_request view_of(
	struct exchange *x, const struct http_head *h, const char *host, struct http_span path)
{
	struct filter_request view = exchange_filter_view(x, h);

	view.host = host;
	view.path = path;
	return view;
}

static void begin_filters(struct exchange *x, const struct http_head *h, const char *host, struct http_span path)
{
	struct filter_request view;

	if (x->desk->filters == NULL || (x->route != NULL && x->route->filters == NULL))
		return;
	view = view_of(x, h, host, path);
	x->filtered = x->route != NULL;
	x->sees = (uint8_t)x->desk->filters->begin(&view);
}

static bool is_answered_by_filter(
	struct exchange *x, const struct http_head *h, const char *host, struct http_span path, struct edit *e)
{
	struct filter_request view;

	if (!x->filtered)
		return false;
	view = view_of(x, h, host, path);
	if (x->desk->filters->request(&view, e) == FILTER_PASS)
		return false;
	exchange_answer_edit(x, e, "");
	return true;
}

/* ---- on its way ----------------------------------------------------------------------------------------------------- */

/* The value of one cookie among all, or n == 0. */
static struct http_span cookie_value(struct http_span all, const char *name)
{
	const size_t n = strlen(name);

	while (all.n > 0) {
		const char *end = memchr(all.p, ';', all.n);
		const size_t part = end != NULL ? (size_t)(end - all.p) : all.n;

		if (part > n && all.p[n] == '=' && memcmp(all.p, name, n) == 0)
			return (struct http_span){ all.p + n + 1, part - n - 1 };
		if (end == NULL)
			break;
		all.p += part + 1;
		all.n -= part + 1;
		while (all.n > 0 && *all.p == ' ') {
			all.p++;
			all.n--;
		}
	}
	return (struct http_span){ NULL, 0 };
}

static void find_sticky(struct exchange *x, const struct http_head *h)
{
	const struct pool_version *v = x->pool->seats[exchange_worker(x)->index].now;
	const struct http_field *f = http_head_find(h, HTTP_NAME_COOKIE);
	struct http_span value;

	if (v == NULL || v->object->pool.sticky != POOL_STICKY_COOKIE || f == NULL)
		return;
	value = cookie_value(http_field_value(h, f), v->object->pool.cookie);
	x->sticky = value.n > 0 && lb_sticky_read(&x->sticky_key, v->object->pool.secret, x->pool->id, value.p, value.n,
					   clock_wall_ms()) == 0;
}

static int write_request(struct exchange *x, const struct http_head *h, struct http_span path, const struct edit *e)
{
	const struct message_request m = {
		.head = h,
		.edit = e,
		.path = path,
		.from = &x->origin,
		.request_id = x->request_id,
		.trusted = is_trusted(x),
	};
	const size_t room = message_request_room(&m);
	int n;

	x->head = block_get(&x->desk->blocks, room);
	if (x->head == NULL)
		return -1;
	n = message_request_write(&m, x->head->bytes, x->head->cap);
	if (n < 0)
		return -1;
	x->head->n = (size_t)n;
	return 0;
}

static void go_on(struct exchange *x, const struct http_head *h, struct http_span path, const struct edit *e)
{
	const uint32_t draw = (uint32_t)(lb_rand_next(&x->desk->rand) >> 32);

	if (x->route->conf->n_targets == 0) {
		exchange_answer_own(x, 503, "the route leads nowhere");
		return;
	}
	if (write_request(x, h, path, e) != 0) {
		exchange_note(x, HTTP_COUNT_resource);
		exchange_answer_own(x, 500, "the request could not be written anew");
		return;
	}
	x->pool = http_route_pool(x->route, draw);
	find_sticky(x, h);
	exchange_ask_move(x, ASK_WAIT);
	x->mirror = mirror_begin(x, h);
	exchange_choose(x);
}

static void take_facts(struct exchange *x, const struct http_head *h)
{
	x->method = h->method;
	x->has_content = h->body != HTTP_NO_BODY;
	x->chunked = h->body == HTTP_CHUNKED;
	x->upgrade = h->upgrade;
	x->to_http10 = h->version == 10;
	x->expects = h->expects_100;
	name_it(x, h);
	find_client(x, h);
}

/* A CA that asks whether this host is served here (RFC 8555 section 8.3), in clear and before any route. */
static bool is_challenge(struct exchange *x, const struct http_head *h, const char *host, struct http_span path)
{
	static const char prefix[] = "/.well-known/acme-challenge/";
	const size_t n = sizeof prefix - 1;
	struct http_desk *d = x->desk;
	struct edit *e = &d->response_edit;
	const char *answer;

	if (d->certs == NULL || x->origin.tls || x->method != HTTP_GET || path.n <= n || memcmp(path.p, prefix, n) != 0)
		return false;
	answer = certs_answer(d->certs, d->worker, host, path.p + n, path.n - n, clock_wall_ms());
	if (answer == NULL)
		return false;
	begin_filters(x, h, host, path);
	edit_reset(e);
	e->status = 200;
	e->body = edit_keep(e, answer, strlen(answer));
	edit_set_str(e, "content-type", "text/plain");
	exchange_answer_edit(x, e, "");
	return true;
}

void exchange_request(struct exchange *x, const struct site_seat *where, const char *host, const struct http_head *h)
{
	struct http_desk *d = x->desk;
	struct edit *e = &d->request_edit;
	struct http_span path = { d->path, 0 };
	const struct http_span raw = h->method == HTTP_CONNECT ? (struct http_span){ "/", 1 } : http_head_path(h);
	struct http_route *r;

	take_facts(x, h);
	if (route_path_take(d->path, &path.n, raw) != 0) {
		exchange_note(x, HTTP_COUNT_bad_request);
		exchange_answer_own(x, 400, "the path cannot be understood in one way only");
		return;
	}
	if (is_challenge(x, h, host, path))
		return;
	r = where != NULL ? site_find(where, x->origin.tls ? SITE_TLS : SITE_CLEAR, path, h) : NULL;
	if (r == NULL) {
		begin_filters(x, h, host, path);
		exchange_note(x, HTTP_COUNT_no_route);
		exchange_answer_own(x, 404, "no route takes this request");
		return;
	}
	x->route = r;
	http_route_enter(r, d->worker->index, &x->in_route);
	exchange_count(x, METER_opened, 1);
	if (r->conf->request_timeout_ms != 0)
		x->total_due_ns = x->began_ns + r->conf->request_timeout_ms * UINT64_C(1000000);
	begin_filters(x, h, host, path);
	edit_reset(e);
	if (is_unpaid(x))
		return;
	exchange_count(x, METER_requests, 1);
	if (r->requests != NULL)
		allowance_count(r->requests, 1);
	if (!is_stopped(x, h, path) && !is_answered_by_filter(x, h, host, path, e))
		go_on(x, h, path, e);
}

/* ---- content -------------------------------------------------------------------------------------------------------- */

bool exchange_takes(struct exchange *x)
{
	if (x->closed || exchange_is_held(x, HTTP_ROUTE_IN))
		return false;
	if (x->response == ANSWER_RAW)
		return x->back != NULL && !x->back->ops->full(x->back);
	return x->request == ASK_CONTENT && !x->back->ops->full(x->back);
}

void exchange_content(struct exchange *x, struct http_span p)
{
	if (p.n == 0 || x->back == NULL || x->request == ASK_DROPPED)
		return;
	x->given = true;
	if (x->mirror != NULL)
		x->mirror = mirror_content(x->mirror, p);
	exchange_spend(x, HTTP_ROUTE_IN, p.n);
	x->active_ns = exchange_worker(x)->now_ns;
	x->back->ops->content(x->back, p);
}

static void end_content(struct exchange *x, const struct http_head *trailers)
{
	x->back->ops->content_end(x->back, trailers);
	if (x->request == ASK_CONTENT)
		exchange_ask_move(x, ASK_DONE);
}

void exchange_content_end(struct exchange *x, const struct http_head *trailers)
{
	x->ended = true;
	if (x->mirror != NULL)
		mirror_send(x->mirror);
	x->mirror = NULL;
	if (x->response == ANSWER_RAW ? x->back != NULL : x->request == ASK_CONTENT)
		end_content(x, trailers);
}

void exchange_content_bad(struct exchange *x, unsigned status, const char *why)
{
	if (x->response == ANSWER_NONE) {
		exchange_leave_back(x);
		exchange_answer_own(x, status, why);
	} else if (x->response < ANSWER_DONE) {
		exchange_fail(x, why);
	}
}

/* The backend has room: at first for the end of a request that was whole before there was anybody to tell it. */
void exchange_on_room(struct exchange *x)
{
	if (x->ended && x->request == ASK_CONTENT)
		end_content(x, NULL);
	else if (!x->closed)
		x->origin.ops->resume(x);
}
