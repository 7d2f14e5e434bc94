/* Requests to the server over a real socket: hostile bytes, what an answer holds, lanes and parking, how often one may ask. */
#include "tests/unit/controld/server_bench.h"

/* ---- hostile and odd bytes ------------------------------------------------------------------------------------------- */

#define TEXT(s) (s), sizeof(s) - 1

static const struct {
	const char *what;
	const char *bytes;
	size_t n;
	const char *want; /* statuses, in order; then the server closes */
} exchanges[] = {
	{ "get", TEXT(LAST), "200" },
	{ "keep-alive", TEXT(GOOD LAST), "200 200" },
	{ "pipeline through both lanes", TEXT(GOOD "GET /loop/2 HTTP/1.1\r\n" HOST "\r\n" GOOD LAST),
		"200 200 200 200" },
	{ "head", TEXT("HEAD /things/1 HTTP/1.1\r\n" HOST "\r\n" LAST), "200 200" },
	{ "body and pipeline",
		TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 22\r\n\r\n"
		     "{\"name\":\"a\",\"port\":80}" LAST),
		"201 200" },
	{ "chunked",
		TEXT("POST /things HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "a\r\n{\"name\":\"a\r\nC\r\n\",\"port\":80}\r\n0\r\n\r\n" LAST),
		"201 200" },
	{ "delete with a body",
		TEXT("DELETE /things HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 22\r\n\r\n"
		     "{\"name\":\"a\",\"port\":80}" LAST),
		"201 200" },
	{ "get with a body that looks like a request",
		TEXT("GET /things/1 HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" LAST),
		"200 200" },
	{ "1.0 closes", TEXT("GET /things/1 HTTP/1.0\r\n\r\n"), "200" },
	{ "options", TEXT("OPTIONS /things HTTP/1.1\r\n" HOST "\r\nOPTIONS * HTTP/1.1\r\n" HOST "\r\n" LAST),
		"204 204 200" },
	{ "nothing there", TEXT("GET /nowhere HTTP/1.1\r\n" HOST "\r\n" LAST), "404 200" },
	{ "dots", TEXT("GET /things/../things/1 HTTP/1.1\r\n" HOST "\r\n" LAST), "404 200" },
	{ "method not allowed", TEXT("PUT /things HTTP/1.1\r\n" HOST "\r\n" LAST), "405 200" },
	{ "broken escape", TEXT("GET /things/%zz HTTP/1.1\r\n" HOST "\r\n" LAST), "400 200" },
	{ "broken query", TEXT("GET /things/1?a=%00 HTTP/1.1\r\n" HOST "\r\n" LAST), "400 200" },
	{ "unknown parameter", TEXT("GET /things/1?a=1 HTTP/1.1\r\n" HOST "\r\n" LAST), "422 200" },
	{ "not authenticated", TEXT("GET /mine/1 HTTP/1.1\r\n" HOST "\r\n" LAST), "401 200" },
	{ "not allowed", TEXT("GET /system/1?api_key=good HTTP/1.1\r\n" HOST "\r\n" LAST), "403 200" },
	{ "api key in the query", TEXT("GET /mine/1?api_key=good HTTP/1.1\r\n" HOST "\r\n" LAST), "200 200" },
	{ "missing field", TEXT("POST /things HTTP/1.1\r\n" HOST "\r\n" LAST), "400 200" },
	{ "missing and invalid",
		TEXT("POST /things HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"port\":0}" LAST),
		"422 200" },
	{ "no content type", TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}" LAST), "415 200" },
	{ "unwanted body",
		TEXT("POST /nothing HTTP/1.1\r\n" HOST
		     "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}" LAST),
		"422 200" },
	{ "absent body is empty", TEXT("POST /nothing HTTP/1.1\r\n" HOST "\r\n" LAST), "201 200" },
	{ "handler without an answer", TEXT("GET /forgets HTTP/1.1\r\n" HOST "\r\n" LAST), "500 200" },
	{ "handler that fails", TEXT("GET /fails HTTP/1.1\r\n" HOST "\r\n" LAST), "409 200" },
	{ "reader that lost its session", TEXT("GET /loses HTTP/1.1\r\n" HOST "\r\n" LAST), "200 200" },
	{ "writer that lost his", TEXT("POST /loses HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n" LAST), "503 200" },

	{ "no host", TEXT("GET /loop/1 HTTP/1.1\r\n\r\n" LAST), "400" },
	{ "two hosts", TEXT("GET /loop/1 HTTP/1.1\r\n" HOST HOST "\r\n" LAST), "400" },
	{ "bare LF", TEXT("GET /loop/1 HTTP/1.1\nHost: a\n\n" LAST), "400" },
	{ "two lengths",
		TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} " LAST),
		"400" },
	{ "plus length", TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: +2\r\n\r\n{}" LAST), "400" },
	{ "length and chunks",
		TEXT("POST /things HTTP/1.1\r\n" HOST
		     "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" LAST),
		"400" },
	{ "blank before the colon", TEXT("GET /loop/1 HTTP/1.1\r\nHost : a\r\n\r\n" LAST), "400" },
	{ "folded", TEXT("GET /loop/1 HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n" LAST), "400" },
	{ "trailer", TEXT("POST /nothing HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n" LAST),
		"400" },
	{ "unknown method", TEXT("BREW / HTTP/1.1\r\n" HOST "\r\n" LAST), "405" },
	{ "TLS", TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "400" },
	{ "too large", TEXT("POST /things HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n{"), "413" },
	{ "too large in chunks", TEXT("POST /things HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3e9\r\n{"),
		"413" },
	{ "good, then bad", TEXT(GOOD "GET /loop/1 HTTP/1.1\r\nX\r\n\r\n" LAST), "200 400" },
	{ "good, then rubbish", TEXT(GOOD "\x00\x01\x02"), "200 400" },
};

