/* mail: templates rendered, the letters there are, signatures of events. */
#include "controld/mail/template.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/mail/letter.h"
#include "controld/mail/svix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct rendered {
	const char *what, *text, *values, *as_text, *as_html; /* NULL: refused */
} rendered[] = {
	{ "nothing", "", "{}", "", "" },
	{ "no place", "a < b", "{}", "a < b", "a < b" },
	{ "a value", "Hello {{name}}!", "{\"name\": \"Jo\"}", "Hello Jo!", "Hello Jo!" },
	{ "none", "Hello {{name}}!", "{}", "Hello !", "Hello !" },
	{ "null", "[{{name}}]", "{\"name\": null}", "[]", "[]" },
	{ "what stands for none", "Hello {{name|there}}!", "{}", "Hello there!", "Hello there!" },
	{ "not when there is one", "{{name|there}}", "{\"name\": \"Jo\"}", "Jo", "Jo" },
	{ "a number", "{{n}}", "{\"n\": -12}", "-12", "-12" },
	{ "a real", "{{n}}", "{\"n\": 0.5}", "0.5", "0.5" },
	{ "true and false", "{{a}}{{b}}", "{\"a\": true, \"b\": false}", "yes", "yes" },
	{ "an object is none", "[{{a}}]", "{\"a\": {}}", "[]", "[]" },
	{ "HTML in a value", "{{a}}", "{\"a\": \"<b>\\\"'&`\"}", "<b>\"'&`", "&lt;b&gt;&quot;&#39;&amp;&#96;" },
	{ "places in a value", "{{a}}", "{\"a\": \"{{b}}\", \"b\": 1}", "{{b}}", "{{b}}" },
	{ "lines in a value", "{{a}}", "{\"a\": \"x\\r\\ny\\u007f\"}", "x  y ", "x  y " },
	{ "other letters", "{{a}}", "{\"a\": \"Gr\\u00f6\\u00dfe\"}",
		"Gr\xc3\xb6\xc3\x9f"
		"e",
		"Gr\xc3\xb6\xc3\x9f"
		"e" },
	{ "a section", "{{#a}}x{{a}}{{/a}}y", "{\"a\": \"1\"}", "x1y", "x1y" },
	{ "a section without", "{{#a}}x{{a}}{{/a}}y", "{\"a\": \"\"}", "y", "y" },
	{ "sections in each other", "{{#a}}1{{#b}}2{{/b}}3{{/a}}4", "{\"a\": \"x\"}", "134", "134" },
	{ "hidden ones in each other", "{{#a}}1{{#b}}2{{/b}}3{{/a}}4", "{\"b\": \"x\"}", "4", "4" },
	{ "a URL", "{{url:u}}", "{\"u\": \"https://e.example/?a=1&b=2\"}", "https://e.example/?a=1&b=2",
		"https://e.example/?a=1&amp;b=2" },
	{ "in capitals", "{{url:u}}", "{\"u\": \"HTTP://e\"}", "HTTP://e", "HTTP://e" },
	{ "no URL given", "[{{url:u}}]", "{}", "[]", "[]" },
	{ "a script", "{{url:u}}", "{\"u\": \"javascript:alert(1)\"}", NULL, NULL },
	{ "a script before", "{{url:u}}", "{\"u\": \" https://e\"}", NULL, NULL },
	{ "no host", "{{url:u}}", "{\"u\": \"https://\"}", NULL, NULL },
	{ "a blank", "{{url:u}}", "{\"u\": \"https://e x\"}", NULL, NULL },
	{ "a quote", "{{url:u}}", "{\"u\": \"https://e\\\"\"}", NULL, NULL },
	{ "a script that is not shown", "{{#x}}{{url:u}}{{/x}}", "{\"u\": \"javascript:1\"}", "", "" },
	{ "no end", "{{name", "{}", NULL, NULL },
	{ "no name", "{{}}", "{}", NULL, NULL },
	{ "no such letter", "{{a b}}", "{}", NULL, NULL },
	{ "no end of a section", "{{#a}}x", "{}", NULL, NULL },
	{ "no beginning", "x{{/a}}", "{}", NULL, NULL },
	{ "crossed", "{{#a}}{{#b}}{{/a}}{{/b}}", "{}", NULL, NULL },
	{ "too deep", "{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}", "{}", NULL, NULL },
};

static void check(const struct rendered *r, enum template_as as, const char *want)
{
	json_t *values = json_loads(r->values, 0, NULL);
	struct err e = { 0 };
	struct buf b;
	int rc;

	assert_non_null(values);
	buf_init(&b, 4096);
	rc = template_render(&b, as, r->text, values, &e);
	if ((rc == 0) != (want != NULL) || (rc == 0 && !str_eq(buf_cstr(&b), want)))
		fail_msg("%s: %d '%s' %s", r->what, rc, buf_cstr(&b), e.msg);
	if (rc != 0)
		assert_string_not_equal(e.msg, "");
	buf_free(&b);
	json_decref(values);
}

static void test_rendering(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rendered); i++) {
		check(&rendered[i], TEMPLATE_TEXT, rendered[i].as_text);
		check(&rendered[i], TEMPLATE_HTML, rendered[i].as_html);
	}
}

