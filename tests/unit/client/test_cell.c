/* What tables show of members: units, ages, ports; and how rows stand under each other. */
#include "client/out/cell.h"

#include "client/out/table.h"
#include "client/out/text.h"
#include "client/resource/view.h"
#include "common/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1800000000000 /* 2027-01-15T08:00:00Z */

static const struct {
	const char *what, *object, *path;
	enum cell_kind kind;
	const char *want;
} cases[] = {
	{ "text", "{\"a\":\"x\"}", "a", CELL_TEXT, "x" },
	{ "nothing", "{}", "a", CELL_TEXT, "-" },
	{ "null", "{\"a\":null}", "a", CELL_TEXT, "-" },
	{ "empty", "{\"a\":\"\"}", "a", CELL_TEXT, "-" },
	{ "number", "{\"a\":-5}", "a", CELL_COUNT, "-5" },
	{ "number as it was written", "{\"a\":3.283}", "a", CELL_TEXT, "3.283" },
	{ "boolean", "{\"a\":true}", "a", CELL_TEXT, "true" },
	{ "inside", "{\"a\":{\"b\":\"x\"}}", "a.b", CELL_TEXT, "x" },
	{ "inside what is no object", "{\"a\":1}", "a.b", CELL_TEXT, "-" },
	{ "list", "{\"a\":[\"x\",1,null]}", "a", CELL_TEXT, "x,1,-" },
	{ "empty list", "{\"a\":[]}", "a", CELL_TEXT, "-" },
	{ "length", "{\"a\":[1,2]}", "a", CELL_LENGTH, "2" },
	{ "length of nothing", "{}", "a", CELL_LENGTH, "0" },
	{ "object", "{\"a\":{\"b\":1}}", "a", CELL_TEXT, "{\"b\":1}" },
	{ "escape", "{\"a\":\"\\u001b[2J\"}", "a", CELL_TEXT, "\\x1b[2J" },
	{ "NUL", "{\"a\":\"x\\u0000y\"}", "a", CELL_TEXT, "x" },
	{ "bytes", "{\"a\":999}", "a", CELL_BYTES, "999" },
	{ "a thousand", "{\"a\":1000}", "a", CELL_BYTES, "1.0K" },
	{ "ten", "{\"a\":10240}", "a", CELL_BYTES, "10K" },
	{ "just below a unit", "{\"a\":1048575}", "a", CELL_BYTES, "1.0M" },
	{ "most", "{\"a\":9223372036854775807}", "a", CELL_BYTES, "8.0E" },
	{ "negative bytes are a number", "{\"a\":-1}", "a", CELL_BYTES, "-1" },
	{ "bytes that are none", "{\"a\":\"x\"}", "a", CELL_BYTES, "x" },
	{ "seconds", "{\"a\":\"2027-01-15T07:58:01Z\"}", "a", CELL_AGE, "119s" },
	{ "minutes", "{\"a\":\"2027-01-15T07:58:00Z\"}", "a", CELL_AGE, "2m" },
	{ "hours", "{\"a\":\"2027-01-13T08:00:01Z\"}", "a", CELL_AGE, "47h" },
	{ "days", "{\"a\":\"2027-01-01T08:00:00Z\"}", "a", CELL_AGE, "14d" },
	{ "a clock that runs ahead", "{\"a\":\"2027-01-15T08:00:05Z\"}", "a", CELL_AGE, "0s" },
	{ "no time", "{\"a\":\"soon\"}", "a", CELL_AGE, "soon" },
	{ "time", "{\"a\":\"2027-01-15T09:00:00.123+01:00\"}", "a", CELL_TIME, "2027-01-15 08:00:00" },
	{ "port", "{\"source_port\":80,\"source_port_end\":null}", NULL, CELL_PORTS, "80" },
	{ "ports", "{\"source_port\":80,\"source_port_end\":89}", NULL, CELL_PORTS, "80-89" },
	{ "target", "{\"target_host\":\"h\",\"target_port\":22}", NULL, CELL_TARGET, "h:22" },
	{ "target, IPv6", "{\"target_host\":\"::1\",\"target_port\":22}", NULL, CELL_TARGET, "[::1]:22" },
	{ "target at a client", "{\"target_client_id\":7,\"target_host\":\"h\",\"target_port\":22}", NULL, CELL_TARGET,
		"client 7 h:22" },
	{ "the network of a client",
		"{\"target_client_id\":7,\"target_host\":\"\",\"target_port\":0,\"protocol\":\"socks5\"}", NULL,
		CELL_TARGET, "client 7" },
};