static void test_exchanges(void **state)
{
	size_t failed = 0;
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	for (size_t i = 0; i < ARRAY_LEN(exchanges); i++)
		for (unsigned round = 0; round < 3; round++) {
			static const size_t steps[] = { 100000, 1, 7 };
			char answers[65536], got[64];

			exchange(&b, exchanges[i].bytes, exchanges[i].n, steps[round], answers, sizeof answers);
			statuses_of(answers, got, sizeof got);
			if (strcmp(got, exchanges[i].want) == 0)
				continue;
			print_error("%s (%zu bytes at once): got '%s', want '%s'\n%s\n", exchanges[i].what,
				steps[round], got, exchanges[i].want, answers);
			failed++;
		}
	bench_stop(&b);
	assert_int_equal(failed, 0);
}

/* ---- what an answer holds -------------------------------------------------------------------------------------------- */

static void test_headers_of_an_answer(void **state)
{
	static const char *const wanted[] = {
		"\r\nX-Content-Type-Options: nosniff\r\n",
		"\r\nX-Frame-Options: DENY\r\n",
		"\r\nX-XSS-Protection: 1; mode=block\r\n",
		"\r\nContent-Security-Policy: default-src 'self'\r\n",
		"\r\nContent-Type: application/json; charset=utf-8\r\n",
		"\r\nContent-Length: 10\r\n",
		"\r\nETag: \"v1\"\r\n",
		"\r\nX-Request-ID: my-id.1\r\n",
		"\r\nDate: ",
		"\r\nAccess-Control-Allow-Origin: https://a.example\r\n",
		"\r\n\r\n{\"id\":\"1\"}",
	};
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "GET /things/1 HTTP/1.1\r\n" HOST "Origin: https://a.example\r\nX-Request-ID: my-id.1\r\n" END, answer,
		sizeof answer);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (strstr(answer, wanted[i]) == NULL)
			fail_msg("'%s' is not in\n%s", wanted[i], answer);
	assert_null(strstr(answer, "Strict-Transport-Security"));
	assert_null(strstr(answer, "\r\nX-RateLimit-"));
	ask(&b, "GET /things/1 HTTP/1.1\r\n" HOST "X-Request-ID: a b\r\n" END, answer, sizeof answer);
	assert_non_null(strstr(answer, "\r\nX-Request-ID: req_"));
	ask(&b, "GET /fails HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	assert_non_null(strstr(answer, "\r\nX-Kept: yes\r\n"));
	assert_non_null(strstr(answer, "\"code\":\"CONFLICT\""));
	assert_non_null(strstr(answer, "\"documentation_url\":\"https://panel.example/docs/errors/CONFLICT\""));
	bench_stop(&b);
}

