/*
 * openapi - the OpenAPI 3.1 description of every row of the router.
 */
#ifndef PORTWAY_CONTROLD_REST_OPENAPI_H
#define PORTWAY_CONTROLD_REST_OPENAPI_H

#include "common/base/macros.h"

struct buf;
struct err;
struct router;

/* Renders the whole document; server_url may be "". */
int openapi_render(struct buf *out, const struct router *router, const char *server_url, struct err *e) MUST_CHECK;

#endif
