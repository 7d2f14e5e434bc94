#include "controld/rest/system_api.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "controld/rest/errors.h"
#include "controld/rest/health.h"
#include "controld/rest/openapi.h"

#include <stdlib.h>

#define SYSTEM_API_TEXT_MAX (16u << 20)

#ifndef PORTWAY_VERSION
#define PORTWAY_VERSION "0"
#endif

struct system_api {
	struct system_api_parts parts;
	uint64_t started_ms;
	struct buf openapi;
};

static int system_api_root(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)rq;
	(void)e;
	reply_json(rp, 200,
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", "Portway controld", "version", PORTWAY_VERSION, "api",
			"/api/v1", "openapi", "/openapi.json", "health", "/health"));
	return 0;
}

static int system_api_health(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct system_api *a = feature;
	const uint64_t uptime_s = (clock_mono_ms() - a->started_ms) / 1000;

	(void)rq;
	(void)e;
	reply_json(rp, health_status(a->parts.health) == HEALTH_UNHEALTHY ? 503 : 200,
		health_read(a->parts.health, clock_wall_ms(), uptime_s));
	return 0;
}

static int system_api_ready(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct system_api *a = feature;
	const bool ready = a->parts.ready(a->parts.arg) && health_status(a->parts.health) != HEALTH_UNHEALTHY;

	(void)rq;
	(void)e;
	reply_json(rp, ready ? 200 : 503, json_pack("{s:b}", "ready", ready));
	return 0;
}

static int system_api_metrics(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct system_api *a = feature;
	struct buf text;

	(void)rq;
	(void)e;
	buf_init(&text, SYSTEM_API_TEXT_MAX);
	a->parts.print_metrics(a->parts.arg, &text);
	reply_text(rp, 200, "text/plain; version=0.0.4; charset=utf-8", buf_cstr(&text), text.len);
	buf_free(&text);
	return 0;
}

static int system_api_openapi(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct system_api *a = feature;

	(void)rq;
	(void)e;
	reply_text(rp, 200, "application/json; charset=utf-8", buf_cstr(&a->openapi), a->openapi.len);
	return 0;
}

static int system_api_error_page(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct buf page;
	int rc;

	(void)feature;
	buf_init(&page, SYSTEM_API_TEXT_MAX);
	rc = errors_page(&page, request_param(rq, "code"));
	if (rc == 0)
		reply_text(rp, 200, "text/html; charset=utf-8", buf_cstr(&page), page.len);
	else
		err_set(e, ERR_NOT_FOUND, "code", "there is no error code %.60s", request_param(rq, "code"));
	buf_free(&page);
	return rc;
}

static const struct route system_api_rows[] = {
	{ .method = "GET",
		.path = "/",
		.permission = PERM_PUBLIC,
		.lane = LANE_LOOP,
		.status = 200,
		.handler = system_api_root,
		.summary = "What answers here",
		.tag = "System" },
	{ .method = "GET",
		.path = "/health",
		.permission = PERM_PUBLIC,
		.lane = LANE_LOOP,
		.status = 200,
		.handler = system_api_health,
		.summary = "Health of controld and its parts; 503 when unhealthy",
		.tag = "System" },
	{ .method = "GET",
		.path = "/ready",
		.permission = PERM_PUBLIC,
		.lane = LANE_LOOP,
		.status = 200,
		.handler = system_api_ready,
		.summary = "Whether requests should be sent here; 503 when not",
		.tag = "System" },
	{ .method = "GET",
		.path = "/metrics",
		.permission = PERM_PUBLIC,
		.lane = LANE_LOOP,
		.status = 200,
		.handler = system_api_metrics,
		.summary = "Metrics as Prometheus text",
		.tag = "System" },
	{ .method = "GET",
		.path = "/openapi.json",
		.permission = PERM_PUBLIC,
		.lane = LANE_LOOP,
		.status = 200,
		.handler = system_api_openapi,
		.summary = "This description",
		.tag = "System" },
	{ .method = "GET",
		.path = "/docs/errors/{code}",
		.permission = PERM_PUBLIC,
		.lane = LANE_LOOP,
		.status = 200,
		.handler = system_api_error_page,
		.summary = "What an error code means",
		.tag = "System" },
};

int system_api_new(struct system_api **out, const struct system_api_parts *parts, struct err *e)
{
	struct system_api *a = calloc(1, sizeof *a);

	if (a == NULL)
		return err_set(e, ERR_NOMEM, NULL, "system api: out of memory");
	a->parts = *parts;
	a->started_ms = clock_mono_ms();
	buf_init(&a->openapi, SYSTEM_API_TEXT_MAX);
	*out = a;
	return 0;
}

void system_api_free(struct system_api *a)
{
	if (a == NULL)
		return;
	buf_free(&a->openapi);
	free(a);
}

int system_api_start(struct system_api *a, struct err *e)
{
	buf_reset(&a->openapi);
	return openapi_render(&a->openapi, a->parts.router, a->parts.public_url != NULL ? a->parts.public_url : "", e);
}

struct route_table system_api_routes(struct system_api *a)
{
	return (struct route_table){ .rows = system_api_rows, .n = ARRAY_LEN(system_api_rows), .feature = a };
}