static void test_table_of_cells(void **state)
{
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct column c = { "X", cases[i].path, cases[i].kind };
		json_t *object = json_loads(cases[i].object, JSON_ALLOW_NUL, NULL);
		struct buf b;
		size_t width;

		assert_non_null(object);
		buf_init(&b, 4096);
		width = cell_put(&b, &c, object, NOW);
		if (strncmp(buf_cstr(&b), cases[i].want, strlen(cases[i].want)) != 0 || width != b.len) {
			print_error(
				"%s: got '%s' of %zu, want '%s'\n", cases[i].what, buf_cstr(&b), width, cases[i].want);
			failed++;
		}
		buf_free(&b);
		json_decref(object);
	}
	assert_int_equal(failed, 0);
}

static const struct column columns[] = { { "NAME", "name", CELL_TEXT }, { "N", "n", CELL_COUNT },
	{ "AGE", "at", CELL_AGE }, { NULL, NULL, CELL_TEXT } };

static char *show(enum print_format format, const struct column *c, const char *const *objects)
{
	struct view_conf conf = { .format = format, .columns = c, .id = "name" };
	struct view v;
	char *text = NULL;
	size_t n = 0;

	conf.out = open_memstream(&text, &n);
	assert_int_equal(view_begin(&v, &conf), 0);
	for (; *objects != NULL; objects++) {
		json_t *o = json_loads(*objects, 0, NULL);

		assert_int_equal(view_show(&v, NULL, o), 0);
		json_decref(o);
	}
	assert_int_equal(view_end(&v), 0);
	(void)fclose(conf.out);
	return text;
}

static void test_forms(void **state)
{
	static const char *const two[] = { "{\"name\":\"a\",\"n\":1}", "{\"name\":\"long\\nname\",\"n\":100}", NULL };
	static const char *const none[] = { NULL };
	static const struct {
		enum print_format format;
		const char *const *objects;
		const char *want;
	} forms[] = {
		{ PRINT_TABLE, two, "NAME          N  AGE\na             1    -\nlong\\nname  100    -\n" },
		{ PRINT_TABLE, none, "NAME  N  AGE\n" },
		{ PRINT_NAME, two, "a\nlong\\nname\n" },
		{ PRINT_NAME, none, "" },
		{ PRINT_JSON, two,
			"[\n{\n  \"name\": \"a\",\n  \"n\": 1\n},\n{\n  \"name\": \"long\\nname\",\n  \"n\": "
			"100\n}\n]\n" },
		{ PRINT_JSON, none, "[]\n" },
		{ PRINT_YAML, two, "- name: a\n  \"n\": 1\n- name: \"long\\nname\"\n  \"n\": 100\n" },
		{ PRINT_YAML, none, "[]\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		char *got = show(forms[i].format, columns, forms[i].objects);

		assert_string_equal(got, forms[i].want);
		free(got);
	}
}

static void test_own_columns(void **state)
{
	static const char *const one[] = { "{\"a\":{\"b\":1},\"c\":\"x\"}", NULL };
	struct column *c;
	char *got;

	(void)state;
	assert_int_equal(view_columns(&c, "a.b,,c,nope"), 0);
	got = show(PRINT_TABLE, c, one);
	assert_string_equal(got, "A.B  C  NOPE\n1    x  -\n");
	free(got);
	free(c);
	assert_int_equal(view_columns(&c, ""), 0);
	assert_null(c[0].title);
	free(c);
}

/* More columns than a table has, each named, are cut and not written past the end. */
static void test_many_columns(void **state)
{
	static const char *const one[] = { "{}", NULL };
	char list[500] = "a";
	struct column *c;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		(void)strcat(list, ",a");
	assert_int_equal(view_columns(&c, list), 0);
	free(show(PRINT_TABLE, c, one));
	free(c);
}

static void test_same_but_for_age(void **state)
{
	struct view v = { .conf = { .format = PRINT_TABLE, .columns = columns } };
	json_t *a = json_loads("{\"name\":\"a\",\"n\":1,\"at\":\"2027-01-15T08:00:00Z\",\"x\":1}", 0, NULL);
	json_t *b = json_loads("{\"name\":\"a\",\"n\":1,\"at\":\"2027-01-15T09:00:00Z\",\"x\":2}", 0, NULL);
	json_t *c = json_loads("{\"name\":\"a\",\"n\":2,\"at\":\"2027-01-15T08:00:00Z\",\"x\":1}", 0, NULL);

	(void)state;
	assert_true(view_same(&v, a, b));
	assert_false(view_same(&v, a, c));
	v.conf.format = PRINT_JSON;
	assert_false(view_same(&v, a, b));
	json_decref(a);
	json_decref(b);
	json_decref(c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_of_cells),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_own_columns),
		cmocka_unit_test(test_many_columns),
		cmocka_unit_test(test_same_but_for_age),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
