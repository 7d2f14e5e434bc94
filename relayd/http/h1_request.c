/* What a client asks, on its connection: heads, content, and the bytes behind them that are of another protocol. */
#include "relayd/http/h1_front_inside.h"
#include "relayd/http/h2_front.h"
#include "relayd/http/where.h"
#include "relayd/http/wire_tls.h"

#include <string.h>

bool h1_request_begin(struct h1_front *f)
{
	const struct exchange_origin origin = { .ops = &h1_answer_ops,
		.client = f,
		.from = f->from,
		.peer = &f->from,
		.tls = f->tls,
		.session = wire_tls_session(&f->wire),
		.proto = "1.1" };

	f->answered = f->finishing = false;
	list_remove(&f->rest.link);
	f->x = exchange_open(f->desk, &origin);
	if (f->x != NULL)
		return true;
	desk_count(f->desk, HTTP_COUNT_resource);
	h1_front_close(f, true);
	return false;
}

static void take_request(struct h1_front *f, const struct http_head *h)
{
	struct http_desk *d = f->desk;
	char host[HOST_NAME_SIZE];
	const struct site_seat *where;
	unsigned status;

	desk_count(d, HTTP_COUNT_requests);
	f->http10 = h->version == 10;
	f->keeps = h->keep_alive && !d->closing;
	if (!h1_request_begin(f))
		return;
	where = where_find(d, f->tls ? SITE_TLS : SITE_CLEAR, http_head_part(h, h->host), host, &status);
	if (where == NULL && status == 421) {
		desk_count(d, HTTP_COUNT_no_route);
		exchange_refuse(f->x, 421, "the host is served on connections of its own");
		return;
	}
	exchange_request(f->x, where, host, h);
	if (f->x == NULL)
		return;
	exchange_route_id(f->x, f->route);
	http_reader_limit_body(&f->reader, exchange_body_max(f->x));
	if (h->body != HTTP_NO_BODY)
		h1_front_due_in(f, d->conf->body_timeout_ms);
}

static void take_end(struct h1_front *f, const struct http_head *trailers)
{
	f->due_ns = UINT64_MAX;
	if (f->x == NULL)
		return;
	exchange_content_end(f->x, trailers);
	h1_answer_try_finish(f);
}

static void take_trailers(struct h1_front *f, const struct http_head *trailers)
{
	struct http_head none;
	struct http_piece piece;

	if (http_reader_next(&f->reader, &none, f->in.p, f->in.n, &piece) == HTTP_END)
		take_end(f, trailers);
}

static void count_fault(struct h1_front *f, unsigned status)
{
	desk_count(f->desk,
		status == 413 || status == 414 || status == 431 ? HTTP_COUNT_too_large : HTTP_COUNT_bad_request);
}

static void take_fault(struct h1_front *f, enum http_fault fault)
{
	const unsigned status = http_fault_status(fault);

	count_fault(f, status);
	f->keeps = false;
	if (f->x == NULL && h1_request_begin(f)) {
		f->http10 = false;
		exchange_refuse(f->x, status, http_fault_text(fault));
	} else if (f->x != NULL) {
		exchange_content_bad(f->x, status, http_fault_text(fault));
	}
}

/* The reader has something to do: a head is awaited, or content that somebody takes. */
static bool may_parse(const struct h1_front *f)
{
	if (f->state != FRONT_OPEN || f->out.failed)
		return false;
	if (f->x == NULL)
		return true;
	if (exchange_is_raw(f->x))
		return exchange_takes(f->x);
	/* What came to its end must be read to it: that of a request without content comes with its head. */
	return !exchange_request_done(f->x) && (!exchange_has_content(f->x) || exchange_takes(f->x));
}

/* False: the turn is over. */
static bool take_event(struct h1_front *f, enum http_event event, struct http_head *h, const struct http_piece *piece)
{
	switch (event) {
	case HTTP_HEAD_IN:
		take_request(f, h);
		return true;
	case HTTP_DATA:
		h1_front_due_in(f, f->desk->conf->body_timeout_ms);
		if (f->x != NULL)
			exchange_content(f->x, piece->data);
		return true;
	case HTTP_TRAILERS:
		take_trailers(f, h);
		return true;
	case HTTP_END:
		take_end(f, NULL);
		return true;
	case HTTP_FAULT:
		take_fault(f, piece->fault);
		return false;
	default:
		return false;
	}
}

static void begin_head(struct h1_front *f)
{
	if (f->in.partial == NULL)
		h1_front_due_in(f, f->desk->conf->head_timeout_ms);
}

