/*
 * api - any call of the API, for what has no command of its own: credentials, tries and errors are as everywhere.
 */
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <string.h>

#define PATH_BYTES_MAX 8192

static int show(const struct invocation *in, const struct http_answer *answer)
{
	int rc;

	if (answer->body == NULL)
		return EXIT_DONE; /* 204, or no JSON */
	rc = invocation_format(in) == PRINT_YAML ? print_yaml(in->out, answer->body)
	                                         : print_json(in->out, answer->body);
	return rc == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

static int call(struct verb *v, const char *method, const char *path, const json_t *body)
{
	const struct api_request rq = {
		.method = method,
		.path = path,
		.body = body,
		.keyed = strcmp(method, "POST") == 0,
	};
	struct http_answer answer;
	int rc;

	if (api_call(v->api, &rq, &answer, &v->f) != 0)
		return verb_fail(v);
	rc = show(v->in, &answer);
	http_answer_fini(&answer);
	return rc;
}

/* GET and DELETE are asked with words as a query, the others take them as a body. */
static int run(struct verb *v, const char *method, const char *path, int argc, char **argv)
{
	const bool query = strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0;
	const struct resource as_resource = { .name = "call", .path = path };
	char lower[8] = "";
	json_t *body = NULL;
	struct buf full;
	int rc;

	v->resource = &as_resource;
	for (size_t i = 0; method[i] != '\0' && i + 1 < sizeof lower; i++)
		lower[i] = (char)(method[i] | 0x20);
	buf_init(&full, PATH_BYTES_MAX);
	if (query) {
		rc = verb_filters(v, &full, argc, argv);
	} else {
		buf_printf(&full, "%s", path);
		rc = verb_body(v, path, lower, argc, argv, &body);
	}
	if (rc == 0)
		rc = call(v, method, buf_cstr(&full), body);
	json_decref(body);
	buf_free(&full);
	return rc;
}

int command_api(struct invocation *in)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
	struct verb v = { .in = in };
	size_t i = 0;
	int rc;

	while (i < ARRAY_LEN(methods) && strcmp(methods[i], in->argv[0]) != 0)
		i++;
	if (i == ARRAY_LEN(methods))
		return invocation_usage(in, "'%s': a method is GET, POST, PUT, PATCH or DELETE", in->argv[0]);
	if (in->argv[1][0] != '/' || strpbrk(in->argv[1], " \r\n\t#") != NULL)
		return invocation_usage(in, "'%s': a path is like /api/v1/stats/traffic", in->argv[1]);
	rc = invocation_api(in, &v.api);
	if (rc == 0)
		rc = run(&v, methods[i], in->argv[1], in->argc - 2, in->argv + 2);
	verb_end(&v);
	return rc;
}
