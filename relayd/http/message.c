#include "relayd/http/message.h"

#include "common/net/addr.h"

#include <string.h>

#define PORT_DIGITS  5
#define REASON_MAX   127 /* of a backend; a longer one gives way to the usual one */
#define OWN_LITERALS 64  /* what put_own() does */
#define WAY_LITERALS 256 /* what put_way() writes beside the texts of the request */
#define WAY_OF_REQUEST                                                                                                \
	(HTTP_SET(FORWARDED) | HTTP_SET(X_FORWARDED_FOR) | HTTP_SET(X_FORWARDED_PROTO) | HTTP_SET(X_FORWARDED_HOST) | \
		HTTP_SET(X_FORWARDED_PORT) | HTTP_SET(X_REAL_IP) | HTTP_SET(X_REQUEST_ID) | HTTP_SET(VIA) |           \
		HTTP_SET(HOST))

bool message_id_is_sound(struct http_span id)
{
	for (size_t i = 0; i < id.n; i++) {
		const char c = id.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
			    c == '_' || c == '.'))
			return false;
	}
	return id.n > 0 && id.n < MESSAGE_REQUEST_ID;
}

/* ---- a request ------------------------------------------------------------------------------------------------------ */

size_t message_request_room(const struct message_request *m)
{
	size_t room = m->head->pos + m->path.n + MESSAGE_ADDED;

	if (m->edit != NULL)
		room += m->edit->used + m->edit->n_added * (size_t)(HTTP_NAME_MAX + 4);
	return room;
}

static struct http_span host_of(const struct message_request *m)
{
	const struct http_field *f = http_head_find(m->head, HTTP_NAME_HOST);

	if (m->edit != NULL && m->edit->host.n > 0)
		return m->edit->host;
	/* An absolute target is what counts, and its host is the same (http_target.c). */
	return f != NULL ? http_field_value(m->head, f) : http_head_part(m->head, m->head->host);
}

#define PARTS_MAX 8 /* of what is put into one field */

static struct http_span text(const char *s)
{
	return (struct http_span){ s, strlen(s) };
}

static void put(struct http_writer *w, enum http_name id, struct http_span value)
{
	http_writer_known(w, id, &value, 1);
}

/* "old, new" where a trusted proxy has said something already. */
static void put_chain(struct http_writer *w, const struct message_request *m, enum http_name id,
	const struct http_span *parts, size_t n)
{
	const struct http_field *f = m->trusted ? http_head_find(m->head, id) : NULL;
	struct http_span all[PARTS_MAX + 2];

	if (f == NULL || f->value_len == 0) {
		http_writer_known(w, id, parts, n);
		return;
	}
	all[0] = http_field_value(m->head, f);
	all[1] = text(", ");
	memcpy(all + 2, parts, n * sizeof parts[0]);
	http_writer_known(w, id, all, n + 2);
}

/* What the nearest trusted proxy said stays, as it knows better. */
static void put_once(struct http_writer *w, const struct message_request *m, enum http_name id, struct http_span value)
{
	const struct http_field *f = m->trusted ? http_head_find(m->head, id) : NULL;

	if (f != NULL)
		value = http_field_value(m->head, f);
	put(w, id, value);
}

static struct http_span port_of(const struct message_request *m, char digits[PORT_DIGITS])
{
	unsigned port = m->head->port != 0 ? m->head->port : m->from->tls ? 443 : 80;
	size_t at = PORT_DIGITS;

	do {
		digits[--at] = (char)('0' + port % 10);
		port /= 10;
	} while (port > 0);
	return (struct http_span){ digits + at, PORT_DIGITS - at };
}

