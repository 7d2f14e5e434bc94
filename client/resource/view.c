#include "client/resource/view.h"

#include "client/out/table.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define CELL_BYTES_MAX (1u << 20)

static size_t count_columns(const struct column *c)
{
	size_t n = 0;

	while (c[n].title != NULL && n + 1 < TABLE_COLUMNS_MAX)
		n++;
	return n;
}

int view_begin(struct view *v, const struct view_conf *conf)
{
	const size_t n = count_columns(conf->columns), first = conf->events ? 1 : 0;

	*v = (struct view){ .conf = *conf };
	if (conf->format == PRINT_JSON && !conf->events)
		return fputs("[", conf->out) == EOF ? -1 : 0;
	if (conf->format != PRINT_TABLE)
		return 0;
	if (table_new(&v->table, n + first) != 0)
		return -1;
	if (conf->events)
		table_title(v->table, 0, "EVENT", false);
	for (size_t i = 0; i < n; i++)
		table_title(v->table, i + first, conf->columns[i].title, cell_is_right(conf->columns[i].kind));
	return 0;
}

static void add_row(struct view *v, const char *event, const json_t *object)
{
	const int64_t now_ms = clock_wall_ms();

	if (v->conf.events) {
		struct buf *b = table_cell(v->table);

		table_cell_end(v->table, text_clean(b, event, strlen(event)));
	}
	for (size_t i = 0, n = count_columns(v->conf.columns); i < n; i++) {
		struct buf *b = table_cell(v->table);

		table_cell_end(v->table, cell_put(b, &v->conf.columns[i], object, now_ms));
	}
}

static int show_name(struct view *v, const json_t *object)
{
	const json_t *id = json_object_get(object, v->conf.id);

	if (json_is_integer(id))
		(void)fprintf(v->conf.out, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	else if (json_is_string(id))
		text_put(v->conf.out, json_string_value(id));
	return fputc('\n', v->conf.out) == EOF ? -1 : 0;
}

static int show_event(struct view *v, const char *event, const json_t *object)
{
	json_t *both = json_pack("{s:s, s:O}", "event", event, "object", object);
	int rc = both == NULL ? -1 : 0;

	if (rc == 0 && v->conf.format == PRINT_JSON)
		rc = print_json_line(v->conf.out, both);
	else if (rc == 0) /* a document each */
		rc = fputs("---\n", v->conf.out) == EOF ? -1 : print_yaml(v->conf.out, both);
	json_decref(both);
	return rc;
}

static int show_item(struct view *v, const json_t *object)
{
	json_t *alone;
	int rc;

	if (v->conf.format == PRINT_JSON) {
		if (fputs(v->shown == 0 ? "\n" : ",\n", v->conf.out) == EOF)
			return -1;
		return print_json_part(v->conf.out, object);
	}
	alone = json_pack("[O]", object); /* lists of one in a row are one list */
	rc = alone == NULL ? -1 : print_yaml(v->conf.out, alone);
	json_decref(alone);
	return rc;
}

int view_show(struct view *v, const char *event, const json_t *object)
{
	int rc = 0;

	if (v->conf.format == PRINT_TABLE)
		add_row(v, event, object);
	else if (v->conf.format == PRINT_NAME)
		rc = show_name(v, object);
	else
		rc = v->conf.events ? show_event(v, event, object) : show_item(v, object);
	v->shown++;
	return rc;
}

int view_flush(struct view *v)
{
	if (v->table != NULL)
		return table_flush(v->table, v->conf.out);
	return fflush(v->conf.out) == 0 ? 0 : -1;
}

void view_fail(struct view *v)
{
	if (v->shown > 0)
		return;
	table_free(v->table);
	v->table = NULL;
}

int view_end(struct view *v)
{
	int rc = view_flush(v);

	if (v->conf.format == PRINT_JSON && !v->conf.events &&
		fputs(v->shown > 0 ? "\n]\n" : "]\n", v->conf.out) == EOF)
		rc = -1;
	if (v->conf.format == PRINT_YAML && !v->conf.events && v->shown == 0 && fputs("[]\n", v->conf.out) == EOF)
		rc = -1;
	table_free(v->table);
	v->table = NULL;
	return rc;
}

static void put_row(struct buf *b, const struct view *v, const json_t *object)
{
	for (const struct column *c = v->conf.columns; c->title != NULL; c++) {
		if (!cell_is_restless(c->kind))
			(void)cell_put(b, c, object, 0);
		buf_put(b, "\n", 1); /* no cell holds one */
	}
}

bool view_same(const struct view *v, const json_t *a, const json_t *b)
{
	struct buf left, right;
	bool same;

	if (v->conf.format != PRINT_TABLE)
		return json_equal(a, b);
	buf_init(&left, CELL_BYTES_MAX);
	buf_init(&right, CELL_BYTES_MAX);
	put_row(&left, v, a);
	put_row(&right, v, b);
	same = left.len == right.len && memcmp(left.data, right.data, left.len) == 0;
	buf_free(&left);
	buf_free(&right);
	return same;
}

/* ---- columns of the caller's own ---------------------------------------------------------------------------------- */

int view_columns(struct column **out, const char *list)
{
	const size_t bytes = strlen(list) + 1, most = TABLE_COLUMNS_MAX;
	struct column *c = calloc(1, most * sizeof *c + 2 * bytes);
	size_t n = 0;
	char *title, *path;

	if (c == NULL)
		return -1;
	title = (char *)(c + most);
	path = title + bytes;
	memcpy(path, list, bytes);
	for (size_t i = 0; i < bytes; i++)
		title[i] = (char)toupper((unsigned char)path[i]);
	while (n + 1 < most && *path != '\0') {
		const size_t len = strcspn(path, ",");
		const bool ended = path[len] == '\0';

		title[len] = path[len] = '\0';
		if (len > 0)
			c[n++] = (struct column){ title, path, CELL_TEXT };
		if (ended)
			break;
		title += len + 1;
		path += len + 1;
	}
	*out = c;
	return 0;
}

/* ---- one object --------------------------------------------------------------------------------------------------- */

static void add_members(struct table *t, const char *prefix, const json_t *object)
{
	const struct column whole = { "", NULL, CELL_TEXT };
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		char path[256];
		struct buf *b;

		(void)str_fmt(path, sizeof path, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
		if (json_is_object(value) && json_object_size(value) > 0) {
			add_members(t, path, value);
			continue;
		}
		b = table_cell(t);
		table_cell_end(t, text_clean(b, path, strlen(path)));
		b = table_cell(t);
		table_cell_end(t, cell_put(b, &whole, value, 0));
	}
}

int view_details(FILE *out, const json_t *object)
{
	struct table *t;
	int rc;

	if (table_new(&t, 2) != 0)
		return -1;
	add_members(t, "", object);
	rc = table_flush(t, out);
	table_free(t);
	return rc;
}
