/* http_reader: what is accepted and what it means, in one piece and in pieces; what is refused; limits; ends of connections. */
#include "tests/lib/http_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct tale {
	const char *bytes, *story;
};

/* In every cut that matters: all at once, one by one, and two sizes that meet the tokens elsewhere. */
static void assert_story(const struct story *setup, const char *bytes, size_t n, const char *want)
{
	static const size_t steps[] = { SIZE_MAX, 1, 2, 17 };

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		static struct story s;
		const char *got;

		s = *setup;
		got = story_tell(&s, (const uint8_t *)bytes, n, steps[i]);
		if (strcmp(got, want) != 0)
			fail_msg("in pieces of %zu:\n%s\nbecame:\n%s\nnot:\n%s", steps[i], bytes, got, want);
		buf_free(&s.text);
	}
}

static void assert_tales(const struct story *setup, const struct tale *tales, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_story(setup, tales[i].bytes, strlen(tales[i].bytes), tales[i].story);
}

#define H "Host: a\r\n"

static void test_requests(void **state)
{
	static const struct tale tales[] = {
		{ "GET / HTTP/1.1\r\n" H "\r\n", "GET host=a path=/ keep\n| Host: a\nend\n" },
		{ "\r\nGET /a/b?c=d?e HTTP/1.1\r\nHOST:\t example.com:8080 \t\r\naccept:*/*\r\n\r\n",
			"GET host=example.com:8080 path=/a/b query=?c=d?e keep\n| HOST: example.com:8080\n| accept: "
			"*/*\nend\n" },
		{ "GET http://a.b/c HTTP/1.1\r\nHost: A.b:80\r\n\r\n",
			"GET host=a.b path=/c keep\n| Host: A.b:80\nend\n" },
		{ "GET http://[::1]?q HTTP/1.1\r\nHost: [::1]\r\n\r\n",
			"GET host=[::1] path=/ query=?q keep\n| Host: [::1]\nend\n" },
		{ "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS host=a path=* keep\n| Host: a\nend\n" },
		{ "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" H "\r\n",
			"POST host=a path=/ keep length=3\n| Host: a\n| Content-Length: 3\ndata abc\nend\n"
			"GET host=a path=/2 keep\n| Host: a\nend\n" },
		{ "brew / HTTP/1.0\r\n\r\nx", "brew host= path=/ 1.0 close\nend\n" },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nExpect: 200-maybe\r\n\r\n",
			"GET host= path=/ 1.0 keep\n~ Connection: Keep-Alive\n| Expect: 200-maybe\nend\n" },
		{ "PUT / HTTP/1.1\r\n" H
		  "Expect: 100-Continue\r\nContent-Length: 0\r\nConnection: , close,,X-a\r\nx-A:1\r\n\r\n",
			"PUT host=a path=/ close length=0 expects-100\n| Host: a\n| Expect: 100-Continue\n"
			"| Content-Length: 0\n~ Connection: , close,,X-a\n~ x-A: 1\nend\n" },
	};
	const struct story setup = { .asked = NULL };

	(void)state;
	assert_tales(&setup, tales, ARRAY_LEN(tales));
}

