#include "proto/client_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <assert.h>
#include <string.h>

#define CLIENT_BODY_VERSION 1
#define CLIENT_KEY_BYTES    (CLIENT_KEY_SIZE + 8)
#define CLIENT_RANGE_BYTES  (2 + 2)

static bool ports_have(const struct client_ports *list, uint16_t port)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (port >= list->items[i].first && port <= list->items[i].last)
			return true;
	return false;
}

bool client_conf_port_ok(const struct client_conf *c, uint16_t port)
{
	return !ports_have(&c->blocked, port) && (c->allowed.n == 0 || ports_have(&c->allowed, port));
}

static void put_keys(struct buf *b, const struct client_conf *c)
{
	assert(c->n_keys <= CLIENT_KEYS_MAX);
	buf_u32(b, c->n_keys);
	for (uint32_t i = 0; i < c->n_keys; i++) {
		buf_put(b, c->keys[i].public_key, CLIENT_KEY_SIZE);
		buf_u64(b, (uint64_t)c->keys[i].not_after_ms);
	}
}

static void get_keys(struct cursor *c, struct client_conf *out)
{
	out->n_keys = cursor_count(c, CLIENT_KEYS_MAX, CLIENT_KEY_BYTES);
	for (uint32_t i = 0; i < out->n_keys; i++) {
		const uint8_t *key = cursor_bytes(c, CLIENT_KEY_SIZE);

		if (key != NULL)
			memcpy(out->keys[i].public_key, key, CLIENT_KEY_SIZE);
		out->keys[i].not_after_ms = (int64_t)cursor_u64(c);
		if (out->keys[i].not_after_ms < 0)
			cursor_fail(c);
	}
}

static void put_ports(struct buf *b, const struct client_ports *list)
{
	assert(list->n <= CLIENT_PORTS_MAX);
	buf_u32(b, list->n);
	for (uint32_t i = 0; i < list->n; i++) {
		buf_u16(b, list->items[i].first);
		buf_u16(b, list->items[i].last);
	}
}

static void get_ports(struct cursor *c, struct client_ports *list)
{
	list->n = cursor_count(c, CLIENT_PORTS_MAX, CLIENT_RANGE_BYTES);
	for (uint32_t i = 0; i < list->n; i++) {
		struct client_port_range *r = &list->items[i];

		r->first = cursor_u16(c);
		r->last = cursor_u16(c);
		if (r->first == 0 || r->first > r->last)
			cursor_fail(c);
	}
}

void client_conf_encode(const struct client_conf *c, struct buf *b)
{
	buf_u8(b, CLIENT_BODY_VERSION);
	buf_u8(b, c->enabled);
	buf_u8(b, c->single);
	put_keys(b, c);
	buf_u64(b, c->rate_in);
	buf_u64(b, c->rate_out);
	buf_u32(b, c->max_connections);
	buf_u32(b, c->heartbeat_s);
	buf_u8(b, c->compress);
	buf_u8(b, c->reconnect);
	buf_u64(b, (uint64_t)c->expires_ms);
	put_ports(b, &c->allowed);
	put_ports(b, &c->blocked);
	buf_str16(b, c->tenant);
}

int client_conf_decode(struct client_conf *c, const void *p, size_t n)
{
	struct cursor from;

	memset(c, 0, sizeof *c);
	cursor_init(&from, p, n);
	msg_get_enum(&from, CLIENT_BODY_VERSION, CLIENT_BODY_VERSION);
	c->enabled = msg_get_bool(&from);
	c->single = msg_get_bool(&from);
	get_keys(&from, c);
	c->rate_in = cursor_u64(&from);
	c->rate_out = cursor_u64(&from);
	c->max_connections = cursor_u32(&from);
	c->heartbeat_s = cursor_u32(&from);
	c->compress = msg_get_bool(&from);
	c->reconnect = msg_get_bool(&from);
	c->expires_ms = (int64_t)cursor_u64(&from);
	get_ports(&from, &c->allowed);
	get_ports(&from, &c->blocked);
	cursor_str16(&from, c->tenant, sizeof c->tenant);
	if (cursor_done(&from) == 0 && c->expires_ms >= 0)
		return 0;
	memset(c, 0, sizeof *c);
	return -1;
}