/* What is said of the way, and the request's id: where somebody who is believed has spoken of it already. */
static void put_way_on(struct http_writer *w, const struct message_request *m, struct http_span host)
{
	const struct exchange_origin *o = m->from;
	const struct http_span proto = text(o->tls ? "https" : "http");
	const bool v6 = o->peer->sa.sa_family == AF_INET6;
	char near_text[ADDR_STRLEN], client_text[ADDR_STRLEN], digits[PORT_DIGITS];
	struct http_span peer;

	addr_print_ip(o->peer, near_text);
	addr_print_ip(&o->from, client_text);
	peer = text(near_text);
	put_chain(w, m, HTTP_NAME_X_FORWARDED_FOR, &peer, 1);
	put_once(w, m, HTTP_NAME_X_FORWARDED_PROTO, proto);
	if (host.n > 0)
		put_once(w, m, HTTP_NAME_X_FORWARDED_HOST, host);
	put_once(w, m, HTTP_NAME_X_FORWARDED_PORT, port_of(m, digits));
	put_chain(w, m, HTTP_NAME_FORWARDED,
		(struct http_span[]){ text(v6 ? "for=\"[" : "for="), peer, text(v6 ? "]\";proto=" : ";proto="), proto,
			text(";host=\""), host, text("\"") },
		7);
	put(w, HTTP_NAME_X_REAL_IP, text(client_text));
	put_chain(w, m, HTTP_NAME_VIA, (struct http_span[]){ text(o->proto), text(" portway") }, 2);
	put(w, HTTP_NAME_X_REQUEST_ID, text(m->request_id));
}

static uint8_t *add(uint8_t *to, struct http_span s)
{
	memcpy(to, s.p, s.n);
	return to + s.n;
}
#define ADD(to, literal) ((uint8_t *)memcpy(to, literal, sizeof literal - 1) + sizeof literal - 1)

/*
 * The same where nobody is believed, which is nearly always: one block, of which each piece is known to be sound. `host` was written as a
 * field by itself before.
 */
static void put_way(struct http_writer *w, const struct message_request *m, struct http_span host)
{
	const struct exchange_origin *o = m->from;
	const struct http_span proto = text(o->tls ? "https" : "http"), version = text(o->proto),
			       id = text(m->request_id);
	const bool v6 = o->from.sa.sa_family == AF_INET6;
	char ip_text[ADDR_STRLEN], digits[PORT_DIGITS];
	uint8_t *to = http_writer_room(w, WAY_LITERALS + 3 * sizeof ip_text + 2 * host.n + version.n + id.n);
	struct http_span ip;

	if (to == NULL)
		return;
	addr_print_ip(&o->from, ip_text);
	ip = text(ip_text);
	to = add(ADD(to, "x-forwarded-for: "), ip);
	to = add(ADD(to, "\r\nx-forwarded-proto: "), proto);
	if (host.n > 0)
		to = add(ADD(to, "\r\nx-forwarded-host: "), host);
	to = add(ADD(to, "\r\nx-forwarded-port: "), port_of(m, digits));
	to = ADD(to, "\r\nforwarded: for=");
	to = v6 ? ADD(to, "\"[") : to;
	to = add(to, ip);
	to = v6 ? ADD(to, "]\"") : to;
	to = add(ADD(to, ";proto="), proto);
	to = add(ADD(to, ";host=\""), host);
	to = add(ADD(to, "\"\r\nx-real-ip: "), ip);
	to = add(ADD(to, "\r\nvia: "), version);
	to = add(ADD(to, " portway\r\nx-request-id: "), id);
	http_writer_wrote(w, ADD(to, "\r\n"));
}

/* Another protocol is asked for between these two as well. */
static void put_upgrade(struct http_writer *w, const struct http_head *h)
{
	const struct http_field *f = http_head_find(h, HTTP_NAME_UPGRADE);

	if (f == NULL)
		return;
	http_writer_field_str(w, "connection", "upgrade");
	http_writer_field(w, "upgrade", http_field_value(h, f));
}

static void put_request_line(struct http_writer *w, const struct message_request *m)
{
	const struct http_head *h = m->head;
	const struct edit *e = m->edit;

	if (h->method == HTTP_CONNECT) {
		http_writer_connect(w, http_head_part(h, h->target));
		return;
	}
	http_writer_request(w, http_head_part(h, h->method_at), e != NULL && e->path.n > 0 ? e->path : m->path,
		e != NULL && e->query.p != NULL ? e->query : http_head_part(h, h->query));
}

