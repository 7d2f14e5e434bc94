/* Words that set members, and the values that the API's description makes of them. */
#include "client/resource/field.h"
#include "client/resource/fields.h"
#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char doc_text[] =
	"{\"paths\":{\"/things\":{\"post\":{\"requestBody\":{\"content\":{\"application/json\":{\"schema\":"
	"{\"$ref\":\"#/components/schemas/Thing\"}}}}}},\"/things/{id}/on\":{\"put\":{\"requestBody\":{\"content\":"
	"{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/"
	"Limits\"}}}}}}},\"components\":{\"schemas\":{"
	"\"Thing\":{\"required\":[\"name\",\"password\"],\"properties\":{"
	"\"name\":{\"type\":\"string\"},\"note\":{\"type\":[\"string\",\"null\"]},\"port\":{\"type\":\"integer\"},"
	"\"end\":{\"type\":[\"integer\",\"null\"]},\"ratio\":{\"type\":\"number\"},\"hot\":{\"type\":\"boolean\"},"
	"\"allow\":{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"string\"}},"
	"\"ports\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"any\":{},"
	"\"password\":{\"type\":\"string\",\"writeOnly\":true},\"limits\":{\"$ref\":\"#/components/schemas/Limits\"},"
	"\"loop\":{\"$ref\":\"#/components/schemas/Loop\"}}},"
	"\"Limits\":{\"properties\":{\"bandwidth\":{\"type\":\"integer\"}}},"
	"\"Loop\":{\"$ref\":\"#/components/schemas/Loop\"}}}}";

/* want: the object that the words make, or "!" and a part of the complaint. */
static const struct {
	const char *what, *words, *want;
} cases[] = {
	{ "text", "name=web", "{\"name\":\"web\"}" },
	{ "text that looks like a number", "name=10", "{\"name\":\"10\"}" },
	{ "text that looks like null", "name=null", "{\"name\":\"null\"}" },
	{ "empty text", "name=", "{\"name\":\"\"}" },
	{ "more signs", "name=a=b:=@c", "{\"name\":\"a=b:=@c\"}" },
	{ "null where it may be", "note=null", "{\"note\":null}" },
	{ "empty text stays where null may be", "note=", "{\"note\":\"\"}" },
	{ "integer", "port=80", "{\"port\":80}" },
	{ "negative", "port=-1", "{\"port\":-1}" },
	{ "size", "port=10MiB", "{\"port\":10485760}" },
	{ "no integer stays text", "port=x", "{\"port\":\"x\"}" },
	{ "too large an integer stays text", "port=9223372036854775808", "{\"port\":\"9223372036854775808\"}" },
	{ "null as integer", "end=null", "{\"end\":null}" },
	{ "nothing as nullable integer", "end=", "{\"end\":null}" },
	{ "number", "ratio=0.5", "{\"ratio\":0.5}" },
	{ "infinity is none", "ratio=inf", "{\"ratio\":\"inf\"}" },
	{ "boolean", "hot=yes", "{\"hot\":true}" },
	{ "no boolean", "hot=2", "{\"hot\":\"2\"}" },
	{ "list", "allow=a,b", "{\"allow\":[\"a\",\"b\"]}" },
	{ "list of numbers", "ports=1,2", "{\"ports\":[1,2]}" },
	{ "empty list", "ports=", "{\"ports\":[]}" },
	{ "list as JSON", "ports=[1,2]", "{\"ports\":[1,2]}" },
	{ "list that grows", "allow=a allow=b", "{\"allow\":[\"a\",\"b\"]}" },
	{ "last one counts", "port=1 port=2", "{\"port\":2}" },
	{ "member of a member", "limits.bandwidth=1K", "{\"limits\":{\"bandwidth\":1024}}" },
	{ "two of them", "limits.bandwidth=1 limits.x=y", "{\"limits\":{\"bandwidth\":1,\"x\":\"y\"}}" },
	{ "JSON", "name:={\"a\":[1]}", "{\"name\":{\"a\":[1]}}" },
	{ "unknown member: what it looks like", "x=10 y=ten z=true", "{\"x\":10,\"y\":\"ten\",\"z\":true}" },
	{ "type unknown", "any=10", "{\"any\":10}" },
	{ "description that goes round", "loop=1", "{\"loop\":1}" },
	{ "member of text", "name=a name.b=c", "!name.b: name was set to something else before" },
	{ "broken JSON", "name:={", "!name: no JSON" },
	{ "no sign", "name", "!'name': write FIELD=VALUE" },
	{ "no name", "=x", "!write FIELD=VALUE" },
	{ "dot at the end", "a.=x", "!write FIELD=VALUE" },
	{ "dot at the beginning", ".a=x", "!write FIELD=VALUE" },
	{ "colon alone", "a:b=x", "!write FIELD=VALUE" },
	{ "blank in a name", "a b=x", "!write FIELD=VALUE" },
	{ "too deep", "a.b.c.d.e.f.g=x", "!write FIELD=VALUE" },
	{ "no UTF-8", "name=\xff", "{\"name\":\"(not UTF-8)\"}" },
};