static void test_head_says_the_length_and_sends_nothing(void **state)
{
	char answer[8192];
	const char *end;
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "HEAD /things/1 HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	end = strstr(answer, "\r\n\r\n");
	assert_non_null(end);
	assert_string_equal(end, "\r\n\r\n");
	assert_non_null(strstr(answer, "\r\nContent-Length: 10\r\n"));
	bench_stop(&b);
}

static void test_large_answers(void **state)
{
	static char answers[2 * sizeof large + 4096];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "GET /things/large HTTP/1.1\r\n" HOST "\r\nGET /things/large HTTP/1.1\r\n" HOST END, answers,
		sizeof answers);
	assert_true(strlen(answers) > 2 * sizeof large);
	bench_stop(&b);
}

static void test_expect_continue(void **state)
{
	char answer[8192];
	struct bench b;
	int fd;

	(void)state;
	bench_start(&b, &conf_default);
	fd = client_open(&b);
	for (unsigned round = 0; round < 3; round++) { /* again on the same connection */
		client_say(fd, "POST /things HTTP/1.1\r\n" HOST
			       "Content-Type: application/json\r\nContent-Length: 22\r\nExpect: 100-continue\r\n\r\n");
		assert_true(client_read_until(fd, answer, sizeof answer, "100 Continue\r\n\r\n"));
		client_send(fd, "{\"name\":\"a\",\"port\":80}", 22, 7 + round);
		assert_true(client_read_until(fd, answer, sizeof answer, "\"port\":80}"));
		assert_non_null(strstr(answer, "HTTP/1.1 201"));
	}
	client_say(fd, "POST /things HTTP/1.1\r\n" HOST "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
	assert_true(client_read_until(fd, answer, sizeof answer, "PAYLOAD_TOO_LARGE"));
	assert_null(strstr(answer, "100 Continue"));
	close(fd);
	bench_stop(&b);
}

static void test_system_rows(void **state)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{ "/", "\"api\":\"/api/v1\"" },
		{ "/health", "{\"status\":\"healthy\",\"timestamp\":" },
		{ "/ready", "{\"ready\":true}" },
		{ "/metrics", "http_requests_total{method=\"GET\",status=\"200\",path=\"/health\"} 1" },
		{ "/openapi.json", "\"/things/{id}\":{\"get\":" },
		{ "/docs/errors/VALIDATION_ERROR", "<h1>VALIDATION_ERROR</h1>" },
		{ "/docs/errors/NOPE", "\"code\":\"NOT_FOUND\"" },
	};
	static char answer[1 << 20];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char request[128];

		(void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST END, cases[i].path);
		ask(&b, request, answer, sizeof answer);
		if (strstr(answer, cases[i].want) == NULL)
			fail_msg("%s: '%s' is not in\n%s", cases[i].path, cases[i].want, answer);
	}
	bench_stop(&b);
}

/* ---- lanes and parking ------------------------------------------------------------------------------------------------ */

