#include "client/resource/pages.h"

#include "client/api/api.h"
#include "client/api/path.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_MAX       200 /* items that controld gives at once */
#define PATH_MAX_BYTES 8192

static int read_page(
	struct api *a, const char *path, int64_t size, const char *cursor, struct http_answer *out, struct failure *f)
{
	char number[24];
	struct buf b;
	int rc;

	buf_init(&b, PATH_MAX_BYTES);
	buf_printf(&b, "%s", path);
	(void)str_fmt(number, sizeof number, "%" PRId64, size);
	path_query(&b, "limit", number);
	if (cursor[0] != '\0')
		path_query(&b, "cursor", cursor);
	rc = b.failed ? failure_set(f, EXIT_USAGE, "the filters are too long") : api_get(a, buf_cstr(&b), out, f);
	buf_free(&b);
	return rc;
}

/* A list calls what is in it `items`, or as its path does: {"pools": [...]} of /api/pools. */
static const json_t *items_of(const json_t *body, const char *path)
{
	const json_t *items = json_object_get(body, "items");
	const size_t n = strcspn(path, "?");
	size_t from = n;
	char name[64];

	while (from > 0 && path[from - 1] != '/')
		from--;
	if (items == NULL && str_fmt(name, sizeof name, "%.*s", (int)(n - from), path + from) == 0)
		items = json_object_get(body, name);
	return items;
}

/* The next cursor, or "" after the last page. One that comes again would go round for ever. */
static int take_cursor(char *cursor, size_t size, const json_t *page, struct failure *f)
{
	const char *next = json_string_value(json_object_get(page, "next_cursor"));

	if (next != NULL && str_eq(next, cursor))
		return failure_set(f, EXIT_BAD_NEWS, "the list does not go on after '%s'", cursor);
	if (str_copy(cursor, size, next != NULL ? next : "") != 0)
		return failure_set(f, EXIT_BAD_NEWS, "the list's cursor is too long");
	return 0;
}

int pages_each(struct api *a, struct pages *p, pages_fn fn, void *arg, struct failure *f)
{
	const int64_t page = p->page > 0 ? p->page : PAGE_MAX;
	char cursor[256] = "";
	int64_t seen = 0;
	int rc = 0;

	do {
		const int64_t want = p->limit > 0 ? MIN(p->limit - seen, page) : page;
		struct http_answer answer;
		const json_t *items, *item;

		if (read_page(a, p->path, want, cursor, &answer, f) != 0)
			return -1;
		items = items_of(answer.body, p->path);
		if (!json_is_array(items))
			rc = failure_set(f, EXIT_BAD_NEWS, "%s is no list", p->path);
		else
			rc = take_cursor(cursor, sizeof cursor, answer.body, f);
		for (size_t i = 0; rc == 0 && (p->limit <= 0 || seen < p->limit); i++, seen++) {
			if ((item = json_array_get(items, i)) == NULL)
				break;
			rc = fn(item, arg);
		}
		p->incomplete |= json_is_false(json_object_get(answer.body, "complete"));
		http_answer_fini(&answer);
	} while (rc == 0 && cursor[0] != '\0' && (p->limit <= 0 || seen < p->limit));
	return rc;
}
