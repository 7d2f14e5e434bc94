#include "proto/route_parts.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "proto/conf_mem.h"
#include "proto/msg.h"
#include "proto/route_conf.h"

#include <assert.h>

#define GZIP_LEVEL_MAX  9
#define FIELD_NAME_SIZE 256

static const struct conf_list origin_list = { ROUTE_ORIGINS_MAX, 2 + 1, sizeof(const char *) };

void route_rate_put(struct buf *b, const struct route_rate *r)
{
	buf_u32(b, r->per_second);
	if (r->per_second == 0)
		return;
	buf_u32(b, r->burst);
	buf_u8(b, r->key);
	buf_str16(b, r->field);
}

void route_rate_get(struct cursor *c, struct conf_mem *m, struct route_rate *r)
{
	r->field = "";
	r->per_second = cursor_u32(c);
	if (r->per_second == 0)
		return;
	r->burst = cursor_u32(c);
	r->key = msg_get_enum(c, ROUTE_RATE_ALL, ROUTE_RATE_FIELD);
	r->field = conf_mem_text(m, c, FIELD_NAME_SIZE);
	if (r->key == ROUTE_RATE_FIELD ? !conf_is_field_name(r->field) : r->field[0] != '\0')
		cursor_fail(c);
}

void route_cors_put(struct buf *b, const struct route_cors *r)
{
	assert(r->n_origins <= ROUTE_ORIGINS_MAX);
	buf_u8(b, r->on);
	if (!r->on)
		return;
	buf_u8(b, r->credentials);
	buf_u32(b, r->max_age_s);
	buf_u32(b, r->n_origins);
	for (uint32_t i = 0; i < r->n_origins; i++)
		buf_str16(b, r->origins[i]);
	buf_str16(b, r->methods);
	buf_str16(b, r->headers);
	buf_str16(b, r->expose);
}

void route_cors_get(struct cursor *c, struct conf_mem *m, struct route_cors *r)
{
	r->methods = r->headers = r->expose = "";
	r->on = msg_get_bool(c);
	if (!r->on)
		return;
	r->credentials = msg_get_bool(c);
	r->max_age_s = cursor_u32(c);
	r->origins = conf_mem_list(m, c, &origin_list, &r->n_origins);
	for (uint32_t i = 0; i < r->n_origins; i++) {
		r->origins[i] = conf_mem_text(m, c, ROUTE_ORIGIN_SIZE);
		if (r->origins[i][0] == '\0' || !conf_is_field_value(r->origins[i]))
			cursor_fail(c);
	}
	r->methods = conf_mem_text(m, c, ROUTE_VALUE_SIZE);
	r->headers = conf_mem_text(m, c, ROUTE_VALUE_SIZE);
	r->expose = conf_mem_text(m, c, ROUTE_VALUE_SIZE);
	if (!conf_is_field_value(r->methods) || !conf_is_field_value(r->headers) || !conf_is_field_value(r->expose))
		cursor_fail(c);
}

void route_gzip_put(struct buf *b, const struct route_gzip *r)
{
	buf_u8(b, r->on);
	if (!r->on)
		return;
	buf_u8(b, r->level);
	buf_u32(b, r->min_bytes);
	buf_str16(b, r->types);
}

void route_gzip_get(struct cursor *c, struct conf_mem *m, struct route_gzip *r)
{
	r->types = "";
	r->on = msg_get_bool(c);
	if (!r->on)
		return;
	r->level = msg_get_enum(c, 1, GZIP_LEVEL_MAX);
	r->min_bytes = cursor_u32(c);
	r->types = conf_mem_text(m, c, ROUTE_VALUE_SIZE);
	if (!conf_is_field_value(r->types))
		cursor_fail(c);
}
