#include "controld/jobs/kind.h"

#include "common/base/buf.h"
#include "common/base/jsonw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARGS "{\"name\":\"a\",\"token\":\"s3cret\"}"

static const struct schema_field fields[] = {
	{ .name = "name", .type = SCHEMA_STRING },
	{ .name = "token", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET },
};
static const struct schema args = { .name = "Args", .fields = fields, .n = ARRAY_LEN(fields) };

static const char *printed(struct buf *b, const struct job_kind *kind)
{
	jsonw_object(b, NULL);
	kind_print_args(b, kind, ARGS);
	jsonw_end_object(b);
	return buf_cstr(b);
}

static void secrets_are_not_shown(void **state)
{
	const struct job_kind kind = { .name = "k", .args = &args };
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(printed(&b, &kind), "{\"args\":{\"name\":\"a\",\"token\":\"***\"}}");
	buf_free(&b);
}

static void nothing_is_shown_of_an_unknown_kind(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_string_equal(printed(&b, NULL), "{\"args\":null}");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_are_not_shown),
		cmocka_unit_test(nothing_is_shown_of_an_unknown_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
