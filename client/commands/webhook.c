/*
 * webhook - who is told of changes: what there is, a test that is sent at once, what came of deliveries, an event by hand.
 */
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "client/resource/pages.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#define PATH_BYTES_MAX 8192

struct webhook_command {
	struct verb v;
	struct buf path;
	char id[NAMED_ID_SIZE];
};

static const char *webhook_path(struct webhook_command *c, const char *rest)
{
	buf_reset(&c->path);
	verb_path(&c->path, &c->v, c->id);
	buf_printf(&c->path, "%s", rest);
	return buf_cstr(&c->path);
}

/* ---- the log of deliveries --------------------------------------------------------------------------------------- */

static const struct column delivery_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "EVENT", "event", CELL_TEXT },
	{ "STATE", "state", CELL_TEXT },
	{ "ATTEMPTS", "attempts", CELL_COUNT },
	{ "STATUS", "status", CELL_COUNT },
	{ "MS", "latency_ms", CELL_COUNT },
	{ "ERROR", "error", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};

static int on_delivery(const json_t *item, void *arg)
{
	return view_show(arg, NULL, item) != 0 ? 1 : 0;
}

static int webhook_log(struct webhook_command *c)
{
	const struct view_conf conf = { c->v.in->out, invocation_format(c->v.in), delivery_columns, "id", false };
	struct pages pages = { .path = webhook_path(c, "/deliveries"),
		.limit = options_number(&c->v.in->options, "limit", 0) };
	struct view view;
	int rc;

	if (view_begin(&view, &conf) != 0)
		return EXIT_BAD_NEWS;
	rc = pages_each(c->v.api, &pages, on_delivery, &view, &c->v.f);
	if (view_end(&view) != 0 || rc > 0)
		return EXIT_BAD_NEWS;
	return rc == 0 ? EXIT_DONE : verb_fail(&c->v);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static int webhook_show(struct webhook_command *c)
{
	struct http_answer answer;
	int rc;

	if (api_get(c->v.api, webhook_path(c, ""), &answer, &c->v.f) != 0)
		return verb_fail(&c->v);
	if (invocation_format(c->v.in) == PRINT_TABLE)
		rc = view_details(c->v.in->out, answer.body) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
	else
		rc = verb_show(&c->v, answer.body);
	http_answer_fini(&answer);
	return rc;
}

/* Whether it was taken is the exit code. */
static int webhook_test(struct webhook_command *c)
{
	const struct api_request rq = { .method = "POST", .path = webhook_path(c, "/test"), .keyed = true };
	struct http_answer answer;
	int rc;

	if (api_call(c->v.api, &rq, &answer, &c->v.f) != 0)
		return verb_fail(&c->v);
	if (invocation_format(c->v.in) == PRINT_TABLE)
		rc = view_details(c->v.in->out, answer.body) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
	else
		rc = verb_show(&c->v, answer.body);
	if (rc == EXIT_DONE && !json_is_true(json_object_get(answer.body, "delivered"))) {
		const char *why = json_string_value(json_object_get(answer.body, "error"));

		text_printf(stderr, "portway webhook: it was not taken: %s", why != NULL ? why : "no reason given");
		(void)fputc('\n', stderr);
		rc = EXIT_BAD_NEWS;
	}
	http_answer_fini(&answer);
	return rc;
}

static const struct {
	const char *word;
	int (*run)(struct webhook_command *c);
} words[] = {
	{ "log", webhook_log },
	{ "show", webhook_show },
	{ "test", webhook_test },
};

static int run_word(struct invocation *in, int (*run)(struct webhook_command *c))
{
	struct webhook_command c = { .path = { .data = NULL } };
	int rc = verb_begin(&c.v, in, "webhook", RESOURCE_GET);

	buf_init(&c.path, PATH_BYTES_MAX);
	if (rc == 0)
		rc = verb_find(&c.v, in->argv[1], c.id);
	if (rc == 0)
		rc = run(&c);
	buf_free(&c.path);
	verb_end(&c.v);
	return rc;
}

int command_webhook(struct invocation *in)
{
	if (str_eq(in->argv[0], "ls"))
		return verb_list(in, "webhook", in->argc - 1, in->argv + 1);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(in->argv[0], words[i].word)) {
			if (in->argc != 2)
				return invocation_usage(in, "%s takes the id of one webhook", words[i].word);
			return run_word(in, words[i].run);
		}
	return invocation_usage(in, "'%s': must be ls, show, test or log", in->argv[0]);
}
