#include "proto/mapping_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAPPING_BODY_VERSION 3
#define MAPPING_HOST_MIN     (2 + 1) /* of the shortest name */

static void mapping_put_hosts(struct buf *b, const struct mapping_hosts *list)
{
	assert(list->n <= MAPPING_HOSTS_MAX);
	buf_u32(b, list->n);
	for (uint32_t i = 0; i < list->n; i++)
		buf_str16(b, list->items[i]);
}

static void mapping_get_hosts(struct cursor *c, struct mapping_hosts *list)
{
	const uint32_t n = cursor_count(c, MAPPING_HOSTS_MAX, MAPPING_HOST_MIN);

	if (n == 0)
		return;
	list->items = calloc(n, sizeof *list->items);
	if (list->items == NULL) {
		cursor_fail(c);
		return;
	}
	list->n = n;
	for (uint32_t i = 0; i < n && !c->failed; i++) {
		cursor_str16(c, list->items[i], sizeof list->items[i]);
		if (!host_pattern_is_taken(list->items[i]))
			cursor_fail(c);
	}
}

bool mapping_hosts_equal(const struct mapping_hosts *a, const struct mapping_hosts *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

void mapping_conf_fini(struct mapping_conf *m)
{
	mapping_cidrs_fini(&m->allow);
	mapping_cidrs_fini(&m->deny);
	mapping_cidrs_fini(&m->proxy_trusted);
	mapping_cidrs_fini(&m->dial_allow);
	free(m->hosts.items);
	memset(m, 0, sizeof *m);
}

void mapping_conf_encode(const struct mapping_conf *m, struct buf *b)
{
	buf_u8(b, MAPPING_BODY_VERSION);
	buf_u8(b, m->protocol);
	buf_u8(b, m->on_delete);
	buf_u8(b, m->proxy_out);
	buf_u8(b, m->proxy_out_every);
	buf_u8(b, m->proxy_in);
	buf_u8(b, m->enabled);
	buf_u8(b, m->dial_any);
	buf_u8(b, m->hot);
	buf_str16(b, m->bind);
	buf_u16(b, m->port_first);
	buf_u16(b, m->port_last);
	buf_str16(b, m->target_host);
	buf_u16(b, m->target_port);
	buf_u64(b, (uint64_t)m->expires_ms);
	buf_u64(b, m->rate_in);
	buf_u64(b, m->rate_out);
	buf_u32(b, m->max_connections);
	buf_u32(b, m->max_per_source);
	buf_u32(b, m->rate_per_source);
	buf_u32(b, m->connect_timeout_ms);
	buf_u32(b, m->idle_timeout_ms);
	buf_u32(b, m->half_close_timeout_ms);
	buf_u32(b, m->keepalive_s);
	buf_u32(b, m->drain_ms);
	buf_u32(b, m->udp_amplification);
	mapping_cidrs_put(b, &m->allow);
	mapping_cidrs_put(b, &m->deny);
	mapping_cidrs_put(b, &m->proxy_trusted);
	mapping_cidrs_put(b, &m->dial_allow);
	buf_str16(b, m->target_client);
	buf_u8(b, m->transport);
	buf_u8(b, m->compress);
	health_conf_put(b, &m->health);
	mapping_put_hosts(b, &m->hosts);
	buf_str16(b, m->account);
	buf_str16(b, m->source_client);
	buf_str16(b, m->socks_user);
	buf_str16(b, m->socks_allow);
	if (m->socks_user[0] != '\0') {
		buf_put(b, m->socks_salt, sizeof m->socks_salt);
		buf_put(b, m->socks_proof, sizeof m->socks_proof);
	}
}

static void mapping_get_bytes(struct cursor *c, uint8_t *dst, size_t n)
{
	const uint8_t *p = cursor_bytes(c, n);

	if (p != NULL)
		memcpy(dst, p, n);
}

static void mapping_get_fields(struct cursor *c, struct mapping_conf *m)
{
	msg_get_enum(c, MAPPING_BODY_VERSION, MAPPING_BODY_VERSION);
	m->protocol = msg_get_enum(c, MAPPING_TCP, MAPPING_SOCKS5);
	m->on_delete = msg_get_enum(c, MAPPING_KEEP, MAPPING_CUT);
	m->proxy_out = msg_get_enum(c, MAPPING_PROXY_NONE, MAPPING_PROXY_V2);
	m->proxy_out_every = msg_get_bool(c);
	m->proxy_in = msg_get_bool(c);
	m->enabled = msg_get_bool(c);
	m->dial_any = msg_get_bool(c);
	m->hot = msg_get_bool(c);
	cursor_str16(c, m->bind, sizeof m->bind);
	m->port_first = cursor_u16(c);
	m->port_last = cursor_u16(c);
	cursor_str16(c, m->target_host, sizeof m->target_host);
	m->target_port = cursor_u16(c);
	m->expires_ms = (int64_t)cursor_u64(c);
	m->rate_in = cursor_u64(c);
	m->rate_out = cursor_u64(c);
	m->max_connections = cursor_u32(c);
	m->max_per_source = cursor_u32(c);
	m->rate_per_source = cursor_u32(c);
	m->connect_timeout_ms = cursor_u32(c);
	m->idle_timeout_ms = cursor_u32(c);
	m->half_close_timeout_ms = cursor_u32(c);
	m->keepalive_s = cursor_u32(c);
	m->drain_ms = cursor_u32(c);
	m->udp_amplification = cursor_u32(c);
	mapping_cidrs_get(c, &m->allow);
	mapping_cidrs_get(c, &m->deny);
	mapping_cidrs_get(c, &m->proxy_trusted);
	mapping_cidrs_get(c, &m->dial_allow);
	cursor_str16(c, m->target_client, sizeof m->target_client);
	m->transport = msg_get_enum(c, MAPPING_TRANSPORT_AUTO, MAPPING_TRANSPORT_DEDICATED);
	m->compress = msg_get_enum(c, MAPPING_COMPRESS_NONE, MAPPING_COMPRESS_ZSTD);
	health_conf_get(c, &m->health);
	mapping_get_hosts(c, &m->hosts);
	cursor_str16(c, m->account, sizeof m->account);
	cursor_str16(c, m->source_client, sizeof m->source_client);
	cursor_str16(c, m->socks_user, sizeof m->socks_user);
	cursor_str16(c, m->socks_allow, sizeof m->socks_allow);
	if (m->socks_user[0] != '\0') {
		mapping_get_bytes(c, m->socks_salt, sizeof m->socks_salt);
		mapping_get_bytes(c, m->socks_proof, sizeof m->socks_proof);
	}
}

/* Whether an interface named after '%' exists is for the listener to find out. */
static bool mapping_bind_ok(const char *bind)
{
	struct addr a;

	return bind[0] == '\0' || strchr(bind, '%') != NULL || addr_parse_ip(&a, bind, 0) == 0;
}

static bool mapping_ingress_is_sound(const struct mapping_conf *m)
{
	const int ports = m->port_last - m->port_first + 1;

	if (mapping_conf_has_hosts(m))
		return m->hosts.n > 0 && m->port_first == 0 && m->port_last == 0 && m->bind[0] == '\0' &&
		       m->source_client[0] == '\0';
	return m->hosts.n == 0 && m->port_first > 0 && ports > 0 && ports <= MAPPING_PORTS_MAX &&
	       m->target_port + ports - 1 <= UINT16_MAX && mapping_bind_ok(m->bind);
}

/* Only an agent has a network to lead whoever comes into, or an end for what comes in at another one. */
static bool mapping_target_is_sound(const struct mapping_conf *m)
{
	const bool agent = m->target_client[0] != '\0';

	if (m->protocol == MAPPING_SOCKS5)
		return agent && m->target_host[0] == '\0' && m->target_port == 0;
	return m->socks_user[0] == '\0' && m->socks_allow[0] == '\0' && m->target_port > 0 &&
	       addr_is_host(m->target_host) && (m->source_client[0] == '\0' || agent);
}

static bool mapping_is_sound(const struct mapping_conf *m)
{
	return mapping_ingress_is_sound(m) && mapping_target_is_sound(m) && m->expires_ms >= 0;
}

int mapping_conf_decode(struct mapping_conf *m, const void *p, size_t n)
{
	struct cursor c;

	memset(m, 0, sizeof *m);
	cursor_init(&c, p, n);
	mapping_get_fields(&c, m);
	if (cursor_done(&c) == 0 && mapping_is_sound(m))
		return 0;
	mapping_conf_fini(m);
	return -1;
}
