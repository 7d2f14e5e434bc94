/*
 * The table as people read it: the settings in effect, the example file, --help, the man page.
 */
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "common/conf/conf_value.h"

#include <inttypes.h>
#include <string.h>
#include <yaml.h>

/* ---- sections: "log" of "log.level" ---- */

static bool conf_is_listed(const struct conf_key *k)
{
	return !(k->flags & CONF_ALIAS_UNUSED);
}

/* Bytes at the front of both keys that are the same sections, with their dots. */
static size_t conf_common_sections(const char *a, const char *b)
{
	size_t common = 0;

	for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++)
		if (a[i] == '.')
			common = i + 1;
	return common;
}

static size_t conf_depth(const char *key, size_t n)
{
	size_t depth = 0;

	for (size_t i = 0; i < n; i++)
		depth += key[i] == '.';
	return depth;
}

static const char *conf_last_name(const char *key)
{
	const char *dot = strrchr(key, '.');

	return dot != NULL ? dot + 1 : key;
}

/* ---- the settings in effect ---- */

static void conf_emit(yaml_emitter_t *em, yaml_event_t *ev, int made)
{
	if (made)
		yaml_emitter_emit(em, ev); /* deletes the event; a failure shows as output that ends early */
}

static void conf_emit_scalar(yaml_emitter_t *em, const char *text, size_t n, bool quoted)
{
	yaml_event_t ev;

	conf_emit(em, &ev,
		yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)text, (int)n, 1, 1,
			quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE));
}

static void conf_emit_map_start(yaml_emitter_t *em)
{
	yaml_event_t ev;

	conf_emit(em, &ev, yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
}

static void conf_emit_map_ends(yaml_emitter_t *em, size_t n)
{
	yaml_event_t ev;

	for (; n > 0; n--)
		conf_emit(em, &ev, yaml_mapping_end_event_initialize(&ev));
}

/* Opens the sections of a key behind its first n bytes and writes its last name. */
static void conf_emit_key(yaml_emitter_t *em, const char *key, size_t n)
{
	const char *dot;

	for (key += n; (dot = strchr(key, '.')) != NULL; key = dot + 1) {
		conf_emit_scalar(em, key, (size_t)(dot - key), false);
		conf_emit_map_start(em);
	}
	conf_emit_scalar(em, key, strlen(key), false);
}

static void conf_emit_value(yaml_emitter_t *em, const struct conf_key *k, const void *target)
{
	char scratch[CONF_VALUE_TEXT];
	const char *text = conf_value_text(k, target, scratch);

	if (k->flags & CONF_SECRET && text[0] != '\0')
		text = "***";
	conf_emit_scalar(em, text, strlen(text), conf_value_is_text(k));
}

static void conf_emit_rows(yaml_emitter_t *em, const struct conf_table *t, const void *target)
{
	const char *last = "";

	conf_emit_map_start(em);
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_key *k = &t->keys[i];
		size_t common = conf_common_sections(last, k->key);

		if (!conf_is_listed(k))
			continue;
		conf_emit_map_ends(em, conf_depth(last, strlen(last)) - conf_depth(last, common));
		conf_emit_key(em, k->key, common);
		conf_emit_value(em, k, target);
		last = k->key;
	}
	conf_emit_map_ends(em, conf_depth(last, strlen(last)) + 1);
}

void conf_print(const struct conf_table *t, const void *target, FILE *out)
{
	yaml_emitter_t em;
	yaml_event_t ev;

	if (!yaml_emitter_initialize(&em))
		return;
	yaml_emitter_set_output_file(&em, out);
	yaml_emitter_set_unicode(&em, 1);
	yaml_emitter_set_width(&em, -1);
	conf_emit(&em, &ev, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING));
	conf_emit(&em, &ev, yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1));
	conf_emit_rows(&em, t, target);
	conf_emit(&em, &ev, yaml_document_end_event_initialize(&ev, 1));
	conf_emit(&em, &ev, yaml_stream_end_event_initialize(&ev));
	yaml_emitter_delete(&em);
}

/* ---- words about a row ---- */

/* Is the unit told by the rule already ("a duration in ms, s, ...")? */
static bool conf_has_unit(const struct conf_key *k)
{
	return k->unit != NULL && k->unit[0] != '\0' && k->type != CONF_DURATION && k->type != CONF_SIZE;
}

