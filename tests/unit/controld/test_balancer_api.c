/* Pools, backends and routes over the API: as printed, what is refused and how, who may see what, what follows from what. */
#include "tests/unit/controld/tunnels_room.h"

#define E8         "\303\251\303\251\303\251\303\251\303\251\303\251\303\251\303\251" /* eight letters, two bytes each */
#define E32        E8 E8 E8 E8
#define LONG       E32 E32 E32 E32
#define POOL(name) "{\"name\":\"" name "\",\"algorithm\":\"least_connections\"}"

static json_t *field(json_t *o, const char *name)
{
	return json_object_get(o, name);
}

/* ---- as it is printed ---------------------------------------------------------------------------------------------- */

static void pools_are_as_printed(void **state)
{
	json_t *p, *check;

	(void)state;
	p = call("op", "POST", "/api/pools",
		"{\"name\":\"api_servers\",\"algorithm\":\"least_connections\",\"sticky_sessions\":false,\"health_"
		"check\":{"
		"\"path\":\"/api/health\",\"interval\":\"10s\",\"timeout\":\"3s\",\"expected_status\":200}}",
		201);
	check = field(p, "health_check");
	assert_string_equal(text_in(p, "name"), "api_servers");
	assert_string_equal(text_in(p, "algorithm"), "least_connections");
	assert_true(json_is_false(field(p, "sticky_sessions")));
	assert_true(json_is_true(field(check, "enabled")));
	assert_string_equal(text_in(check, "type"), "http"); /* a path is asked for */
	assert_string_equal(text_in(check, "path"), "/api/health");
	assert_string_equal(text_in(check, "interval"), "10s");
	assert_string_equal(text_in(check, "timeout"), "3s");
	assert_int_equal(number_in(check, "expected_status"), 200);
	assert_int_equal(json_array_size(field(p, "backends")), 0);
	json_decref(p);

	p = call(
		"op", "PUT", "/api/pools/api_servers", "{\"algorithm\":\"adaptive_ai\",\"sticky_sessions\":true}", 200);
	assert_string_equal(text_in(p, "algorithm"), "adaptive_ai");
	assert_true(json_is_true(field(p, "sticky_sessions")));
	assert_string_equal(text_in(field(p, "health_check"), "path"), "/api/health"); /* what was not sent stays */
	json_decref(p);

	p = call("op", "PUT", "/api/pools/api_servers", "{\"health_check\":null,\"algorithm\":null}", 200);
	assert_string_equal(text_in(p, "algorithm"), "round_robin");
	assert_string_equal(text_in(field(p, "health_check"), "type"), "tcp");
	assert_string_equal(text_in(field(p, "health_check"), "interval"), "30s");
	assert_true(json_is_null(field(field(p, "health_check"), "expected_status")));
	json_decref(p);

	p = call("viewer", "GET", "/api/pools", NULL, 200);
	assert_int_equal(json_array_size(field(p, "pools")), 1);
	assert_true(json_is_null(field(p, "next_cursor")));
	json_decref(p);
	call_only("op", "DELETE", "/api/pools/api_servers", NULL, 204);
	call_only("op", "GET", "/api/pools/api_servers", NULL, 404);
}

static void backends_are_as_printed(void **state)
{
	char id[PROTO_ID_SIZE], path[64];
	json_t *b, *p;

	(void)state;
	call_only("op", "POST", "/api/pools", POOL("web_servers"), 201);
	b = call("op", "POST", "/api/backends",
		"{\"address\":\"10.168.1.20:8080\",\"pool\":\"web_servers\",\"weight\":100,\"region\":\"us-west-2\","
		"\"health_check\":{\"path\":\"/"
		"health\",\"interval\":\"30s\",\"timeout\":\"5s\",\"expected_status\":200}}",
		201);
	str_copy(id, sizeof id, text_in(b, "id"));
	str_fmt(path, sizeof path, "/api/backends/%s", id);
	assert_true(str_starts(id, "bck_"));
	assert_string_equal(text_in(b, "address"), "10.168.1.20:8080");
	assert_string_equal(text_in(b, "pool"), "web_servers");
	assert_int_equal(number_in(b, "weight"), 100);
	assert_string_equal(text_in(b, "region"), "us-west-2");
	assert_string_equal(text_in(b, "status"), "unknown");
	assert_int_equal(
		json_object_size(field(b, "health_check")), 5); /* what it has of its own, and that it is HTTP */
	assert_string_equal(text_in(field(b, "health_check"), "interval"), "30s");
	json_decref(b);

	b = call("op", "PUT", path, "{\"weight\":150,\"region\":\"us-east-1\",\"health_check\":null}", 200);
	assert_int_equal(number_in(b, "weight"), 150);
	assert_string_equal(text_in(b, "region"), "us-east-1");
	assert_true(json_is_null(field(b, "health_check")));
	assert_string_equal(text_in(b, "address"), "10.168.1.20:8080");
	json_decref(b);

	p = call("viewer", "GET", "/api/pools/web_servers", NULL, 200);
	b = json_array_get(field(p, "backends"), 0);
	assert_string_equal(text_in(b, "id"), id);
	assert_int_equal(number_in(b, "weight"), 150);
	json_decref(p);
	p = call("viewer", "GET", "/api/backends?pool=web_servers", NULL, 200);
	assert_int_equal(json_array_size(field(p, "backends")), 1);
	json_decref(p);
	call_only("op", "DELETE", path, NULL, 204);
	call_only("op", "DELETE", path, NULL, 404);
}

