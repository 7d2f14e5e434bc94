/*
 * route - a row of the API: method, path, permission, lane, schemas, handler. Routing, authorisation, validation,
 * OpenAPI, rate-limit class and metric labels all come from the row.
 *
 * A handler is a plain blocking function on a worker thread: it reads the request, works, fills the reply, returns 0;
 * or returns -1 with an error set by request_fail()/err. Nothing in struct request outlives the call (park.h says how
 * an answer may wait without a thread).
 */
#ifndef PORTWAY_CONTROLD_REST_ROUTE_H
#define PORTWAY_CONTROLD_REST_ROUTE_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/net/addr.h"
#include "controld/rest/schema.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct identity; /* who is asking: identity/identity.h */
struct request;
struct reply;

/* What a row asks of the caller; identity/permission.c says which role has it. */
enum permission {
	PERM_PUBLIC,       /* no credentials looked at */
	PERM_SELF,         /* any authenticated caller, about himself */
	PERM_READ,         /* viewer and up, own tenant */
	PERM_WRITE,        /* operator and up, own tenant */
	PERM_TENANT_ADMIN, /* admin and up, own tenant */
	PERM_SYSTEM,       /* system_admin */
	PERM_CLIENT,       /* a client by its token, about itself; nobody else, and a client may call no other rows */
};

enum lane {
	LANE_LOOP, /* memory only, answers on the loop thread */
	LANE_DB,   /* up to 2 s */
	LANE_SLOW, /* argon2, long reads; few at a time */
	LANE_AWAY, /* waits for a server of somebody else's, as long as that likes: nothing of ours waits behind it */
};

enum route_flags {
	ROUTE_RAW_BODY = 1, /* body is not JSON; schema NULL */
	ROUTE_PARTIAL = 2,  /* body is a partial object (PUT, PATCH) */
	ROUTE_LOGIN = 4,    /* counts for login throttling: stricter rate limit per address */
	ROUTE_STREAM = 8,   /* the answer goes on (stream.h): text/event-stream */
	/* With PERM_PUBLIC: an API key may be shown, and says who asks; Authorization is for somebody else (the handler). */
	ROUTE_FOREIGN_BEARER = 16,
	ROUTE_NDJSON = 32, /* the answer is lines of JSON, however many (produce.h) */
	ROUTE_JUDGES = 64, /* the handler is called beside errors, to add its own to them: README.md */
};
/* Of one key, user or address, on this row alone: a token bucket of n, told in X-RateLimit-*; in flags. */
#define ROUTE_PER_MINUTE(n)      ((unsigned)(n) << 16)
#define ROUTE_PER_MINUTE_OF(row) ((row)->flags >> 16)

typedef int (*route_fn)(void *feature, struct request *rq, struct reply *rp, struct err *e);

struct route {
	const char *method;
	const char *path; /* "/api/v1/mappings/{id}" */
	enum permission permission;
	enum lane lane;
	const struct schema *query;    /* NULL: no query parameters but limit/cursor on lists named so */
	const struct schema *request;  /* NULL: no body expected */
	const struct schema *response; /* NULL: no body or free form */
	int status;                    /* of success, for OpenAPI */
	unsigned flags;
	route_fn handler;
	const char *summary;
	const char *tag;
};

/* What a feature gives to the server: its rows and the pointer its handlers get. */
struct route_table {
	const struct route *rows;
	size_t n;
	void *feature;
};

/* ---- the request: borrowed views --------------------------------------------------------------------------------- */
/* Path capture, decoded; never NULL for a capture of the row. */
const char *request_param(const struct request *rq, const char *name);
const char *request_query(const struct request *rq, const char *name);  /* decoded, or NULL */
const char *request_header(const struct request *rq, const char *name); /* or NULL */
const json_t *request_body(const struct request *rq);                   /* validated object; {} when absent */
const void *request_raw_body(const struct request *rq, size_t *n);      /* of ROUTE_RAW_BODY; NUL-terminated */
const char *request_id(const struct request *rq);
/* The client; X-Forwarded-For is honoured from trusted proxies only. */
const struct addr *request_peer(const struct request *rq);
const struct identity *request_identity(const struct request *rq); /* NULL on PERM_PUBLIC rows without a key */
/* All errors of one input; reported together when the handler returns -1. */
struct err_list *request_errors(struct request *rq);
/* Every row of the API, in no order, until fn gives other than 0. */
typedef int (*request_route_fn)(const struct route *r, void *arg);
int request_each_route(const struct request *rq, request_route_fn fn, void *arg);
/* limit (1..200, default 50) and cursor of a list, validated. */
struct page {
	unsigned limit;
	const char *after; /* last id of the page before; "" for the first */
};
int request_page(struct request *rq, struct page *out, struct err *e) MUST_CHECK;
/* If-Match: 0 if absent or equal to etag, else -1 with ERR_PRECONDITION_FAILED. */
int request_if_match(const struct request *rq, const char *etag, struct err *e) MUST_CHECK;

/* ---- the reply --------------------------------------------------------------------------------------------------- */
void reply_json(struct reply *rp, int status, json_t *body); /* takes the reference */
/* A body that is ready (a rendered page, metrics text); copied. */
void reply_text(struct reply *rp, int status, const char *content_type, const char *text, size_t n);
/* A body that is written straight into the answer, with common/base/jsonw.h. An error afterwards takes its place. */
struct buf *reply_open(struct reply *rp, int status, const char *content_type);
void reply_empty(struct reply *rp, int status);                           /* 204 */
void reply_header(struct reply *rp, const char *name, const char *value); /* refuses CR and LF */
void reply_etag(struct reply *rp, int64_t version);                       /* "v<version>" */
/* {"items": items, "next_cursor": cursor or null}; takes items. */
void reply_list(struct reply *rp, json_t *items, const char *next_cursor);

#endif
