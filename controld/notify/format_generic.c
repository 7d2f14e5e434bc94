/* JSON as it is, to a program of the user's. */
#include "controld/notify/format.h"

#include "common/base/str.h"

#include <string.h>

#define RETRY_AFTER_MAX 3600 /* s: an answer may not hold us up longer */

static enum verdict judge(int status)
{
	if (status >= 200 && status < 300)
		return VERDICT_DELIVERED;
	switch (status) {
	case 400: /* these speak of the body, which is the same next time */
	case 413:
	case 415:
	case 422:
		return VERDICT_REFUSED;
	case 410:
		return VERDICT_DEAD;
	default:
		return VERDICT_AGAIN;
	}
}

/* What stands behind the ? is often a secret. */
static void show_url(const char *url, char *dst, size_t size)
{
	const size_t n = strcspn(url, "?");

	(void)str_fmt(dst, size, "%.*s%s", (int)MIN(n, size - 5), url, url[n] == '?' ? "?***" : "");
}

/* Seconds; a date is not looked at, our own time counts then. */
static int64_t pause_ms(struct outbound_answer *a)
{
	char text[64];
	uint64_t s;

	if (judge(a->status) == VERDICT_DELIVERED || !outbound_header(a, "Retry-After", text, sizeof text) ||
		str_to_u64(text, 0, UINT64_MAX, &s) != 0)
		return 0;
	return (int64_t)MIN(s, RETRY_AFTER_MAX) * 1000;
}

const struct format format_generic = {
	.name = "generic",
	.is_signed = true,
	.show_url = show_url,
	.judge = judge,
	.pause_ms = pause_ms,
};