static void test_chunks(void **state)
{
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
#define TOLD    "POST host=a path=/ keep chunked\n| Host: a\n~ Transfer-Encoding: chunked\n"
	static const struct tale tales[] = {
		{ CHUNKED "3\r\nabc\r\n00a\r\n0123456789\r\n0\r\n\r\n", TOLD "data abc0123456789\nend\n" },
		{ CHUNKED "1;a;b=c; d = \"e;\\\"\r\"\r\n", TOLD "fault CHUNK_EXT 400\n" },
		{ CHUNKED "1;a;b=c; d = \"e;\\\"\" \r\nx\r\n0;z\r\nX: y \r\nContent-Length: 5\r\nETag: 1\r\nz:\r\n\r\n",
			TOLD "data x\ntrailers\n| X: y\n| ETag: 1\n| z: \n| (1 dropped)\nend\n" },
		{ CHUNKED "0\r\nHost: b\r\n\r\n", TOLD "trailers\n| (1 dropped)\nend\n" },
		{ CHUNKED "0\r\n x\r\n\r\n", TOLD "fault FOLDED 400\n" },
		{ CHUNKED "0\r\nx : y\r\n\r\n", TOLD "fault NAME_SPACE 400\n" },
		{ CHUNKED "7fffffffffffffff\r\nx", TOLD "data x\n" },
		{ CHUNKED "8000000000000000\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "00000000000000001\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "-1\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "+1\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "0x1\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED " 1\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "1 \r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "1 ;a\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "1_0\r\nx", TOLD "fault CHUNK_SIZE 400\n" },
		{ CHUNKED "1\nx", TOLD "fault BARE_LF 400\n" },
		{ CHUNKED "1\rx", TOLD "fault BARE_CR 400\n" },
		{ CHUNKED "1;\r\nx", TOLD "fault CHUNK_EXT 400\n" },
		{ CHUNKED "1;a=\r\nx", TOLD "fault CHUNK_EXT 400\n" },
		{ CHUNKED "1;a\nx", TOLD "fault BARE_LF 400\n" },
		{ CHUNKED "1;a=\"\nx", TOLD "fault BARE_LF 400\n" },
		{ CHUNKED "1\r\nxy\r\n", TOLD "data x\nfault CHUNK_END 400\n" },
		{ CHUNKED "1\r\nx\n0\r\n\r\n", TOLD "data x\nfault CHUNK_END 400\n" },
		{ CHUNKED "1\r\nx\r0\r\n\r\n", TOLD "data x\nfault CHUNK_END 400\n" },
	};
	const struct story setup = { .asked = NULL };

	(void)state;
	assert_tales(&setup, tales, ARRAY_LEN(tales));
}

