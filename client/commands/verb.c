#include "client/commands/verb.h"

#include "client/api/feed.h"
#include "client/api/path.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *what_verb(unsigned need)
{
	switch (need) {
	case RESOURCE_LIST:
		return "listed";
	case RESOURCE_GET:
		return "shown alone";
	case RESOURCE_CREATE:
		return "created";
	case RESOURCE_UPDATE:
		return "updated";
	default:
		return "deleted";
	}
}

const json_t *verb_doc(struct verb *v)
{
	const struct api_request rq = { .method = "GET", .path = "/openapi.json", .public = true };
	struct http_answer answer;

	if (v->doc == NULL && api_call(v->api, &rq, &answer, &v->f) == 0) {
		v->doc = json_incref(answer.body);
		http_answer_fini(&answer);
	}
	return v->doc;
}

static int find_resource(struct verb *v, const char *name)
{
	char all[300] = "";

	if ((v->resource = resource_find(name)) != NULL)
		return 0;
	if (verb_doc(v) == NULL)
		return verb_fail(v);
	if (resource_discover(&v->found, v->doc, name) == 0) {
		v->resource = &v->found.resource;
		return 0;
	}
	for (const struct resource *r = resource_table; r->name != NULL; r++) {
		const size_t n = strlen(all);

		(void)str_fmt(all + n, sizeof all - n, "%s%s", n > 0 ? ", " : "", r->name);
	}
	return invocation_usage(v->in, "there is no resource '%s'; there are %s", name, all);
}

int verb_begin(struct verb *v, const struct invocation *in, const char *name, unsigned need)
{
	int rc;

	*v = (struct verb){ .in = in };
	if ((rc = invocation_api(in, &v->api)) != 0 || (rc = find_resource(v, name)) != 0)
		return rc;
	if ((v->resource->verbs & need) == need)
		return 0;
	return invocation_usage(in, "%s cannot be %s", v->resource->plural, what_verb(need));
}

void verb_end(struct verb *v)
{
	json_decref(v->doc);
	free(v->columns);
	api_close(v->api);
}

int verb_find(struct verb *v, const char *word, char id[NAMED_ID_SIZE])
{
	return named_find(v->api, v->resource, word, id, &v->f) == 0 ? 0 : verb_fail(v);
}

void verb_path(struct buf *b, const struct verb *v, const char *id)
{
	buf_printf(b, "%s", v->resource->path);
	path_segment(b, id);
}

void verb_template(char *dst, size_t size, const struct verb *v, bool one)
{
	(void)str_fmt(dst, size, "%s%s", v->resource->path, one ? "/{id}" : "");
}

int verb_filters(struct verb *v, struct buf *path, int argc, char **argv)
{
	buf_printf(path, "%s", v->resource->path);
	for (int i = 0; i < argc; i++) {
		char name[64];
		const size_t n = strcspn(argv[i], "=");

		if (n == 0 || argv[i][n] != '=' || str_fmt(name, sizeof name, "%.*s", (int)n, argv[i]) != 0)
			return invocation_usage(v->in, "'%s': write a filter as NAME=VALUE", argv[i]);
		path_query(path, name, argv[i] + n + 1);
	}
	return path->failed ? invocation_usage(v->in, "the filters are too long") : 0;
}

struct feed *verb_feed(const struct verb *v)
{
	static const char *const kinds[][2] = { { "mapping", "mapping" }, { "client", "client" }, { "user", "user" },
		{ "tenant", "tenant" }, { "api-key", "api_key" }, { "audit", "" } };
	struct feed *feed = NULL;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(v->resource->name, kinds[i][0]) && feed_open(&feed, v->api, kinds[i][1], &e) != 0)
			return NULL;
	return feed;
}

int verb_fail(const struct verb *v)
{
	return invocation_fail(v->in, &v->f);
}

int verb_view(struct verb *v, bool events, struct view_conf *out)
{
	const char *list = options_text(&v->in->options, "columns", NULL);

	if (list != NULL && v->columns == NULL && view_columns(&v->columns, list) != 0) {
		failure_set(&v->f, EXIT_BAD_NEWS, "out of memory");
		return verb_fail(v);
	}
	*out = (struct view_conf){
		.out = v->in->out,
		.format = invocation_format(v->in),
		.columns = v->columns != NULL ? v->columns : v->resource->columns,
		.id = v->resource->id,
		.events = events,
	};
	return 0;
}

static int show_row(struct verb *v, const json_t *object)
{
	struct view_conf conf;
	struct view view;
	int rc = verb_view(v, false, &conf);

	if (rc != 0)
		return rc;
	if (view_begin(&view, &conf) != 0)
		return EXIT_BAD_NEWS;
	rc = view_show(&view, NULL, object);
	return (view_end(&view) | rc) != 0 ? EXIT_BAD_NEWS : EXIT_DONE;
}

int verb_show(struct verb *v, const json_t *object)
{
	switch (invocation_format(v->in)) {
	case PRINT_JSON:
		return print_json(v->in->out, object) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
	case PRINT_YAML:
		return print_yaml(v->in->out, object) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
	default:
		return show_row(v, object);
	}
}
