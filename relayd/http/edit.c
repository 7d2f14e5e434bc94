#include "relayd/http/edit.h"

#include <string.h>

void edit_reset(struct edit *e)
{
	e->removed = 0;
	e->n_removed = e->n_added = 0;
	e->failed = e->recoded = false;
	e->path = e->query = e->host = e->body = (struct http_span){ NULL, 0 };
	e->status = 0;
	e->used = 0;
}

struct http_span edit_keep(struct edit *e, const char *p, size_t n)
{
	char *kept = e->text + e->used;

	if (n > sizeof e->text - e->used) {
		e->failed = true;
		return (struct http_span){ NULL, 0 };
	}
	if (n > 0)
		memcpy(kept, p, n);
	e->used += n;
	return (struct http_span){ kept, n };
}

static void take_back(struct edit *e, const char *name)
{
	for (uint16_t i = 0; i < e->n_added;) {
		if (strcmp(e->added[i].name, name) != 0) {
			i++;
			continue;
		}
		e->n_added--;
		memmove(&e->added[i], &e->added[i + 1], (size_t)(e->n_added - i) * sizeof e->added[0]);
	}
}

void edit_remove(struct edit *e, const char *name)
{
	const enum http_name id = http_name_find((const uint8_t *)name, strlen(name));

	take_back(e, name);
	if (id != HTTP_NAME_UNKNOWN)
		e->removed |= UINT64_C(1) << id;
	else if (e->n_removed < EDIT_FIELDS_MAX)
		e->removed_names[e->n_removed++] = name;
	else
		e->failed = true;
}

static void add(struct edit *e, const char *name, enum http_name id, struct http_span value)
{
	if (e->n_added == EDIT_FIELDS_MAX) {
		e->failed = true;
		return;
	}
	e->added[e->n_added++] = (struct edit_field){ name, edit_keep(e, value.p, value.n), id };
}

void edit_add(struct edit *e, const char *name, struct http_span value)
{
	add(e, name, HTTP_NAME_UNKNOWN, value);
}

void edit_remove_known(struct edit *e, enum http_name id)
{
	take_back(e, http_name_text(id));
	e->removed |= UINT64_C(1) << id;
}

void edit_set_known(struct edit *e, enum http_name id, struct http_span value)
{
	edit_remove_known(e, id);
	add(e, http_name_text(id), id, value);
}

void edit_set(struct edit *e, const char *name, struct http_span value)
{
	edit_remove(e, name);
	edit_add(e, name, value);
}

void edit_set_str(struct edit *e, const char *name, const char *value)
{
	edit_set(e, name, (struct http_span){ value, strlen(value) });
}

static bool is_named(struct http_span name, const char *lower)
{
	for (size_t i = 0; i < name.n; i++) {
		const char c = name.p[i];

		if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != lower[i])
			return false; /* also where the other one ends */
	}
	return lower[name.n] == '\0';
}

static bool is_removed(const struct edit *e, const struct http_head *h, const struct http_field *f)
{
	for (uint16_t i = 0; f->id == HTTP_NAME_UNKNOWN && i < e->n_removed; i++)
		if (is_named(http_field_name(h, f), e->removed_names[i]))
			return true;
	return false;
}

void edit_write_fields(const struct edit *e, struct http_writer *w, const struct http_head *h, uint64_t without)
{
	if (e == NULL || e->n_removed == 0) {
		http_writer_fields(w, h, without | (e != NULL ? e->removed : 0));
		return;
	}
	for (uint16_t i = 0; i < h->n; i++)
		if (!is_removed(e, h, &h->fields[i]))
			http_writer_line(w, h, i, without | e->removed);
}

void edit_write_added(const struct edit *e, struct http_writer *w)
{
	if (e == NULL)
		return;
	for (const struct edit_field *f = e->added; f < e->added + e->n_added; f++)
		if (f->id != HTTP_NAME_UNKNOWN)
			http_writer_known(w, f->id, &f->value, 1);
		else
			http_writer_field(w, f->name, f->value);
	w->failed |= e->failed;
}