static void routes_are_as_printed(void **state)
{
	char path[64];
	json_t *r, *all;

	(void)state;
	call_only("op", "POST", "/api/pools", POOL("api_servers"), 201);
	call_only("op", "POST", "/api/pools", POOL("new_api_servers"), 201);
	r = call("op", "POST", "/api/routes",
		"{\"host\":\"App.example.com\",\"path_prefix\":\"/api\",\"pool\":\"api_servers\",\"ssl_enabled\":true}",
		201);
	str_fmt(path, sizeof path, "/api/routes/%s", text_in(r, "id"));
	assert_true(str_starts(text_in(r, "id"), "rte_"));
	assert_string_equal(text_in(r, "host"), "app.example.com");
	assert_string_equal(text_in(r, "path_prefix"), "/api");
	assert_string_equal(text_in(r, "pool"), "api_servers");
	assert_true(json_is_true(field(r, "ssl_enabled")));
	assert_true(text_in(r, "created_at")[0] == '1' || text_in(r, "created_at")[0] == '2');
	json_decref(r);
	r = call("op", "PUT", path, "{\"pool\":\"new_api_servers\",\"ssl_enabled\":true}", 200);
	assert_string_equal(text_in(r, "pool"), "new_api_servers");
	/* what was read can be sent back */
	char *text = json_dumps(r, 0);
	all = call("op", "PUT", path, text, 200);
	assert_int_equal(number_in(all, "version"), number_in(r, "version"));
	free(text);
	json_decref(r);
	json_decref(all);
	all = call("viewer", "GET", "/api/routes", NULL, 200);
	assert_int_equal(json_array_size(field(all, "routes")), 1);
	json_decref(all);
	call_only("op", "DELETE", path, NULL, 204);
	call_only("op", "GET", path, NULL, 404);
}

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *path, *body;
	int status;
	const char *code, *field;
} refusals[] = {
	{ "/api/pools", "{}", 400, "VALIDATION_ERROR", "name" },
	{ "/api/pools", "{\"name\":\"no blanks\"}", 422, "VALIDATION_ERROR", "name" },
	{ "/api/pools", "{\"name\":\"x\",\"algorithm\":\"best\"}", 422, "INVALID_ALGORITHM", "algorithm" },
	{ "/api/pools", "{\"name\":\"x\",\"size\":1}", 422, "VALIDATION_ERROR", "size" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"path\":\"health\"}}", 422, "HEALTH_CHECK_FAILED",
		"health_check.path" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"interval\":\"10ms\"}}", 422, "HEALTH_CHECK_FAILED",
		"health_check.interval" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"interval\":\"soon\"}}", 422, "VALIDATION_ERROR",
		"health_check.interval" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"interval\":\"2s\",\"timeout\":\"3s\"}}", 422,
		"HEALTH_CHECK_FAILED", "health_check.timeout" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"expected_status\":99}}", 422, "HEALTH_CHECK_FAILED",
		"health_check.expected_status" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"expected_status\":[200,\"x\"]}}", 422,
		"HEALTH_CHECK_FAILED", "health_check.expected_status" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"host\":\"a\\r\\nX: y\"}}", 422, "HEALTH_CHECK_FAILED",
		"health_check.host" },
	{ "/api/pools", "{\"name\":\"x\",\"health_check\":{\"expected_body\":\"" LONG "\"}}", 422,
		"HEALTH_CHECK_FAILED", "health_check.expected_body" },
	{ "/api/pools", "{\"name\":\"x\",\"tls\":{\"server_name\":\"a b\"}}", 422, "VALIDATION_ERROR",
		"tls.server_name" },
	{ "/api/pools", "{\"name\":\"x\",\"sticky\":{\"cookie_name\":\"a b\"}}", 422, "VALIDATION_ERROR",
		"sticky.cookie_name" },
	{ "/api/pools", "{\"name\":\"x\",\"tls\":{\"ca\":\"no PEM\"}}", 422, "VALIDATION_ERROR", "tls.ca" },
	{ "/api/pools", "{\"name\":\"x\",\"protocol\":\"h2\"}", 422, "VALIDATION_ERROR", "protocol" },
	{ "/api/pools", "{\"name\":\"x\",\"queue\":{\"timeout\":\"9d\"}}", 422, "VALIDATION_ERROR", "queue.timeout" },
	{ "/api/pools", "{\"name\":\"x\",\"backends\":[{}]}", 422, "VALIDATION_ERROR", "backends" },
	{ "/api/pools", "{\"name\":\"there\"}", 409, "POOL_ALREADY_EXISTS", "name" },
	{ "/api/backends", "{\"address\":\"10.1.1.1:80\"}", 400, "VALIDATION_ERROR", "pool" },
	{ "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"none\"}", 404, "POOL_NOT_FOUND", "pool" },
	{ "/api/backends", "{\"address\":\"10.1.1.1\",\"pool\":\"there\"}", 422, "VALIDATION_ERROR", "address" },
	{ "/api/backends", "{\"address\":\"10.1.1.1:0\",\"pool\":\"there\"}", 422, "VALIDATION_ERROR", "address" },
	{ "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"there\",\"weight\":1001}", 422, "VALIDATION_ERROR",
		"weight" },
	{ "/api/backends", "{\"address\":\"127.0.0.1:80\",\"pool\":\"there\"}", 403, "TARGET_NOT_ALLOWED", "address" },
	{ "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"there\",\"client_id\":77}", 422, "VALIDATION_ERROR",
		"client_id" },
	{ "/api/backends", "{\"address\":\"10.9.9.9:80\",\"pool\":\"there\"}", 409, "ALREADY_EXISTS", "address" },
	{ "/api/routes", "{\"host\":\"a.example\"}", 400, "VALIDATION_ERROR", "pool" },
	{ "/api/routes", "{\"host\":\"a_b\",\"pool\":\"there\"}", 422, "VALIDATION_ERROR", "host" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"none\"}", 404, "POOL_NOT_FOUND", "pool" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"path_prefix\":\"v1\"}", 422, "VALIDATION_ERROR",
		"path_prefix" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"path_prefix\":\"/a/../b\"}", 422,
		"VALIDATION_ERROR", "path_prefix" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"path_prefix\":\"/%zz\"}", 422,
		"VALIDATION_ERROR", "path_prefix" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"methods\":[\"FETCH\"]}", 422, "VALIDATION_ERROR",
		"methods[0]" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"headers\":[{\"name\":\"a b\"}]}", 422,
		"VALIDATION_ERROR", "headers" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"request_headers\":{\"set\":{\"Host\":\"x\"}}}",
		422, "VALIDATION_ERROR", "request_headers" },
	{ "/api/routes",
		"{\"host\":\"a.example\",\"pool\":\"there\",\"request_headers\":{\"add\":{\"X-A\":\"a\\r\\nX-B: b\"}}}",
		422, "VALIDATION_ERROR", "request_headers" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"request_headers\":{\"add\":{\"X-A\":\"a \"}}}",
		422, "VALIDATION_ERROR", "request_headers" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"request_headers\":{\"add\":[\"X-A\"]}}", 422,
		"VALIDATION_ERROR", "request_headers" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"response_headers\":{\"set\":true}}", 422,
		"VALIDATION_ERROR", "response_headers" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"cors\":{\"origins\":[\"http://a\\nb\"]}}", 422,
		"VALIDATION_ERROR", "cors.origins" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"gzip\":{\"types\":[\"text/plain\",\"a\\nb\"]}}",
		422, "VALIDATION_ERROR", "gzip.types" },
	{ "/api/routes",
		"{\"host\":\"a.example\",\"pool\":\"there\",\"error_pages\":[{\"status\":503,\"content_type\":"
		"\"a\\nb\",\"body\":\"x\"}]}",
		422, "VALIDATION_ERROR", "error_pages" },
	{ "/api/routes", "{\"host\":\"a.example\",\"redirect\":{\"location\":\"ftp://x\"}}", 422, "VALIDATION_ERROR",
		"redirect.location" },
	{ "/api/routes", "{\"host\":\"a.example\",\"redirect\":{\"status\":304,\"location\":\"/\"}}", 422,
		"VALIDATION_ERROR", "redirect.status" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"redirect\":{\"location\":\"/\"}}", 422,
		"VALIDATION_ERROR", "redirect" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"targets\":[{\"pool\":\"there\",\"weight\":1}]}",
		422, "VALIDATION_ERROR", "targets" },
	{ "/api/routes", "{\"host\":\"a.example\",\"targets\":[{\"pool\":\"none\",\"weight\":1}]}", 404,
		"POOL_NOT_FOUND", "targets" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"https_only\":true}", 422, "VALIDATION_ERROR",
		"https_only" },
	{ "/api/routes",
		"{\"host\":\"a.example\",\"pool\":\"there\",\"ssl_enabled\":true,\"client_certificate\":{\"mode\":"
		"\"required\"}}",
		422, "VALIDATION_ERROR", "client_certificate.mode" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"rate_limit\":{\"key\":\"header\"}}", 422,
		"VALIDATION_ERROR", "rate_limit.key" },
	{ "/api/routes", "{\"host\":\"a.example\",\"pool\":\"there\",\"group\":\"mars\"}", 422, "VALIDATION_ERROR",
		"group" },
	{ "/api/routes", "{\"host\":\"t.example\",\"pool\":\"there\"}", 403, "INSUFFICIENT_PERMISSIONS", "host" },
	{ "/api/routes", "{\"host\":\"*\",\"pool\":\"there\"}", 403, "INSUFFICIENT_PERMISSIONS", "host" },
	{ "/api/routes", "{\"host\":\"there.example\",\"pool\":\"there\"}", 409, "ALREADY_EXISTS", "path_prefix" },
	{ "/api/routes", "{\"host\":\"blue.example\",\"pool\":\"there\"}", 409, "HOST_NAME_ALREADY_IN_USE", "host" },
	{ "/api/routes", "{\"host\":\"mapped.example\",\"pool\":\"there\"}", 409, "HOST_NAME_ALREADY_IN_USE", "host" },
};

