#include "controld/rest/call.h"
#include "controld/rest/errors.h"
#include "controld/rest/headers.h"
#include "controld/rest/route.h"
#include "controld/rest/server.h"
#include "controld/rest/stream.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <event2/http.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_JSON    "application/json; charset=utf-8"
#define REPLY_RESERVE 4000 /* bytes a body starts with */
/* Numbers as people write them: with two digits more 0.8 is 0.80000000000000004. */
#define REPLY_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))

void reply_init(struct reply *rp, struct buf body)
{
	*rp = (struct reply){ .body = body };
	headers_init(&rp->headers);
	buf_reset(&rp->body);
	rp->body.max = CALL_REPLY_MAX;
}

static void reply_unpark(struct reply *rp)
{
	if (rp->park.key != NULL && rp->park.free_state != NULL)
		rp->park.free_state(rp->park.state);
	rp->park = (struct reply_park){ .key = NULL };
}

/* A stream that was asked for and never began. */
static void reply_unstream(struct reply *rp)
{
	if (rp->stream != NULL)
		rp->stream->gone(rp->stream_state);
	rp->stream = NULL;
}

void reply_restart(struct reply *rp)
{
	reply_unpark(rp);
	reply_unstream(rp);
	buf_reset(&rp->body);
	rp->status = 0;
	rp->content_type[0] = '\0';
}

void reply_fini(struct reply *rp)
{
	reply_unpark(rp);
	reply_unstream(rp);
	evhttp_clear_headers(&rp->headers);
}

/* Where the pages about error codes are: as configured, or where the client itself found us. */
static void reply_base_url(char *dst, size_t size, const struct call *c)
{
	const char *host = request_header(&c->rq, "Host");

	dst[0] = '\0';
	if (c->conf->public_url != NULL && c->conf->public_url[0] != '\0')
		(void)str_copy(dst, size, c->conf->public_url);
	else if (host != NULL && str_fmt(dst, size, "%s://%s", c->conf->tls != NULL ? "https" : "http", host) != 0)
		dst[0] = '\0';
}

void reply_fail(struct call *c, const struct err *items, size_t n, size_t dropped)
{
	struct reply *rp = &c->rp;
	char base_url[300];
	const struct errors_context ctx = {
		.request_id = c->rq.id,
		.base_url = base_url,
		.now_ms = clock_wall_ms(),
	};

	reply_base_url(base_url, sizeof base_url, c);
	reply_unpark(rp);
	buf_reset(&rp->body);
	rp->status = errors_status(items, n);
	(void)str_copy(rp->content_type, sizeof rp->content_type, REPLY_JSON);
	errors_render(&rp->body, items, n, dropped, &ctx);
	if (rp->status == 401)
		reply_header(rp, "WWW-Authenticate", "Bearer");
}

void reply_retry_after(struct reply *rp, uint64_t ms)
{
	char seconds[24];

	(void)str_fmt(seconds, sizeof seconds, "%" PRIu64, (ms + 999) / 1000 + (ms == 0));
	reply_header(rp, "Retry-After", seconds);
}

static int reply_write(const char *text, size_t n, void *rp)
{
	buf_put(&((struct reply *)rp)->body, text, n);
	return 0;
}

static void reply_type(struct reply *rp, const char *type)
{
	/* It goes out beside headers of our own: no line ends. */
	if (strpbrk(type, "\r\n") != NULL || str_copy(rp->content_type, sizeof rp->content_type, type) != 0)
		(void)str_copy(rp->content_type, sizeof rp->content_type, "application/octet-stream");
}

/* An answer that cannot be made in full must not look like one. */
void reply_check(struct reply *rp)
{
	if (!rp->body.failed)
		return;
	log_error("reply_too_large", log_u("limit_bytes", CALL_REPLY_MAX));
	buf_reset(&rp->body);
	rp->status = err_http(ERR_INTERNAL);
	buf_printf(&rp->body,
		"{\"success\":false,\"error\":true,\"code\":\"%s\",\"message\":\"the answer is too large\"}",
		err_api(ERR_INTERNAL));
}

void reply_json(struct reply *rp, int status, json_t *body)
{
	buf_reset(&rp->body);
	rp->status = status;
	(void)str_copy(rp->content_type, sizeof rp->content_type, REPLY_JSON);
	if (body == NULL || json_dump_callback(body, reply_write, rp, REPLY_FLAGS) != 0)
		rp->body.failed = true;
	json_decref(body);
}

struct buf *reply_open(struct reply *rp, int status, const char *content_type)
{
	buf_reset(&rp->body);
	(void)buf_reserve(&rp->body, REPLY_RESERVE);
	rp->status = status;
	reply_type(rp, content_type);
	return &rp->body;
}

void reply_text(struct reply *rp, int status, const char *content_type, const char *text, size_t n)
{
	buf_reset(&rp->body);
	rp->status = status;
	reply_type(rp, content_type);
	buf_put(&rp->body, text, n);
}

void reply_empty(struct reply *rp, int status)
{
	buf_reset(&rp->body);
	rp->status = status;
	rp->content_type[0] = '\0';
}

void reply_header(struct reply *rp, const char *name, const char *value)
{
	/* Folded lines would pass evhttp's own check. */
	if (strpbrk(name, "\r\n") == NULL && strpbrk(value, "\r\n") == NULL)
		(void)evhttp_add_header(&rp->headers, name, value);
}

const char *reply_header_get(const struct reply *rp, const char *name)
{
	return evhttp_find_header(&rp->headers, name);
}

void reply_etag(struct reply *rp, int64_t version)
{
	char tag[32];

	(void)str_fmt(tag, sizeof tag, "\"v%" PRId64 "\"", version);
	reply_header(rp, "ETag", tag);
}

void reply_list(struct reply *rp, json_t *items, const char *next_cursor)
{
	json_t *body = json_pack("{s:o, s:o}", "items", items, "next_cursor",
		next_cursor != NULL ? json_string(next_cursor) : json_null());

	reply_json(rp, 200, body);
}

void reply_park(struct reply *rp, const char *key, uint64_t ticket, uint64_t wait_ms, park_fn finish, void *state,
	void (*free_state)(void *))
{
	struct reply_park *p = &rp->park;

	reply_unpark(rp);
	(void)str_copy(p->key_space, sizeof p->key_space, key);
	p->key = p->key_space;
	p->ticket = ticket;
	p->wait_ms = wait_ms;
	p->finish = finish;
	p->state = state;
	p->free_state = free_state;
}
