#include "client/out/cell.h"

#include "client/out/print.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void cell_bytes(char *dst, size_t size, uint64_t n)
{
	static const char units[] = "BKMGTPE";
	size_t u = 0;
	double v = (double)n;

	while (v >= 999.5 && u + 2 < sizeof units) {
		v /= 1024;
		u++;
	}
	if (u == 0)
		(void)str_fmt(dst, size, "%" PRIu64, n);
	else
		(void)str_fmt(dst, size, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
}

void cell_age(char *dst, size_t size, int64_t ms)
{
	static const struct {
		int64_t ms, upto;
		char unit;
	} units[] = {
		{ 1000, 120, 's' },
		{ 60000, 120, 'm' },
		{ 3600000, 48, 'h' },
		{ 86400000, INT64_MAX, 'd' },
	};
	size_t u = 0;

	ms = MAX(ms, 0);
	while (ms / units[u].ms >= units[u].upto)
		u++;
	(void)str_fmt(dst, size, "%" PRId64 "%c", ms / units[u].ms, units[u].unit);
}

void cell_us(char *dst, size_t size, uint64_t us)
{
	const bool in_s = us >= 999500;
	const double v = (double)us / (in_s ? 1e6 : 1e3);

	if (us < 1000)
		(void)str_fmt(dst, size, "%" PRIu64 "us", us);
	else
		(void)str_fmt(dst, size, v < 9.95 ? "%.1f%s" : "%.0f%s", v, in_s ? "s" : "ms");
}

static size_t put_value(struct buf *out, const json_t *v);

static size_t put_list(struct buf *out, const json_t *v)
{
	size_t i, wide = 0;
	const json_t *item;

	json_array_foreach(v, i, item)
	{
		if (i > 0)
			wide += text_clean(out, ",", 1);
		wide += put_value(out, item);
	}
	return i > 0 ? wide : text_clean(out, "-", 1);
}

static size_t put_value(struct buf *out, const json_t *v) /* NOLINT(misc-no-recursion): jansson bounds the depth */
{
	size_t wide;
	char *text;

	if (v == NULL || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0))
		return text_clean(out, "-", 1);
	if (json_is_string(v))
		return text_clean(out, json_string_value(v), json_string_length(v));
	if (json_is_array(v))
		return put_list(out, v);
	text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	if (text == NULL)
		return 0;
	wide = text_clean(out, text, strlen(text));
	free(text);
	return wide;
}

static size_t put_time(struct buf *out, const json_t *v, enum cell_kind kind, int64_t now_ms)
{
	char text[CLOCK_RFC3339_SIZE];
	int64_t ms;

	if (!json_is_string(v) || clock_parse_rfc3339(json_string_value(v), &ms) != 0)
		return put_value(out, v);
	if (kind == CELL_AGE) {
		cell_age(text, sizeof text, now_ms - ms);
	} else {
		clock_rfc3339(text, ms);
		text[10] = ' ';
		text[19] = '\0';
	}
	return text_clean(out, text, strlen(text));
}

static size_t put_ports(struct buf *out, const json_t *o)
{
	const json_t *end = json_object_get(o, "source_port_end");
	size_t wide = put_value(out, json_object_get(o, "source_port"));

	if (json_is_integer(end)) {
		wide += text_clean(out, "-", 1);
		wide += put_value(out, end);
	}
	return wide;
}

static size_t put_target(struct buf *out, const json_t *o)
{
	const json_t *client = json_object_get(o, "target_client_id");
	const char *host = json_string_value(json_object_get(o, "target_host"));
	const char *protocol = json_string_value(json_object_get(o, "protocol"));
	const bool six = host != NULL && strchr(host, ':') != NULL;
	size_t wide = 0;

	if (json_is_integer(client)) {
		wide += text_clean(out, "client ", 7);
		wide += put_value(out, client);
		if (protocol != NULL && strcmp(protocol, "socks5") == 0)
			return wide; /* each connection says where to */
		wide += text_clean(out, " ", 1);
	}
	if (six)
		wide += text_clean(out, "[", 1);
	wide += put_value(out, json_object_get(o, "target_host"));
	wide += text_clean(out, six ? "]:" : ":", six ? 2 : 1);
	return wide + put_value(out, json_object_get(o, "target_port"));
}

size_t cell_put(struct buf *out, const struct column *c, const json_t *object, int64_t now_ms)
{
	const json_t *v = c->path != NULL ? print_member(object, c->path) : object;
	char text[16];

	switch (c->kind) {
	case CELL_BYTES:
	case CELL_US:
		if (!json_is_integer(v) || json_integer_value(v) < 0)
			return put_value(out, v);
		(c->kind == CELL_US ? cell_us : cell_bytes)(text, sizeof text, (uint64_t)json_integer_value(v));
		return text_clean(out, text, strlen(text));
	case CELL_LENGTH:
		(void)str_fmt(text, sizeof text, "%zu", json_array_size(v));
		return text_clean(out, text, strlen(text));
	case CELL_AGE:
	case CELL_TIME:
		return put_time(out, v, c->kind, now_ms);
	case CELL_PORTS:
		return put_ports(out, object);
	case CELL_TARGET:
		return put_target(out, object);
	default:
		return put_value(out, v);
	}
}

bool cell_is_right(enum cell_kind kind)
{
	return kind == CELL_COUNT || kind == CELL_BYTES || kind == CELL_US || kind == CELL_LENGTH || kind == CELL_AGE;
}

bool cell_is_restless(enum cell_kind kind)
{
	return kind == CELL_AGE;
}
