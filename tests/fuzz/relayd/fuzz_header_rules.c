/*
 * Header rules and their templates on a request: the rules of a first part, a NUL, then the request. What is added can be written as a
 * head, and reads back as it was meant.
 */
#include "common/http/http_reader.h"
#include "common/http/http_writer.h"
#include "proto/route_parts.h"
#include "relayd/filter/header_rules.h"
#include "tests/fuzz/fuzz.h"

static struct edit edits;
static uint8_t out[4 * HTTP_HEAD_MAX];

/* "name=value" lines; a '-' in front removes. */
static unsigned read_rules(char *text, struct route_rule *rules, unsigned max)
{
	unsigned n = 0;

	for (char *line = text; line != NULL && *line != '\0' && n < max;) {
		char *const end = strchr(line, '\n'), *const next = end != NULL ? end + 1 : NULL;
		char *value;

		if (end != NULL)
			*end = '\0';
		value = strchr(line, '=');
		if (value != NULL)
			*value++ = '\0';
		rules[n].op = *line == '-' ? ROUTE_RULE_REMOVE : n % 2 == 0 ? ROUTE_RULE_SET : ROUTE_RULE_ADD;
		rules[n].name = *line == '-' ? line + 1 : line;
		rules[n++].value = value != NULL ? value : "";
		line = next;
	}
	return n;
}

static void write_and_read(struct http_head *h)
{
	struct http_writer w;
	struct http_reader r;
	struct http_piece piece;
	static struct http_head again;
	bool until_close;
	int n;

	http_writer_init(&w, out, sizeof out);
	http_writer_request(&w, http_head_part(h, h->method_at), http_head_path(h), http_head_part(h, h->query));
	edit_write_fields(&edits, &w, h, HTTP_SET(HOST) | HTTP_SET(EXPECT));
	edit_write_added(&edits, &w);
	http_writer_field_str(&w, "Host", "x");
	http_writer_framing(&w, h, false, &until_close);
	n = http_writer_done(&w);
	FUZZ_CHECK(n > 0);
	http_reader_init_request(&r, &http_limits_default);
	if (http_reader_next(&r, &again, out, (size_t)n, &piece) != HTTP_HEAD_IN) {
		/* Longer than it came, which the limits may forbid. */
		FUZZ_CHECK(http_fault_status(piece.fault) >= 414);
		return;
	}
	FUZZ_CHECK(again.body == h->body && again.length == h->length);
}

static void run(struct route_rule *conf, unsigned n, const uint8_t *bytes, size_t size)
{
	struct filter_view view = { .route = "rte_1", .request_id = { "id", 2 }, .trace = { "", 0 } };
	struct header_rules rules;
	struct http_reader reader;
	struct http_piece piece;
	static struct http_head h;

	http_reader_init_request(&reader, &http_limits_default);
	if (http_reader_next(&reader, &h, bytes, size, &piece) != HTTP_HEAD_IN || h.method == HTTP_CONNECT)
		return;
	if (header_rules_init(&rules, conf, n, NULL) != 0)
		return;
	view.head = &h;
	view.host = http_head_part(&h, h.host);
	view.path = http_head_path(&h);
	view.query = http_head_part(&h, h.query);
	edit_reset(&edits);
	header_rules_run(&rules, &view, &edits);
	if (!edits.failed)
		write_and_read(&h);
	header_rules_fini(&rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *const end = memchr(data, 0, size);
	struct route_rule rules[16];
	char *text;

	if (end == NULL || (text = fuzz_string(data, (size_t)(end - data))) == NULL)
		return 0;
	run(rules, read_rules(text, rules, ARRAY_LEN(rules)), end + 1, size - (size_t)(end - data) - 1);
	free(text);
	return 0;
}
