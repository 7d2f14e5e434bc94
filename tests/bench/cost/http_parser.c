/* http_parser, which node.js had for ten years; by itself, as it has our names for other things. */
#include "tests/bench/cost/cost.h"

#include <http_parser.h>
#include <stdlib.h>

struct gathered {
	const char *name, *value;
	size_t name_n, value_n;
};

static int on_name(http_parser *parser, const char *at, size_t n)
{
	struct gathered *g = parser->data;

	*g = (struct gathered){ .name = at, .name_n = n };
	return 0;
}

static int on_value(http_parser *parser, const char *at, size_t n)
{
	const struct gathered *g = parser->data;

	cost_http_field(g->name, g->name_n, at, n);
	return 0;
}

void cost_http_parser(const char *bytes, size_t n)
{
	static const http_parser_settings settings = { .on_header_field = on_name, .on_header_value = on_value };
	static struct gathered g;
	static http_parser parser;

	if (parser.data == NULL) {
		http_parser_init(&parser, HTTP_REQUEST);
		parser.data = &g;
	}
	if (http_parser_execute(&parser, &settings, bytes, n) != n || parser.http_errno != 0)
		abort();
}