static void test_full_lane_refuses(void **state)
{
	int first, second;
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	first = client_open(&b);
	client_say(first, "GET /gate HTTP/1.1\r\n" HOST END);
	gate_wait_inside(&b.feature.gate, 1);
	second = client_open(&b);
	client_say(second, "GET /gate HTTP/1.1\r\n" HOST END);
	do /* the second waits in the queue as soon as the loop has read it */
		ask(&b, "GET /gate HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	while (strncmp(answer, "HTTP/1.1 503", 12) != 0);
	assert_non_null(strstr(answer, "\"code\":\"OVERLOADED\""));
	assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
	ask(&b, LAST, answer, sizeof answer); /* others are not held up */
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	gate_open(&b.feature.gate);
	client_read_all(first, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 204"));
	client_read_all(second, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 204"));
	close(first);
	close(second);
	bench_stop(&b);
}

static void test_parked_answer(void **state)
{
	char answer[8192];
	struct bench b;
	int fd;

	(void)state;
	bench_start(&b, &conf_default);
	ask(&b, "GET /waits/short HTTP/1.1\r\n" HOST END, answer, sizeof answer);
	assert_non_null(strstr(answer, "{\"done\":false}")); /* its time was over */
	assert_int_equal(b.feature.freed, 1);
	fd = client_open(&b);
	client_say(fd, "GET /waits/long HTTP/1.1\r\n" HOST END);
	ask(&b, LAST, answer, sizeof answer); /* no worker is held */
	atomic_store(&b.feature.condition, true);
	while (atomic_load(&b.feature.freed) < 2) { /* woken before or after it parked: never lost, so this ends */
		park_wake(server_parks(b.server), "condition");
		sched_yield();
	}
	client_read_all(fd, answer, sizeof answer);
	assert_non_null(strstr(answer, "{\"done\":true}"));
	close(fd);
	bench_stop(&b);
}

/* ---- rates ------------------------------------------------------------------------------------------------------------- */

/* Three requests where two may come at once: true when one is refused. A server that takes a second for them may take all. */
static bool refuses_one_of(const char *three, char *answer, size_t size)
{
	struct server_conf conf = conf_default;
	bool refused = false;

	conf.per_address = (struct server_rate){ .rate = 1, .burst = 2 };
	for (unsigned i = 0; i < 20 && !refused; i++) {
		struct bench b;

		bench_start(&b, &conf);
		ask(&b, three, answer, size);
		bench_stop(&b);
		refused = strstr(answer, "HTTP/1.1 429 Too Many Requests") != NULL;
	}
	return refused;
}

static void test_rate_of_an_address(void **state)
{
	char answer[8192];

	(void)state;
	assert_true(refuses_one_of("GET /loop/1 HTTP/1.1\r\n" HOST "\r\n" GOOD LAST, answer, sizeof answer));
	assert_non_null(strstr(answer, "\r\nRetry-After: 1\r\n"));
	assert_non_null(strstr(answer, "\"code\":\"RATE_LIMIT_EXCEEDED\""));
}

/* What no row takes is counted like the rest: of these three the last is refused, each for itself. */
static void test_rate_of_what_is_nowhere(void **state)
{
	static const char *const lines[] = { "GET /nowhere", "OPTIONS /loop/1", "OPTIONS *", "PATCH /loop/1",
		"GET /%ff", "GET /loop/1?%ff" };
	char text[1024], answer[8192];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		(void)snprintf(text, sizeof text,
			"%s HTTP/1.1\r\n" HOST "\r\n%s HTTP/1.1\r\n" HOST "\r\n%s HTTP/1.1\r\n" HOST
			"Connection: close\r\n\r\n",
			lines[i], lines[i], lines[i]);
		if (!refuses_one_of(text, answer, sizeof answer))
			fail_msg("%s: %s", lines[i], answer);
	}
}

static uint64_t plan_of_two(void *self, const char *tenant_id)
{
	(void)self;
	return strcmp(tenant_id, "ten_1") == 0 ? 2 : 0;
}

static void test_plan_of_a_tenant(void **state)
{
	static const struct rate_plans plans = { .per_hour = plan_of_two };
	static const char request[] = "GET /mine/1 HTTP/1.1\r\n" HOST "Authorization: Bearer good\r\n" END;
	char answer[8192];
	struct bench b;

	(void)state;
	bench_start(&b, &conf_default);
	server_set_plans(b.server, &plans);
	ask(&b, request, answer, sizeof answer);
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Limit: 2\r\n"));
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Remaining: 1\r\n"));
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Window: 3600\r\n"));
	assert_non_null(strstr(answer, "\r\nX-RateLimit-Reset: "));
	ask(&b, request, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	ask(&b, request, answer, sizeof answer);
	assert_non_null(strstr(answer, "HTTP/1.1 429"));
	bench_stop(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_headers_of_an_answer),
		cmocka_unit_test(test_head_says_the_length_and_sends_nothing),
		cmocka_unit_test(test_large_answers),
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_system_rows),
		cmocka_unit_test(test_full_lane_refuses),
		cmocka_unit_test(test_parked_answer),
		cmocka_unit_test(test_rate_of_an_address),
		cmocka_unit_test(test_rate_of_what_is_nowhere),
		cmocka_unit_test(test_plan_of_a_tenant),
	};

	log_init("test", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
