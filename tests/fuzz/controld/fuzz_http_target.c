/* Paths and query strings: decoded text is UTF-8, the row that is found fits, nothing is read beyond the captures. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/rest/query.h"
#include "controld/rest/router.h"
#include "tests/fuzz/fuzz.h"

static int handle(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)rq;
	(void)rp;
	(void)e;
	return 0;
}

#define ROW(m, p)                                             \
	{                                                     \
		.method = (m), .path = (p), .handler = handle \
	}
static const struct route rows[] = {
	ROW("GET", "/"),
	ROW("GET", "/a"),
	ROW("POST", "/a"),
	ROW("GET", "/a/{id}"),
	ROW("GET", "/a/b"),
	ROW("GET", "/a/{id}/{sub}/c"),
	ROW("GET", "/{x}/{y}/{z}/{w}"),
};

static struct router *router_with_rows(void)
{
	struct router *r;

	if (router_new(&r, NULL) != 0)
		abort();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (router_add(r, &rows[i], NULL, NULL) != 0)
			abort();
	return r;
}

static void check_path(const struct router *r, char *path)
{
	struct router_match m;

	switch (router_find(r, "GET", path, &m)) {
	case ROUTER_FOUND:
		FUZZ_CHECK(m.entry != NULL && str_eq(m.entry->route->method, "GET"));
		for (size_t i = 0; i < m.entry->n_captures; i++)
			FUZZ_CHECK(m.values[i][0] != '\0' && str_is_utf8(m.values[i], strlen(m.values[i])));
		break;
	case ROUTER_NO_METHOD:
		FUZZ_CHECK(m.entry == NULL && strstr(m.allow, "OPTIONS") != NULL);
		break;
	default:
		FUZZ_CHECK(m.entry == NULL);
	}
}

static void check_query(char *query)
{
	struct query_args args;
	struct err e;

	err_clear(&e);
	if (query_parse(&args, query, &e) != 0) {
		FUZZ_CHECK(e.code == ERR_BAD_REQUEST);
		return;
	}
	for (size_t i = 0; i < args.n; i++) {
		FUZZ_CHECK(str_is_utf8(args.args[i].name, strlen(args.args[i].name)));
		FUZZ_CHECK(str_is_utf8(args.args[i].value, strlen(args.args[i].value)));
		FUZZ_CHECK(query_get(&args, args.args[i].name) == args.args[i].value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct router *router;
	char *target = fuzz_string(data, size);
	char *query = target;
	char *path;

	if (target == NULL)
		return 0;
	if (router == NULL)
		router = router_with_rows();
	path = strsep(&query, "?");
	check_path(router, path);
	if (query != NULL)
		check_query(query);
	free(target);
	return 0;
}
