#include "relayd/filter/redirect.h"

#include "common/http/http_scan.h"

/* Printable ASCII without blanks: a URI, and nothing that a browser would repair into another one. */
void redirect_answer(const struct redirect *r, const struct filter_view *v, struct edit *e)
{
	const struct http_span to = template_fill(&r->to, v, e);
	const uint8_t *const from = (const uint8_t *)to.p, *const end = from + to.n;

	e->status = r->status;
	if (to.n == 0 || http_scan_kind(from, end, HTTP_IS_TARGET) != end)
		e->failed = true;
	else
		text_field(e, "location", to);
}
