#include "relayd/filter/trace.h"

#include "common/base/hex.h"
#include "common/base/map.h"

#include <string.h>

#define ODD UINT64_C(0x9e3779b97f4a7c15) /* spreads what it is multiplied with */

static bool all_hex(const char *p, size_t n, bool may_be_zero)
{
	bool zero = true;

	for (size_t i = 0; i < n; i++) {
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
		zero = zero && p[i] == '0';
	}
	return may_be_zero || !zero;
}

bool trace_is(struct http_span s)
{
	const bool first = s.n >= 2 && memcmp(s.p, "00", 2) == 0;

	if (s.n < TRACE_SIZE - 1 || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-' || memcmp(s.p, "ff", 2) == 0)
		return false;
	if (s.n > TRACE_SIZE - 1 && (first || s.p[TRACE_SIZE - 1] != '-'))
		return false;
	return all_hex(s.p, 2, true) && all_hex(s.p + 3, 32, false) && all_hex(s.p + 36, 16, false) &&
	       all_hex(s.p + 53, 2, true);
}

static const struct http_field *only(const struct http_head *h, enum http_name id)
{
	const struct http_field *found = NULL;

	for (uint16_t i = 0; i < h->n; i++)
		if (h->fields[i].id == id) {
			if (found != NULL)
				return NULL;
			found = &h->fields[i];
		}
	return found;
}

/* As good as drawn: nobody else knows the key of the hash, and no request has the id and the time of another. */
static void make(char trace[TRACE_SIZE], struct http_span id, uint64_t now_ns)
{
	const uint64_t seed[2] = { map_hash(id.p, id.n), now_ns };
	const uint64_t low = map_hash(seed, sizeof seed);

	trace[0] = trace[1] = '0';
	trace[2] = '-';
	hex_u64(trace + 3, seed[0] | 1);
	hex_u64(trace + 19, low | 1);
	hex_u64(trace + 36, (seed[0] ^ low * ODD) | 1);
	trace[35] = '-';
	memcpy(trace + 52, "-00", 4);
}

/* This relay is no span of its own: a good traceparent passes as it is, so traces stay whole. A bad one goes with its state. */
void trace_take(char trace[TRACE_SIZE], const struct filter_view *v, struct edit *e)
{
	const struct http_field *f = only(v->head, HTTP_NAME_TRACEPARENT);

	if (f != NULL && trace_is(http_field_value(v->head, f))) {
		memcpy(trace, http_field_value(v->head, f).p, TRACE_SIZE - 1);
		trace[TRACE_SIZE - 1] = '\0';
		return;
	}
	make(trace, v->request_id, v->now_ns);
	edit_remove(e, "tracestate");
	text_set(e, "traceparent", text_span(trace));
}