static void test_it_has_a_limit(void **state)
{
	json_t *values = json_object();
	struct err e = { 0 };
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(template_render(&b, TEMPLATE_TEXT, "more than eight", values, &e), -1);
	assert_int_equal(e.code, ERR_TOO_LARGE);
	buf_free(&b);
	json_decref(values);
}

/* ---- letters ----------------------------------------------------------------------------------------------------------- */

/* Each word of a list as a value. */
static void add_words(json_t *values, const char *words)
{
	while (*words != '\0') {
		const size_t n = strcspn(words, " ");
		char name[64];

		(void)str_fmt(name, sizeof name, "%.*s", (int)n, words);
		json_object_set_new(values, name,
			json_string(strstr(name, "rl") != NULL ? "https://e.example/x" : "a value that is seen"));
		words += n + (words[n] == ' ');
	}
}

static void test_every_letter(void **state)
{
	size_t names = 0;

	(void)state;
	while (letter_names[names] != NULL)
		names++;
	assert_int_equal(names, letters_n);
	for (size_t i = 0; i < letters_n; i++) {
		static struct err_list errs;
		json_t *values = json_object();
		struct letter_made m;
		struct err e = { 0 };

		assert_string_equal(letters[i].name, letter_names[i]);
		add_words(values, letters[i].needs);
		errs.n = 0;
		letter_check(&letters[i], values, &errs);
		assert_int_equal(errs.n, 0);
		assert_int_equal(letter_make(&m, &letters[i], NULL, values, &e), 0); /* with what it needs */
		letter_made_fini(&m);
		add_words(values, letters[i].takes);
		letter_check(&letters[i], values, &errs);
		assert_int_equal(errs.n, 0);
		if (letter_make(&m, &letters[i], NULL, values, &e) != 0) /* and with all that it takes */
			fail_msg("%s: %s", letters[i].name, e.msg);
		assert_null(strstr(buf_cstr(&m.html), "{{"));
		assert_null(strstr(buf_cstr(&m.text), "{{"));
		assert_null(strstr(buf_cstr(&m.text), "<"));
		assert_true(m.subject.len > 0 && strchr(buf_cstr(&m.subject), '\n') == NULL);
		letter_made_fini(&m);
		json_object_set_new(values, "horses", json_true());
		letter_check(&letters[i], values, &errs);
		assert_int_equal(errs.n, 1);
		json_decref(values);
	}
}

/* ---- signatures -------------------------------------------------------------------------------------------------------- */

#define SECRET "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
#define GOOD   "v1,lDSxY8rT/LkzUg9kSFY5571X1MZwHKLuSASiDSpxjlU="
#define BODY   "{\"type\":\"email.bounced\"}"
#define AT     1700000000

static void test_signatures(void **state)
{
	static const struct {
		const char *what, *secret, *id, *timestamp, *signature, *body;
		int64_t now_s;
		bool want;
	} cases[] = {
		{ "good", SECRET, "msg_1", "1700000000", GOOD, BODY, AT, true },
		{ "among others", SECRET, "msg_1", "1700000000", "v1,AAAA v2,x " GOOD " v1,BBBB", BODY, AT, true },
		{ "at the edge", SECRET, "msg_1", "1700000000", GOOD, BODY, AT + SVIX_TOLERANCE_S, true },
		{ "too old", SECRET, "msg_1", "1700000000", GOOD, BODY, AT + SVIX_TOLERANCE_S + 1, false },
		{ "of tomorrow", SECRET, "msg_1", "1700000000", GOOD, BODY, AT - SVIX_TOLERANCE_S - 1, false },
		{ "another body", SECRET, "msg_1", "1700000000", GOOD, BODY " ", AT, false },
		{ "another id", SECRET, "msg_2", "1700000000", GOOD, BODY, AT, false },
		{ "another time", SECRET, "msg_1", "1700000001", GOOD, BODY, AT, false },
		{ "another version", SECRET, "msg_1", "1700000000",
			"v2,lDSxY8rT/LkzUg9kSFY5571X1MZwHKLuSASiDSpxjlU=", BODY, AT, false },
		{ "cut", SECRET, "msg_1", "1700000000", "v1,lDSxY8rT", BODY, AT, false },
		{ "none", SECRET, "msg_1", "1700000000", "", BODY, AT, false },
		{ "no header", SECRET, "msg_1", "1700000000", NULL, BODY, AT, false },
		{ "no time", SECRET, "msg_1", "now", GOOD, BODY, AT, false },
		{ "no secret", "", "msg_1", "1700000000", GOOD, BODY, AT, false },
		{ "an empty secret", "whsec_", "msg_1", "1700000000", GOOD, BODY, AT, false },
		{ "no base64", "whsec_!!!!", "msg_1", "1700000000", GOOD, BODY, AT, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct svix_message m = { cases[i].id, cases[i].timestamp, cases[i].signature, cases[i].body,
			strlen(cases[i].body) };

		if (svix_verify(cases[i].secret, &m, cases[i].now_s) != cases[i].want)
			fail_msg("%s", cases[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rendering),
		cmocka_unit_test(test_it_has_a_limit),
		cmocka_unit_test(test_every_letter),
		cmocka_unit_test(test_signatures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
