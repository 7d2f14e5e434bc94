#include "common/base/err.h"

#include "common/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Here the functions themselves are meant, not what the header tells the analyser about them. */
#undef err_set
#undef err_set_sys
#undef err_detail
#undef err_list_add

static const struct err_info {
	unsigned wire;
	const char *name;
	const char *api;
	int http;
	bool retryable;
} err_infos[] = {
#define X(name, wire, api, http, retry) { wire, #name, api, http, retry },
	ERR_CODES(X)
#undef X
};

/* Codes run without a gap today; a retired number leaves one, so the table is searched and not indexed. */
static const struct err_info *err_info(unsigned wire)
{
	for (size_t i = 0; i < ARRAY_LEN(err_infos); i++)
		if (err_infos[i].wire == wire)
			return &err_infos[i];
	return NULL;
}

/* An unknown number can only come from a newer peer or a bug: it is shown as INTERNAL. */
static const struct err_info *err_info_or_internal(enum err_code code)
{
	const struct err_info *info = err_info((unsigned)code);

	return info != NULL ? info : err_info(ERR_INTERNAL);
}

/* A cut copy of whole characters: these texts go into JSON and over the wire, whatever bytes a user or file gave. */
static void err_copy(char *dst, size_t size, const char *src)
{
	str_copy(dst, size, src != NULL ? src : "");
	str_make_utf8(dst);
}

static void err_fill(struct err *e, enum err_code code, const char *field, const char *msg)
{
	e->code = code;
	err_copy(e->field, sizeof e->field, field);
	e->constraint[0] = '\0';
	e->value[0] = '\0';
	err_copy(e->msg, sizeof e->msg, msg);
}

int err_set(struct err *e, enum err_code code, const char *field, const char *fmt, ...)
{
	char msg[sizeof e->msg * 2]; /* longer than e->msg, so that str_copy() sees where it cuts */
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	err_fill(e, code, field, msg);
	return -1;
}

int err_set_sys(struct err *e, enum err_code code, int errnum, const char *fmt, ...)
{
	char what[sizeof e->msg * 2], msg[sizeof e->msg * 3];
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	str_fmt(msg, sizeof msg, "%s: %s", what, strerror(errnum));
	err_fill(e, code, NULL, msg);
	return -1;
}

int err_detail(struct err *e, const char *constraint, const char *value)
{
	if (e == NULL)
		return -1;
	err_copy(e->constraint, sizeof e->constraint, constraint);
	err_copy(e->value, sizeof e->value, value);
	return -1;
}

void err_clear(struct err *e)
{
	if (e != NULL)
		memset(e, 0, sizeof *e);
}

int err_list_add(struct err_list *l, enum err_code code, const char *field, const char *constraint, const char *value,
	const char *fmt, ...)
{
	char msg[sizeof l->items[0].msg * 2];
	struct err *e;
	va_list ap;

	if (l == NULL)
		return -1;
	if (l->n == ERR_LIST_MAX) {
		l->dropped++;
		return -1;
	}
	e = &l->items[l->n++];
	va_start(ap, fmt);
	vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	err_fill(e, code, field, msg);
	return err_detail(e, constraint, value);
}

void err_list_take(struct err_list *l, const struct err *e)
{
	if (err_list_has(l, e->field))
		return;
	if (l->n == ERR_LIST_MAX)
		l->dropped++;
	else
		l->items[l->n++] = *e;
}

/* "a" is in front of "a", "a.b" and "a[0]", not of "ab". */
static bool err_leads(const char *prefix, const char *path)
{
	const size_t n = strlen(prefix);

	return n > 0 && strncmp(prefix, path, n) == 0 && (path[n] == '\0' || path[n] == '.' || path[n] == '[');
}

bool err_list_has(const struct err_list *l, const char *field)
{
	for (size_t i = 0; i < l->n; i++)
		if (err_leads(l->items[i].field, field) || err_leads(field, l->items[i].field))
			return true;
	return false;
}

const char *err_api(enum err_code code)
{
	return err_info_or_internal(code)->api;
}

const char *err_name(enum err_code code)
{
	return err_info_or_internal(code)->name;
}

int err_http(enum err_code code)
{
	return err_info_or_internal(code)->http;
}

bool err_retryable(enum err_code code)
{
	return err_info_or_internal(code)->retryable;
}

enum err_code err_from_wire(unsigned wire)
{
	return err_info(wire) != NULL ? (enum err_code)wire : ERR_INTERNAL;
}
