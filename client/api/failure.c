#include "client/api/failure.h"

#include "client/api/http.h"
#include "client/out/text.h"
#include "common/base/str.h"

#include <stdarg.h>
#include <string.h>

#undef failure_set
#undef failure_from_err
#undef failure_from_answer

int failure_set(struct failure *f, enum command_exit code, const char *fmt, ...)
{
	va_list ap;

	*f = (struct failure){ .exit = code };
	va_start(ap, fmt);
	(void)vsnprintf(f->message, sizeof f->message, fmt, ap);
	va_end(ap);
	str_make_utf8(f->message);
	return -1;
}

int failure_from_err(struct failure *f, enum command_exit code, const struct err *e)
{
	return failure_set(f, code, "%s", e->msg);
}

static enum command_exit exit_of(long status)
{
	switch (status) {
	case 401:
	case 403:
		return EXIT_CREDENTIALS;
	case 404:
		return EXIT_NOT_FOUND;
	case 409:
	case 412:
		return EXIT_CONFLICT;
	case 429:
	case 502:
	case 503:
	case 504:
		return EXIT_NO_ANSWER;
	default:
		return EXIT_BAD_NEWS;
	}
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "";
}

static void add_detail(struct failure *f, const json_t *detail)
{
	const char *field = text_of(detail, "field"), *why = text_of(detail, "message");

	if (field[0] != '\0' || why[0] != '\0')
		err_list_add(&f->wrong, ERR_VALIDATION, field, text_of(detail, "constraint"),
			text_of(detail, "provided_value"), "%s", why);
}

int failure_from_answer(struct failure *f, const struct http_answer *a, const char *path)
{
	const json_t *details = json_object_get(a->body, "details"), *one;
	const char *message = text_of(a->body, "message");
	size_t i;

	if (message[0] == '\0') {
		failure_set(
			f, exit_of(a->status), "%s answers %ld, and nothing that controld would say", path, a->status);
		return -1;
	}
	failure_set(f, exit_of(a->status), "%s", message);
	(void)str_copy(f->code, sizeof f->code, text_of(a->body, "code"));
	if (str_eq(f->code, "LIMIT_REACHED") || str_eq(f->code, "QUOTA_EXCEEDED"))
		f->exit = EXIT_LIMIT;
	(void)str_copy(f->request_id, sizeof f->request_id, text_of(a->body, "request_id"));
	if (json_is_object(details))
		add_detail(f, details);
	json_array_foreach(details, i, one) add_detail(f, one);
	return -1;
}

static void print_wrong(const struct failure *f, FILE *to)
{
	for (size_t i = 0; i < f->wrong.n; i++) {
		const struct err *e = &f->wrong.items[i];

		if (e->value[0] != '\0')
			text_printf(to, "  %s=%s: %s", e->field, e->value, e->msg);
		else
			text_printf(to, "  %s: %s", e->field, e->msg);
		(void)fputc('\n', to);
	}
	if (f->wrong.dropped > 0)
		(void)fprintf(to, "  and %zu more\n", f->wrong.dropped);
}

static bool is_whole(const struct failure *f)
{
	return f->wrong.n == 1 && f->wrong.dropped == 0 && strcmp(f->wrong.items[0].msg, f->message) == 0;
}

int failure_print(const struct failure *f, FILE *to, const char *who)
{
	const struct err *first = &f->wrong.items[0];

	if (f->wrong.n > 1)
		text_printf(to, "%s: %zu fields are wrong:", who, f->wrong.n + f->wrong.dropped);
	else if (is_whole(f) && first->value[0] != '\0')
		text_printf(to, "%s: %s=%s: %s", who, first->field, first->value, f->message);
	else
		text_printf(to, "%s: %s", who, f->message);
	if (f->exit == EXIT_BAD_NEWS && f->request_id[0] != '\0' && f->wrong.n == 0)
		text_printf(to, " (request %s)", f->request_id);
	(void)fputc('\n', to);
	if (!is_whole(f))
		print_wrong(f, to);
	return (int)f->exit;
}
