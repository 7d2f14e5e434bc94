#include "controld/rest/call.h"
#include "controld/rest/dispatch.h"
#include "controld/rest/headers.h"
#include "controld/rest/route.h"
#include "controld/rest/router.h"

#include "common/base/str.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_LIMIT_DEFAULT 50
#define REQUEST_LIMIT_MAX     200
#define REQUEST_CURSOR_MAX    200

void request_fini(struct request *rq)
{
	conn_input_fini(&rq->in);
	json_decref(rq->body);
	rq->body = NULL;
}

const char *request_param(const struct request *rq, const char *name)
{
	const struct router_entry *entry = rq->match.entry;

	for (size_t i = 0; i < entry->n_captures; i++)
		if (strcmp(entry->captures[i], name) == 0)
			return rq->match.values[i];
	assert(false && "a capture that the row has");
	return "";
}

const char *request_query(const struct request *rq, const char *name)
{
	return query_get(&rq->args, name);
}

const char *request_header(const struct request *rq, const char *name)
{
	return conn_input_header(&rq->in, name);
}

const json_t *request_body(const struct request *rq)
{
	return rq->body;
}

const void *request_raw_body(const struct request *rq, size_t *n)
{
	*n = rq->in.body != NULL ? rq->in.body_len : 0;
	return rq->in.body != NULL ? (const void *)rq->in.body : "";
}

const char *request_id(const struct request *rq)
{
	return rq->id;
}

const struct addr *request_peer(const struct request *rq)
{
	return &rq->peer;
}

const struct identity *request_identity(const struct request *rq)
{
	return rq->has_identity ? &rq->identity : NULL;
}

struct err_list *request_errors(struct request *rq)
{
	return rq->errors;
}

int request_page(struct request *rq, struct page *out, struct err *e)
{
	const char *limit = request_query(rq, "limit");
	const char *cursor = request_query(rq, "cursor");
	uint64_t n = REQUEST_LIMIT_DEFAULT;

	if (limit != NULL && str_to_u64(limit, 1, REQUEST_LIMIT_MAX, &n) != 0) {
		err_set(e, ERR_VALIDATION, "limit", "limit must be a number from 1 to %d", REQUEST_LIMIT_MAX);
		return err_detail(e, "range", limit);
	}
	if (cursor != NULL && strlen(cursor) > REQUEST_CURSOR_MAX) {
		err_set(e, ERR_VALIDATION, "cursor", "cursor must be the next_cursor of the page before");
		return err_detail(e, "format", cursor);
	}
	*out = (struct page){ .limit = (unsigned)n, .after = cursor != NULL ? cursor : "" };
	return 0;
}

/* One entity tag of an If-Match list: strong comparison (RFC 9110 section 8.8.3.2), quotes left out. */
static bool request_etag_is(const char *tag, size_t n, const char *etag, size_t etag_n)
{
	while (n > 0 && strchr(" \t", tag[n - 1]) != NULL)
		n--;
	if (n == 1 && *tag == '*')
		return true;
	return n == etag_n + 2 && tag[0] == '"' && tag[n - 1] == '"' && memcmp(tag + 1, etag, etag_n) == 0;
}

int request_if_match(const struct request *rq, const char *etag, struct err *e)
{
	const char *given = request_header(rq, "If-Match");
	size_t n = strlen(etag);

	if (given == NULL)
		return 0;
	if (n >= 2 && *etag == '"') { /* with or without quotes */
		etag++;
		n -= 2;
	}
	for (const char *p = given; *p != '\0';) {
		size_t len;

		p += strspn(p, " \t,");
		len = strcspn(p, ",");
		if (request_etag_is(p, len, etag, n))
			return 0;
		p += len;
	}
	err_set(e, ERR_PRECONDITION_FAILED, "If-Match", "the object has changed: its ETag is \"%.*s\" now", (int)n,
		etag);
	return err_detail(e, "match", given);
}

int request_each_route(const struct request *rq, request_route_fn fn, void *arg)
{
	const struct call *c = CONTAINER_OF(rq, const struct call, rq);
	const struct router *router = dispatch_router(c->dispatch);
	int rc = 0;

	for (size_t i = 0; i < router_count(router) && rc == 0; i++)
		rc = fn(router_at(router, i)->route, arg);
	return rc;
}
