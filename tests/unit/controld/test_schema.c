#include "controld/rest/schema.h"

#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const colours[] = { "red", "green", NULL };

static const struct schema_field port_fields[] = {
	{ .name = "port", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED, .min = 1, .max = 65535 },
	{ .name = "label", .type = SCHEMA_STRING, .max = 8 },
};
static const struct schema port_schema = { .name = "Port", .fields = port_fields, .n = ARRAY_LEN(port_fields) };

static const struct schema_field fields[] = {
	{ .name = "name",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.min = 1,
		.max = 10,
		.format = SCHEMA_FORMAT_NAME },
	{ .name = "text", .type = SCHEMA_STRING, .max = 5, .flags = SCHEMA_NULLABLE },
	{ .name = "count", .type = SCHEMA_INT },
	{ .name = "size", .type = SCHEMA_INT, .max = 9007199254740993 },
	{ .name = "offset", .type = SCHEMA_INT, .min = -10, .max = 10 },
	{ .name = "ratio", .type = SCHEMA_NUMBER, .max = 1 },
	{ .name = "on", .type = SCHEMA_BOOL },
	{ .name = "colour", .type = SCHEMA_STRING, .choices = colours },
	{ .name = "email", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_EMAIL },
	{ .name = "host", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_HOST },
	{ .name = "ip", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_IP },
	{ .name = "cidrs", .type = SCHEMA_ARRAY, .item_type = SCHEMA_STRING, .format = SCHEMA_FORMAT_CIDR, .max = 2 },
	{ .name = "when", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_TIME },
	{ .name = "wait", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_DURATION },
	{ .name = "password", .type = SCHEMA_STRING, .format = SCHEMA_FORMAT_PASSWORD },
	{ .name = "secret", .type = SCHEMA_STRING, .flags = SCHEMA_SECRET, .max = 4 },
	{ .name = "main", .type = SCHEMA_OBJECT, .sub = &port_schema },
	{ .name = "ports", .type = SCHEMA_ARRAY, .sub = &port_schema },
	{ .name = "anything", .type = SCHEMA_ANY },
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "links", .type = SCHEMA_OBJECT, .flags = SCHEMA_IGNORED },
};
static const struct schema schema = { .name = "Thing", .fields = fields, .n = ARRAY_LEN(fields) };
static const struct schema open_schema = { .fields = fields, .n = ARRAY_LEN(fields), .open = true };

