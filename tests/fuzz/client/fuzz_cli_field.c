/* Words of a command line that set members, against a description of the API that may say anything. Two parts, by a NUL. */
#include "client/resource/field.h"
#include "client/resource/fields.h"
#include "client/resource/resource.h"
#include "common/base/err.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_word(const json_t *doc, const char *word)
{
	const json_t *schema = fields_body(doc, "/t", "post");
	char path[FIELD_DEPTH_MAX * (FIELD_NAME_MAX + 1)];
	json_t *object = json_object(), *value;
	struct field f;
	struct err e;

	if (field_parse(&f, word, &e) == 0) {
		field_path(path, sizeof path, &f);
		FUZZ_CHECK(strncmp(word, path, strlen(path)) == 0);
		value = fields_value(doc, fields_member(doc, schema, &f), f.value);
		FUZZ_CHECK(value != NULL);
		FUZZ_CHECK(field_set(object, &f, value, &e) == 0); /* into an object that was empty */
	}
	json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size), *word;
	struct resource_found found;
	json_t *doc;

	if (text == NULL)
		return 0;
	word = text + strlen(text);
	word += word < text + size ? 1 : 0;
	doc = json_loads(text, 0, NULL);
	fuzz_word(doc, word);
	fuzz_word(NULL, text);
	if (doc != NULL && resource_discover(&found, doc, word) == 0)
		FUZZ_CHECK(found.resource.path != NULL && found.resource.verbs != 0);
	json_decref(doc);
	free(text);
	return 0;
}
