#include "relayd/admin/admin_conn.h"

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/sm.h"
#include "relayd/admin/request.h"

#include <stdbool.h>
#include <stdlib.h>

#define ANSWER_MAX (64 * 1024 * 1024)

/*
 *   READING --head complete or bad--> WRITING --written, our side shut down--> LINGERING --peer's end--> CLOSING
 *      |                                 |                                         |                        ^
 *      +---------------------------------+----- deadline, error, close ------------+------------------------+
 *
 * LINGERING reads and drops what the peer still sends: closing over unread bytes would reset the answer away.
 */
enum conn_state { CONN_READING, CONN_WRITING, CONN_LINGERING, CONN_CLOSING };

static const struct sm_state states[] = {
	[CONN_READING] = { "reading", BIT(CONN_WRITING) | BIT(CONN_CLOSING) },
	[CONN_WRITING] = { "writing", BIT(CONN_LINGERING) | BIT(CONN_CLOSING) },
	[CONN_LINGERING] = { "lingering", BIT(CONN_CLOSING) },
	[CONN_CLOSING] = { "closing", 0 },
};

struct admin_conn {
	struct list link;
	uv_tcp_t tcp;
	uv_timer_t deadline;
	uv_write_t write;
	uv_shutdown_t shutdown;
	int state;
	unsigned open_handles;
	bool peer_done; /* it sends no more */
	char head[REQUEST_HEAD_MAX + 4];
	size_t head_n;
	struct buf out;
	admin_answer_fn answer;
	admin_conn_closed_fn on_closed;
	void *arg;
};

static void conn_move(struct admin_conn *c, enum conn_state to)
{
	sm_move(states, &c->state, (int)to);
}

struct list *admin_conn_link(struct admin_conn *c)
{
	return &c->link;
}

struct admin_conn *admin_conn_of(struct list *link)
{
	return CONTAINER_OF(link, struct admin_conn, link);
}

void admin_conn_free(struct admin_conn *c)
{
	buf_free(&c->out);
	free(c);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct admin_conn *c = h->data;

	if (--c->open_handles == 0)
		c->on_closed(c, c->arg);
}

void admin_conn_close(struct admin_conn *c)
{
	if (c->state == CONN_CLOSING)
		return;
	conn_move(c, CONN_CLOSING);
	uv_close((uv_handle_t *)&c->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&c->deadline, on_handle_closed);
}

static void on_deadline(uv_timer_t *t)
{
	admin_conn_close(t->data);
}

static void on_shutdown(uv_shutdown_t *r, int status)
{
	struct admin_conn *c = CONTAINER_OF(r, struct admin_conn, shutdown);

	if (status < 0 || c->peer_done)
		admin_conn_close(c);
}

static void on_written(uv_write_t *r, int status)
{
	struct admin_conn *c = CONTAINER_OF(r, struct admin_conn, write);

	if (c->state != CONN_WRITING)
		return;
	if (status < 0 || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0) {
		admin_conn_close(c);
		return;
	}
	conn_move(c, CONN_LINGERING);
}

static const char *phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *phrase;
	} known[] = {
		{ 200, "OK" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].phrase;
	return "Unknown";
}

/* Status line, headers, body. */
static void conn_compose(struct admin_conn *c, unsigned status, const struct request *req)
{
	const char *type = "text/plain; charset=utf-8";
	struct buf body;

	buf_init(&body, ANSWER_MAX);
	if (status == 200)
		status = c->answer(c->arg, req->path, &type, &body);
	if (body.failed) {
		status = 500;
		buf_reset(&body);
	}
	if (body.len == 0)
		buf_printf(&body, "%u %s\n", status, phrase(status));
	buf_printf(&c->out,
		"HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\n%sConnection: close\r\n\r\n",
		status, phrase(status), type, body.len, status == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (!req->head)
		buf_put(&c->out, body.data, body.len);
	buf_free(&body);
}

static void conn_answer(struct admin_conn *c, unsigned status, const struct request *req)
{
	uv_buf_t b;

	conn_compose(c, status, req);
	b = uv_buf_init((char *)c->out.data, (unsigned)c->out.len);
	conn_move(c, CONN_WRITING);
	if (c->out.failed || uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_written) != 0)
		admin_conn_close(c);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct admin_conn *c = h->data;
	size_t from = c->state == CONN_READING ? c->head_n : 0;

	(void)suggested;
	*b = uv_buf_init(c->head + from, (unsigned)(sizeof c->head - from));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct admin_conn *c = s->data;
	struct request req = { .head = false };
	unsigned status;

	(void)b;
	if (n < 0) {
		c->peer_done = true;
		uv_read_stop(s);
		if (c->state != CONN_WRITING || n != UV_EOF) /* its side may be shut down while it wants the answer */
			admin_conn_close(c);
		return;
	}
	if (c->state != CONN_READING)
		return;
	c->head_n += (size_t)n;
	status = request_parse(&req, c->head, c->head_n);
	if (status != 0)
		conn_answer(c, status, &req);
}

int admin_conn_new(struct admin_conn **out, uv_stream_t *listener, uint64_t deadline_ms, admin_answer_fn answer,
	admin_conn_closed_fn on_closed, void *arg)
{
	struct admin_conn *c = calloc(1, sizeof *c);

	if (c == NULL)
		return -1; /* the connection waits in the listener for the next call */
	list_init(&c->link);
	buf_init(&c->out, ANSWER_MAX + 1024);
	c->answer = answer;
	c->on_closed = on_closed;
	c->arg = arg;
	uv_tcp_init(listener->loop, &c->tcp);
	uv_timer_init(listener->loop, &c->deadline);
	c->tcp.data = c->deadline.data = c;
	c->open_handles = 2;
	*out = c;
	uv_timer_start(&c->deadline, on_deadline, deadline_ms, 0);
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0 ||
		uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
		admin_conn_close(c);
	return 0;
}