/* want: "field constraint" of every error, in order, joined by commas. */
static const struct {
	const char *what, *body, *want;
} cases[] = {
	{ "least", "{\"name\":\"a\"}", "" },
	{ "everything", "{\"name\":\"a\",\"text\":\"\",\"count\":0,\"ratio\":0.5,\"on\":true,\"colour\":\"red\"}", "" },
	{ "missing", "{}", "name required" },
	{ "null is not missing", "{\"name\":null}", "name type" },
	{ "nullable", "{\"name\":\"a\",\"text\":null}", "" },
	{ "unknown", "{\"name\":\"a\",\"nane\":1}", "nane unknown" },
	{ "read only", "{\"name\":\"a\",\"id\":\"x\"}", "id unknown" },
	{ "ignored", "{\"name\":\"a\",\"links\":7}", "" },
	{ "all at once", "{\"text\":\"too long\",\"count\":-1,\"on\":1,\"colour\":\"blue\",\"x\":1}",
		"name required,text length,count range,on type,colour choice,x unknown" },
	{ "empty", "{\"name\":\"\"}", "name length" },
	{ "characters, not bytes", "{\"name\":\"a\",\"text\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xe2\x82\xac\"}", "" },
	{ "one character too many", "{\"name\":\"a\",\"text\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xe2\x82\xac!\"}",
		"text length" },
	{ "emoji is one", "{\"name\":\"a\",\"text\":\"\xf0\x9f\x98\x80\"}", "" },
	{ "name with a blank", "{\"name\":\"a b\"}", "name format" },
	{ "name that starts with a dot", "{\"name\":\".a\"}", "name format" },
	{ "number as text", "{\"name\":\"a\",\"count\":\"1\"}", "count type" },
	{ "fraction as int", "{\"name\":\"a\",\"count\":1.0}", "count type" },
	{ "int as number", "{\"name\":\"a\",\"ratio\":1}", "" },
	{ "too large a number", "{\"name\":\"a\",\"ratio\":1e300}", "ratio range" },
	{ "largest int", "{\"name\":\"a\",\"count\":9223372036854775807}", "" },
	{ "beyond what a double tells apart", "{\"name\":\"a\",\"size\":9007199254740994}", "size range" },
	{ "the last that fits", "{\"name\":\"a\",\"size\":9007199254740993}", "" },
	{ "negative allowed", "{\"name\":\"a\",\"offset\":-10}", "" },
	{ "too negative", "{\"name\":\"a\",\"offset\":-11}", "offset range" },
	{ "e-mail", "{\"name\":\"a\",\"email\":\"a.b+c@example.com\"}", "" },
	{ "e-mail without domain", "{\"name\":\"a\",\"email\":\"a@\"}", "email format" },
	{ "e-mail with two dots", "{\"name\":\"a\",\"email\":\"a..b@c.de\"}", "email format" },
	{ "e-mail with a line end", "{\"name\":\"a\",\"email\":\"a@b.de\\r\\nBcc: c@d\"}", "email format" },
	{ "host name", "{\"name\":\"a\",\"host\":\"db-1.example\"}", "" },
	{ "host address", "{\"name\":\"a\",\"host\":\"::1\"}", "" },
	{ "host with a path", "{\"name\":\"a\",\"host\":\"a/b\"}", "host format" },
	{ "ip", "{\"name\":\"a\",\"ip\":\"256.1.1.1\"}", "ip format" },
	{ "cidrs", "{\"name\":\"a\",\"cidrs\":[\"10.0.0.0/8\",\"10.1.0.0/8\"]}", "cidrs[1] format" },
	{ "cidr of the wrong type", "{\"name\":\"a\",\"cidrs\":[1]}", "cidrs[0] type" },
	{ "too many cidrs", "{\"name\":\"a\",\"cidrs\":[\"::/0\",\"::/0\",\"::/0\"]}", "cidrs length" },
	{ "time", "{\"name\":\"a\",\"when\":\"2026-11-22T10:00:00+01:00\"}", "" },
	{ "no time", "{\"name\":\"a\",\"when\":\"tomorrow\"}", "when format" },
	{ "duration", "{\"name\":\"a\",\"wait\":\"30s\"}", "" },
	{ "duration in seconds", "{\"name\":\"a\",\"wait\":30}", "" },
	{ "negative duration", "{\"name\":\"a\",\"wait\":-1}", "wait format" },
	{ "short password", "{\"name\":\"a\",\"password\":\"1234567\"}", "password format" },
	{ "password", "{\"name\":\"a\",\"password\":\"12345678\"}", "" },
	{ "object", "{\"name\":\"a\",\"main\":{\"port\":80}}", "" },
	{ "inside an object", "{\"name\":\"a\",\"main\":{\"port\":0,\"x\":1}}", "main.port range,main.x unknown" },
	{ "missing inside", "{\"name\":\"a\",\"main\":{}}", "main.port required" },
	{ "object of the wrong type", "{\"name\":\"a\",\"main\":[]}", "main type" },
	{ "inside an array", "{\"name\":\"a\",\"ports\":[{\"port\":1},{},{\"port\":2,\"label\":\"123456789\"}]}",
		"ports[1].port required,ports[2].label length" },
	{ "anything", "{\"name\":\"a\",\"anything\":[{\"a\":[null]}]}", "" },
};

static void check(const struct schema *s, const char *body, bool partial, struct err_list *errs)
{
	json_error_t why;
	json_t *value = json_loads(body, JSON_REJECT_DUPLICATES, &why);

	if (value == NULL)
		fail_msg("%s: %s", body, why.text);
	errs->n = errs->dropped = 0;
	schema_check(s, value, partial, errs);
	json_decref(value);
}

