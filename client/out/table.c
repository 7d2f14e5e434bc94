#include "client/out/table.h"

#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_TEXT_MAX ((size_t)1 << 30)
#define TABLE_GAP      2

/* A cell begins with its length and width, so that the text of all rows lies in one piece. */
struct cell_head {
	size_t len, width;
};

struct table {
	size_t columns, at; /* of the row that is being filled */
	size_t start;       /* of the cell that is open */
	bool titled;
	struct buf text;
	struct {
		char title[32];
		size_t width;
		bool right;
	} column[TABLE_COLUMNS_MAX];
};

int table_new(struct table **out, size_t columns)
{
	struct table *t = calloc(1, sizeof *t);

	if (t == NULL)
		return -1;
	t->columns = MIN(columns, TABLE_COLUMNS_MAX);
	buf_init(&t->text, TABLE_TEXT_MAX);
	*out = t;
	return 0;
}

void table_free(struct table *t)
{
	if (t == NULL)
		return;
	buf_free(&t->text);
	free(t);
}

void table_title(struct table *t, size_t column, const char *title, bool right)
{
	(void)str_copy(t->column[column].title, sizeof t->column[column].title, title);
	t->column[column].width = strlen(t->column[column].title);
	t->column[column].right = right;
}

struct buf *table_cell(struct table *t)
{
	const struct cell_head none = { 0, 0 };

	t->start = t->text.len;
	buf_put(&t->text, &none, sizeof none);
	return &t->text;
}

void table_cell_end(struct table *t, size_t width)
{
	struct cell_head head;

	if (t->text.failed)
		return;
	head.len = t->text.len - t->start - sizeof head;
	head.width = width;
	memcpy(t->text.data + t->start, &head, sizeof head);
	if (t->column[t->at].width < width)
		t->column[t->at].width = width;
	t->at = (t->at + 1) % t->columns;
}

static void put_cell(const struct table *t, size_t i, const char *text, const struct cell_head *head, FILE *out)
{
	const bool last = i + 1 == t->columns;
	const int pad = (int)(t->column[i].width - MIN(head->width, t->column[i].width));

	if (t->column[i].right)
		(void)fprintf(out, "%*s", pad, "");
	(void)fwrite(text, 1, head->len, out);
	if (last)
		(void)fputc('\n', out);
	else
		(void)fprintf(out, "%*s", TABLE_GAP + (t->column[i].right ? 0 : pad), "");
}

static void put_titles(struct table *t, FILE *out)
{
	for (size_t i = 0; i < t->columns; i++) {
		const size_t n = strlen(t->column[i].title);
		const struct cell_head head = { n, n };

		put_cell(t, i, t->column[i].title, &head, out);
	}
	t->titled = true;
}

int table_flush(struct table *t, FILE *out)
{
	size_t at = 0, i = 0;

	if (t->text.failed)
		return -1;
	if (!t->titled && t->column[0].title[0] != '\0') /* a table without titles has none */
		put_titles(t, out);
	while (at < t->text.len) {
		struct cell_head head;

		memcpy(&head, t->text.data + at, sizeof head);
		at += sizeof head;
		put_cell(t, i, (const char *)t->text.data + at, &head, out);
		at += head.len;
		i = (i + 1) % t->columns;
	}
	buf_reset(&t->text);
	return fflush(out) == 0 ? 0 : -1;
}
