/*
 * list - objects of a resource, filtered, page after page; ls - the mappings, with what passes through them.
 */
#include "client/api/feed.h"
#include "client/commands/verb.h"
#include "client/resource/pages.h"
#include "client/resource/watch.h"
#include "common/base/buf.h"

#define PATH_BYTES_MAX 8192

struct listing {
	struct verb v;
	struct buf path;
	struct view view;
	struct pages pages;
};

static int on_item(const json_t *item, void *arg)
{
	return view_show(arg, NULL, item) != 0 ? 1 : 0;
}

static int print_once(struct listing *l)
{
	int rc = pages_each(l->v.api, &l->pages, on_item, &l->view, &l->v.f);

	if (rc < 0)
		view_fail(&l->view);
	if (view_end(&l->view) != 0 || rc > 0)
		return EXIT_BAD_NEWS;
	if (l->pages.incomplete)
		(void)fprintf(stderr, "%s: not all: a relay has not answered, or has more\n", l->v.in->who);
	return rc == 0 ? EXIT_DONE : verb_fail(&l->v);
}

static int fetch(void *arg, pages_fn fn, void *fn_arg, bool *complete, struct failure *f)
{
	struct listing *l = arg;
	int rc;

	l->pages.incomplete = false;
	rc = pages_each(l->v.api, &l->pages, fn, fn_arg, f);
	*complete = !l->pages.incomplete;
	return rc;
}

static int watch(struct listing *l)
{
	const struct watch_conf conf = {
		.fetch = fetch,
		.arg = l,
		.view = &l->view,
		.feed = verb_feed(&l->v),
		.interval_ms = (uint64_t)options_number(&l->v.in->options, "interval", WATCH_LIVE_MS),
		.blind_ms = (uint64_t)options_number(&l->v.in->options, "interval", WATCH_BLIND_MS),
		.who = l->v.in->who,
	};
	int rc = watch_run(&conf, &l->v.f);

	feed_close(conf.feed);
	(void)view_end(&l->view);
	return rc == 0 ? EXIT_DONE : verb_fail(&l->v);
}

static int run(struct listing *l, int argc, char **argv)
{
	const bool watched = options_has(&l->v.in->options, "watch");
	struct view_conf conf;
	int rc;

	buf_init(&l->path, PATH_BYTES_MAX);
	rc = verb_filters(&l->v, &l->path, argc, argv);
	l->pages.path = buf_cstr(&l->path);
	l->pages.page = l->v.resource->page;
	l->pages.limit = options_number(&l->v.in->options, "limit", 0);
	if (rc == 0)
		rc = verb_view(&l->v, watched, &conf);
	if (rc != 0)
		return rc;
	if (view_begin(&l->view, &conf) != 0)
		return EXIT_BAD_NEWS;
	return watched ? watch(l) : print_once(l);
}

int verb_list(struct invocation *in, const char *resource, int argc, char **argv)
{
	struct listing l = { .path = { .data = NULL } };
	int rc = verb_begin(&l.v, in, resource, RESOURCE_LIST);

	if (rc == 0)
		rc = run(&l, argc, argv);
	buf_free(&l.path);
	verb_end(&l.v);
	return rc;
}

int command_list(struct invocation *in)
{
	return verb_list(in, in->argv[0], in->argc - 1, in->argv + 1);
}

/* ---- ls ----------------------------------------------------------------------------------------------------------- */

static const struct column ls_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "PROTO", "protocol", CELL_TEXT },
	{ "PORT", NULL, CELL_PORTS },
	{ "TARGET", NULL, CELL_TARGET },
	{ "STATUS", "status", CELL_TEXT },
	{ "CONNS", "traffic_stats.connections_active", CELL_COUNT },
	{ "TOTAL", "traffic_stats.connections_total", CELL_COUNT },
	{ "REFUSED", "traffic_stats.connections_refused", CELL_COUNT },
	{ "IN", "traffic_stats.bytes_received", CELL_BYTES },
	{ "OUT", "traffic_stats.bytes_sent", CELL_BYTES },
	{ NULL, NULL, CELL_TEXT },
};

int command_ls(struct invocation *in)
{
	struct listing l = { .path = { .data = NULL } };
	struct resource with_traffic;
	int rc = verb_begin(&l.v, in, "mapping", RESOURCE_LIST);

	if (rc == 0) {
		with_traffic = *l.v.resource;
		with_traffic.columns = ls_columns;
		l.v.resource = &with_traffic;
		rc = run(&l, in->argc, in->argv);
	}
	buf_free(&l.path);
	verb_end(&l.v);
	return rc;
}
