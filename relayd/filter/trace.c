#include "relayd/filter/trace.h"

#include "common/base/hex.h"

#include <string.h>

#define ODD UINT64_C(0x9e3779b97f4a7c15) /* spreads what it is multiplied with */

/* One to one, and every bit of it depends on all of v (the last steps of MurmurHash3). */
static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 33) * UINT64_C(0xff51afd7ed558ccd);
	v = (v ^ v >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return v ^ v >> 33;
}

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

static uint64_t hash(struct http_span s)
{
	uint64_t h = s.n;

	for (; s.n > 0; s.p += MIN(s.n, sizeof h), s.n -= MIN(s.n, sizeof h)) {
		uint64_t word = 0;

		memcpy(&word, s.p, MIN(s.n, sizeof word));
		h = mix(h ^ word);
	}
	return h;
}

/*
 * As good as drawn: an id of ours was, one of a client's is his to choose as the whole trace would be, and no request has the id and the
 * time of another.
 */
static void make(char trace[TRACE_SIZE], struct http_span id, uint64_t now_ns)
{
	const uint64_t high = hash(id), low = mix(high + now_ns);

	trace[0] = trace[1] = '0';
	trace[2] = '-';
	hex_u64(trace + 3, high | 1);
	hex_u64(trace + 19, low | 1);
	hex_u64(trace + 36, (high ^ low * ODD) | 1);
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
	edit_remove_known(e, HTTP_NAME_TRACESTATE);
	edit_set_known(e, HTTP_NAME_TRACEPARENT, (struct http_span){ trace, TRACE_SIZE - 1 });
}