/* "A number between 1 and 256 (threads)." */
static void conf_rule_sentence(const struct conf_key *k, char dst[CONF_VALUE_RULE * 2])
{
	char rule[CONF_VALUE_RULE];

	conf_value_rule(k, rule);
	if (rule[0] >= 'a' && rule[0] <= 'z')
		rule[0] = (char)(rule[0] - 'a' + 'A');
	if (conf_has_unit(k))
		str_fmt(dst, CONF_VALUE_RULE * 2, "%s (%s).", rule, k->unit);
	else
		str_fmt(dst, CONF_VALUE_RULE * 2, "%s.", rule);
}

static const char *conf_default(const struct conf_key *k)
{
	return k->def != NULL && k->def[0] != '\0' ? k->def : "none";
}

static const char *conf_reload_text(const struct conf_key *k)
{
	return k->flags & CONF_RELOAD ? "Takes effect on SIGHUP." : "Takes effect on restart.";
}

/* A default needs quotes in YAML when it has more than the characters of names and numbers. */
static void conf_print_default(const struct conf_key *k, FILE *out)
{
	const char *def = k->def != NULL ? k->def : "";
	const size_t plain = strspn(def, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-");

	if (!conf_value_is_text(k) || (def[0] != '\0' && def[0] != '-' && def[plain] == '\0'))
		fputs(def, out);
	else
		fprintf(out, "\"%s\"", def);
}

/* ---- the example file ---- */

static void conf_print_example_row(const struct conf_key *k, int indent, FILE *out)
{
	char rule[CONF_VALUE_RULE * 2];

	conf_rule_sentence(k, rule);
	fprintf(out, "\n%*s# %s\n", indent, "", k->help);
	fprintf(out, "%*s# %s %s\n", indent, "", rule, conf_reload_text(k));
	if (k->env != NULL)
		fprintf(out, "%*s# Environment: %s\n", indent, "", k->env);
	fprintf(out, "%*s#%s: ", indent, "", conf_last_name(k->key));
	conf_print_default(k, out);
	fputc('\n', out);
}

void conf_print_example(const struct conf_table *t, FILE *out)
{
	const char *last = "";

	fprintf(out, "# Settings of %s. Every line that is commented out shows the default.\n", t->program);
	fprintf(out, "# The environment wins over this file, and --set KEY=VALUE over both.\n");
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_key *k = &t->keys[i];
		size_t common = conf_common_sections(last, k->key);
		const char *dot;

		if (!conf_is_listed(k))
			continue;
		for (const char *s = k->key + common; (dot = strchr(s, '.')) != NULL; s = dot + 1) {
			int indent = 2 * (int)conf_depth(k->key, (size_t)(s - k->key));

			fprintf(out, "\n%*s%.*s:\n", indent, "", (int)(dot - s), s);
		}
		conf_print_example_row(k, 2 * (int)conf_depth(k->key, strlen(k->key)), out);
		last = k->key;
	}
}

/* ---- --help and the man page ---- */

void conf_print_help(const struct conf_table *t, FILE *out)
{
	fprintf(out, "Settings: KEY in the file, as --set KEY=VALUE, or from the environment\n");
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_key *k = &t->keys[i];
		char rule[CONF_VALUE_RULE * 2];

		if (!conf_is_listed(k))
			continue;
		conf_rule_sentence(k, rule);
		fprintf(out, "  %-30s %s\n", k->key, k->env != NULL ? k->env : "");
		fprintf(out, "      %s\n      %s Default: %s.\n", k->help, rule, conf_default(k));
	}
}

/* Text of the table as a line of mdoc: a backslash starts an escape, a dot or quote at the front a request. */
static void conf_print_mdoc_text(const char *s, FILE *out)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", out);
	for (; *s != '\0'; s++) {
		if (*s == '\\')
			fputs("\\e", out);
		else
			fputc(*s, out);
	}
	fputc('\n', out);
}

void conf_print_mdoc(const struct conf_table *t, FILE *out)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_key *k = &t->keys[i];
		char rule[CONF_VALUE_RULE * 2];

		if (!conf_is_listed(k))
			continue;
		conf_rule_sentence(k, rule);
		fprintf(out, ".It Cm %s\n", k->key);
		conf_print_mdoc_text(k->help, out);
		conf_print_mdoc_text(rule, out);
		/* \& keeps a default from being taken for a macro */
		if (k->def != NULL && k->def[0] != '\0')
			fprintf(out, "Default:\n.Ql \"\\&%s\" .\n", k->def);
		else
			fputs("Default: none.\n", out);
		if (k->env != NULL)
			fprintf(out, "Environment:\n.Ev %s .\n", k->env);
		conf_print_mdoc_text(conf_reload_text(k), out);
	}
}
