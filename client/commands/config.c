/*
 * config - settings of controld that change while it runs: what they are, changing them, being told when somebody does.
 */
#include "client/api/feed.h"
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "client/resource/field.h"
#include "client/resource/watch.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <string.h>

#define PATH          "/api/v1/config"
#define IF_MATCH_SIZE 80

static const struct column setting_columns[] = {
	{ "SETTING", "key", CELL_TEXT },
	{ "VALUE", "value", CELL_TEXT },
	{ "CHANGED", "changed", CELL_TEXT },
	{ NULL, NULL, CELL_TEXT },
};
static const struct resource setting = {
	.name = "setting", .plural = "settings", .columns = setting_columns, .id = "key", .summary = ""
};

struct config_command {
	struct verb v;
	int argc;
	char **argv; /* keys that are wanted; none: all */
};

static bool is_wanted(const struct config_command *c, const char *key)
{
	bool wanted = c->argc == 0;

	for (int i = 0; i < c->argc; i++)
		wanted |= str_eq(c->argv[i], key);
	return wanted;
}

static bool is_listed(const json_t *list, const char *key)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) if (str_eq(json_string_value(one), key)) return true;
	return false;
}

/* fn for each that is wanted, as an object {key, value, changed}. */
static int each(const struct config_command *c, const json_t *config, pages_fn fn, void *arg)
{
	const json_t *changed = json_object_get(config, "changed");
	const char *key;
	json_t *value;
	int rc = 0;

	json_object_foreach(json_object_get(config, "settings"), key, value)
	{
		json_t *row;

		if (rc != 0 || !is_wanted(c, key))
			continue;
		row = json_pack("{s:s, s:O, s:b}", "key", key, "value", value, "changed", (int)is_listed(changed, key));
		rc = row != NULL ? fn(row, arg) : 1;
		json_decref(row);
	}
	return rc;
}

static int on_row(const json_t *row, void *arg)
{
	return view_show(arg, NULL, row) != 0 ? 1 : 0;
}

/* A key that is not there is a mistake, whatever else is. */
static int check_keys(struct config_command *c, const json_t *config)
{
	const json_t *settings = json_object_get(config, "settings");

	for (int i = 0; i < c->argc; i++)
		if (json_object_get(settings, c->argv[i]) == NULL) {
			(void)failure_set(&c->v.f, EXIT_NOT_FOUND,
				"there is no setting '%s' that can be changed while controld runs", c->argv[i]);
			return verb_fail(&c->v);
		}
	return 0;
}

/* For programs the answer as it is; people get rows. */
static int show(struct config_command *c, const json_t *config)
{
	struct view_conf conf;
	struct view view;
	int rc = check_keys(c, config);

	if (rc != 0)
		return rc;
	if (c->argc == 0 && (invocation_format(c->v.in) == PRINT_JSON || invocation_format(c->v.in) == PRINT_YAML))
		return verb_show(&c->v, config);
	rc = verb_view(&c->v, false, &conf);
	if (rc == 0 && view_begin(&view, &conf) != 0)
		rc = EXIT_BAD_NEWS;
	if (rc != 0)
		return rc;
	rc = each(c, config, on_row, &view);
	return (view_end(&view) | rc) != 0 ? EXIT_BAD_NEWS : EXIT_DONE;
}

static int config_get(struct config_command *c)
{
	struct http_answer answer;
	int rc;

	if (api_get(c->v.api, PATH, &answer, &c->v.f) != 0)
		return verb_fail(&c->v);
	rc = show(c, answer.body);
	http_answer_fini(&answer);
	return rc;
}

/* ---- set ---------------------------------------------------------------------------------------------------------- */