static void join(char *dst, size_t size, const struct err_list *errs)
{
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < errs->n; i++)
		n += (size_t)snprintf(dst + n, size - n, "%s%s %s", i > 0 ? "," : "", errs->items[i].field,
			errs->items[i].constraint);
}

static void test_table(void **state)
{
	struct err_list *errs = calloc(1, sizeof *errs);
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[1024];

		check(&schema, cases[i].body, false, errs);
		join(got, sizeof got, errs);
		if (strcmp(got, cases[i].want) == 0)
			continue;
		print_error("%s: got '%s', want '%s'\n", cases[i].what, got, cases[i].want);
		failed++;
	}
	free(errs);
	assert_int_equal(failed, 0);
}

static void test_partial_requires_nothing_but_checks_what_is_there(void **state)
{
	struct err_list *errs = calloc(1, sizeof *errs);

	(void)state;
	check(&schema, "{}", true, errs);
	assert_int_equal(errs->n, 0);
	check(&schema, "{\"count\":-1}", true, errs);
	assert_int_equal(errs->n, 1);
	assert_int_equal(errs->items[0].code, ERR_VALIDATION);
	free(errs);
}

static void test_open_ignores_unknown(void **state)
{
	struct err_list *errs = calloc(1, sizeof *errs);

	(void)state;
	check(&open_schema, "{\"name\":\"a\",\"nane\":1}", false, errs);
	assert_int_equal(errs->n, 0);
	free(errs);
}

static void test_secrets_are_not_repeated(void **state)
{
	struct err_list *errs = calloc(1, sizeof *errs);

	(void)state;
	check(&schema, "{\"name\":\"a\",\"secret\":\"hunter2\",\"password\":\"short\"}", false, errs);
	assert_int_equal(errs->n, 2);
	for (size_t i = 0; i < errs->n; i++) {
		assert_string_equal(errs->items[i].value, "***");
		assert_null(strstr(errs->items[i].msg, "hunter2"));
		assert_null(strstr(errs->items[i].msg, "short"));
	}
	free(errs);
}

static void test_messages_name_the_range(void **state)
{
	struct err_list *errs = calloc(1, sizeof *errs);

	(void)state;
	check(&schema, "{\"name\":\"a\",\"offset\":11,\"colour\":\"blue\"}", false, errs);
	assert_string_equal(errs->items[0].msg, "offset must be from -10 to 10");
	assert_string_equal(errs->items[0].value, "11");
	assert_string_equal(errs->items[1].msg, "colour must be one of red, green");
	check(&schema, "{}", false, errs);
	assert_int_equal(errs->items[0].code, ERR_MISSING_FIELD);
	free(errs);
}

/* More errors than the list holds, in names longer than a path: counted, cut, never beyond. */
static void test_many_and_long(void **state)
{
	struct err_list *errs = calloc(1, sizeof *errs);
	json_t *body = json_object();
	char name[2000];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof name, "%0*u", (int)sizeof name - 1, i);
		json_object_set_new(body, name, json_integer(i));
	}
	schema_check(&schema, body, false, errs);
	assert_int_equal(errs->n, ERR_LIST_MAX);
	assert_int_equal(errs->n + errs->dropped, 501);
	json_decref(body);
	free(errs);
}

static void test_openapi_has_every_field(void **state)
{
	json_t *components = json_object();
	json_t *ref = schema_openapi(&schema, components);
	json_t *thing = json_object_get(components, "Thing");
	json_t *properties = json_object_get(thing, "properties");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(ref, "$ref")), "#/components/schemas/Thing");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		assert_non_null(json_object_get(properties, fields[i].name));
	assert_int_equal(json_array_size(json_object_get(thing, "required")), 1);
	assert_non_null(json_object_get(components, "Port"));
	assert_true(json_is_false(json_object_get(thing, "additionalProperties")));
	json_decref(ref);
	json_decref(components);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_partial_requires_nothing_but_checks_what_is_there),
		cmocka_unit_test(test_open_ignores_unknown),
		cmocka_unit_test(test_secrets_are_not_repeated),
		cmocka_unit_test(test_messages_name_the_range),
		cmocka_unit_test(test_many_and_long),
		cmocka_unit_test(test_openapi_has_every_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