int message_request_write(const struct message_request *m, void *dst, size_t cap)
{
	const struct http_head *h = m->head;
	const struct http_span host = host_of(m);
	struct http_writer w;
	bool until_close;

	http_writer_init(&w, dst, cap);
	put_request_line(&w, m);
	put(&w, HTTP_NAME_HOST, host);
	edit_write_fields(m->edit, &w, h, WAY_OF_REQUEST);
	if (m->trusted)
		put_way_on(&w, m, host);
	else
		put_way(&w, m, host);
	edit_write_added(m->edit, &w);
	if (h->upgrade)
		put_upgrade(&w, h);
	else if (h->takes_trailers)
		http_writer_field_str(&w, "te", "trailers");
	http_writer_framing(&w, h, false, &until_close);
	return http_writer_done(&w);
}

/* ---- an answer ------------------------------------------------------------------------------------------------------ */

size_t message_answer_room(const struct message_answer *m)
{
	const struct answer *a = m->answer;
	size_t room = MESSAGE_ADDED + (a->head != NULL ? a->head->pos : 0);

	if (a->edit != NULL)
		room += a->edit->used + a->edit->n_added * (size_t)(HTTP_NAME_MAX + 4);
	return room;
}

static void put_connection(struct http_writer *w, const struct message_answer *m, bool until_close)
{
	const struct answer *a = m->answer;

	if (a->interim)
		return;
	if (a->raw && a->status == 101)
		put_upgrade(w, a->head);
	else if (!a->raw && (!m->keep_alive || until_close))
		http_writer_field_str(w, "connection", "close");
	else if (!a->raw && m->asked_keep)
		http_writer_field_str(w, "connection", "keep-alive");
}

/* Content of unknown length: in chunks, or to an HTTP/1.0 client until the end. */
static void put_framing(struct http_writer *w, const struct message_answer *m, bool *chunked, bool *until_close)
{
	const struct answer *a = m->answer;

	*chunked = *until_close = false;
	if (a->interim || a->raw)
		return;
	if (a->body == HTTP_CHUNKED || a->body == HTTP_UNTIL_CLOSE) {
		*until_close = m->to_http10;
		*chunked = !m->to_http10;
		if (*chunked)
			put(w, HTTP_NAME_TRANSFER_ENCODING, text("chunked"));
	} else if (a->has_length && a->status != 204) {
		http_writer_known_u64(w, HTTP_NAME_CONTENT_LENGTH, a->length);
	}
}

static void put_status(struct http_writer *w, const struct answer *a)
{
	if (a->head == NULL || a->head->reason.n > REASON_MAX)
		http_writer_status(w, a->status, NULL);
	else
		http_writer_status_as(w, a->status, http_head_part(a->head, a->head->reason));
}

/* The id is sound: message_id_is_sound(), or made here. */
static void put_own(struct http_writer *w, const struct answer *a)
{
	const struct http_span id = a->request_id != NULL ? text(a->request_id) : (struct http_span){ "", 0 };
	uint8_t *to = http_writer_room(w, OWN_LITERALS + id.n);

	if (to == NULL)
		return;
	if (a->head != NULL)
		to = ADD(to, "via: 1.1 portway\r\n");
	if (id.n > 0)
		to = ADD(add(ADD(to, "x-request-id: "), id), "\r\n");
	http_writer_wrote(w, to);
}

int message_answer_write(const struct message_answer *m, void *dst, size_t cap, bool *chunked, bool *until_close)
{
	const struct answer *a = m->answer;
	struct http_writer w;

	http_writer_init(&w, dst, cap);
	put_status(&w, a);
	if (a->head != NULL)
		edit_write_fields(a->edit, &w, a->head, HTTP_SET(X_REQUEST_ID));
	edit_write_added(a->edit, &w);
	if (!a->interim)
		put_own(&w, a);
	put_framing(&w, m, chunked, until_close);
	put_connection(&w, m, *until_close);
	return http_writer_done(&w);
}
