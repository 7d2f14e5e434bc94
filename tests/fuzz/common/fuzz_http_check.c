/*
 * What a server answers to a check: the same verdict however its bytes are cut. First the text that is looked for, up to a NUL.
 */
#include "common/http/http_check.h"
#include "tests/fuzz/fuzz.h"

static enum http_check_says ask(const struct http_check_conf *conf, const uint8_t *p, size_t n, size_t step)
{
	enum http_check_says says = HTTP_CHECK_MORE;
	struct http_check c;

	http_check_init(&c, conf);
	for (size_t at = 0; at < n && says == HTTP_CHECK_MORE; at += step)
		says = http_check_feed(&c, p + at, MIN(step, n - at));
	if (says == HTTP_CHECK_MORE)
		says = http_check_eof(&c);
	FUZZ_CHECK(says != HTTP_CHECK_MORE && (says == HTTP_CHECK_GOOD) == (c.why[0] == '\0'));
	http_check_fini(&c);
	return says;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *const end = memchr(data, 0, MIN(size, HTTP_CHECK_TEXT));
	const struct http_check_conf conf = {
		.method = "GET", .path = "/", .host = "a", .agent = "x", .text = (const char *)data
	};
	size_t at;

	if (end == NULL || size > HTTP_CHECK_HEAD)
		return 0;
	at = (size_t)(end - data) + 1;
	FUZZ_CHECK(ask(&conf, data + at, size - at, 8192) == ask(&conf, data + at, size - at, 1));
	return 0;
}