/* Of bytes that are there: all that may be told now. */
static void parse(struct h1_front *f)
{
	struct http_head *partial = NULL;
	struct http_piece piece;
	enum http_event event = HTTP_MORE;
	bool more = true;

	f->parsing = true;
	while (more && may_parse(f) && !(f->x != NULL && exchange_is_raw(f->x))) {
		struct http_head *h = inbox_head(&f->in, &f->desk->asked);

		event = http_reader_next(&f->reader, h, f->in.p, f->in.n, &piece);
		inbox_use(&f->in, piece.used);
		more = take_event(f, event, h, &piece);
		if (event == HTTP_MORE && f->in.n > 0)
			partial = h;
	}
	f->parsing = false;
	if (f->state != FRONT_OPEN)
		return;
	f->unparsed = f->in.n > 0 && partial == NULL;
	if (partial != NULL)
		begin_head(f);
	else
		h1_front_rest(f);
	if (f->in.n > INBOX_MAX || inbox_keep(&f->in, &f->desk->blocks, partial) != 0)
		h1_front_close(f, true);
}

static void take_eof(struct h1_front *f)
{
	struct http_piece piece;

	f->wire.side.readable = false;
	f->in_ended = true;
	if (f->x == NULL) {
		h1_front_close(f, false);
	} else if (exchange_is_raw(f->x)) {
		exchange_content_end(f->x, NULL);
		h1_answer_try_finish(f);
	} else if (http_reader_eof(&f->reader, &piece) == HTTP_FAULT && !exchange_request_done(f->x)) {
		take_fault(f, piece.fault);
	}
}

/* What came behind a request that changed the protocol is the other side's. */
static void pass_kept(struct h1_front *f)
{
	struct blocks *bs = &f->desk->blocks;
	struct block *b = f->in.kept;

	f->in.kept = NULL;
	f->unparsed = false;
	exchange_content(f->x, (struct http_span){ (char *)b->bytes + b->at, block_waiting(b) });
	block_put(bs, b);
}

static void read_raw(struct h1_front *f)
{
	struct worker *w = f->desk->worker;
	ssize_t r;

	if (f->in.kept != NULL) {
		pass_kept(f);
		return;
	}
	r = wire_read(&f->wire, w, w->scratch, INBOX_READ);
	if (r > 0)
		exchange_content(f->x, (struct http_span){ (const char *)w->scratch, (size_t)r });
	else if (r == 0)
		take_eof(f);
	else if (r == WIRE_FAILED)
		h1_front_close(f, true);
}

/*
 * Of a client that knows without asking that HTTP/2 is spoken here (RFC 9113 section 3.3). All of its preface is there, as who gave the
 * connection has waited for it (relayd/vhost/request_host.c).
 */
static bool begins_h2(const struct h1_front *f)
{
	static const char preface[] = H2_PREFACE;

	return !f->spoken && !f->tls && f->in.n >= sizeof preface - 1 &&
	       memcmp(f->in.p, preface, sizeof preface - 1) == 0;
}

static void become_h2(struct h1_front *f)
{
	const struct h2_opening o = {
		.seat = f->seat,
		.from = &f->from,
		.counted = true,
		.first = { (const char *)f->in.p, f->in.n },
	};

	h2_front_open(f->desk, &f->wire, &o);
	h1_front_close(f, true); /* the wire is the other one's, if there was memory for it */
}

static void read_messages(struct h1_front *f)
{
	ssize_t r;

	if (f->unparsed) {
		inbox_look(&f->in, f->desk->worker);
		parse(f);
		return;
	}
	r = inbox_fill(&f->in, &f->wire, f->desk->worker);
	if (r > 0 && begins_h2(f)) {
		become_h2(f);
	} else if (r > 0) {
		f->spoken = true;
		parse(f);
	} else if (r == 0) {
		take_eof(f);
	} else if (r == WIRE_FAILED) {
		h1_front_close(f, f->x != NULL || f->in.kept != NULL);
	}
}

static bool may_read(const struct h1_front *f)
{
	return may_parse(f) && (f->wire.side.readable || f->unparsed);
}

void h1_request_read(struct h1_front *f)
{
	struct worker *w = f->desk->worker;
	size_t moved = 0;

	while (may_read(f) && moved < w->turn) {
		if (f->x != NULL && exchange_is_raw(f->x))
			read_raw(f);
		else
			read_messages(f);
		moved += INBOX_READ;
	}
	if (f->state != FRONT_OPEN)
		return;
	if (f->x != NULL)
		exchange_flush(f->x);
	if (!f->out.blocked)
		h1_answer_flush(f);
	if (may_read(f))
		worker_again(w, &f->task);
}