/* Each is refused for what its name says, and nothing of it was told before. */
static void test_refused(void **state)
{
#define GET "GET / HTTP/1.1\r\n"
	static const struct {
		const char *bytes, *fault;
	} cases[] = {
		{ "\r\n\r\n" GET H "\r\n", "METHOD 400" },
		{ "\n" GET H "\r\n", "BARE_LF 400" },
		{ " GET / HTTP/1.1\r\n" H "\r\n", "METHOD 400" },
		{ "G@T / HTTP/1.1\r\n" H "\r\n", "METHOD 400" },
		{ "GET\t/ HTTP/1.1\r\n" H "\r\n", "METHOD 400" },
		{ "\x16\x03\x01", "METHOD 400" },
		{ "ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC /", "METHOD_LONG 501" },
		{ "GET  / HTTP/1.1\r\n" H "\r\n", "TARGET 400" },
		{ "GET /\x7f HTTP/1.1\r\n" H "\r\n", "TARGET 400" },
		{ "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", "TARGET 400" },
		{ "GET /#a HTTP/1.1\r\n" H "\r\n", "TARGET 400" },
		{ "GET /a\\b HTTP/1.1\r\n" H "\r\n", "TARGET 400" },
		{ "GET /\r\n", "VERSION_FORM 400" },
		{ "GET /\n", "BARE_LF 400" },
		{ "GET /  HTTP/1.1\r\n" H "\r\n", "VERSION_FORM 400" },
		{ "GET /a b HTTP/1.1\r\n" H "\r\n", "VERSION_FORM 400" },
		{ "GET / HTTP/1.1 \r\n" H "\r\n", "VERSION_FORM 400" },
		{ "GET / http/1.1\r\n" H "\r\n", "VERSION_FORM 400" },
		{ "GET / HTTP/1\r\n" H "\r\n", "VERSION_FORM 400" },
		{ "GET / HTTP/01.1\r\n" H "\r\n", "VERSION_FORM 400" },
		{ "GET / HTTP/1.1\n" H "\r\n", "BARE_LF 400" },
		{ "GET / HTTP/1.1\rX", "BARE_CR 400" },
		{ "GET / HTTP/0.9\r\n", "VERSION 505" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "VERSION 505" },
		{ "GET a HTTP/1.1\r\n" H "\r\n", "TARGET_FORM 400" },
		{ "GET * HTTP/1.1\r\n" H "\r\n", "TARGET_FORM 400" },
		{ "GET a:80 HTTP/1.1\r\n" H "\r\n", "TARGET_FORM 400" },
		{ "GET ftp://a/ HTTP/1.1\r\n" H "\r\n", "TARGET_FORM 400" },
		{ "CONNECT / HTTP/1.1\r\n" H "\r\n", "TARGET_FORM 400" },
		{ "CONNECT a HTTP/1.1\r\n" H "\r\n", "TARGET_FORM 400" },
		{ "GET http://u@a/ HTTP/1.1\r\n" H "\r\n", "HOST 400" },
		{ "GET http:/// HTTP/1.1\r\n" H "\r\n", "HOST 400" },
		{ "GET http://b/ HTTP/1.1\r\n" H "\r\n", "HOST_DIFFERS 400" },
		{ "GET http://a:81/ HTTP/1.1\r\n" H "\r\n", "HOST_DIFFERS 400" },
		{ "GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", "HOST_DIFFERS 400" },
		{ GET "\r\n", "HOST_MISSING 400" },
		{ GET H H "\r\n", "HOST_TWICE 400" },
		{ "GET / HTTP/1.0\r\n" H H "\r\n", "HOST_TWICE 400" },
		{ GET "Host:\r\n\r\n", "HOST 400" },
		{ GET "Host: a/b\r\n\r\n", "HOST 400" },
		{ GET "Host: a b\r\n\r\n", "HOST 400" },
		{ GET "Host: a,b\r\n\r\n", "HOST 400" },
		{ GET "Host: u@a\r\n\r\n", "HOST 400" },
		{ GET "Host: a:65536\r\n\r\n", "HOST 400" },
		{ GET "Host: [::1\r\n\r\n", "HOST 400" },
		{ GET H "X: a\n\r\n", "BARE_LF 400" },
		{ GET H "X: a\rb\r\n\r\n", "BARE_CR 400" },
		{ GET H "X\r\n\r\n", "NAME 400" },
		{ GET H "X \r\n\r\n", "NAME_SPACE 400" },
		{ GET H ": x\r\n\r\n", "NAME 400" },
		{ GET H "X : a\r\n\r\n", "NAME_SPACE 400" },
		{ GET H "X\t: a\r\n\r\n", "NAME_SPACE 400" },
		{ GET H "X(: a\r\n\r\n", "NAME 400" },
		{ GET H "\xe4: a\r\n\r\n", "NAME 400" },
		{ GET H " X: a\r\n\r\n", "FOLDED 400" },
		{ GET " " H "\r\n", "FOLDED 400" },
		{ GET H "X: a\r\n b\r\n\r\n", "FOLDED 400" },
		{ GET H "X: a\vb\r\n\r\n", "VALUE 400" },
		{ GET H "X: a\x7f\r\n\r\n", "VALUE 400" },
		{ GET H "\rX", "BARE_CR 400" },
		{ GET H "\n", "BARE_LF 400" },
		{ GET H "Content-Length: \r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: +1\r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: -1\r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: 0x1\r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: 1 1\r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: 1, 1\r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: 1.0\r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: 99999999999999999999,\r\n\r\n", "LENGTH 400" },
		{ GET H "Content-Length: 99999999999999999999\r\n\r\n", "LENGTH_HUGE 413" },
		{ GET H "Content-Length: 9223372036854775808\r\n\r\n", "LENGTH_HUGE 413" },
		{ GET H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "LENGTH_TWICE 400" },
		{ GET H "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", "LENGTH_CODED 400" },
		{ GET H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "LENGTH_CODED 400" },
		{ GET H "Transfer-Encoding: \r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: identity\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: xchunked\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: chunked, gzip\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: chunked, chunked\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: \"chunked\"\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: chunked;q=1\r\n\r\n", "CODING 400" },
		{ GET H "Transfer-Encoding: gzip, chunked\r\n\r\n", "CODING_UNKNOWN 501" },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "CODING_VERSION 400" },
		{ GET H "Connection: a b\r\n\r\n", "CONNECTION 400" },
		{ GET H "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,1,2,3,4,5,6,7\r\n\r\n",
			"CONNECTION 400" },
		{ GET H "Expect: 200-ok\r\n\r\n", "EXPECT 417" },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a:2\r\n\r\n", "HOST_DIFFERS 400" },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n", "CONTENT 400" },
	};
	const struct story setup = { .asked = NULL };
	char want[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(want, sizeof want, "fault %s\n", cases[i].fault);
		assert_story(&setup, cases[i].bytes, strlen(cases[i].bytes), want);
	}
}

