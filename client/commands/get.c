/*
 * get - one object, whole.
 */
#include "client/api/feed.h"
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "client/resource/watch.h"
#include "common/base/buf.h"

#define PATH_BYTES_MAX 4096

struct getting {
	struct verb v;
	struct buf path;
};

static int show(struct getting *g, const json_t *object)
{
	if (invocation_format(g->v.in) != PRINT_TABLE || options_has(&g->v.in->options, "columns"))
		return verb_show(&g->v, object);
	return view_details(g->v.in->out, object) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

static int fetch(void *arg, pages_fn fn, void *fn_arg, bool *complete, struct failure *f)
{
	struct getting *g = arg;
	struct http_answer answer;
	int rc;

	*complete = true;
	if (api_get(g->v.api, buf_cstr(&g->path), &answer, f) != 0)
		return f->exit == EXIT_NOT_FOUND ? 0 : -1; /* nothing left */
	rc = fn(answer.body, fn_arg);
	http_answer_fini(&answer);
	return rc;
}

static int watch(struct getting *g)
{
	struct view view;
	struct watch_conf conf = {
		.fetch = fetch,
		.arg = g,
		.view = &view,
		.feed = verb_feed(&g->v),
		.interval_ms = (uint64_t)options_number(&g->v.in->options, "interval", WATCH_LIVE_MS),
		.blind_ms = (uint64_t)options_number(&g->v.in->options, "interval", WATCH_BLIND_MS),
		.until_gone = true,
		.who = g->v.in->who,
	};
	struct view_conf how;
	int rc = verb_view(&g->v, true, &how);

	if (rc == 0 && view_begin(&view, &how) != 0)
		rc = EXIT_BAD_NEWS;
	if (rc != 0) {
		feed_close(conf.feed);
		return rc;
	}
	rc = watch_run(&conf, &g->v.f);
	feed_close(conf.feed);
	if (view.shown == 0 && rc == 0) { /* it has never been there */
		view_end(&view);
		return verb_fail(&g->v);
	}
	(void)view_end(&view);
	return rc == 0 ? EXIT_DONE : verb_fail(&g->v);
}

static int get(struct getting *g, const char *word)
{
	struct http_answer answer;
	char id[NAMED_ID_SIZE];
	int rc = verb_find(&g->v, word, id);

	if (rc != 0)
		return rc;
	buf_reset(&g->path);
	verb_path(&g->path, &g->v, id);
	if (options_has(&g->v.in->options, "watch"))
		return watch(g);
	if (api_get(g->v.api, buf_cstr(&g->path), &answer, &g->v.f) != 0)
		return verb_fail(&g->v);
	rc = show(g, answer.body);
	http_answer_fini(&answer);
	return rc;
}

int command_get(struct invocation *in)
{
	struct getting g = { .path = { .data = NULL } };
	int rc = verb_begin(&g.v, in, in->argv[0], RESOURCE_GET);

	buf_init(&g.path, PATH_BYTES_MAX);
	if (rc == 0)
		rc = get(&g, in->argv[1]);
	buf_free(&g.path);
	verb_end(&g.v);
	return rc;
}
