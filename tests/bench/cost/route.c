/*
 * Which route takes a request, among n hosts with three routes each. `plain` looks at all routes, as a list of rules would.
 */
#include "common/http/http_reader.h"
#include "relayd/route/route_path.h"
#include "relayd/route/route_table.h"
#include "tests/bench/cost/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char request[] = "GET /api/v1/users/17 HTTP/1.1\r\nHost: host7.example\r\n\r\n";
static struct route_table *table;
static struct route_match *routes;
static size_t n_routes;
static struct http_head head;

static void prepare(unsigned hosts)
{
	static const char *const prefixes[] = { "/", "/api", "/static" };
	char(*names)[32] = calloc(hosts, sizeof *names);
	struct http_reader r;
	struct http_piece piece;

	n_routes = hosts * 3ul;
	routes = calloc(n_routes, sizeof *routes);
	if (names == NULL || routes == NULL)
		abort();
	for (unsigned i = 0; i < n_routes; i++) {
		snprintf(names[i / 3], sizeof names[0], "host%u.example", i / 3);
		routes[i] =
			(struct route_match){ .host = names[i / 3], .path_prefix = prefixes[i % 3], .to = &routes[i] };
	}
	http_reader_init_request(&r, &http_limits_default);
	if (route_table_new(&table, routes, n_routes) != 0 ||
		http_reader_next(&r, &head, (const uint8_t *)request, sizeof request - 1, &piece) != HTTP_HEAD_IN)
		abort();
}

/* With the path made ready for it, as for each request. */
static void step_portway(void)
{
	char path[sizeof request];
	size_t n;

	if (route_path_take(path, &n, http_head_path(&head)) != 0)
		abort();
	cost_found += route_table_find(table, "host7.example", (struct http_span){ path, n }, &head) != NULL;
}

static void step_plain(void)
{
	size_t longest = 0;

	for (size_t i = 0; i < n_routes; i++)
		if (strcmp(routes[i].host, "host7.example") == 0 &&
			strncmp("/api/v1/users/17", routes[i].path_prefix, strlen(routes[i].path_prefix)) == 0)
			longest = MAX(longest, strlen(routes[i].path_prefix));
	cost_found += longest;
}

const struct cost_case cost_route[] = {
	{ "route", "portway", prepare, step_portway },
	{ "route", "plain", prepare, step_plain },
	{ NULL, NULL, NULL, NULL },
};
