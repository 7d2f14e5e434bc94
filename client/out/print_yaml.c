#include "client/out/print.h"

#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <yaml.h>

/* Plain where every reader, old or new, takes it for a string; else in quotes. */
static bool is_plain(const char *s, size_t n)
{
	static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false", "null" };

	if (n == 0 || strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == 0)
		return false;
	if (strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != n)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	return true;
}

static int emit_scalar(yaml_emitter_t *em, const char *s, size_t n, yaml_scalar_style_t style)
{
	yaml_event_t ev;
	const int plain = style == YAML_PLAIN_SCALAR_STYLE;

	if (!yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s, (int)n, plain, !plain, style))
		return -1;
	return yaml_emitter_emit(em, &ev) ? 0 : -1;
}

static int emit_text(yaml_emitter_t *em, const char *s, size_t n)
{
	return emit_scalar(em, s, n, is_plain(s, n) ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

static int emit_number(yaml_emitter_t *em, const json_t *v)
{
	char text[40];

	if (json_is_integer(v))
		(void)str_fmt(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else
		(void)str_fmt(text, sizeof text, "%.15g", json_real_value(v));
	return emit_scalar(em, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
}

static int emit(yaml_emitter_t *em, const json_t *v);

static int emit_array(yaml_emitter_t *em, const json_t *v)
{
	const json_t *item;
	yaml_event_t ev;
	size_t i;

	if (!yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE) ||
		!yaml_emitter_emit(em, &ev))
		return -1;
	json_array_foreach(v, i, item) if (emit(em, item) != 0) return -1;
	return yaml_sequence_end_event_initialize(&ev) && yaml_emitter_emit(em, &ev) ? 0 : -1;
}

static int emit_object(yaml_emitter_t *em, const json_t *v)
{
	const char *key;
	yaml_event_t ev;
	json_t *item;

	if (!yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
		!yaml_emitter_emit(em, &ev))
		return -1;
	json_object_foreach(
		(json_t *)v, key, item) if (emit_text(em, key, strlen(key)) != 0 || emit(em, item) != 0) return -1;
	return yaml_mapping_end_event_initialize(&ev) && yaml_emitter_emit(em, &ev) ? 0 : -1;
}

static int emit(yaml_emitter_t *em, const json_t *v) /* NOLINT(misc-no-recursion): jansson bounds the depth */
{
	const char *word;

	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return emit_object(em, v);
	case JSON_ARRAY:
		return emit_array(em, v);
	case JSON_STRING:
		return emit_text(em, json_string_value(v), json_string_length(v));
	case JSON_INTEGER:
	case JSON_REAL:
		return emit_number(em, v);
	default:
		word = json_is_null(v) ? "null" : json_is_true(v) ? "true" : "false";
		return emit_scalar(em, word, strlen(word), YAML_PLAIN_SCALAR_STYLE);
	}
}

int print_yaml(FILE *out, const json_t *value)
{
	yaml_emitter_t em;
	yaml_event_t ev;
	int rc = -1;

	if (!yaml_emitter_initialize(&em))
		return -1;
	yaml_emitter_set_output_file(&em, out);
	yaml_emitter_set_unicode(&em, !isatty(fileno(out)));
	yaml_emitter_set_width(&em, -1);
	if (yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING) && yaml_emitter_emit(&em, &ev) &&
		yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1) && yaml_emitter_emit(&em, &ev) &&
		emit(&em, value) == 0 && yaml_document_end_event_initialize(&ev, 1) && yaml_emitter_emit(&em, &ev) &&
		yaml_stream_end_event_initialize(&ev) && yaml_emitter_emit(&em, &ev))
		rc = 0;
	yaml_emitter_delete(&em);
	return rc;
}
