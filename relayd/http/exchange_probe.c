#include "relayd/http/exchange_probe.h"

#include "common/base/str.h"
#include "relayd/conf/object.h"
#include "relayd/http/exchange_inside.h"

#include <string.h>

#define WAIT_NS     UINT64_C(1000000000) /* for an answer: news of a target are of no use for longer */
#define CONTENT_MAX (64 * 1024)          /* of an answer: with more, its connection is not worth keeping */

/* ---- nobody asks ---------------------------------------------------------------------------------------------------- */

static bool on_full(const struct exchange *x)
{
	(void)x;
	return false;
}

static void on_local(const struct exchange *x, struct addr *to)
{
	(void)x;
	*to = (struct addr){ .sa = { .sa_family = AF_UNSPEC } };
}

static void on_call(struct exchange *x)
{
	(void)x;
}

static const struct http_client_ops nobody = {
	.abort = on_call, .full = on_full, .resume = on_call, .local = on_local, .flush = on_call
};

/* ---- what becomes known --------------------------------------------------------------------------------------------- */

static struct pool_version *version_of(const struct exchange *x)
{
	return x->pool->seats[exchange_worker(x)->index].now;
}

static struct lb_worker *lb_of(const struct exchange *x)
{
	return &version_of(x)->workers[exchange_worker(x)->index];
}

static void tell(struct exchange *x, uint64_t since_ns, uint32_t others)
{
	const uint64_t now = exchange_worker(x)->now_ns;

	lb_worker_probed(lb_of(x), &x->backend->up, now - since_ns, others, now);
}

/* Requests in flight there that are not this relay's. */
static uint32_t others_of(const struct exchange *x, const struct http_head *head)
{
	static const char name[] = "x-requests-in-flight";
	const uint32_t own = upstream_in_flight(&x->backend->up);
	uint32_t told = 0;

	for (unsigned i = 0; i < head->n; i++) {
		const struct http_span is = http_field_name(head, &head->fields[i]),
				       value = http_field_value(head, &head->fields[i]);

		if (is.n != sizeof name - 1 || strncasecmp(is.p, name, is.n) != 0)
			continue;
		for (size_t k = 0; k < value.n; k++) {
			if (value.p[k] < '0' || value.p[k] > '9' || told > UINT32_MAX / 16)
				return 0; /* no number of requests */
			told = told * 10 + (uint32_t)(value.p[k] - '0');
		}
		return told > own ? told - own : 0;
	}
	return 0;
}

/* ---- its end -------------------------------------------------------------------------------------------------------- */

static void end(struct exchange *x)
{
	if (x->backend != NULL)
		x->backend->seats[exchange_worker(x)->index].probing.out = false;
	list_remove(&x->in_route);
	x->desk->n_probes--;
	exchange_close(x);
}

void exchange_probe_head(struct exchange *x, const struct http_head *head)
{
	if (head->status < 200)
		return;
	x->status = head->status;
	if (head->switches || head->status >= 500) {
		exchange_probe_failed(x, false);
		return;
	}
	tell(x, x->sent_ns, others_of(x, head));
}

void exchange_probe_content(struct exchange *x, size_t n)
{
	x->bytes_out += n;
	if (x->bytes_out > CONTENT_MAX)
		end(x);
}

void exchange_probe_end(struct exchange *x)
{
	if (x->sent_ns == 0) /* the way there was all that was asked */
		tell(x, x->began_ns, 0);
	exchange_done_with_back(x);
	end(x);
}

/* A connection that waited may have been ended by the backend the moment it was used: that says nothing of it. */
void exchange_probe_failed(struct exchange *x, bool timed_out)
{
	const bool raced = x->back != NULL && x->back->reused && x->status == 0 && !timed_out;

	desk_count(x->desk, HTTP_COUNT_probes_failed);
	if (timed_out)
		tell(x, x->began_ns, 0); /* as slow as this at least */
	else if (!raced)
		lb_worker_lost(lb_of(x), &x->backend->up);
	end(x);
}

void exchange_probes_cancel(struct http_desk *d, const struct pool *p)
{
	LIST_FOREACH_SAFE (it, &d->probes) {
		struct exchange *x = CONTAINER_OF(it, struct exchange, in_route);

		if (p == NULL || x->pool == p)
			end(x);
	}
}

