#include "controld/rest/conn_input.h"

#include "controld/rest/headers.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

void conn_input_fini(struct conn_input *in)
{
	free(in->target);
	free(in->body);
	evhttp_clear_headers(&in->headers);
	in->target = NULL;
	in->body = NULL;
}

const char *conn_input_header(const struct conn_input *in, const char *name)
{
	return evhttp_find_header(&in->headers, name);
}

static const char *method_of(enum evhttp_cmd_type type)
{
	switch (type) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	default: /* the strict reader lets no other pass */
		return "OPTIONS";
	}
}

static void take_body(struct conn_input *in, struct evbuffer *body)
{
	const size_t n = evbuffer_get_length(body);

	if (n == 0)
		return;
	in->body = malloc(n + 1);
	if (in->body == NULL) {
		in->bad = ERR_NOMEM;
		in->bad_reason = "out of memory";
		return;
	}
	evbuffer_remove(body, in->body, n);
	in->body[n] = '\0';
	in->body_len = n;
}

void conn_input_take(struct conn_input *in, struct evhttp_request *req)
{
	headers_init(&in->headers);
	in->method = method_of(evhttp_request_get_command(req));
	if (in->bad != ERR_NONE)
		return;
	take_body(in, evhttp_request_get_input_buffer(req));
	headers_move(&in->headers, evhttp_request_get_input_headers(req));
	in->target = strdup(evhttp_request_get_uri(req));
}
