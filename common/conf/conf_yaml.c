#include "common/conf/conf_yaml.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <string.h>
#include <yaml.h>

struct conf_yaml {
	yaml_parser_t parser;
	const char *name;
	conf_yaml_fn fn;
	void *arg;
	struct err_list *errs;
	bool failed;
	char key[CONF_YAML_KEY_MAX]; /* path of the value being read */
};

static size_t conf_yaml_line(const yaml_event_t *ev)
{
	return ev->start_mark.line + 1;
}

static void conf_yaml_refuse(struct conf_yaml *y, const yaml_event_t *ev, const char *what)
{
	y->failed = true;
	err_list_add(y->errs, ERR_VALIDATION, y->key, "format", NULL, "%s:%zu: %s%s%s", y->name, conf_yaml_line(ev),
		y->key, y->key[0] != '\0' ? ": " : "", what);
}

/* The next event, to be deleted by the caller; false after a syntax error, which it reports. */
static bool conf_yaml_next(struct conf_yaml *y, yaml_event_t *ev)
{
	if (yaml_parser_parse(&y->parser, ev))
		return true;
	y->failed = true;
	err_list_add(y->errs, ERR_VALIDATION, y->key, "syntax", NULL, "%s:%zu: not YAML: %s", y->name,
		y->parser.problem_mark.line + 1, y->parser.problem != NULL ? y->parser.problem : "out of memory");
	return false;
}

/* Reads on to the end of a node whose first event was *ev. */
static bool conf_yaml_skip(struct conf_yaml *y, const yaml_event_t *ev)
{
	size_t depth = ev->type == YAML_MAPPING_START_EVENT || ev->type == YAML_SEQUENCE_START_EVENT;

	while (depth > 0) {
		yaml_event_t inner;

		if (!conf_yaml_next(y, &inner))
			return false;
		if (inner.type == YAML_MAPPING_START_EVENT || inner.type == YAML_SEQUENCE_START_EVENT)
			depth++;
		else if (inner.type == YAML_MAPPING_END_EVENT || inner.type == YAML_SEQUENCE_END_EVENT)
			depth--;
		yaml_event_delete(&inner);
	}
	return true;
}

static bool conf_yaml_is_null(const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;

	return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (s[0] == '\0' || strcmp(s, "~") == 0 || strcmp(s, "null") == 0);
}

static void conf_yaml_scalar(struct conf_yaml *y, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;

	if (strlen(s) != ev->data.scalar.length)
		conf_yaml_refuse(y, ev, "the value has a NUL byte");
	else
		y->fn(y->key, conf_yaml_is_null(ev) ? NULL : s, conf_yaml_line(ev), y->arg);
}

/* Appends one more name to the path; answers false (and reports) when the event is no name. */
static bool conf_yaml_enter(struct conf_yaml *y, const yaml_event_t *ev)
{
	const size_t n = strlen(y->key);
	const char *name;

	if (ev->type != YAML_SCALAR_EVENT) {
		conf_yaml_refuse(y, ev, "a key must be a plain name");
		return false;
	}
	name = (const char *)ev->data.scalar.value;
	if (name[0] == '\0' || strlen(name) != ev->data.scalar.length ||
		str_fmt(y->key + n, sizeof y->key - n, "%s%s", n > 0 ? "." : "", name) != 0) {
		y->key[n] = '\0';
		conf_yaml_refuse(y, ev, "a key must be a name of 1 to 127 bytes");
		return false;
	}
	return true;
}

static bool conf_yaml_map(struct conf_yaml *y, size_t depth);