/* ---- its begin ------------------------------------------------------------------------------------------------------ */

static const struct pool_health *check_of(const struct pool_version *v, const struct backend *b)
{
	const struct pool_conf *pool = &v->object->pool;

	for (uint32_t i = 0; i < v->n; i++)
		if (v->backends[i] == b)
			return pool->backends[i].own_health ? &pool->backends[i].health : &pool->health;
	return NULL;
}

static int write_request(struct exchange *x, const struct pool_health *how)
{
	const char *host = how->host[0] != '\0' ? how->host : x->backend->dial.target_host;
	const char *path = how->path[0] != '\0' ? how->path : "/";
	const char *method = how->method[0] != '\0' ? how->method : "GET";
	const bool literal = strchr(host, ':') != NULL;
	const size_t room = strlen(host) + strlen(path) + strlen(method) + 128;
	char port[16] = "";

	if (how->host[0] == '\0')
		(void)str_fmt(port, sizeof port, ":%u", (unsigned)x->backend->dial.target_port);
	x->head = block_get(&x->desk->blocks, room);
	if (x->head == NULL)
		return -1;
	(void)str_fmt((char *)x->head->bytes, x->head->cap,
		"%s %s HTTP/1.1\r\nHost: %s%s%s%s\r\nUser-Agent: portway-relay\r\nAccept: */*\r\n\r\n", method, path,
		literal ? "[" : "", host, literal ? "]" : "", port);
	x->head->n = strlen((const char *)x->head->bytes);
	x->method = str_eq(method, "HEAD") ? HTTP_HEAD : str_eq(method, "OPTIONS") ? HTTP_OPTIONS : HTTP_GET;
	return 0;
}

/* 0: it is on its way, or will be told as failed. -1: there is no memory, descriptor or place for it. */
static int start(struct exchange *x, const struct pool_health *how)
{
	struct backend *b = x->backend;
	const bool asks = how->type == POOL_CHECK_HTTP && how->port == 0;

	if (upstream_max_in_flight(&b->up) != 0) {
		if (!upstream_acquire(&b->up))
			return -1;
		x->placed = true;
	}
	if (asks && write_request(x, how) != 0)
		return -1;
	x->back = asks ? back_start(x->desk, b, x) : back_start_new(x->desk, b, x);
	if (x->back == NULL)
		return -1;
	exchange_set_timer(x);
	x->back->ops->go(x->back);
	return 0;
}

static void send_to(struct http_desk *d, struct pool *p, struct backend *b, const struct pool_health *how)
{
	const struct exchange_origin origin = { .ops = &nobody, .proto = "1.1", .copy = true };
	struct exchange *x = exchange_open(d, &origin);
	const uint64_t now = d->worker->now_ns;

	if (x == NULL)
		return;
	x->probing = true;
	x->ended = true;
	x->pool = p;
	x->backend = b;
	x->total_due_ns = now + WAIT_NS;
	backend_enter(&b->seats[d->worker->index]);
	exchange_ask_move(x, ASK_WAIT);
	b->seats[d->worker->index].probing = (struct lb_probing){ true, now };
	list_push_back(&d->probes, &x->in_route);
	d->n_probes++;
	desk_count(d, HTTP_COUNT_probes);
	if (start(x, how) != 0)
		end(x);
}

void exchange_probe(struct http_desk *d, struct pool *p)
{
	const unsigned worker = d->worker->index;
	struct pool_version *v = p->seats[worker].now;
	const uint64_t now = d->worker->now_ns;
	const struct pool_health *how;
	struct upstream *up;
	struct lb_probing *probing;

	if (d->closing || d->n_probes == EXCHANGE_PROBES_MAX ||
		(up = lb_worker_probe(&v->workers[worker], now)) == NULL)
		return;
	probing = &backend_of(up)->seats[worker].probing;
	if (probing->out) /* it lasts so long already */
		lb_worker_waits(&v->workers[worker], up, now - probing->sent_ns, now);
	else if (lb_probing_may(probing, now) && (how = check_of(v, backend_of(up))) != NULL)
		send_to(d, p, backend_of(up), how);
}
