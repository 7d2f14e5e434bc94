#include "proto/conf_mem.h"

#include "common/base/cursor.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

struct conf_piece {
	struct conf_piece *next;
	max_align_t items[];
};

void conf_mem_init(struct conf_mem *m, size_t body_n)
{
	*m = (struct conf_mem){ .cap = body_n };
}

void conf_mem_fini(struct conf_mem *m)
{
	while (m->pieces != NULL) {
		struct conf_piece *piece = m->pieces;

		m->pieces = piece->next;
		free(piece);
	}
	free(m->texts);
	memset(m, 0, sizeof *m);
}

static const char *keep_text(struct conf_mem *m, struct cursor *c, const uint8_t *p, size_t n)
{
	char *kept;

	if (p == NULL || n == 0)
		return "";
	if (m->texts == NULL)
		m->texts = malloc(m->cap);
	if (m->texts == NULL || n >= m->cap - m->used || !str_is_utf8((const char *)p, n)) {
		cursor_fail(c);
		return "";
	}
	kept = m->texts + m->used;
	memcpy(kept, p, n);
	kept[n] = '\0';
	m->used += n + 1;
	return kept;
}

const char *conf_mem_text(struct conf_mem *m, struct cursor *c, size_t size)
{
	const size_t n = cursor_u16(c);

	if (n >= size)
		cursor_fail(c);
	return keep_text(m, c, cursor_bytes(c, n), n);
}

const char *conf_mem_long(struct conf_mem *m, struct cursor *c, size_t max)
{
	size_t n;
	const uint8_t *p = cursor_blob32(c, &n);

	if (n > max) {
		cursor_fail(c);
		return "";
	}
	return keep_text(m, c, p, n);
}

void *conf_mem_list(struct conf_mem *m, struct cursor *c, const struct conf_list *list, uint32_t *n)
{
	struct conf_piece *piece;

	*n = cursor_count(c, list->max, list->wire_min);
	if (*n == 0)
		return NULL;
	piece = calloc(1, sizeof *piece + *n * list->size);
	if (piece == NULL) {
		cursor_fail(c);
		*n = 0;
		return NULL;
	}
	piece->next = m->pieces;
	m->pieces = piece;
	return piece->items;
}

static bool is_token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool conf_is_token(const char *s)
{
	for (const char *p = s; *p != '\0'; p++)
		if (!is_token_char(*p))
			return false;
	return *s != '\0';
}

bool conf_is_field_name(const char *s)
{
	for (const char *p = s; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			return false;
	return conf_is_token(s);
}

bool conf_is_field_value(const char *s)
{
	const size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			return false;
	return n == 0 || (s[0] != ' ' && s[0] != '\t' && s[n - 1] != ' ' && s[n - 1] != '\t');
}
