#include "relayd/filter/rewrite.h"

/* "/" + "/x" is "/x", "/a/" + "/x" is "/a/x", "/a" + "" is "/a", "" + "" is "/": no doubled and no missing slash at the seam. */
void rewrite_path(struct edit *e, const struct filter_view *v, struct http_span prefix, struct http_span by)
{
	const size_t cut = MIN(prefix.n, v->path.n), from = text_begin(e);
	struct http_span rest = { v->path.p + cut, v->path.n - cut };

	while (by.n > 0 && by.p[by.n - 1] == '/' && rest.n > 0)
		by.n--;
	if (by.n == 0 && rest.n == 0)
		text_str(e, "/");
	text_put(e, by.p, by.n);
	if (rest.n > 0 && *rest.p != '/') /* the prefix ended with it */
		text_str(e, "/");
	text_put(e, rest.p, rest.n);
	e->path = text_since(e, from);
}

void rewrite_host(struct edit *e, struct http_span host)
{
	e->host = host;
}
