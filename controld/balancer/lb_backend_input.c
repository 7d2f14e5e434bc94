#include "common/base/str.h"
#include "common/net/addr.h"
#include "controld/balancer/lb_backend.h"
#include "controld/balancer/lb_pool_input.h"
#include "controld/clients/client.h"

#include <inttypes.h>

/* What a caller may write of a backend. */

static void take_address(struct lb_backend *b, const json_t *body, struct err_list *errs)
{
	const char *s = json_string_value(json_object_get(body, "address"));
	uint16_t port = 0;
	struct addr a;

	if (s == NULL)
		return;
	if (addr_split_host(s, b->host, sizeof b->host, &port) != 0 || port == 0 || !addr_is_host(b->host)) {
		err_list_add(errs, ERR_VALIDATION, "address", "format", s,
			"address: '%.80s' is no host and port, such as 10.0.0.1:8080, app.example.com:80 or "
			"[fd00::1]:80",
			s);
		return;
	}
	b->port = port;
	if (addr_parse_ip(&a, b->host, 0) == 0)
		addr_print_ip(&a, b->host); /* one address has one spelling */
}

static void take_text(char *dst, size_t size, const json_t *body, const char *name)
{
	const json_t *v = json_object_get(body, name);

	if (v != NULL)
		(void)str_copy(dst, size, json_is_string(v) ? json_string_value(v) : "");
}

static void take_number(uint32_t *dst, const json_t *body, const char *name, uint32_t fallback)
{
	const json_t *v = json_object_get(body, name);

	if (v != NULL)
		*dst = json_is_null(v) ? fallback : (uint32_t)json_integer_value(v);
}

void lb_backend_apply(struct lb_backend *b, const json_t *body, struct err_list *errs)
{
	const json_t *client = json_object_get(body, "client_id"), *backup = json_object_get(body, "backup");

	take_address(b, body, errs);
	take_text(b->pool_name, sizeof b->pool_name, body, "pool");
	take_text(b->region, sizeof b->region, body, "region");
	take_number(&b->weight, body, "weight", 100);
	take_number(&b->max_connections, body, "max_connections", 0);
	if (client != NULL)
		b->client_id = json_integer_value(client);
	if (backup != NULL)
		b->backup = json_is_true(backup);
	lb_health_take(&lb_health_knobs, b->settings, body, errs);
	if (json_is_null(json_object_get(body, "health_check")))
		json_object_clear(b->settings);
	lb_health_check(b->settings, errs);
}

/* ---- schemas ------------------------------------------------------------------------------------------------------ */

#define ANSWER SCHEMA_IGNORED
#define NULLED SCHEMA_NULLABLE
#define TEXT(n, f, most, h)                                                          \
	{                                                                            \
		.name = n, .type = SCHEMA_STRING, .flags = f, .max = most, .help = h \
	}
#define WHOLE(n, lo, hi, h)                                                                     \
	{                                                                                       \
		.name = n, .type = SCHEMA_INT, .flags = NULLED, .min = lo, .max = hi, .help = h \
	}
#define TIME(n, h)                                                                                         \
	{                                                                                                  \
		.name = n, .type = SCHEMA_STRING, .flags = ANSWER, .format = SCHEMA_FORMAT_TIME, .help = h \
	}

static const struct schema_field backend_fields[] = {
	TEXT("id", ANSWER, PROTO_ID_SIZE, "bck_..."),
	TEXT("tenant_id", ANSWER, PROTO_ID_SIZE, "whose it is"),
	TEXT("pool", SCHEMA_REQUIRED, LB_POOL_NAME_MAX, "name of its pool"),
	TEXT("pool_id", ANSWER, PROTO_ID_SIZE, "id of that pool"),
	{ .name = "address",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 3,
		.max = LB_BACKEND_HOST_SIZE,
		.help = "host and port, as the relay (or the agent) dials it" },
	WHOLE("client_id", 1, CLIENT_ID_MAX - 1, "the client whose agent dials it; null: the relays do"),
	WHOLE("weight", 0, LB_BACKEND_WEIGHT_MAX, "share of the requests; 0: it drains; default 100"),
	TEXT("status", ANSWER, 16, "healthy, unhealthy, or unknown: not checked yet, or not at all"),
	TEXT("region", NULLED, LB_BACKEND_REGION_SIZE - 1,
		"relays of the same region come here first; null: near to all"),
	{ .name = "backup", .type = SCHEMA_BOOL, .flags = NULLED, .help = "for when no other backend is up" },
	WHOLE("max_connections", 0, 10000000, "requests at once, of each relay; 0: no limit"),
	{ .name = "health_check",
		.type = SCHEMA_OBJECT,
		.flags = NULLED,
		.sub = &lb_health_schema,
		.help = "what of the pool's check is different here; null: nothing" },
	{ .name = "version", .type = SCHEMA_INT, .flags = ANSWER, .help = "rises with each change; the ETag" },
	TIME("created_at", "RFC 3339"),
	TIME("updated_at", "RFC 3339"),
};
const struct schema lb_backend_schema = { "Backend", backend_fields, ARRAY_LEN(backend_fields), false };

static const struct schema_field list_query_fields[] = {
	TEXT("pool", 0, LB_POOL_NAME_MAX, "of this pool, by name or id"),
	TEXT("region", 0, LB_BACKEND_REGION_SIZE - 1, "of this region"),
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "items in one answer; default 50" },
	TEXT("cursor", 0, PROTO_ID_SIZE, "next_cursor of the answer before"),
};
const struct schema lb_backend_list_query = { NULL, list_query_fields, ARRAY_LEN(list_query_fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "backends", .type = SCHEMA_ARRAY, .sub = &lb_backend_schema },
	TEXT("next_cursor", NULLED, PROTO_ID_SIZE, "null: this was the last page"),
};
const struct schema lb_backend_list_schema = { "BackendList", list_fields, ARRAY_LEN(list_fields), false };
