/*
 * logs - who did what: the newest entries of the audit log, oldest of them first; --follow goes on.
 */
#include "client/api/feed.h"
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "client/resource/pages.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#define PATH_BYTES_MAX  8192
#define LOGS_DEFAULT    20
#define FOLLOW_LIVE_MS  30000 /* each entry is pushed */
#define FOLLOW_BLIND_MS 1000

struct logs {
	struct verb v;
	struct buf path;
	struct view view;
	bool lines; /* JSON and YAML: one entry after the other, no list */
	json_t *fresh;
	json_int_t last; /* number of the newest entry that was shown */
};

static int on_entry(const json_t *entry, void *arg)
{
	struct logs *l = arg;

	if (json_integer_value(json_object_get(entry, "seq")) <= l->last)
		return 1; /* from here on they are known */
	return json_array_append(l->fresh, (json_t *)entry) != 0 ? 1 : 0;
}

static int show(struct logs *l, const json_t *entry)
{
	if (l->view.conf.format == PRINT_JSON)
		return print_json_line(l->v.in->out, entry);
	if (l->view.conf.format == PRINT_YAML)
		return fputs("---\n", l->v.in->out) == EOF ? -1 : print_yaml(l->v.in->out, entry);
	return view_show(&l->view, NULL, entry);
}

/* Reads what is new and shows it, the oldest first. 0, 1 the reader is away, -1 with v.f. */
static int look(struct logs *l, int64_t limit)
{
	struct pages pages = { .path = buf_cstr(&l->path), .limit = limit };
	int rc;

	json_array_clear(l->fresh);
	rc = pages_each(l->v.api, &pages, on_entry, l, &l->v.f);
	if (rc < 0)
		return -1;
	for (size_t i = json_array_size(l->fresh); i > 0; i--) {
		const json_t *entry = json_array_get(l->fresh, i - 1);

		if (show(l, entry) != 0)
			return 1;
		l->last = json_integer_value(json_object_get(entry, "seq"));
	}
	return view_flush(&l->view) != 0 ? 1 : 0;
}

static int go_on(struct logs *l, struct feed *feed)
{
	const uint64_t live_ms = (uint64_t)options_number(&l->v.in->options, "interval", FOLLOW_LIVE_MS);
	const uint64_t blind_ms = (uint64_t)options_number(&l->v.in->options, "interval", FOLLOW_BLIND_MS);
	bool away = false;

	for (;;) {
		int rc;

		(void)feed_wait(feed, live_ms, blind_ms);
		rc = look(l, 0);
		if (rc > 0)
			return EXIT_BAD_NEWS;
		if (rc < 0 && l->v.f.exit != EXIT_NO_ANSWER)
			return verb_fail(&l->v);
		if (rc < 0 && !away)
			(void)verb_fail(&l->v);
		away = rc < 0;
	}
}

static int follow(struct logs *l)
{
	struct feed *feed = verb_feed(&l->v);
	int rc = go_on(l, feed);

	feed_close(feed);
	return rc;
}

static int run(struct logs *l)
{
	struct view_conf conf;
	int rc = verb_view(&l->v, false, &conf);

	if (rc != 0)
		return rc;
	l->lines = conf.format == PRINT_JSON || conf.format == PRINT_YAML;
	l->view = (struct view){ .conf = conf };
	if (!l->lines && view_begin(&l->view, &conf) != 0)
		return EXIT_BAD_NEWS;
	rc = look(l, options_number(&l->v.in->options, "limit", LOGS_DEFAULT));
	if (rc < 0)
		rc = verb_fail(&l->v);
	else if (rc == 0 && options_has(&l->v.in->options, "follow"))
		rc = follow(l);
	if (!l->lines)
		(void)view_end(&l->view);
	return rc;
}

int command_logs(struct invocation *in)
{
	struct logs l = { .path = { .data = NULL } };
	int rc = verb_begin(&l.v, in, "audit", RESOURCE_LIST);

	buf_init(&l.path, PATH_BYTES_MAX);
	l.fresh = json_array();
	if (rc == 0)
		rc = verb_filters(&l.v, &l.path, in->argc, in->argv);
	if (rc == 0)
		rc = run(&l);
	json_decref(l.fresh);
	buf_free(&l.path);
	verb_end(&l.v);
	return rc;
}
