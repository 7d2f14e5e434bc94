#include "relayd/datagram/udp_handover.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/str.h"
#include "relayd/datagram/udp_session.h"
#include "relayd/port/port_socket.h"

#include <string.h>
#include <unistd.h>

#define VERSION 1

static void put_addr(struct buf *b, const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6) {
		buf_u8(b, 6);
		buf_put(b, &a->v6.sin6_addr, 16);
		buf_u16(b, ntohs(a->v6.sin6_port));
		buf_u32(b, a->v6.sin6_scope_id);
	} else {
		buf_u8(b, 4);
		buf_put(b, &a->v4.sin_addr, 4);
		buf_u16(b, ntohs(a->v4.sin_port));
	}
}

/* Not addr_from_sockaddr(): on a socket of both families an IPv4 client is IPv4-mapped, and must stay so. */
static void get_addr(struct cursor *c, struct addr *a)
{
	uint8_t family = cursor_u8(c);
	const uint8_t *ip = cursor_bytes(c, family == 6 ? 16 : 4);

	*a = (struct addr){ .len = 0 };
	if (ip == NULL || (family != 4 && family != 6)) {
		cursor_fail(c);
		return;
	}
	if (family == 6) {
		a->len = sizeof a->v6;
		a->v6.sin6_family = AF_INET6;
		memcpy(&a->v6.sin6_addr, ip, 16);
		a->v6.sin6_port = htons(cursor_u16(c));
		a->v6.sin6_scope_id = cursor_u32(c);
	} else {
		a->len = sizeof a->v4;
		a->v4.sin_family = AF_INET;
		memcpy(&a->v4.sin_addr, ip, 4);
		a->v4.sin_port = htons(cursor_u16(c));
	}
}

static void put_local(struct buf *b, const struct udp_local *l)
{
	buf_u8(b, l->family == AF_INET ? 4 : l->family == AF_INET6 ? 6 : 0);
	if (l->family != AF_UNSPEC)
		buf_put(b, &l->v6, l->family == AF_INET ? 4 : 16);
}

static void get_local(struct cursor *c, struct udp_local *l)
{
	uint8_t family = cursor_u8(c);
	size_t n = family == 6 ? 16 : family == 4 ? 4 : 0;
	const uint8_t *ip = cursor_bytes(c, n);

	*l = (struct udp_local){ .family = family == 6 ? AF_INET6 : family == 4 ? AF_INET : AF_UNSPEC };
	if (ip != NULL)
		memcpy(&l->v6, ip, n);
}

void udp_record_encode(const struct udp_record *r, struct buf *b)
{
	buf_u8(b, VERSION);
	put_addr(b, &r->from);
	put_local(b, &r->local);
	buf_u8(b, r->proxied);
	if (r->proxied) {
		put_addr(b, &r->client);
		put_addr(b, &r->port);
	}
	buf_u8(b, r->heard);
	buf_u8(b, r->introduced);
}

int udp_record_decode(struct udp_record *r, const void *p, size_t n)
{
	struct cursor c;

	cursor_init(&c, p, n);
	*r = (struct udp_record){ .heard = 0 };
	if (cursor_u8(&c) != VERSION)
		cursor_fail(&c);
	get_addr(&c, &r->from);
	get_local(&c, &r->local);
	r->proxied = cursor_u8(&c) != 0;
	if (r->proxied) {
		get_addr(&c, &r->client);
		get_addr(&c, &r->port);
	}
	r->heard = cursor_u8(&c);
	r->introduced = cursor_u8(&c) != 0;
	return cursor_done(&c);
}

int udp_handover_session(struct udp_session *s, handover_fn fn, void *arg)
{
	const struct mapping_conf *conf = lane_conf(&s->lane->base);
	struct port_socket at = { .bind = conf->bind, .port = (uint16_t)(conf->port_first + s->key.offset) };
	struct udp_record r = { .from = s->from, .local = s->local, .heard = 2 };
	struct handover_socket out = { .fd = s->io.fd };
	char key[PORT_SOCKET_KEY];
	struct buf record;
	int rc = 0;

	if (s->io.fd < 0)
		return 0;
	r.introduced = s->introduced;
	r.proxied = s->proxied != NULL;
	if (r.proxied) {
		r.client = s->proxied[0];
		r.port = s->proxied[1];
	}
	buf_init(&record, 256);
	udp_record_encode(&r, &record);
	port_socket_key(key, udp_lane_kind.name, &at, s->door->member);
	str_fmt(out.key, sizeof out.key, "session/%s/%llu", key, (unsigned long long)s->id);
	out.record = record.data;
	out.record_n = record.len;
	if (!record.failed) {
		rc = fn(&out, arg);
		s->moved = true;
	}
	buf_free(&record);
	return rc;
}

void udp_handover_adopt(struct udp_door *door, const struct handover_socket *socket)
{
	struct proxy_header header = { .local = false };
	struct udp_arrival who = { .fd = socket->fd };
	struct udp_session *s;
	struct udp_record r;

	if (udp_record_decode(&r, socket->record, socket->record_n) != 0) {
		close(socket->fd);
		return;
	}
	who.from = &r.from;
	who.local = r.local;
	if (r.proxied) {
		header.src = r.client;
		header.dst = r.port;
		who.header = &header;
	}
	s = udp_session_open(door, &who);
	if (s == NULL)
		return;
	s->adopted = true;
	s->introduced = r.introduced;
}