static void test_nul(void **state)
{
	static const char in_value[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
	static const char in_name[] = "GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n";
	static const char in_target[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n";
	const struct story setup = { .asked = NULL };

	(void)state;
	assert_story(&setup, in_value, sizeof in_value - 1, "fault VALUE 400\n");
	assert_story(&setup, in_name, sizeof in_name - 1, "fault NAME 400\n");
	assert_story(&setup, in_target, sizeof in_target - 1, "fault TARGET 400\n");
}

/* What follows CONNECT and Upgrade is HTTP only if the response says so. */
static void test_hold(void **state)
{
#define WS          "GET / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: ws\r\n\r\n"
#define WS_TOLD     "GET host=a path=/ keep upgrade\n| Host: a\n~ Connection: upgrade\n~ Upgrade: ws\nend\nhold\n"
#define TUNNEL      "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
#define TUNNEL_TOLD "CONNECT host=a:443 keep\n| Host: a:443\nend\nhold\n"
	static const struct tale held[] = {
		{ WS GET H "\r\n", WS_TOLD },
		{ TUNNEL "\x16\x03", TUNNEL_TOLD },
		/* Without the option, or in HTTP/1.0, the field asks for nothing. */
		{ GET H "Upgrade: ws\r\n\r\nx", "GET host=a path=/ keep\n| Host: a\n~ Upgrade: ws\nend\n" },
		{ "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: ws\r\n\r\n",
			"GET host= path=/ 1.0 close\n~ Connection: upgrade\n~ Upgrade: ws\nend\n" },
	};
	static const struct tale resumed[] = {
		{ WS TUNNEL WS, WS_TOLD TUNNEL_TOLD WS_TOLD },
	};
	const struct story stops = { .asked = NULL }, goes_on = { .resume = true };

	(void)state;
	assert_tales(&stops, held, ARRAY_LEN(held));
	assert_tales(&goes_on, resumed, ARRAY_LEN(resumed));
}

static void test_responses(void **state)
{
	static const struct {
		const char *asked, *bytes, *story;
	} cases[] = {
		{ "g", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			"200 keep length=2\n| Content-Length: 2\ndata ok\nend\n" },
		{ "gg", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
			"200 keep length=2\n| Content-Length: 2\ndata ok\nend\n404 keep length=0\n| Content-Length: "
			"0\nend\n" },
		{ "g", "HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 Hi\r\nLink: x\r\n\r\nHTTP/1.1 204 N\r\n\r\n",
			"100 keep\nend\n103 keep\n| Link: x\nend\n204 keep\nend\n" },
		{ "h", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
			"200 keep length=9\n| Content-Length: 9\nend\n" },
		{ "hg",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 304 N\r\nContent-Length: "
			"5\r\n\r\n",
			"200 keep\n~ Transfer-Encoding: chunked\nend\n304 keep length=5\n| Content-Length: 5\nend\n" },
		{ "g", "HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n",
			"204 close length=5\n| Content-Length: 5\nend\n" },
		{ "g", "HTTP/1.1 200 OK\r\n\r\nall", "200 close until-close\ndata all\nend\n" },
		{ "g", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
			"200 1.0 close length=2\n| Content-Length: 2\ndata ab\nend\n" },
		{ "g", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
			"200 keep length=2\n| Content-Length: 2\ndata a\nfault TRUNCATED 400\n" },
		{ "g", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
			"200 keep chunked\n~ Transfer-Encoding: chunked\ndata a\nfault TRUNCATED 400\n" },
		{ "g", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
			"200 keep chunked\n~ Transfer-Encoding: chunked\nfault TRUNCATED 400\n" },
		{ "g", "HTTP/1.1 200 O", "fault TRUNCATED 400\n" },
		{ "g", "", "fault TRUNCATED 400\n" },
		{ "", "", "" },
		{ "", "H", "fault UNASKED 502\n" },
		{ "g", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx",
			"200 keep length=0\n| Content-Length: 0\nend\nfault UNASKED 502\n" },
		{ "g", "HTTP/1.1 101 S\r\nUpgrade: ws\r\n\r\n", "fault SWITCH_UNASKED 502\n" },
		{ "u", "HTTP/1.0 101 S\r\nUpgrade: ws\r\n\r\n", "fault SWITCH_UNASKED 502\n" },
		{ "u", "HTTP/1.1 101 S\r\nUpgrade: ws\r\n\r\n\x81", "101 keep switches\n~ Upgrade: ws\nend\nhold\n" },
		{ "ug", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			"200 keep length=0\n| Content-Length: 0\nend\n200 keep length=0\n| Content-Length: 0\nend\n" },
		{ "c", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nraw",
			"200 keep length=5 switches\n| Content-Length: 5\nend\nhold\n" },
		{ "c", "HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\nx",
			"407 keep length=1\n| Content-Length: 1\ndata x\nend\n" },
		{ "g", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
			"fault LENGTH_TWICE 400\n" },
		{ "g", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
			"fault LENGTH_CODED 400\n" },
		{ "h", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "fault CODING 400\n" },
		{ "g", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "fault CODING_VERSION 400\n" },
		{ "g", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "fault FOLDED 400\n" },
		{ "g", "HTTP/1.1 200 OK\nA: b\n\n", "fault BARE_LF 400\n" },
		{ "g", "HTTP/1.1  200 OK\r\n", "fault STATUS_LINE 400\n" },
		{ "g", "HTTP/1.1 20 OK\r\n", "fault STATUS_LINE 400\n" },
		{ "g", "HTTP/1.1 2000 OK\r\n", "fault STATUS_LINE 400\n" },
		{ "g", "HTTP/1.1 099 OK\r\n", "fault STATUS_LINE 400\n" },
		{ "g", "HTTP/1.1 600 OK\r\n", "fault STATUS_LINE 400\n" },
		{ "g", "HTTP/1.1 200 a\x01\r\n", "fault STATUS_LINE 400\n" },
		{ "g", "HTTP/2.0 200 OK\r\n", "fault VERSION 505\n" },
		{ "g", "\r\nHTTP/1.1 200 OK\r\n", "fault VERSION_FORM 400\n" },
		{ "g", "ICY 200 OK\r\n", "fault VERSION_FORM 400\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct story setup = { .asked = cases[i].asked, .eof = true };

		assert_story(&setup, cases[i].bytes, strlen(cases[i].bytes), cases[i].story);
	}
}

static void test_request_eof(void **state)
{
	static const struct tale tales[] = {
		{ "", "" },
		{ GET H "\r\n", "GET host=a path=/ keep\n| Host: a\nend\n" },
		{ GET H, "fault TRUNCATED 400\n" },
		{ "G", "fault TRUNCATED 400\n" },
		{ GET H "Content-Length: 1\r\n\r\n",
			"GET host=a path=/ keep length=1\n| Host: a\n| Content-Length: 1\nfault TRUNCATED 400\n" },
	};
	const struct story setup = { .eof = true };

	(void)state;
	assert_tales(&setup, tales, ARRAY_LEN(tales));
}

/* At a limit a message passes, one byte above it does not, whether the byte has come or not. */
static void test_limits(void **state)
{
	static const struct http_limits limits = {
		.line = 20, .field = 12, .head = 48, .fields = 3, .chunk_ext = 4, .interim = 2
	};
	static const struct tale tales[] = {
		{ "GET /34567 HTTP/1.1", "" },
		{ "GET /345 HTTP/1.1\r\nHost: a\r\n\r\n", "GET host=a path=/345 keep\n| Host: a\nend\n" },
		{ "GET /3456 HTTP/1.1\r\n", "" },
		{ "GET /34567 HTTP/1.1\r\n", "fault TARGET_LONG 414\n" },
		{ "GET /345678901234567", "fault TARGET_LONG 414\n" },
		{ GET "Host: 6789\r\n", "" },
		{ GET "Host: 67890\r\n", "fault FIELD_LONG 431\n" },
		{ GET "Host: 678901", "fault FIELD_LONG 431\n" },
		{ GET H "A:b\r\nC:d\r\n\r\n", "GET host=a path=/ keep\n| Host: a\n| A: b\n| C: d\nend\n" },
		{ GET H "A:b\r\nC:d\r\nE", "fault FIELDS_MANY 431\n" },
		{ GET H "A:2345678\r\nC:3456789\r\n", "" },
		{ GET H "A:2345678\r\nC:3456789\r\n\r", "fault HEAD_LONG 431\n" },
		{ GET H "A:2345678\r\nC:345\r\n\r\n",
			"GET host=a path=/ keep\n| Host: a\n| A: 2345678\n| C: 345\nend\n" },
	};
	struct story setup = { .limits = &limits };

	(void)state;
	assert_tales(&setup, tales, ARRAY_LEN(tales));
	setup.asked = "g";
	assert_story(&setup, "HTTP/1.1 100\r\n\r\nHTTP/1.1 100\r\n\r\nHTTP/1.1 100\r\n\r\n", 48,
		"100 keep\nend\n100 keep\nend\nfault INTERIM_MANY 502\n");
	assert_story(&setup, "HTTP/1.1 200 456789\r\n\r\n", 23, "fault STATUS_LINE 400\n");
}

static void test_chunk_limits(void **state)
{
	static const struct http_limits limits = {
		.line = 100, .field = 100, .head = 100, .fields = 9, .chunk_ext = 6, .interim = 2
	};
	static const struct tale tales[] = {
		{ CHUNKED "1;ab\r\nx\r\n1;cd=\r\n", TOLD "data x\nfault CHUNK_EXT 400\n" },
		{ CHUNKED "1;abc\r\nx\r\n1;defg\r\n", TOLD "data x\nfault CHUNK_EXT_LONG 413\n" },
		{ CHUNKED "1;abc\r\nx\r\n1;def\r\ny\r\n0\r\n\r\n", TOLD "data xy\nend\n" },
		{ CHUNKED "1;abc\r\nx\r\n2;def\r\nyz\r\n", TOLD "data xyz\n" },
	};
	struct story setup = { .limits = &limits };

	(void)state;
	assert_tales(&setup, tales, ARRAY_LEN(tales));
	setup.body_max = 3;
	assert_story(
		&setup, CHUNKED "1\r\nx\r\n3\r\nabc\r\n", strlen(CHUNKED) + 14, TOLD "data xab\nfault BODY_LONG 413\n");
	assert_story(&setup, CHUNKED "3\r\nabc\r\n0\r\n\r\n", strlen(CHUNKED) + 13, TOLD "data abc\nend\n");
	assert_story(&setup, GET H "Content-Length: 4\r\n\r\n", strlen(GET H) + 21,
		"GET host=a path=/ keep length=4\n| Host: a\n| Content-Length: 4\nfault BODY_LONG 413\n");
}

/* A fault is for good, and a reader answers it as often as it is asked. */
static void test_fault_stays(void **state)
{
	struct http_reader r;
	struct http_head h;
	struct http_piece piece;
	const uint8_t good[] = GET H "\r\n";

	(void)state;
	http_reader_init_request(&r, &http_limits_default);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)"\n", 1, &piece), HTTP_FAULT);
	assert_int_equal(http_reader_next(&r, &h, good, sizeof good - 1, &piece), HTTP_FAULT);
	assert_int_equal(piece.fault, HTTP_BAD_BARE_LF);
	http_reader_resume(&r);
	assert_int_equal(http_reader_eof(&r, &piece), HTTP_FAULT);
	assert_int_equal(piece.fault, HTTP_BAD_BARE_LF);
}