/* One value at y->key. False when reading must stop. */
static bool conf_yaml_value(struct conf_yaml *y, const yaml_event_t *ev, size_t depth)
{
	if (ev->type == YAML_SCALAR_EVENT) {
		conf_yaml_scalar(y, ev);
		return true;
	}
	if (ev->type == YAML_MAPPING_START_EVENT && depth < CONF_YAML_DEPTH_MAX)
		return conf_yaml_map(y, depth + 1);
	if (ev->type == YAML_MAPPING_START_EVENT)
		conf_yaml_refuse(y, ev, "maps are nested too deeply");
	else if (ev->type == YAML_ALIAS_EVENT)
		conf_yaml_refuse(y, ev, "an alias (*name) is not possible here");
	else
		conf_yaml_refuse(y, ev, "a list is not possible here, write several values with commas between them");
	return conf_yaml_skip(y, ev);
}

/* One "key: value" of a map. */
static bool conf_yaml_pair(struct conf_yaml *y, const yaml_event_t *key, size_t depth)
{
	const size_t n = strlen(y->key);
	const bool known = conf_yaml_enter(y, key);
	yaml_event_t value;
	bool go_on;

	if (!conf_yaml_skip(y, key) || !conf_yaml_next(y, &value))
		return false;
	go_on = known ? conf_yaml_value(y, &value, depth) : conf_yaml_skip(y, &value);
	yaml_event_delete(&value);
	y->key[n] = '\0';
	return go_on;
}

/* The rest of a map whose start was read. */
static bool conf_yaml_map(struct conf_yaml *y, size_t depth)
{
	size_t pairs = 0;

	for (;;) {
		yaml_event_t key;
		bool end, go_on = true;
		size_t line;

		if (!conf_yaml_next(y, &key))
			return false;
		line = conf_yaml_line(&key);
		end = key.type == YAML_MAPPING_END_EVENT;
		if (!end)
			go_on = conf_yaml_pair(y, &key, depth);
		yaml_event_delete(&key);
		if (end && pairs == 0 && depth > 0)
			y->fn(y->key, NULL, line, y->arg);
		if (end || !go_on)
			return go_on;
		pairs++;
	}
}

/* The root of a document: a map, or nothing at all. */
static bool conf_yaml_document(struct conf_yaml *y)
{
	yaml_event_t ev;
	bool go_on = true;

	if (!conf_yaml_next(y, &ev))
		return false;
	if (ev.type == YAML_MAPPING_START_EVENT) {
		go_on = conf_yaml_map(y, 0);
	} else if (ev.type != YAML_SCALAR_EVENT || !conf_yaml_is_null(&ev)) {
		conf_yaml_refuse(y, &ev, "the file must hold 'key: value' lines");
		go_on = conf_yaml_skip(y, &ev);
	}
	yaml_event_delete(&ev);
	return go_on;
}

static void conf_yaml_stream(struct conf_yaml *y)
{
	size_t documents = 0;
	bool go_on = true;

	while (go_on) {
		yaml_event_t ev;

		if (!conf_yaml_next(y, &ev))
			return;
		if (ev.type == YAML_DOCUMENT_START_EVENT && documents++ > 0) {
			conf_yaml_refuse(y, &ev, "the file must hold one document only");
			go_on = false;
		} else if (ev.type == YAML_DOCUMENT_START_EVENT) {
			go_on = conf_yaml_document(y);
		}
		go_on = go_on && ev.type != YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
	}
}

int conf_yaml_read(const char *name, const uint8_t *text, size_t n, conf_yaml_fn fn, void *arg, struct err_list *errs)
{
	struct conf_yaml y = { .name = name, .fn = fn, .arg = arg, .errs = errs };

	if (n > CONF_YAML_FILE_MAX)
		return err_list_add(errs, ERR_TOO_LARGE, NULL, "length", NULL, "%s: longer than %d bytes", name,
			CONF_YAML_FILE_MAX);
	if (!yaml_parser_initialize(&y.parser))
		return err_list_add(errs, ERR_NOMEM, NULL, NULL, NULL, "%s: out of memory", name);
	yaml_parser_set_input_string(&y.parser, text, n);
	conf_yaml_stream(&y);
	yaml_parser_delete(&y.parser);
	return y.failed ? -1 : 0;
}
