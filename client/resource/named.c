#include "client/resource/named.h"

#include "client/api/api.h"
#include "client/api/path.h"
#include "client/resource/pages.h"
#include "client/resource/resource.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <string.h>

#define PATH_BYTES_MAX 4096
#define SHOWN_MAX      8 /* of those that share a name */
#define SHOWN_SIZE     300
#define RANDOM_LETTERS 20 /* of an id, after its kind (common/base/rand.h) */
#define KIND_LETTERS   4

bool named_is_id(const char *word)
{
	const size_t kind = strspn(word, "abcdefghijklmnopqrstuvwxyz");

	if (word[0] != '\0' && word[strspn(word, "0123456789")] == '\0')
		return true;
	return kind > 0 && kind <= KIND_LETTERS && word[kind] == '_' && strlen(word + kind + 1) == RANDOM_LETTERS &&
	       word[kind + 1 + strspn(word + kind + 1, "0123456789abcdefghijklmnopqrstuvwxyz")] == '\0';
}

struct search {
	const struct resource *r;
	const char *word;
	unsigned n;
	char first[NAMED_ID_SIZE];
	char shown[SHOWN_SIZE];
};

static bool has_name(const json_t *item, const struct resource *r, const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(r->names) && r->names[i] != NULL; i++)
		if (str_eq(json_string_value(json_object_get(item, r->names[i])), word))
			return true;
	return false;
}

static int on_item(const json_t *item, void *arg)
{
	struct search *s = arg;
	const json_t *id = json_object_get(item, s->r->id);
	const size_t used = strlen(s->shown);
	char text[NAMED_ID_SIZE];

	if (!has_name(item, s->r, s->word))
		return 0;
	if (json_is_integer(id))
		(void)str_fmt(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
	else if (!json_is_string(id) || str_copy(text, sizeof text, json_string_value(id)) != 0)
		return 0;
	if (s->n++ == 0)
		(void)str_copy(s->first, sizeof s->first, text);
	if (s->n <= SHOWN_MAX)
		(void)str_fmt(s->shown + used, sizeof s->shown - used, "%s%s", used > 0 ? ", " : "", text);
	return 0;
}

static int search(struct api *a, struct search *s, struct failure *f)
{
	struct pages pages = { .page = s->r->page };
	struct buf path;
	int rc;

	buf_init(&path, PATH_BYTES_MAX);
	buf_printf(&path, "%s", s->r->path);
	if (s->r->searched)
		path_query(&path, "q", s->word);
	pages.path = buf_cstr(&path);
	rc = path.failed ? failure_set(f, EXIT_USAGE, "'%.40s...' is too long for a name", s->word)
	                 : pages_each(a, &pages, on_item, s, f);
	buf_free(&path);
	return rc;
}

int named_find(struct api *a, const struct resource *r, const char *word, char id[NAMED_ID_SIZE], struct failure *f)
{
	struct search s = { .r = r, .word = word };

	if (str_copy(id, NAMED_ID_SIZE, word) != 0)
		return failure_set(f, EXIT_USAGE, "'%.40s...' is too long for an id or a name", word);
	if (r->names[0] == NULL || named_is_id(word))
		return 0;
	if (search(a, &s, f) != 0)
		return -1;
	if (s.n > 1)
		return failure_set(f, EXIT_CONFLICT, "%u %s are named '%s': say which by its id: %s%s", s.n, r->plural,
			word, s.shown, s.n > SHOWN_MAX ? ", ..." : "");
	if (s.n == 1)
		(void)str_copy(id, NAMED_ID_SIZE, s.first);
	else if (r->numbered)
		return failure_set(
			f, EXIT_NOT_FOUND, "there is no %s named '%s', and its id would be a number", r->name, word);
	return 0;
}