/* Numbers, true, false and null are those; whatever else is text: "30s". */
static int take_word(struct config_command *c, json_t *settings, const char *word)
{
	const char *equals = strchr(word, '=');
	char key[2 * FIELD_NAME_MAX];
	json_t *value;

	if (equals == NULL || equals == word || str_fmt(key, sizeof key, "%.*s", (int)(equals - word), word) != 0)
		return invocation_usage(c->v.in, "'%s': write KEY=VALUE; null takes the settings file's again", word);
	value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
	if (value == NULL || json_is_object(value) || json_is_array(value)) {
		json_decref(value);
		value = json_string(equals + 1);
	}
	return json_object_set_new(settings, key, value) == 0 ? 0 : invocation_usage(c->v.in, "'%s' is no text", word);
}

static int send(struct config_command *c, json_t *settings)
{
	char match[IF_MATCH_SIZE] = "";
	json_t *body = json_pack("{s:O}", "settings", settings);
	struct api_request rq = { .method = "PUT", .path = PATH, .body = body };
	struct http_answer answer;
	int rc = invocation_etag(c->v.in, match, sizeof match);

	rq.if_match = match[0] != '\0' ? match : NULL;
	if (rc == 0 && api_call(c->v.api, &rq, &answer, &c->v.f) != 0) {
		rc = verb_fail(&c->v);
	} else if (rc == 0) {
		c->argc = 0;
		rc = show(c, answer.body);
		http_answer_fini(&answer);
	}
	json_decref(body);
	return rc;
}

static int config_set(struct config_command *c)
{
	json_t *settings = json_object();
	int rc = 0;

	for (int i = 0; rc == 0 && i < c->argc; i++)
		rc = take_word(c, settings, c->argv[i]);
	if (rc == 0 && c->argc == 0)
		rc = invocation_usage(c->v.in, "set takes KEY=VALUE");
	if (rc == 0)
		rc = send(c, settings);
	json_decref(settings);
	return rc;
}

/* ---- watch -------------------------------------------------------------------------------------------------------- */

static int fetch(void *arg, pages_fn fn, void *fn_arg, bool *complete, struct failure *f)
{
	const struct config_command *c = arg;
	struct http_answer answer;
	int rc;

	*complete = true;
	if (api_get(c->v.api, PATH, &answer, f) != 0)
		return -1;
	rc = each(c, answer.body, fn, fn_arg);
	http_answer_fini(&answer);
	return rc;
}

static int config_watch(struct config_command *c)
{
	struct watch_conf conf = { .fetch = fetch,
		.arg = c,
		.interval_ms = (uint64_t)options_number(&c->v.in->options, "interval", WATCH_LIVE_MS),
		.blind_ms = (uint64_t)options_number(&c->v.in->options, "interval", WATCH_BLIND_MS),
		.who = c->v.in->who };
	struct view_conf how;
	struct view view;
	struct err e;
	int rc = verb_view(&c->v, true, &how);

	if (rc == 0 && view_begin(&view, &how) != 0)
		rc = EXIT_BAD_NEWS;
	if (rc != 0)
		return rc;
	conf.view = &view;
	if (feed_open(&conf.feed, c->v.api, "config", &e) != 0)
		conf.feed = NULL;
	rc = watch_run(&conf, &c->v.f);
	feed_close(conf.feed);
	(void)view_end(&view);
	return rc == 0 ? EXIT_DONE : verb_fail(&c->v);
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *word;
	int (*run)(struct config_command *c);
} words[] = {
	{ "get", config_get },
	{ "set", config_set },
	{ "watch", config_watch },
};

int command_config(struct invocation *in)
{
	struct config_command c = { .argc = MAX(in->argc - 1, 0), .argv = in->argv + MIN(in->argc, 1) };
	int rc;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_eq(in->argc > 0 ? in->argv[0] : "get", words[i].word))
			continue;
		rc = verb_begin(&c.v, in, "user", 0);
		c.v.resource = &setting;
		if (rc == 0)
			rc = words[i].run(&c);
		verb_end(&c.v);
		return rc;
	}
	return invocation_usage(in, "'%s': must be get, set or watch", in->argv[0]);
}
