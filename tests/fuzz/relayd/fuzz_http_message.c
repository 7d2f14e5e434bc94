/* A request that was read goes out as a request that reads the same, without what is for one hop, and with no more fields than were put in. */
#include "relayd/http/message.h"

#include "common/http/http_reader.h"
#include "relayd/route/route_path.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static int read_request(struct http_head *h, const uint8_t *p, size_t n)
{
	struct http_reader r;
	struct http_piece piece;

	http_reader_init_request(&r, &http_limits_default);
	return http_reader_next(&r, h, p, n, &piece) == HTTP_HEAD_IN ? 0 : -1;
}

static void check(const struct http_head *was, const struct http_head *is)
{
	FUZZ_CHECK(is->method == was->method && is->body == was->body && is->length == was->length);
	FUZZ_CHECK(is->upgrade == was->upgrade && is->version == 11);
	for (uint16_t i = 0; i < is->n; i++)
		FUZZ_CHECK(is->fields[i].id != HTTP_NAME_KEEP_ALIVE && is->fields[i].id != HTTP_NAME_PROXY_CONNECTION);
	FUZZ_CHECK(http_head_find(is, HTTP_NAME_HOST) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[HTTP_HEAD_MAX + 1];
	static uint8_t out[4 * HTTP_HEAD_MAX];
	static struct http_head was, is;
	struct addr peer = { .len = 0 };
	struct exchange_origin o = { .peer = &peer, .proto = "1.1" };
	struct message_request m = { .head = &was, .path = { path, 0 }, .from = &o, .request_id = "id" };
	int n;

	if (size < 1 || addr_parse_ip(&peer, "10.0.0.1", 0) != 0 || read_request(&was, data + 1, size - 1) != 0)
		return 0;
	o.from = peer;
	m.trusted = (data[0] & 1) != 0;
	o.tls = (data[0] & 2) != 0;
	if (was.method == HTTP_CONNECT)
		m.path = (struct http_span){ "/", 1 };
	else if (route_path_take(path, &m.path.n, http_head_path(&was)) != 0)
		return 0;
	n = message_request_write(&m, out, sizeof out);
	if (n < 0)
		return 0;
	FUZZ_CHECK((size_t)n <= message_request_room(&m));
	if (read_request(&is, out, (size_t)n) == 0) /* too long, or too many fields now, is for the backend to say */
		check(&was, &is);
	return 0;
}
