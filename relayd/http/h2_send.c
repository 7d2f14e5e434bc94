#include "relayd/http/h2_send.h"

#include <string.h>

#define TOGETHER ((size_t)32 * 1024)

static void put(struct outbox *out, struct blocks *bs, struct wire *w, const uint8_t *p, size_t n)
{
	if (n > 0)
		outbox_put(out, bs, w, (struct http_span){ (const char *)p, n });
}

void h2_send(nghttp2_session *ng, struct outbox *out, struct blocks *bs, struct wire *w)
{
	uint8_t together[TOGETHER];
	const uint8_t *p;
	size_t at = 0;
	ssize_t n;

	while (!outbox_is_full(out) && !out->failed && (n = nghttp2_session_mem_send(ng, &p)) > 0) {
		if ((size_t)n > sizeof together - at) {
			put(out, bs, w, together, at);
			at = 0;
		}
		if ((size_t)n > sizeof together) {
			put(out, bs, w, p, (size_t)n);
			continue;
		}
		memcpy(together + at, p, (size_t)n);
		at += (size_t)n;
	}
	put(out, bs, w, together, at);
}
