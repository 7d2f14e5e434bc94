/* chain: the filters of a route in their order; what a change of the route keeps; the line in the log. */
#include "relayd/filter/chain.h"

#include "common/base/err.h"
#include "common/net/addr.h"
#include "common/uv/worker.h"
#include "proto/route_conf.h"
#include "relayd/filter/access_log.h"
#include "relayd/filter/text.h"
#include "relayd/http/block.h"
#include "tests/unit/relayd/heads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* after those: */
#include <cmocka.h>

static struct worker worker;
static struct chain *chain;
static const struct http_filters *filters;
static struct edit edit;
static struct http_head head, answer;
static struct addr client;
static uint64_t state[256];
static unsigned sees; /* what begin() said */
static struct filter_request request;

static const struct route_conf plain = { .redirect_to = "",
	.path_prefix = "",
	.rewrite_prefix = "",
	.rewrite_host = "",
	.mirror_pool = "",
	.access_log = true };

static void *route(const struct route_conf *conf, const void *before)
{
	const struct http_filter_route what = { .id = "rte_1", .conf = conf, .before = before };
	struct err e = { .code = ERR_NONE };
	void *r = NULL;

	if (filters->route_new(filters->arg, &r, &what, &e) != 0)
		fail_msg("%s", e.msg);
	return r;
}

static enum filter_verdict ask(void *r, const char *text, bool tls)
{
	static char path[256];

	assert_true(filters->state_size <= sizeof state);
	memset(state, 0, sizeof state);
	edit_reset(&edit);
	head_read(&head, text, false);
	snprintf(path, sizeof path, "%.*s", (int)http_head_path(&head).n, http_head_path(&head).p);
	assert_int_equal(addr_parse(&client, "192.0.2.7:999"), 0);
	request = (struct filter_request){ .arg = filters->arg,
		.worker = &worker,
		.why = "",
		.told = "",
		.head = &head,
		.client = &client,
		.host = "a.example",
		.path = text_span(path),
		.request_id = text_span("r-1"),
		.tls = tls,
		.route = r,
		.state = state };
	sees = filters->begin(&request);
	return filters->request(&request, &edit);
}

/* By then the request's head has gone. */
static void answered(unsigned status, const char *text)
{
	request.head = NULL;
	memset(&head, 0, sizeof head);
	edit_reset(&edit);
	if (text != NULL)
		head_read(&answer, text, true);
	filters->response(&request, status, text != NULL ? &answer : NULL, &edit);
}

static void end(void)
{
	const struct filter_outcome how = { .status = 200,
		.backend = "bck_1",
		.pool = "pol_1",
		.upstream = "10.0.0.1",
		.upstream_port = 80,
		.protocol = "HTTP/1.1",
		.why = "10.0.0.1:80 is down",
		.reason = "down",
		.took_us = 5 };

	filters->end(&request, &how);
}

static bool has(const char *name, const char *value)
{
	for (unsigned i = 0; i < edit.n_added; i++)
		if (strcmp(edit.added[i].name, name) == 0)
			return span_is(edit.added[i].value, value);
	return false;
}

#define GET "GET /api/x?y=1 HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n"