/* What stands in the way of some. */
static void prepare_refusals(void)
{
	call_only("op", "POST", "/api/pools", POOL("there"), 201);
	call_only("op", "POST", "/api/backends", "{\"address\":\"10.9.9.9:80\",\"pool\":\"there\"}", 201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"there.example\",\"pool\":\"there\"}", 201);
	call_only("blue", "POST", "/api/pools", POOL("theirs"), 201);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"blue.example\",\"pool\":\"theirs\"}", 201);
	call_only("op", "POST", "/api/v1/mappings",
		"{\"protocol\":\"http\",\"host_names\":[\"mapped.example\"],\"target_host\":\"svc.example\",\"target_"
		"port\":80}",
		201);
}

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	prepare_refusals();
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		json_t *e;

		print_message("%zu: %s %s\n", i, refusals[i].path, refusals[i].body);
		e = call("op", "POST", refusals[i].path, refusals[i].body, refusals[i].status);
		assert_string_equal(text_in(e, "code"), refusals[i].code);
		assert_string_equal(text_in(field(e, "details"), "field"), refusals[i].field);
		json_decref(e);
	}
}

static void all_that_is_wrong_is_named_at_once(void **state)
{
	json_t *e;

	(void)state;
	e = call("op", "POST", "/api/pools",
		"{\"name\":\"x\",\"algorithm\":\"best\",\"health_check\":{\"path\":\"x\",\"expected_status\":1},"
		"\"protocol\":"
		"\"h2\"}",
		422);
	assert_string_equal(text_in(e, "code"), "VALIDATION_ERROR");
	assert_int_equal(json_array_size(field(e, "details")), 4);
	json_decref(e);
}