static int take(json_t *object, const json_t *doc, const char *word, struct err *e)
{
	const json_t *member;
	struct field f;
	json_t *value;
	char path[FIELD_DEPTH_MAX * (FIELD_NAME_MAX + 1)];

	if (field_parse(&f, word, e) != 0)
		return -1;
	field_path(path, sizeof path, &f);
	member = fields_member(doc, fields_body(doc, "/things", "post"), &f);
	if (f.form == FIELD_JSON && (value = json_loads(f.value, JSON_DECODE_ANY, NULL)) == NULL)
		return err_set(e, ERR_VALIDATION, path, "%s: no JSON", path);
	if (f.form != FIELD_JSON)
		value = fields_value(doc, member, f.value);
	return field_set(object, &f, value, e);
}

static void test_table(void **state)
{
	json_t *doc = json_loads(doc_text, 0, NULL);
	size_t failed = 0;

	(void)state;
	assert_non_null(doc);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *object = json_object();
		char copy[200], *got = NULL;
		struct err e = { 0 };
		int rc = 0;

		(void)snprintf(copy, sizeof copy, "%s", cases[i].words);
		if (strcmp(cases[i].what, "blank in a name") == 0)
			rc = take(object, doc, copy, &e);
		else
			for (char *save = NULL, *w = strtok_r(copy, " ", &save); w != NULL && rc == 0;
				w = strtok_r(NULL, " ", &save))
				rc = take(object, doc, w, &e);
		got = rc == 0 ? json_dumps(object, JSON_COMPACT) : strdup(e.msg);
		if (cases[i].want[0] == '!' ? rc == 0 || strstr(got, cases[i].want + 1) == NULL
					    : strcmp(got, cases[i].want) != 0) {
			print_error("%s: got %s, want %s\n", cases[i].what, got, cases[i].want);
			failed++;
		}
		free(got);
		json_decref(object);
	}
	json_decref(doc);
	assert_int_equal(failed, 0);
}

/* No description at all: values are what they look like. */
static void test_without_description(void **state)
{
	json_t *object = json_object();
	struct err e;
	char *got;

	(void)state;
	assert_int_equal(take(object, NULL, "port=80", &e), 0);
	assert_int_equal(take(object, NULL, "name=web", &e), 0);
	assert_int_equal(take(object, NULL, "end=null", &e), 0);
	got = json_dumps(object, JSON_COMPACT);
	assert_string_equal(got, "{\"port\":80,\"name\":\"web\",\"end\":null}");
	free(got);
	json_decref(object);
}

static void test_secrets_and_needs(void **state)
{
	json_t *doc = json_loads(doc_text, 0, NULL);
	const json_t *thing = fields_body(doc, "/things", "post");
	struct field f;

	(void)state;
	assert_int_equal(field_parse(&f, "password=x", NULL), 0);
	assert_true(fields_is_secret(fields_member(doc, thing, &f)));
	assert_true(fields_is_required(thing, "password"));
	assert_false(fields_is_required(thing, "note"));
	assert_int_equal(field_parse(&f, "name=x", NULL), 0);
	assert_false(fields_is_secret(fields_member(doc, thing, &f)));
	assert_null(fields_body(doc, "/things", "put"));
	assert_non_null(fields_body(doc, "/things/{id}/on", "put"));
	assert_non_null(fields_body(doc, "/things/7/on", "put"));
	assert_null(fields_body(doc, "/things//on", "put"));
	assert_null(fields_body(doc, "/things/7", "put"));
	assert_null(fields_body(doc, "/things/7/on/x", "put"));
	assert_null(fields_body(doc, "/thing/7/on", "put"));
	assert_null(fields_body(NULL, "/things", "post"));
	json_decref(doc);
}

static void test_files_are_told_apart(void **state)
{
	struct field f;

	(void)state;
	assert_int_equal(field_parse(&f, "key=@/etc/x", NULL), 0);
	assert_int_equal(f.form, FIELD_FILE);
	assert_string_equal(f.value, "/etc/x");
	assert_int_equal(field_parse(&f, "key:=@x", NULL), 0);
	assert_int_equal(f.form, FIELD_JSON);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_without_description),
		cmocka_unit_test(test_secrets_and_needs),
		cmocka_unit_test(test_files_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
