/*
 * create, update - an object out of words and files; a mapping may be waited for.
 */
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <string.h>

#define PATH_BYTES_MAX 4096
#define SETTLE_MS      30000
#define IF_MATCH_SIZE  80
#define TEMPLATE_SIZE  160

/* What only this answer holds stands below the table, alone on its line. */
static void show_secret(const struct verb *v, const json_t *object)
{
	const char *secret = json_string_value(json_object_get(object, v->resource->secret));

	if (secret == NULL || invocation_format(v->in) != PRINT_TABLE)
		return;
	(void)fprintf(v->in->out, "\n%s, shown this once:\n", v->resource->secret);
	text_put(v->in->out, secret);
	(void)fputc('\n', v->in->out);
}

/* A plain table may lack the very thing that is shown once. */
static int show(struct verb *v, const json_t *object)
{
	if (v->resource != &v->found.resource || invocation_format(v->in) != PRINT_TABLE ||
		options_has(&v->in->options, "columns"))
		return verb_show(v, object);
	return view_details(v->in->out, object) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

/* Takes the answer's object. */
static int finish(struct verb *v, struct http_answer *answer)
{
	json_t *object = json_incref(answer->body);
	int rc = EXIT_DONE, shown;

	http_answer_fini(answer);
	if (v->resource->settles && options_has(&v->in->options, "wait"))
		rc = verb_settle(v, &object, (uint64_t)options_number(&v->in->options, "wait", SETTLE_MS));
	shown = show(v, object);
	if (v->resource->secret != NULL)
		show_secret(v, object);
	json_decref(object);
	return rc != EXIT_DONE ? rc : shown;
}

static int write_one(struct verb *v, const struct api_request *rq)
{
	struct http_answer answer;

	return api_call(v->api, rq, &answer, &v->f) == 0 ? finish(v, &answer) : verb_fail(v);
}

static int read_body(struct verb *v, bool one, int argc, char **argv, json_t **out)
{
	char path[TEMPLATE_SIZE];

	verb_template(path, sizeof path, v, one);
	return verb_body(v, path, one ? "put" : "post", argc, argv, out);
}

/* ---- create ------------------------------------------------------------------------------------------------------- */

/* A file may hold many: each is made, whatever becomes of the others; the first failure is the exit code. */
static int create_all(struct verb *v, const json_t *body)
{
	struct api_request rq = { .method = "POST", .path = v->resource->path, .body = body, .keyed = true };
	const json_t *one;
	int rc = EXIT_DONE;
	size_t i;

	if (!json_is_array(body))
		return write_one(v, &rq);
	json_array_foreach(body, i, one)
	{
		int now;

		rq.body = one;
		now = write_one(v, &rq);
		rc = rc != EXIT_DONE ? rc : now;
		if (now == EXIT_CREDENTIALS || now == EXIT_NO_ANSWER)
			break;
	}
	return rc;
}

int command_create(struct invocation *in)
{
	json_t *body = NULL;
	struct verb v;
	int rc = verb_begin(&v, in, in->argv[0], RESOURCE_CREATE);

	if (rc == 0)
		rc = read_body(&v, false, in->argc - 1, in->argv + 1, &body);
	if (rc == 0)
		rc = create_all(&v, body);
	json_decref(body);
	verb_end(&v);
	return rc;
}

/* ---- update ------------------------------------------------------------------------------------------------------- */

static int update(struct verb *v, const char *word, const json_t *body)
{
	char match[IF_MATCH_SIZE] = "", id[NAMED_ID_SIZE];
	struct api_request rq = { .method = "PUT", .body = body };
	struct buf path;
	int rc = invocation_etag(v->in, match, sizeof match);

	if (rc != 0)
		return rc;
	if (!json_is_object(body))
		return invocation_usage(v->in, "the file holds a list: one object is updated");
	if (json_object_size(body) == 0)
		return invocation_usage(v->in, "nothing to change: write FIELD=VALUE");
	if ((rc = verb_find(v, word, id)) != 0)
		return rc;
	buf_init(&path, PATH_BYTES_MAX);
	verb_path(&path, v, id);
	rq.path = buf_cstr(&path);
	rq.if_match = match[0] != '\0' ? match : NULL;
	rc = write_one(v, &rq);
	buf_free(&path);
	return rc;
}

int command_update(struct invocation *in)
{
	json_t *body = NULL;
	struct verb v;
	int rc = verb_begin(&v, in, in->argv[0], RESOURCE_UPDATE);

	if (rc == 0)
		rc = read_body(&v, true, in->argc - 2, in->argv + 2, &body);
	if (rc == 0)
		rc = update(&v, in->argv[1], body);
	json_decref(body);
	verb_end(&v);
	return rc;
}