/* method, path, body, and the fields that are named, in any order: those that a schema finds, and those that only the rest can. */
static const struct {
	const char *method, *path, *body, *fields;
} together[] = {
	{ "POST", "/api/pools",
		"{\"algorithm\":\"best\",\"panic_threshold\":101,\"tls\":{\"enabled\":\"yes\",\"ca\":\"no PEM\"},"
		"\"health_check\":{\"path\":\"x\",\"type\":\"icmp\"},\"size\":1}",
		"name algorithm panic_threshold tls.enabled tls.ca health_check.path health_check.type size" },
	{ "POST", "/api/pools", "{\"name\":\"there\",\"slow_start\":\"soon\"}", "name slow_start" },
	/* of two that do not go together one is wrong by itself: nothing is said of both */
	{ "POST", "/api/pools", "{\"name\":\"x\",\"tls\":{\"enabled\":1},\"protocol\":\"h2\"}", "tls.enabled" },
	{ "POST", "/api/pools", "{\"name\":\"x\",\"health_check\":{\"interval\":\"9d\",\"timeout\":\"50s\"}}",
		"health_check.interval" },
	{ "PUT", "/api/pools/there", "{\"name\":\"other\",\"protocol\":\"h2\",\"queue\":{\"max\":-1}}",
		"name protocol queue.max" },
	{ "POST", "/api/backends",
		"{\"address\":\"127.0.0.1:80\",\"pool\":\"none\",\"weight\":1001,\"health_check\":{\"path\":\"x\"}}",
		"address pool weight health_check.path" },
	{ "POST", "/api/backends", "{\"pool\":\"there\",\"client_id\":77,\"weight\":-1}", "address client_id weight" },
	{ "PUT", "/api/backends/{}", "{\"pool\":\"none\",\"weight\":\"1\",\"address\":\"127.0.0.1:80\"}",
		"pool weight address" },
	{ "POST", "/api/routes",
		"{\"host\":\"a_b\",\"pool\":\"none\",\"priority\":-1,\"group\":\"mars\",\"mirror\":{\"pool\":"
		"\"nobody\"}}",
		"host pool priority group mirror.pool" },
	{ "POST", "/api/routes",
		"{\"host\":\"t.example\",\"targets\":[{\"pool\":\"none\",\"weight\":1},{\"pool\":\"nobody\",\"weight\":"
		"1}],"
		"\"rate_limit\":{\"key\":\"header\",\"burst\":-1}}",
		"host targets targets rate_limit.key rate_limit.burst" },
	{ "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":7,\"https_only\":true}", "pool https_only" },
	{ "PUT", "/api/routes/{}",
		"{\"pool\":\"none\",\"path_prefix\":\"x\",\"gzip\":{\"level\":10},\"https_only\":true,\"group\":"
		"\"mars\"}",
		"pool path_prefix gzip.level https_only group" },
};

