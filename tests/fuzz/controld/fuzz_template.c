/*
 * Templates and values, a line of JSON and then the template: what is rendered as HTML has no tag and no quote that the
 * template has not; a plain text has no line that the template has not; and a letter's values never make a letter fail but for a
 * reason that is said.
 */
#include "controld/mail/template.h"

#include "common/base/err.h"
#include "controld/mail/letter.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

static size_t count(const char *s, const char *of)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += strchr(of, *s) != NULL;
	return n;
}

static void render(const char *text, const json_t *values, enum template_as as, const char *guarded)
{
	struct err e = { 0 };
	struct buf b;

	buf_init(&b, 1u << 20);
	if (template_render(&b, as, text, values, &e) == 0)
		FUZZ_CHECK(count(buf_cstr(&b), guarded) <= count(text, guarded));
	else
		FUZZ_CHECK(e.msg[0] != '\0');
	buf_free(&b);
}

static void write_letters(const json_t *values)
{
	for (size_t i = 0; i < letters_n; i++) {
		struct letter_made m;
		struct err e = { 0 };

		if (letter_make(&m, &letters[i], NULL, values, &e) != 0) {
			FUZZ_CHECK(e.msg[0] != '\0');
			continue;
		}
		FUZZ_CHECK(count(buf_cstr(&m.html), "<>\"'") <= count(letters[i].html, "<>\"'"));
		FUZZ_CHECK(strpbrk(buf_cstr(&m.subject), "\r\n") == NULL);
		letter_made_fini(&m);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = fuzz_string(data, size), *text;
	json_t *values;

	if (s == NULL)
		return 0;
	if ((text = strchr(s, '\n')) != NULL) {
		*text++ = '\0';
		if ((values = json_loads(s, 0, NULL)) != NULL) {
			render(text, values, TEMPLATE_HTML, "<>\"'`");
			render(text, values, TEMPLATE_TEXT, "\r\n\t");
			write_letters(values);
			json_decref(values);
		}
	}
	free(s);
	return 0;
}
