#include "client/commands/verb.h"

#include "client/resource/field.h"
#include "client/resource/fields.h"
#include "client/term/prompt.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX    ((size_t)16 << 20)
#define SECRET_SIZE 4096

struct body {
	struct verb *v;
	const json_t *schema; /* of the object; NULL: unknown */
	json_t *object;       /* or an array of them, from a file */
};

/* ---- files -------------------------------------------------------------------------------------------------------- */

static int read_stdin(char **out, size_t *n, struct err *e)
{
	size_t cap = 65536, len = 0;
	char *text = malloc(cap + 1);
	ssize_t got = 1;

	while (text != NULL && got != 0) {
		if (len == cap) {
			char *more = cap < FILE_MAX ? realloc(text, cap * 2 + 1) : NULL;

			if (more == NULL)
				break;
			text = more;
			cap *= 2;
		}
		got = read(STDIN_FILENO, text + len, cap - len);
		if (got < 0 && errno != EINTR) {
			free(text);
			return err_set_sys(e, ERR_IO, errno, "read the standard input");
		}
		len += got > 0 ? (size_t)got : 0;
	}
	if (text == NULL || got != 0) {
		free(text);
		return err_set(e, ERR_TOO_LARGE, NULL, "the standard input is longer than %zu bytes", FILE_MAX);
	}
	text[len] = '\0';
	*out = text;
	*n = len;
	return 0;
}

static int read_file(const char *path, char **out, size_t *n, struct err *e)
{
	uint8_t *text;

	if (strcmp(path, "-") == 0)
		return read_stdin(out, n, e);
	if (file_read(path, FILE_MAX, &text, n, e) != 0)
		return -1;
	*out = (char *)text;
	return 0;
}

static int load_file(struct body *b, const char *path, struct err *e)
{
	json_error_t why;
	char *text;
	size_t n;

	if (read_file(path, &text, &n, e) != 0)
		return -1;
	b->object = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	free(text);
	if (b->object == NULL)
		return err_set(
			e, ERR_VALIDATION, NULL, "%s line %d, column %d: %s", path, why.line, why.column, why.text);
	return json_is_object(b->object) || json_is_array(b->object)
	               ? 0
	               : err_set(e, ERR_VALIDATION, NULL, "%s holds no JSON object", path);
}

/* ---- words -------------------------------------------------------------------------------------------------------- */

/* The content of a file, without the end of its last line. */
static int file_value(struct body *b, const json_t *member, const char *path, json_t **out, struct err *e)
{
	char *text;
	size_t n;

	if (read_file(path, &text, &n, e) != 0)
		return -1;
	if (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	if (n > 0 && text[n - 1] == '\r')
		text[--n] = '\0';
	*out = strlen(text) == n ? fields_value(b->v->doc, member, text) : NULL;
	explicit_bzero(text, n);
	free(text);
	return *out != NULL ? 0 : err_set(e, ERR_VALIDATION, NULL, "%s is no text", path);
}

static int json_value(const char *text, const char *path, json_t **out, struct err *e)
{
	json_error_t why;

	*out = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
	return *out != NULL ? 0 : err_set(e, ERR_VALIDATION, path, "%s: no JSON: %s", path, why.text);
}

static int take_word(struct body *b, const char *word, struct err *e)
{
	char path[FIELD_DEPTH_MAX * (FIELD_NAME_MAX + 1)];
	const json_t *member;
	struct field f;
	json_t *value;
	int rc = 0;

	if (field_parse(&f, word, e) != 0)
		return -1;
	field_path(path, sizeof path, &f);
	member = fields_member(b->v->doc, b->schema, &f);
	if (fields_is_secret(member) && f.form != FIELD_FILE)
		return err_set(e, ERR_VALIDATION, path,
			"%s: others on this machine can read it here: write %s=@FILE, %s=@- for the standard input, or "
			"leave it out to be asked",
			path, path, path);
	if (f.form == FIELD_FILE)
		rc = file_value(b, member, f.value, &value, e);
	else if (f.form == FIELD_JSON)
		rc = json_value(f.value, path, &value, e);
	else
		value = fields_value(b->v->doc, member, f.value);
	return rc != 0 ? -1 : field_set(b->object, &f, value, e);
}

/* ---- secrets that are needed and were not given ------------------------------------------------------------------- */

static int ask_secret(struct body *b, const char *name, struct err *e)
{
	char question[FIELD_NAME_MAX + 8], secret[SECRET_SIZE];
	int rc;

	(void)str_fmt(question, sizeof question, "%s: ", name);
	rc = prompt_secret(question, secret, sizeof secret, e);
	if (rc == 0 && json_object_set_new(b->object, name, json_string(secret)) != 0)
		rc = err_set(e, ERR_VALIDATION, name, "%s: it is no UTF-8", name);
	explicit_bzero(secret, sizeof secret);
	return rc;
}

static int ask_secrets(struct body *b, struct err *e)
{
	const json_t *properties = json_object_get(b->schema, "properties");
	const char *name;
	json_t *member;

	if (!prompt_possible() || !json_is_object(b->object))
		return 0;
	json_object_foreach((json_t *)properties, name,
		member) if (fields_is_secret(member) && fields_is_required(b->schema, name) &&
			    json_object_get(b->object, name) == NULL && ask_secret(b, name, e) != 0) return -1;
	return 0;
}

static int fill(struct body *b, int argc, char **argv, struct err *e)
{
	const char *file = options_text(&b->v->in->options, "file", NULL);

	if (file == NULL)
		b->object = json_object();
	else if (load_file(b, file, e) != 0)
		return -1;
	if (argc > 0 && !json_is_object(b->object))
		return err_set(e, ERR_VALIDATION, NULL, "%s holds a list: no words beside it", file);
	for (int i = 0; i < argc; i++)
		if (take_word(b, argv[i], e) != 0)
			return -1;
	return ask_secrets(b, e);
}

int verb_body(struct verb *v, const char *path, const char *method, int argc, char **argv, json_t **out)
{
	struct body b = { .v = v };
	struct err e;

	b.schema = fields_body(verb_doc(v), path, method);
	if (fill(&b, argc, argv, &e) != 0) {
		json_decref(b.object);
		return invocation_usage(v->in, "%s", e.msg);
	}
	*out = b.object;
	return 0;
}
