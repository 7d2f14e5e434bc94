#include "controld/rest/input.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/rest/body.h"
#include "controld/rest/call.h"
#include "controld/rest/query.h"
#include "controld/rest/schema.h"

#include <stdlib.h>
#include <string.h>

static const char *const input_always[] = { "limit", "cursor", "api_key" };

/* A parameter as the type its field has; what does not convert stays a string, and the schema says what is wrong. */
static json_t *input_value(const struct schema_field *f, const char *text)
{
	int64_t i;
	bool b;
	double d;
	char *end;

	switch (f->type) {
	case SCHEMA_INT:
		if (str_to_i64(text, INT64_MIN, INT64_MAX, &i) == 0)
			return json_integer(i);
		break;
	case SCHEMA_BOOL:
		if (str_to_bool(text, &b) == 0)
			return json_boolean(b);
		break;
	case SCHEMA_NUMBER:
		d = strtod(text, &end);
		if (end != text && *end == '\0')
			return json_real(d);
		break;
	default:
		break;
	}
	return json_string(text);
}

static const struct schema_field *input_field(const struct schema *s, const char *name)
{
	for (size_t i = 0; s != NULL && i < s->n; i++)
		if (strcmp(s->fields[i].name, name) == 0)
			return &s->fields[i];
	return NULL;
}

static bool input_is_always(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(input_always); i++)
		if (strcmp(input_always[i], name) == 0)
			return true;
	return false;
}

void input_check_query(const struct route *route, const struct query_args *args, struct err_list *errs)
{
	json_t *object = NULL;

	if (args->n == 0 && route->query == NULL)
		return;
	object = json_object();
	for (size_t i = 0; i < args->n; i++) {
		const char *name = args->args[i].name;
		const struct schema_field *f = input_field(route->query, name);

		if (f != NULL)
			json_object_set_new(object, name, input_value(f, args->args[i].value));
		else if (!input_is_always(name) && (route->query == NULL || !route->query->open))
			(void)err_list_add(errs, ERR_VALIDATION, name, "unknown", NULL,
				"%.60s is not a parameter of %s %s", name, route->method, route->path);
	}
	if (route->query != NULL)
		schema_check(route->query, object, false, errs);
	json_decref(object);
}

int input_read(struct request *rq, size_t body_max, struct err *e)
{
	static const struct schema nothing = { .name = NULL };
	const struct route *route = rq->match.entry->route;
	const struct body_source src = {
		.content_type = request_header(rq, "Content-Type"),
		.content_encoding = request_header(rq, "Content-Encoding"),
		.data = rq->in.body,
		.n = rq->in.body_len,
		.inflated_max = body_max,
	};

	input_check_query(route, &rq->args, rq->errors);
	if ((route->flags & ROUTE_RAW_BODY) != 0)
		return 0;
	if (body_parse(&rq->body, &src, e) != 0)
		return -1;
	schema_check(route->request != NULL ? route->request : &nothing, rq->body, (route->flags & ROUTE_PARTIAL) != 0,
		rq->errors);
	return 0;
}

/* path: as schema_check() names it. Of a list with a wrong item all of it goes. */
static void input_cut(json_t *body, const char *path)
{
	char name[sizeof((struct err *)NULL)->field];
	json_t *at = body;

	if (json_object_del(body, path) == 0) /* also a name that nobody knows, with a dot in it */
		return;
	for (;;) {
		const size_t n = strcspn(path, ".[");

		(void)str_fmt(name, sizeof name, "%.*s", (int)n, path);
		if (path[n] != '.')
			break;
		at = json_object_get(at, name);
		path += n + 1;
	}
	json_object_del(at, name);
}

bool input_leave_right(struct request *rq)
{
	const struct route *route = rq->match.entry->route;
	struct err_list left = { .n = 0 };

	if (rq->errors->dropped > 0 || rq->body == NULL || route->request == NULL)
		return false;
	for (size_t i = 0; i < rq->errors->n; i++)
		input_cut(rq->body, rq->errors->items[i].field);
	schema_check(route->request, rq->body, true, &left);
	return left.n == 0;
}
