#include "controld/rest/query.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <string.h>

static int query_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int query_decode(char *s, bool plus)
{
	char *to = s;
	const char *from = s;

	if (strpbrk(s, "%+") == NULL)
		return str_is_utf8(s, strlen(s)) ? 0 : -1;
	while (*from != '\0') {
		if (*from == '%') {
			const int hi = query_hex(from[1]), lo = hi < 0 ? -1 : query_hex(from[2]);

			if (lo < 0 || (hi == 0 && lo == 0))
				return -1;
			*to++ = (char)(hi << 4 | lo);
			from += 3;
		} else {
			*to++ = plus && *from == '+' ? ' ' : *from;
			from++;
		}
	}
	*to = '\0';
	return str_is_utf8(s, (size_t)(to - s)) ? 0 : -1;
}

const char *query_get(const struct query_args *q, const char *name)
{
	for (size_t i = 0; i < q->n; i++)
		if (strcmp(q->args[i].name, name) == 0)
			return q->args[i].value;
	return NULL;
}

static int query_add(struct query_args *q, char *item, struct err *e)
{
	char *value = strchr(item, '=');

	if (value != NULL)
		*value++ = '\0';
	else
		value = item + strlen(item);
	if (query_decode(item, true) != 0 || query_decode(value, true) != 0)
		return err_set(e, ERR_BAD_REQUEST, NULL, "the query string is not percent-encoded UTF-8");
	if (query_get(q, item) != NULL) {
		err_set(e, ERR_BAD_REQUEST, item, "query parameter %.60s is given twice", item);
		return err_detail(e, "once", str_eq(item, "api_key") ? "***" : value);
	}
	if (q->n == QUERY_ARGS_MAX)
		return err_set(e, ERR_BAD_REQUEST, NULL, "more than %d query parameters", QUERY_ARGS_MAX);
	q->args[q->n++] = (struct query_arg){ .name = item, .value = value };
	return 0;
}

int query_parse(struct query_args *q, char *text, struct err *e)
{
	q->n = 0;
	while (text != NULL) {
		char *item = strsep(&text, "&");

		if (*item != '\0' && query_add(q, item, e) != 0)
			return -1;
	}
	return 0;
}
