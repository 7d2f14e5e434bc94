/*
 * route_parts - the parts of a route that filters look at one by one: header rules, rates, CORS, gzip, error pages.
 *
 * Parts of struct route_conf, which owns what they point to.
 */
#ifndef PORTWAY_PROTO_ROUTE_PARTS_H
#define PORTWAY_PROTO_ROUTE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct cursor;
struct conf_mem;

/* A field that a request has to have. */
struct route_want {
	const char *name;  /* in lower case */
	const char *value; /* exactly */
	bool any;          /* it only has to be there; value is "" */
};

struct route_target {
	const char *pool; /* id of its object */
	uint32_t weight;  /* share of the requests; all 0: evenly */
};

enum route_rule_op { ROUTE_RULE_SET = 0, ROUTE_RULE_ADD = 1, ROUTE_RULE_REMOVE = 2 };

struct route_rule {
	uint8_t op;               /* enum route_rule_op */
	const char *name, *value; /* name in lower case */
};

enum route_rate_key { ROUTE_RATE_ALL = 0, ROUTE_RATE_SOURCE = 1, ROUTE_RATE_FIELD = 2 };

struct route_rate {          /* of requests */
	uint32_t per_second; /* 0: no limit, and nothing else is on the wire */
	uint32_t burst;
	uint8_t key;       /* enum route_rate_key: of which each value has a limit of its own */
	const char *field; /* ROUTE_RATE_FIELD: its name in lower case */
};

struct route_cors {
	bool on; /* false: nothing else is on the wire */
	bool credentials;
	uint32_t max_age_s;
	const char **origins; /* as browsers send them, or "*" */
	uint32_t n_origins;
	const char *methods, *headers, *expose; /* as the answer has them: lists with commas */
};

struct route_gzip {
	bool on; /* false: nothing else is on the wire */
	uint8_t level;
	uint32_t min_bytes;
	const char *types; /* media types with commas; "": text and what is like it */
};

struct route_page {
	uint16_t status;
	const char *type, *body;
};

#define ROUTE_ORIGINS_MAX 32

/* For route_conf.c. A part that cannot be fails the cursor. */
void route_rate_put(struct buf *b, const struct route_rate *r);
void route_rate_get(struct cursor *c, struct conf_mem *m, struct route_rate *r);
void route_cors_put(struct buf *b, const struct route_cors *r);
void route_cors_get(struct cursor *c, struct conf_mem *m, struct route_cors *r);
void route_gzip_put(struct buf *b, const struct route_gzip *r);
void route_gzip_get(struct cursor *c, struct conf_mem *m, struct route_gzip *r);

#endif
