/*
 * bare_http PORT - the smallest evhttp server there is: what the API's requests per second are compared with.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

static void on_request(struct evhttp_request *rq, void *arg)
{
	struct evbuffer *body = evbuffer_new();

	(void)arg;
	evbuffer_add_printf(body, "{\"status\":\"ok\"}");
	evhttp_add_header(evhttp_request_get_output_headers(rq), "Content-Type", "application/json");
	evhttp_send_reply(rq, 200, "OK", body);
	evbuffer_free(body);
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;
	unsigned long port = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;

	if (http == NULL || port == 0 || port > 65535 ||
		evhttp_bind_socket(http, "127.0.0.1", (unsigned short)port) != 0) {
		fprintf(stderr, "usage: bare_http PORT\n");
		return 2;
	}
	evhttp_set_gencb(http, on_request, NULL);
	return event_base_dispatch(base) == 0 ? 0 : 1;
}
