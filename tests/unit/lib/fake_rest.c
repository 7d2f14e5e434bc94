#include "tests/unit/lib/fake_rest.h"

#include "common/base/buf.h"
#include "common/base/str.h"
#include "controld/rest/produce.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request {
	const struct fake_call *call;
	const struct route *row;
	const struct identity *identity;
	struct addr peer;
	char param[64]; /* the one capture a row has */
	char query[8][2][128];
	size_t query_n;
	json_t *body;
	struct route_table table;
	struct err_list errors;
};

struct reply {
	struct fake_call *call;
	struct buf text; /* written in place; read as JSON at the end */
};

/* ---- what handlers call ------------------------------------------------------------------------------------------ */

const char *request_param(const struct request *rq, const char *name)
{
	(void)name;
	return rq->param;
}

const char *request_query(const struct request *rq, const char *name)
{
	for (size_t i = 0; i < rq->query_n; i++)
		if (str_eq(rq->query[i][0], name))
			return rq->query[i][1];
	return NULL;
}

const char *request_header(const struct request *rq, const char *name)
{
	static _Thread_local char bearer[8192];

	if (str_eq(name, "If-Match"))
		return rq->call->if_match;
	if (!str_eq(name, "Authorization") || rq->call->bearer == NULL)
		return NULL;
	snprintf(bearer, sizeof bearer, "Bearer %s", rq->call->bearer);
	return bearer;
}

const json_t *request_body(const struct request *rq)
{
	return rq->body;
}

const char *request_id(const struct request *rq)
{
	(void)rq;
	return "req-1";
}

const struct addr *request_peer(const struct request *rq)
{
	return &rq->peer;
}

const struct identity *request_identity(const struct request *rq)
{
	return rq->identity;
}

int request_page(struct request *rq, struct page *out, struct err *e)
{
	const char *limit = request_query(rq, "limit"), *cursor = request_query(rq, "cursor");

	(void)e;
	out->limit = limit != NULL ? (unsigned)strtoul(limit, NULL, 10) : 50;
	out->after = cursor != NULL ? cursor : "";
	return 0;
}

int request_if_match(const struct request *rq, const char *etag, struct err *e)
{
	if (rq->call->if_match == NULL || str_eq(rq->call->if_match, etag))
		return 0;
	return err_set(e, ERR_PRECONDITION_FAILED, NULL, "is %s", etag);
}

struct err_list *request_errors(struct request *rq)
{
	return &rq->errors;
}

int request_each_route(const struct request *rq, request_route_fn fn, void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < rq->table.n && rc == 0; i++)
		rc = fn(&rq->table.rows[i], arg);
	return rc;
}

/* All of its pieces at once. */
int reply_produce(struct reply *rp, const char *content_type, const struct produce_ops *ops, void *state, struct err *e)
{
	bool more = true;

	(void)content_type;
	rp->call->status = 200;
	while (more && ops->next(state, &rp->text, &more, e) == 0)
		;
	ops->free(state);
	return 0;
}

void reply_json(struct reply *rp, int status, json_t *body)
{
	rp->call->status = status;
	rp->call->answer = body;
}

struct buf *reply_open(struct reply *rp, int status, const char *content_type)
{
	(void)content_type;
	rp->call->status = status;
	return &rp->text;
}

void reply_empty(struct reply *rp, int status)
{
	rp->call->status = status;
}

void reply_header(struct reply *rp, const char *name, const char *value)
{
	if (str_eq(name, "Retry-After"))
		(void)str_copy(rp->call->retry_after, sizeof rp->call->retry_after, value);
}

void reply_etag(struct reply *rp, int64_t version)
{
	(void)str_fmt(rp->call->etag, sizeof rp->call->etag, "\"v%" PRId64 "\"", version);
}

void reply_list(struct reply *rp, json_t *items, const char *next_cursor)
{
	reply_json(rp, 200, json_pack("{s:o, s:s?}", "items", items, "next_cursor", next_cursor));
}

/* ---- calling ----------------------------------------------------------------------------------------------------- */

/* Whether path (up to '?') has the shape of a row's; the capture goes to param. */
static bool fake_match(const char *row, const char *path, char param[64])
{
	size_t n = 0;

	while (*row != '\0' && *row == *path)
		row++, path++;
	if (*row == '{') {
		while (path[n] != '\0' && path[n] != '/' && path[n] != '?')
			n++;
		(void)str_fmt(param, 64, "%.*s", (int)n, path);
		row = strchr(row, '}') + 1;
		path += n;
		while (*row != '\0' && *row == *path)
			row++, path++;
	}
	return *row == '\0' && (*path == '\0' || *path == '?');
}

static void fake_query(struct request *rq, const char *path)
{
	const char *at = strchr(path, '?');

	while (at != NULL && rq->query_n < ARRAY_LEN(rq->query)) {
		size_t name_n = strcspn(++at, "="), value_n = strcspn(at + name_n, "&");

		(void)str_fmt(rq->query[rq->query_n][0], 128, "%.*s", (int)name_n, at);
		(void)str_fmt(rq->query[rq->query_n++][1], 128, "%.*s", (int)value_n - 1, at + name_n + 1);
		at = strchr(at, '&');
	}
}

static const struct route *fake_find(struct request *rq, struct route_table table)
{
	for (size_t i = 0; i < table.n; i++)
		if (str_eq(table.rows[i].method, rq->call->method) &&
			fake_match(table.rows[i].path, rq->call->path, rq->param))
			return &table.rows[i];
	fprintf(stderr, "no row for %s %s\n", rq->call->method, rq->call->path);
	abort();
}

static int fake_admit(struct request *rq, const struct authenticator *auth, struct identity *id, struct err *e)
{
	if (rq->row->permission == PERM_PUBLIC)
		return 0;
	if (auth->resolve(auth->self, request_header(rq, "Authorization"), rq->call->api_key, id, e) != 0)
		return -1;
	rq->identity = id;
	return identity_allows(id, rq->row->permission) ? 0 : err_set(e, ERR_FORBIDDEN, NULL, "not with this role");
}

void fake_call(struct fake_call *c, struct route_table table, struct authenticator auth)
{
	struct request rq = { .call = c, .table = table, .body = c->body != NULL ? c->body : json_object() };
	struct reply rp = { .call = c };
	struct identity id;

	buf_init(&rp.text, 1 << 20);
	c->status = 0;
	c->answer = NULL;
	err_clear(&c->err);
	if (addr_parse_ip(&rq.peer, c->peer != NULL ? c->peer : "192.0.2.1", 1) != 0)
		abort();
	rq.row = fake_find(&rq, table);
	fake_query(&rq, c->path);
	if (fake_admit(&rq, &auth, &id, &c->err) != 0 || rq.row->handler(table.feature, &rq, &rp, &c->err) != 0)
		c->status = err_http(c->err.code);
	if (rp.text.len > 0)
		c->answer = json_loadb((const char *)rp.text.data, rp.text.len, 0, NULL);
	buf_free(&rp.text);
	json_decref(rq.body);
	c->body = NULL;
}

void fake_call_fini(struct fake_call *c)
{
	json_decref(c->answer);
	c->answer = NULL;
}
