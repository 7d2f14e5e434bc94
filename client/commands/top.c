/*
 * top - what passes now, the busiest tunnels first: a page that is drawn anew on a terminal, lines elsewhere.
 */
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "client/resource/pages.h"
#include "client/resource/rates.h"
#include "client/term/screen.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOP_INTERVAL_MS 2000
#define TUNNELS_MAX     5000 /* looked at; with more, filters say which */
#define PATH_BYTES_MAX  8192
#define HEAD_ROWS       4

static const struct column page_columns[] = {
	{ "TUNNEL", "label", CELL_TEXT },
	{ "PROTO", "protocol", CELL_TEXT },
	{ "PORT", NULL, CELL_PORTS },
	{ "TARGET", NULL, CELL_TARGET },
	{ "STATUS", "status", CELL_TEXT },
	{ "CONNS", "traffic_stats.connections_active", CELL_COUNT },
	{ "NEW/S", "rate.opened", CELL_COUNT },
	{ "CONNECT", "rate.connect_us", CELL_US },
	{ "IN/S", "rate.in", CELL_BYTES },
	{ "OUT/S", "rate.out", CELL_BYTES },
	{ "IN", "traffic_stats.bytes_received", CELL_BYTES },
	{ "OUT", "traffic_stats.bytes_sent", CELL_BYTES },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column line_columns[] = {
	{ "TIME", "time", CELL_TIME },
	{ "TUNNEL", "label", CELL_TEXT },
	{ "CONNS", "traffic_stats.connections_active", CELL_COUNT },
	{ "NEW/S", "rate.opened", CELL_COUNT },
	{ "CONNECT", "rate.connect_us", CELL_US },
	{ "IN/S", "rate.in", CELL_BYTES },
	{ "OUT/S", "rate.out", CELL_BYTES },
	{ NULL, NULL, CELL_TEXT },
};

struct top {
	struct verb v;
	struct buf path;
	struct rates *rates;
	struct view lines; /* where there is no terminal */
	uint64_t interval_ms;
	int64_t rounds; /* 0: for ever */
	bool away;      /* the last look failed; v.f says why */
};

/* ---- looking ------------------------------------------------------------------------------------------------------ */

static int on_mapping(const json_t *mapping, void *arg)
{
	return rates_add(arg, mapping);
}

/* 0 also when nothing answered: then what is shown is old, and says so. -1 with v.f when it is final. */
static int look(struct top *t)
{
	struct pages pages = { .path = buf_cstr(&t->path), .limit = TUNNELS_MAX };

	rates_begin(t->rates, clock_mono_ms());
	t->away = pages_each(t->v.api, &pages, on_mapping, t->rates, &t->v.f) != 0;
	if (!t->away)
		rates_end(t->rates);
	return t->away && t->v.f.exit != EXIT_NO_ANSWER ? -1 : 0;
}

/* A mapping with what its row is called by and when it was looked at (new). */
static json_t *row_of(const json_t *mapping, const char *now)
{
	const char *name = json_string_value(json_object_get(mapping, "name"));
	json_t *row = json_copy((json_t *)mapping);

	if (name == NULL || name[0] == '\0')
		name = json_string_value(json_object_get(mapping, "id"));
	(void)json_object_set_new(row, "label", json_string(name != NULL ? name : "?"));
	(void)json_object_set_new(row, "time", json_string(now));
	return row;
}

/* ---- a terminal --------------------------------------------------------------------------------------------------- */

static void put_head(struct top *t, FILE *page, const char *now)
{
	const struct rates_total *all = rates_total(t->rates);
	char in[16], out[16];

	cell_bytes(in, sizeof in, (uint64_t)all->in);
	cell_bytes(out, sizeof out, (uint64_t)all->out);
	text_printf(page, "portway top  %s  %.19sZ  every %.1fs, q quits", api_url(t->v.api), now,
		(double)t->interval_ms / 1000);
	(void)fputc('\n', page);
	text_printf(page,
		"tunnels: %zu, %zu active, %zu in error   connections: %" PRId64 ", %" PRId64
		"/s new   in %s/s  out %s/s",
		all->tunnels, all->active, all->failed, all->connections, all->opened, in, out);
	(void)fputc('\n', page);
	if (t->away)
		text_printf(page, "no answer, what is below is old: %s", t->v.f.message);
	(void)fputc('\n', page);
}

static int put_rows(struct top *t, FILE *page, const char *now, size_t most)
{
	const struct view_conf conf = { .out = page, .format = PRINT_TABLE, .columns = page_columns, .id = "id" };
	struct view view;
	int rc = 0;

	if (view_begin(&view, &conf) != 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < MIN(rates_count(t->rates), most); i++) {
		json_t *row = row_of(rates_at(t->rates, i), now);

		rc = view_show(&view, NULL, row);
		json_decref(row);
	}
	return view_end(&view) | rc;
}

static int draw(struct top *t)
{
	char now[CLOCK_RFC3339_SIZE], *text = NULL;
	size_t n = 0, rows, columns;
	FILE *page = open_memstream(&text, &n);
	int rc;

	if (page == NULL)
		return -1;
	clock_rfc3339(now, clock_wall_ms());
	screen_size(&rows, &columns);
	put_head(t, page, now);
	rc = put_rows(t, page, now, rows > HEAD_ROWS ? rows - HEAD_ROWS : 0);
	if (fclose(page) != 0)
		rc = -1;
	if (rc == 0)
		rc = screen_draw(text);
	free(text);
	return rc;
}

/* 0: the time is over, 1: it has ended, -1. */
static int show_until_next(struct top *t)
{
	const uint64_t end = clock_mono_ms() + t->interval_ms;

	for (;;) {
		const uint64_t now = clock_mono_ms();

		if (draw(t) != 0)
			return -1;
		switch (screen_wait(end > now ? end - now : 0)) {
		case SCREEN_TIME:
			return 0;
		case SCREEN_RESIZE:
			break;
		case SCREEN_QUIT:
		case SCREEN_LOST:
			return 1;
		}
	}
}

static int run_screen(struct top *t)
{
	int rc = 0, looked = 0;

	for (int64_t i = 0; rc == 0 && (t->rounds == 0 || i < t->rounds); i++)
		if ((looked = look(t)) != 0 || (rc = show_until_next(t)) != 0)
			break;
	screen_close();
	return looked != 0 ? verb_fail(&t->v) : rc >= 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

/* ---- lines -------------------------------------------------------------------------------------------------------- */

static json_t *total_of(const struct rates_total *all, const char *now)
{
	return json_pack("{s:s, s:s, s:{s:I}, s:{s:I, s:I, s:I}}", "time", now, "label", "(all)", "traffic_stats",
		"connections_active", (json_int_t)all->connections, "rate", "in", (json_int_t)all->in, "out",
		(json_int_t)all->out, "opened", (json_int_t)all->opened);
}

static bool is_busy(const json_t *mapping)
{
	const json_t *rate = json_object_get(mapping, "rate"), *stats = json_object_get(mapping, "traffic_stats");

	return json_integer_value(json_object_get(stats, "connections_active")) > 0 ||
	       json_integer_value(json_object_get(rate, "in")) > 0 ||
	       json_integer_value(json_object_get(rate, "out")) > 0;
}

static int print_rows(struct top *t, const char *now)
{
	json_t *row = total_of(rates_total(t->rates), now);
	int rc = view_show(&t->lines, NULL, row);

	json_decref(row);
	for (size_t i = 0; rc == 0 && i < rates_count(t->rates) && is_busy(rates_at(t->rates, i)); i++) {
		row = row_of(rates_at(t->rates, i), now);
		rc = view_show(&t->lines, NULL, row);
		json_decref(row);
	}
	return view_flush(&t->lines) | rc;
}

/* One object for each look. */
static int print_object(struct top *t, const char *now)
{
	const struct rates_total *all = rates_total(t->rates);
	json_t *tunnels = json_array();
	json_t *object;
	int rc;

	for (size_t i = 0; i < rates_count(t->rates); i++)
		json_array_append(tunnels, (json_t *)rates_at(t->rates, i));
	object = json_pack("{s:s, s:I, s:{s:I, s:I, s:I}, s:o}", "time", now, "connections",
		(json_int_t)all->connections, "rate", "in", (json_int_t)all->in, "out", (json_int_t)all->out, "opened",
		(json_int_t)all->opened, "tunnels", tunnels);
	if (object == NULL)
		return -1;
	if (t->lines.conf.format == PRINT_YAML)
		rc = fputs("---\n", t->v.in->out) == EOF ? -1 : print_yaml(t->v.in->out, object);
	else
		rc = print_json_line(t->v.in->out, object);
	json_decref(object);
	return fflush(t->v.in->out) != 0 ? -1 : rc;
}

static int print_look(struct top *t)
{
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(now, clock_wall_ms());
	if (t->away)
		return verb_fail(&t->v) >= 0 ? 0 : -1;
	return t->lines.conf.format == PRINT_TABLE ? print_rows(t, now) : print_object(t, now);
}

static int run_lines(struct top *t)
{
	const struct timespec pause = { (time_t)(t->interval_ms / 1000), (long)(t->interval_ms % 1000) * 1000000 };
	int rc = 0;

	for (int64_t i = 0; rc == 0; i++) {
		if (look(t) != 0)
			return verb_fail(&t->v);
		rc = print_look(t);
		if (t->rounds != 0 && i + 1 >= t->rounds)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return rc == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

static int run(struct top *t)
{
	struct view_conf conf = {
		.out = t->v.in->out, .format = invocation_format(t->v.in), .columns = line_columns, .id = "id"
	};
	int rc;

	t->interval_ms = (uint64_t)options_number(&t->v.in->options, "interval", TOP_INTERVAL_MS);
	t->rounds = options_number(&t->v.in->options, "limit", 0);
	if (conf.format == PRINT_TABLE && screen_open() == 0)
		return run_screen(t);
	t->lines = (struct view){ .conf = conf };
	if (conf.format == PRINT_TABLE && view_begin(&t->lines, &conf) != 0)
		return EXIT_BAD_NEWS;
	rc = run_lines(t);
	if (conf.format == PRINT_TABLE)
		(void)view_end(&t->lines);
	return rc;
}

int command_top(struct invocation *in)
{
	struct top t = { .path = { .data = NULL } };
	int rc = verb_begin(&t.v, in, "mapping", RESOURCE_LIST);

	buf_init(&t.path, PATH_BYTES_MAX);
	if (rc == 0)
		rc = verb_filters(&t.v, &t.path, in->argc, in->argv);
	if (rc == 0 && rates_new(&t.rates) != 0)
		rc = EXIT_BAD_NEWS;
	if (rc == 0)
		rc = run(&t);
	rates_free(t.rates);
	buf_free(&t.path);
	verb_end(&t.v);
	return rc;
}