/* The only one of `list`, into the path's "{}". */
static void path_of_one(const char *path, const char *list, char *dst, size_t size)
{
	const char *at = strstr(path, "/{}");
	json_t *all;

	if (at == NULL) {
		str_copy(dst, size, path);
		return;
	}
	str_fmt(dst, size, "%.*s", (int)(at - path), path);
	all = call("op", "GET", dst, NULL, 200);
	str_fmt(dst + strlen(dst), size - strlen(dst), "/%s", text_in(json_array_get(field(all, list), 0), "id"));
	json_decref(all);
}

static unsigned times_in(const char *words, const char *word)
{
	const size_t n = strlen(word);
	unsigned times = 0;

	for (const char *p = words; (p = strstr(p, word)) != NULL; p += n)
		times += (p == words || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' ');
	return times;
}

static void what_a_schema_finds_comes_with_the_rest(void **state)
{
	(void)state;
	prepare_refusals();
	for (size_t i = 0; i < ARRAY_LEN(together); i++) {
		char path[96], named[512] = "";
		const char *want = together[i].fields;
		json_t *e, *details;

		print_message("%zu: %s %s %s\n", i, together[i].method, together[i].path, together[i].body);
		path_of_one(together[i].path, strstr(together[i].path, "routes") != NULL ? "routes" : "backends", path,
			sizeof path);
		e = call("op", together[i].method, path, together[i].body, 422);
		details = field(e, "details");
		if (json_is_object(details))
			str_copy(named, sizeof named, text_in(details, "field"));
		for (size_t j = 0; j < json_array_size(details); j++)
			str_fmt(named + strlen(named), sizeof named - strlen(named), "%s%s", j > 0 ? " " : "",
				text_in(json_array_get(details, j), "field"));
		print_message("   %s\n", named);
		assert_int_equal(strlen(named), strlen(want));
		for (size_t j = 0; j < json_array_size(details); j++) {
			const char *one = text_in(json_array_get(details, j), "field");

			assert_int_equal(times_in(want, one), times_in(named, one));
		}
		json_decref(e);
	}
	/* and nothing of it was done */
	json_t *p = call("viewer", "GET", "/api/pools", NULL, 200);
	assert_int_equal(json_array_size(field(p, "pools")), 1);
	json_decref(p);
	p = call("viewer", "GET", "/api/routes", NULL, 200);
	assert_int_equal(json_array_size(field(p, "routes")), 1);
	json_decref(p);
}