/* What an answer's rules say of the request, whose head has gone: whole, and of each request its own. */
static void test_answer_says_what_was_asked(void **s)
{
	static struct route_rule rules[] = {
		{ ROUTE_RULE_SET, "x-was", "{method} {host} {path}{query}" },
		{ ROUTE_RULE_SET, "x-field", "{header:X-Long}/{header:x-long}/{header:X-None}" },
		{ ROUTE_RULE_ADD, "x-cookie", "{cookie:a}-{cookie:A}" },
	};
	struct route_conf conf = plain;
	static char value[1500], text[2000], want[3100];
	void *r;

	(void)s;
	conf.access_log = false;
	conf.response_rules = rules;
	conf.n_response_rules = ARRAY_LEN(rules);
	r = route(&conf, NULL);
	memset(value, 'v', sizeof value - 1);
	snprintf(text, sizeof text, "%sX-Long: %s\r\nCookie: A=2; a=1\r\n\r\n", GET, value);
	assert_int_equal(ask(r, text, false), FILTER_PASS);
	answered(200, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	snprintf(want, sizeof want, "%s/%s/", value, value);
	assert_true(has("x-was", "GET a.example /api/x?y=1"));
	assert_true(has("x-field", want));
	assert_true(has("x-cookie", "1-2"));
	end();
	assert_int_equal(ask(r, "POST / HTTP/1.1\r\nHost: b.example\r\n\r\n", false), FILTER_PASS);
	answered(502, NULL);
	assert_true(has("x-was", "POST b.example /"));
	assert_true(has("x-field", "//"));
	assert_true(has("x-cookie", "-"));
	end();
	filters->route_free(r);
}

static void test_nothing_asked(void **s)
{
	void *r = route(&plain, NULL);

	(void)s;
	assert_int_equal(ask(r, GET "\r\n", false), FILTER_PASS);
	assert_int_equal(edit.n_added, 1); /* traceparent */
	assert_int_equal(edit.path.n, 0);
	answered(200, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(edit.n_added, 0);
	assert_false(edit.recoded || edit.failed);
	end();
	filters->route_free(r);
}

static void test_on_its_way(void **s)
{
	struct route_rule rules[] = { { ROUTE_RULE_SET, "x-a", "{path}" }, { ROUTE_RULE_ADD, "x-id", "{request_id}" } };
	struct route_conf conf = plain;
	void *r;

	(void)s;
	conf.rewrite = true;
	conf.path_prefix = "/api";
	conf.rewrite_prefix = "/v2";
	conf.rewrite_host = "inner.example";
	conf.request_rules = rules;
	conf.n_request_rules = 2;
	r = route(&conf, NULL);
	assert_int_equal(ask(r, GET "\r\n", false), FILTER_PASS);
	assert_true(span_is(edit.path, "/v2/x"));
	assert_true(span_is(edit.host, "inner.example"));
	assert_true(has("x-a", "/api/x"));
	assert_true(has("x-id", "r-1"));
	end();
	filters->route_free(r);
}

/* What stands first in the chain decides. */
static void test_answers(void **s)
{
	const char *origins[] = { "*" };
	struct route_conf conf = plain;
	void *r;

	(void)s;
	conf.redirect_status = 302;
	conf.redirect_to = "https://b.example{path}";
	conf.cors = (struct route_cors){
		.on = true, .origins = origins, .n_origins = 1, .methods = "", .headers = "", .expose = ""
	};
	r = route(&conf, NULL);
	assert_int_equal(ask(r, GET "\r\n", true), FILTER_ANSWER);
	assert_int_equal(edit.status, 302);
	assert_true(has("location", "https://b.example/api/x"));
	end();
	filters->route_free(r);
	conf.redirect_status = 0;
	r = route(&conf, NULL);
	assert_int_equal(ask(r,
				 "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://x\r\nAccess-Control-Request-Method: "
				 "PUT\r\n\r\n",
				 false),
		FILTER_ANSWER);
	assert_int_equal(edit.status, 204);
	assert_true(has("access-control-allow-methods", "PUT"));
	end();
	filters->route_free(r);
}

static void test_rate(void **s)
{
	struct route_conf conf = plain;
	void *r, *next;

	(void)s;
	conf.rate = (struct route_rate){ .per_second = 1, .burst = 2, .key = ROUTE_RATE_FIELD, .field = "x-a" };
	r = route(&conf, NULL);
	assert_int_equal(ask(r, GET "\r\n", false), FILTER_PASS);
	assert_int_equal(ask(r, GET "\r\n", false), FILTER_PASS);
	assert_int_equal(ask(r, GET "\r\n", false), FILTER_ANSWER);
	assert_int_equal(edit.status, 429);
	assert_true(has("retry-after", "1"));
	assert_int_equal(ask(r, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 2\r\n\r\n", false), FILTER_PASS); /* another key */
	conf.path_prefix = "/other";
	next = route(&conf, r);
	filters->route_free(r);
	assert_int_equal(ask(next, GET "\r\n", false), FILTER_ANSWER); /* a change is no new burst */
	filters->route_free(next);
}

static void test_compressed(void **s)
{
	struct route_conf conf = plain;
	struct blocks bs = { .n_ready = 0 };
	struct block *out = NULL;
	void *r;

	(void)s;
	conf.gzip = (struct route_gzip){ .on = true, .level = 5, .types = "" };
	r = route(&conf, NULL);
	assert_int_equal(ask(r, GET "Accept-Encoding: gzip\r\n\r\n", false), FILTER_PASS);
	answered(200, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\n");
	assert_true(edit.recoded);
	assert_true(has("content-encoding", "gzip"));
	assert_int_equal(filters->content(&request, text_span(GET), true, &bs, &out), 0);
	assert_true(block_waiting(out) > 10 && out->bytes[out->at] == 0x1f && out->bytes[out->at + 1] == 0x8b);
	end();
	block_put(&bs, out);
	blocks_fini(&bs);
	filters->route_free(r);
}

static void test_own_answer(void **s)
{
	struct route_page pages[] = { { 503, "text/plain", "closed" } };
	struct route_rule rules[] = { { ROUTE_RULE_SET, "x-by", "{status}" } };
	struct route_conf conf = plain;
	void *r;

	(void)s;
	conf.pages = pages;
	conf.n_pages = 1;
	conf.response_rules = rules;
	conf.n_response_rules = 1;
	r = route(&conf, NULL);
	assert_int_equal(ask(r, GET "\r\n", false), FILTER_PASS);
	answered(503, NULL);
	assert_true(span_is(edit.body, "closed"));
	assert_true(has("x-by", "503"));
	assert_true(has("content-type", "text/plain"));
	answered(502, NULL);
	assert_true(edit.body.n > 0 && !edit.failed);
	/* who asks is told what may be told, whatever is known of it */
	request.told = "nobody is up";
	request.why = "10.0.0.1:80 is down";
	answered(502, NULL);
	assert_true(span_is(edit.body, "502 Bad Gateway: nobody is up\nrequest r-1\n"));
	answered(503, NULL);
	assert_true(span_is(edit.body, "closed"));
	end();
	filters->route_free(r);
}

static void test_bad_route(void **s)
{
	struct route_rule rules[] = { { ROUTE_RULE_SET, "x-by", "{nothing}" } };
	struct route_conf conf = plain;
	const struct http_filter_route what = { .id = "rte_1", .conf = &conf };
	struct err e = { .code = ERR_NONE };
	void *r = NULL;

	(void)s;
	conf.response_rules = rules;
	conf.n_response_rules = 1;
	assert_int_equal(filters->route_new(filters->arg, &r, &what, &e), -1);
	assert_non_null(strstr(e.msg, "{nothing}"));
	assert_null(r);
}

/* Who has nothing to say of an answer is not asked, and who keeps nothing is told no end. */
static void test_what_is_seen(void **s)
{
	struct route_rule rules[] = { { ROUTE_RULE_SET, "x-by", "{status}" } };
	struct route_conf conf = plain;
	void *r = route(&conf, NULL);

	(void)s;
	assert_int_equal(ask(r, GET "\r\n", false), FILTER_PASS);
	assert_int_equal(sees, 0);
	filters->route_free(r);
	for (unsigned i = 0; i < 3; i++) {
		conf = plain;
		conf.response_rules = rules;
		conf.n_response_rules = i == 0;
		conf.cors.on = i == 1;
		conf.gzip.on = i == 2;
		r = route(&conf, NULL);
		assert_int_equal(ask(r, GET "\r\n", false), FILTER_PASS);
		assert_int_equal(sees, FILTER_SEES_ANSWER | FILTER_SEES_END);
		end();
		filters->route_free(r);
	}
}

static void test_log(void **s)
{
	char path[] = "/tmp/chain-log-XXXXXX", line[2048] = "";
	struct access_log *log;
	struct chain *with;
	FILE *f;
	void *r;

	(void)s;
	close(mkstemp(path));
	assert_int_equal(access_log_new(&log, path, 1, NULL), 0);
	assert_int_equal(chain_new(&with, log, 1, NULL), 0);
	filters = chain_filters(with);
	r = route(&plain, NULL);
	assert_int_equal(ask(r, GET "User-Agent: curl\r\n\r\n", false), FILTER_PASS);
	assert_int_equal(sees, FILTER_SEES_END);
	request.head = NULL;
	memset(&head, 0, sizeof head);
	end();
	filters->route_free(r);
	access_log_free(log);
	chain_free(with);
	filters = chain_filters(chain);
	f = fopen(path, "r");
	assert_non_null(fgets(line, sizeof line, f));
	fclose(f);
	unlink(path);
	assert_non_null(strstr(line, "\"request_id\":\"r-1\""));
	assert_non_null(strstr(line,
		"\"method\":\"GET\",\"scheme\":\"http\",\"host\":\"a.example\",\"path\":\"/api/x\",\"query\":\"y=1\""));
	assert_non_null(strstr(line, "\"route\":\"rte_1\",\"pool\":\"pol_1\",\"backend\":\"bck_1\""));
	assert_non_null(
		strstr(line, "\"user_agent\":\"curl\",\"reason\":\"down\",\"error\":\"10.0.0.1:80 is down\"}\n"));
}

static int set_up(void **s)
{
	(void)s;
	if (chain_new(&chain, NULL, 1, NULL) != 0)
		return -1;
	worker.now_ns = UINT64_C(1000000000000);
	filters = chain_filters(chain);
	return 0;
}

static int tear_down(void **s)
{
	(void)s;
	chain_free(chain);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_asked),
		cmocka_unit_test(test_answer_says_what_was_asked),
		cmocka_unit_test(test_on_its_way),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_own_answer),
		cmocka_unit_test(test_bad_route),
		cmocka_unit_test(test_what_is_seen),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