/* What the reader is told of content that went another way: it counts, and the end is where it was. */
static void test_content_that_goes_by(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", tail[] = "hijHTTP/";
	static const struct http_asked asked = { .head = false };
	struct http_piece piece;
	struct http_reader r;
	struct http_head h;

	(void)state;
	http_reader_init_response(&r, &http_limits_default);
	http_reader_ask(&r, &asked);
	assert_int_equal(http_reader_plain(&r), 0);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)head, sizeof head - 1, &piece), HTTP_HEAD_IN);
	assert_int_equal(http_reader_plain(&r), 10);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)head + piece.used, 3, &piece), HTTP_DATA);
	assert_int_equal(http_reader_plain(&r), 7);
	http_reader_pass(&r, 4);
	assert_int_equal(http_reader_plain(&r), 3);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)tail, sizeof tail - 1, &piece), HTTP_DATA);
	assert_int_equal(piece.used, 3);
	assert_int_equal(http_reader_plain(&r), 0);
	assert_int_equal(http_reader_next(&r, &h, NULL, 0, &piece), HTTP_END);
}

static void test_all_of_it_goes_by(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n";
	struct http_piece piece;
	struct http_reader r;
	struct http_head h;

	(void)state;
	http_reader_init_request(&r, &http_limits_default);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)head, sizeof head - 1, &piece), HTTP_HEAD_IN);
	http_reader_limit_body(&r, 9);
	assert_int_equal(http_reader_plain(&r), 0); /* too long: that is the reader's to say */
	http_reader_limit_body(&r, 10);
	http_reader_pass(&r, 9);
	assert_int_equal(http_reader_plain(&r), 1);
	assert_int_equal(http_reader_eof(&r, &piece), HTTP_FAULT);
	http_reader_init_request(&r, &http_limits_default);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)head, sizeof head - 1, &piece), HTTP_HEAD_IN);
	http_reader_pass(&r, 10);
	assert_int_equal(http_reader_next(&r, &h, NULL, 0, &piece), HTTP_END);
	assert_int_equal(http_reader_next(&r, &h, (const uint8_t *)head, sizeof head - 1, &piece), HTTP_HEAD_IN);
}

static void test_what_does_not_go_by(void **state)
{
	static const char *const heads[] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n" };
	static const struct http_asked get = { .head = false };
	struct http_piece piece;
	struct http_reader r;
	struct http_head h;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		http_reader_init_response(&r, &http_limits_default);
		http_reader_ask(&r, &get);
		assert_int_equal(
			http_reader_next(&r, &h, (const uint8_t *)heads[i], strlen(heads[i]), &piece), HTTP_HEAD_IN);
		assert_int_equal(http_reader_plain(&r), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_request_eof),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_chunk_limits),
		cmocka_unit_test(test_fault_stays),
		cmocka_unit_test(test_content_that_goes_by),
		cmocka_unit_test(test_all_of_it_goes_by),
		cmocka_unit_test(test_what_does_not_go_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
