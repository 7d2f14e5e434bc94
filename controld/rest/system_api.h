/*
 * system_api - the rows about controld itself: /, /health, /ready, /metrics, /openapi.json, /docs/errors/{code}.
 *
 * All of them answer from memory on the loop thread.
 */
#ifndef PORTWAY_CONTROLD_REST_SYSTEM_API_H
#define PORTWAY_CONTROLD_REST_SYSTEM_API_H

#include "common/base/macros.h"
#include "controld/rest/route.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct health;
struct router;
struct system_api;

/* All borrowed. */
struct system_api_parts {
	struct health *health;
	const struct router *router;
	const char *public_url;
	/* Prints every registry; reads the numbers first. */
	void (*print_metrics)(void *arg, struct buf *out);
	/* Serving, and not about to end? */
	bool (*ready)(void *arg);
	void *arg;
};

int system_api_new(struct system_api **out, const struct system_api_parts *parts, struct err *e) MUST_CHECK;
void system_api_free(struct system_api *a);
/* When all rows are there: /openapi.json is rendered once. */
int system_api_start(struct system_api *a, struct err *e) MUST_CHECK;
struct route_table system_api_routes(struct system_api *a);

#endif
