/* Bodies, plain and gzip, against a schema with every type: accepted or refused with a reason, errors within bounds. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/rest/body.h"
#include "controld/rest/errors.h"
#include "controld/rest/schema.h"
#include "tests/fuzz/fuzz.h"

static const char *const choices[] = { "tcp", "udp", NULL };
static const struct schema_field inner_fields[] = {
	{ .name = "port", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED, .min = 1, .max = 65535 },
};
static const struct schema inner = { .name = "Inner", .fields = inner_fields, .n = ARRAY_LEN(inner_fields) };
static const struct schema_field fields[] = {
	{ .name = "name", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .max = 8, .format = SCHEMA_FORMAT_NAME },
	{ .name = "protocol", .type = SCHEMA_STRING, .choices = choices },
	{ .name = "email", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_EMAIL },
	{ .name = "host", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_HOST },
	{ .name = "time", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME },
	{ .name = "wait", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_DURATION },
	{ .name = "secret", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET, .max = 4 },
	{ .name = "ratio", .type = SCHEMA_NUMBER, .max = 1 },
	{ .name = "on", .type = SCHEMA_BOOL, .flags = SCHEMA_NULLABLE },
	{ .name = "cidrs", .type = SCHEMA_ARRAY, .item_type = SCHEMA_STRING, .format = SCHEMA_FORMAT_CIDR },
	{ .name = "inners", .type = SCHEMA_ARRAY, .sub = &inner, .max = 3 },
	{ .name = "inner", .type = SCHEMA_OBJECT, .sub = &inner },
	{ .name = "any", .type = SCHEMA_ANY },
};
static const struct schema schema = { .name = "Thing", .fields = fields, .n = ARRAY_LEN(fields) };

/* Whatever was wrong, the answer about it is JSON. */
static void check_errors(const struct err *items, size_t n, size_t dropped)
{
	const struct errors_context ctx = { .request_id = "req_1", .base_url = "", .now_ms = 0 };
	struct buf out;
	json_t *answer;

	buf_init(&out, 1 << 20);
	errors_render(&out, items, n, dropped, &ctx);
	answer = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	FUZZ_CHECK(answer != NULL);
	json_decref(answer);
	buf_free(&out);
}

static void check_body(const json_t *body)
{
	struct err_list *errs = calloc(1, sizeof *errs);

	if (errs == NULL)
		return;
	schema_check(&schema, body, false, errs);
	FUZZ_CHECK(errs->n <= ERR_LIST_MAX);
	for (size_t i = 0; i < errs->n; i++)
		FUZZ_CHECK(errs->items[i].field[0] != '\0' || errs->items[i].constraint[0] != '\0');
	if (errs->n > 0)
		check_errors(errs->items, errs->n, errs->dropped);
	free(errs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct body_source src = {
		.content_type = "application/json",
		.content_encoding = size > 1 && data[0] == 0x1f && data[1] == 0x8b ? "gzip" : NULL,
		.data = data,
		.n = size,
		.inflated_max = 4096,
	};
	json_t *body;
	struct err e;

	err_clear(&e);
	if (body_parse(&body, &src, &e) != 0) {
		FUZZ_CHECK(e.code == ERR_BAD_REQUEST || e.code == ERR_TOO_LARGE);
		check_errors(&e, 1, 0);
		return 0;
	}
	FUZZ_CHECK(json_is_object(body));
	check_body(body);
	json_decref(body);
	return 0;
}