/* What is shown of a health check's time-out is what holds, and what is refused is what could not hold. */
static void a_check_is_over_before_the_next(void **state)
{
	static const struct {
		const char *method, *path, *body;
		int status;
		const char *word; /* the time-out that the pool is shown with, or the field that is wrong */
	} steps[] = {
		{ "POST", "/api/pools", "{\"name\":\"p\",\"health_check\":{\"interval\":\"1s\"}}", 201, "1s" },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"interval\":\"1s\",\"timeout\":\"1s\"}}", 200, "1s" },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"interval\":\"10s\"}}", 200, "5s" },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"interval\":\"1s\",\"timeout\":\"5s\"}}", 422,
			"health_check.timeout" },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"interval\":null,\"timeout\":\"31s\"}}", 422,
			"health_check.timeout" },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"timeout\":\"3s\"}}", 200, "3s" },
		{ "POST", "/api/backends",
			"{\"pool\":\"p\",\"address\":\"10.1.1.1:80\",\"health_check\":{\"interval\":\"2s\"}}", 422,
			"health_check.interval" },
		{ "POST", "/api/backends",
			"{\"pool\":\"p\",\"address\":\"10.1.1.1:80\",\"health_check\":{\"timeout\":\"11s\"}}", 422,
			"health_check.timeout" },
		{ "POST", "/api/backends",
			"{\"pool\":\"p\",\"address\":\"10.1.1.1:80\",\"health_check\":{\"interval\":\"4s\"}}", 201,
			NULL },
		{ "POST", "/api/backends",
			"{\"pool\":\"p\",\"address\":\"10.1.1.2:80\",\"health_check\":{\"timeout\":\"9s\"}}", 201,
			NULL },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"timeout\":\"4500ms\"}}", 422, "health_check.timeout" },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"interval\":\"8s\"}}", 422, "health_check.interval" },
		{ "PUT", "/api/pools/p", "{\"health_check\":{\"interval\":\"9s\",\"timeout\":null}}", 200, "5s" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		json_t *o = call("op", steps[i].method, steps[i].path, steps[i].body, steps[i].status);

		print_message("%zu: %s %s\n", i, steps[i].path, steps[i].body);
		if (steps[i].status == 422)
			assert_string_equal(text_in(field(o, "details"), "field"), steps[i].word);
		else if (steps[i].word != NULL)
			assert_string_equal(text_in(field(o, "health_check"), "timeout"), steps[i].word);
		json_decref(o);
	}
	/* what was read can be sent back, and is not said by anybody then */
	json_t *p = call("op", "GET", "/api/pools/p", NULL, 200), *again;
	json_object_del(p, "backends");
	char *text = json_dumps(p, 0);

	again = call("op", "PUT", "/api/pools/p", text, 200);
	assert_int_equal(number_in(again, "version"), number_in(p, "version"));
	free(text);
	json_decref(again);
	json_decref(p);
}

static void pools_in_use_stay(void **state)
{
	json_t *r, *e;

	(void)state;
	call_only("op", "POST", "/api/pools", POOL("one"), 201);
	call_only("op", "POST", "/api/pools", POOL("two"), 201);
	call_only("op", "POST", "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"one\"}", 201);
	r = call("op", "POST", "/api/routes",
		"{\"host\":\"a.example\",\"targets\":[{\"pool\":\"one\",\"weight\":9},{\"pool\":\"two\",\"weight\":1}]"
		"}",
		201);
	e = call("op", "DELETE", "/api/pools/two", NULL, 409);
	assert_non_null(strstr(text_in(e, "message"), text_in(r, "id")));
	assert_string_equal(text_in(field(e, "details"), "provided_value"), "two");
	json_decref(e);
	char path[64];
	str_fmt(path, sizeof path, "/api/routes/%s", text_in(r, "id"));
	call_only("op", "PUT", path, "{\"targets\":null,\"pool\":\"one\"}", 200);
	call_only("op", "DELETE", "/api/pools/two", NULL, 204);
	call_only("op", "DELETE", "/api/pools/one", NULL, 409);
	call_only("op", "DELETE", path, NULL, 204);
	call_only("op", "DELETE", "/api/pools/one", NULL, 204); /* with its backend */
	e = call("op", "GET", "/api/backends", NULL, 200);
	assert_int_equal(json_array_size(field(e, "backends")), 0);
	json_decref(e);
	json_decref(r);
}

