/*
 * quota - what a user may pass in a month: how much is left, and changing it.
 */
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#define PATH_BYTES_MAX 4096
#define IF_MATCH_SIZE  80
#define TEMPLATE       "/api/v1/users/{id}/quota"

static const struct column quota_columns[] = {
	{ "USER", "user_id", CELL_TEXT },
	{ "MONTHLY", "monthly_bytes", CELL_BYTES },
	{ "USED", "used_bytes", CELL_BYTES },
	{ "LEFT", "remaining_bytes", CELL_BYTES },
	{ "EXCEEDED", "exceeded", CELL_TEXT },
	{ "RESETS", "resets_at", CELL_TIME },
	{ "DAY", "reset_day", CELL_COUNT },
	{ "ZONE", "time_zone", CELL_TEXT },
	{ NULL, NULL, CELL_TEXT },
};
static const struct resource quota = {
	.name = "quota", .plural = "quotas", .columns = quota_columns, .id = "user_id", .summary = ""
};

/* Nobody named: whoever asks. */
static int find_user(struct verb *v, const char *word, char id[NAMED_ID_SIZE])
{
	struct http_answer answer;
	const char *own;
	int rc;

	if (word != NULL)
		return verb_find(v, word, id);
	if (api_get(v->api, "/api/profile", &answer, &v->f) != 0)
		return verb_fail(v);
	own = json_string_value(json_object_get(answer.body, "id"));
	rc = own != NULL ? str_copy(id, NAMED_ID_SIZE, own) : -1;
	http_answer_fini(&answer);
	if (rc == 0)
		return 0;
	(void)failure_set(&v->f, EXIT_BAD_NEWS, "controld does not say who asks: name a user");
	return verb_fail(v);
}

static int quota_path(struct verb *v, struct buf *path, const char *word)
{
	char id[NAMED_ID_SIZE];
	int rc = find_user(v, word, id);

	if (rc != 0)
		return rc;
	verb_path(path, v, id);
	buf_printf(path, "/quota");
	return 0;
}

/* Takes the answer. */
static int show(struct verb *v, struct http_answer *answer)
{
	const struct resource *users = v->resource;
	int rc;

	v->resource = &quota;
	rc = verb_show(v, answer->body);
	v->resource = users;
	http_answer_fini(answer);
	return rc;
}

static int quota_show(struct verb *v, struct buf *path, int argc, char **argv)
{
	struct http_answer answer;
	int rc = quota_path(v, path, argc > 0 ? argv[0] : NULL);

	if (rc != 0)
		return rc;
	if (api_get(v->api, buf_cstr(path), &answer, &v->f) != 0)
		return verb_fail(v);
	return show(v, &answer);
}

static int quota_set(struct verb *v, struct buf *path, int argc, char **argv)
{
	char match[IF_MATCH_SIZE] = "";
	struct api_request rq = { .method = "PUT" };
	struct http_answer answer;
	json_t *body = NULL;
	int rc = invocation_etag(v->in, match, sizeof match);

	if (rc == 0)
		rc = verb_body(v, TEMPLATE, "put", argc - 1, argv + 1, &body);
	if (rc == 0 && json_object_size(body) == 0)
		rc = invocation_usage(v->in, "nothing to change: write FIELD=VALUE");
	if (rc == 0)
		rc = quota_path(v, path, argv[0]);
	if (rc == 0) {
		rq.path = buf_cstr(path);
		rq.body = body;
		rq.if_match = match[0] != '\0' ? match : NULL;
		rc = api_call(v->api, &rq, &answer, &v->f) == 0 ? show(v, &answer) : verb_fail(v);
	}
	json_decref(body);
	return rc;
}

int command_quota(struct invocation *in)
{
	const bool set = in->argc > 0 && str_eq(in->argv[0], "set");
	struct buf path;
	struct verb v;
	int rc;

	if (in->argc > 0 && !set && !str_eq(in->argv[0], "show"))
		return invocation_usage(in, "'%s': must be show or set", in->argv[0]);
	if (set && in->argc < 3)
		return invocation_usage(in, "set takes a user, by id, email or username, and FIELD=VALUE");
	if (!set && in->argc > 2)
		return invocation_usage(in, "show takes one user");
	rc = verb_begin(&v, in, "user", 0);
	buf_init(&path, PATH_BYTES_MAX);
	if (rc == 0)
		rc = (set ? quota_set : quota_show)(&v, &path, MAX(in->argc - 1, 0), in->argv + 1);
	buf_free(&path);
	verb_end(&v);
	return rc;
}