/* ---- hosts ---------------------------------------------------------------------------------------------------------- */

static void hosts_are_shared_by_the_routes_of_a_tenant(void **state)
{
	char first[64], second[64];
	json_t *r;

	(void)state;
	call_only("op", "POST", "/api/pools", POOL("p"), 201);
	call_only("blue", "POST", "/api/pools", POOL("p"), 201);
	r = call("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	str_fmt(first, sizeof first, "/api/routes/%s", text_in(r, "id"));
	json_decref(r);
	r = call("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"path_prefix\":\"/v1\",\"pool\":\"p\"}", 201);
	str_fmt(second, sizeof second, "/api/routes/%s", text_in(r, "id"));
	json_decref(r);
	/* of the same path one that asks for more, and one of the other scheme */
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\",\"methods\":[\"POST\",\"PUT\"]}",
		201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\",\"methods\":[\"PUT\",\"POST\"]}",
		409);
	call_only("op", "POST", "/api/routes",
		"{\"host\":\"a.example\",\"pool\":\"p\",\"ssl_enabled\":true,\"https_only\":true}", 201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\",\"ssl_enabled\":true}", 409);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"a.example\",\"path_prefix\":\"/x\",\"pool\":\"p\"}", 409);
	/* mappings are not on a host that routes have, and the other way round */
	call_only("op", "POST", "/api/v1/mappings",
		"{\"protocol\":\"http\",\"host_names\":[\"a.example\"],\"target_host\":\"svc.example\",\"target_port\":"
		"80}",
		409);
	/* a host is given back with the last route that has it */
	call_only("blue", "POST", "/api/routes", "{\"host\":\"b.example\",\"pool\":\"p\"}", 201);
	call_only("op", "PUT", second, "{\"host\":\"c.example\"}", 200);
	call_only("op", "PUT", second, "{\"host\":\"b.example\"}", 409);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"c.example\",\"pool\":\"p\"}", 409);
	call_only("op", "DELETE", second, NULL, 204);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"c.example\",\"pool\":\"p\"}", 201);
	call_only("op", "PUT", first, "{\"aliases\":[\"www.a.example\",\"a.example\"]}", 422);
	call_only("op", "PUT", first, "{\"aliases\":[\"www.a.example\"]}", 200);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"www.a.example\",\"pool\":\"p\"}", 409);
	call_only("op", "PUT", first, "{\"aliases\":null}", 200);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"www.a.example\",\"pool\":\"p\"}", 201);
}

/* Nothing is above it, and nothing behind its only letter. */
static void every_host_may_be_an_alias(void **state)
{
	(void)state;
	call_only("admin", "POST", "/api/pools", POOL("p"), 201);
	call_only("admin", "POST", "/api/routes", "{\"host\":\"a.example\",\"aliases\":[\"*\"],\"pool\":\"p\"}", 201);
}

/* ---- others' -------------------------------------------------------------------------------------------------------- */

static void others_do_not_exist(void **state)
{
	char backend[64], route[64];
	json_t *o;

	(void)state;
	call_only("op", "POST", "/api/pools", POOL("mine"), 201);
	o = call("op", "POST", "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"mine\"}", 201);
	str_fmt(backend, sizeof backend, "/api/backends/%s", text_in(o, "id"));
	json_decref(o);
	o = call("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"mine\"}", 201);
	str_fmt(route, sizeof route, "/api/routes/%s", text_in(o, "id"));
	json_decref(o);
	for (const char *const *path = (const char *const[]){ "/api/pools/mine", backend, route, NULL }; *path != NULL;
		path++) {
		call_only("blue", "GET", *path, NULL, 404);
		call_only("blue", "PUT", *path, "{}", 404);
		call_only("blue", "DELETE", *path, NULL, 404);
	}
	call_only("blue", "POST", "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"mine\"}", 404);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"b.example\",\"pool\":\"mine\"}", 404);
	call_only("blue", "POST", "/api/pools", POOL("mine"), 201); /* names are each tenant's own */
	call_only("viewer", "POST", "/api/pools", POOL("x"), 403);
	call_only("viewer", "PUT", "/api/pools/mine", "{}", 403);
	call_only("viewer", "DELETE", route, NULL, 403);
}

/* ---- what relays say ------------------------------------------------------------------------------------------------- */

static void status_is_what_the_relays_say(void **state)
{
	char path[64];
	json_t *r;

	(void)state;
	edge(EDGE_ACKNOWLEDGES);
	r = call("op", "POST", "/api/pools", POOL("p"), 201);
	assert_string_equal(text_in(r, "status"), "active"); /* the answer waited */
	json_decref(r);
	r = call("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	assert_string_equal(text_in(r, "status"), "active");
	str_fmt(path, sizeof path, "/api/routes/%s", text_in(r, "id"));
	json_decref(r);
	edge(EDGE_REFUSES);
	r = call("op", "PUT", path, "{\"ssl_enabled\":true}", 200);
	assert_string_equal(text_in(r, "status"), "error");
	assert_string_equal(text_in(field(field(r, "error"), "edge-1"), "code"), "ADDRESS_IN_USE");
	json_decref(r);
	r = call("op", "PUT", path, "{\"status\":\"inactive\"}", 200);
	assert_string_equal(text_in(r, "status"), "inactive");
	json_decref(r);
}

static void if_match_is_looked_at(void **state)
{
	json_t *p;

	(void)state;
	p = call("op", "POST", "/api/pools", POOL("p"), 201);
	assert_int_equal(number_in(p, "version"), 1);
	json_decref(p);
	call_only("op", "POST", "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"p\"}", 201);
	p = call("op", "GET", "/api/pools/p", NULL, 200);
	assert_int_equal(number_in(p, "version"), 2); /* its backends are part of it */
	json_decref(p);
}

/* ---- owners that go --------------------------------------------------------------------------------------------------- */

static int64_t rows(const char *sql)
{
	struct query *q;
	struct db *db;
	struct err e;
	int64_t n;

	TEST_STORE_MUST(store_read_begin(room.server.store.store, &db, &e), e);
	TEST_STORE_MUST(db_query(db, &q, sql, &e), e);
	assert_int_equal(query_next(q, &e), 1);
	n = query_int(q, 0);
	query_end(q);
	store_read_end(db);
	return n;
}

static void what_a_tenant_has_goes_with_it(void **state)
{
	const struct erase_owner red = { true, "red", 1, true };
	struct err e;

	(void)state;
	call_only("op", "POST", "/api/pools", POOL("p"), 201);
	call_only("op", "POST", "/api/backends", "{\"address\":\"10.1.1.1:80\",\"pool\":\"p\"}", 201);
	call_only("op", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	run_sql("UPDATE tenants SET status = 'deleting' WHERE id = 'red'");
	TEST_STORE_MUST(eraser_erase(room.server.store.store, &red, NULL, &e), e);
	call_only("blue", "POST", "/api/pools", POOL("p"), 201);
	call_only("blue", "POST", "/api/routes", "{\"host\":\"a.example\",\"pool\":\"p\"}", 201);
	assert_int_equal(rows("SELECT count(*) FROM lb_pools WHERE tenant_id = 'red'"), 0);
	assert_int_equal(rows("SELECT count(*) FROM lb_backends"), 0);
	assert_int_equal(rows("SELECT count(*) FROM lb_route_pools WHERE tenant_id = 'red'"), 0);
}

#define SEQUENCE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SEQUENCE(pools_are_as_printed),
		SEQUENCE(backends_are_as_printed),
		SEQUENCE(routes_are_as_printed),
		SEQUENCE(what_is_wrong_is_named),
		SEQUENCE(all_that_is_wrong_is_named_at_once),
		SEQUENCE(what_a_schema_finds_comes_with_the_rest),
		SEQUENCE(a_check_is_over_before_the_next),
		SEQUENCE(pools_in_use_stay),
		SEQUENCE(hosts_are_shared_by_the_routes_of_a_tenant),
		SEQUENCE(every_host_may_be_an_alias),
		SEQUENCE(others_do_not_exist),
		SEQUENCE(status_is_what_the_relays_say),
		SEQUENCE(if_match_is_looked_at),
		SEQUENCE(what_a_tenant_has_goes_with_it),
	};

	log_init("test_balancer_api", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
