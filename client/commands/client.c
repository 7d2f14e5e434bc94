/*
 * client - agents' accounts: what there is, a new secret while the old one works on for a while, a secret that ends at once.
 */
#include "client/api/path.h"
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/str.h"

#include <string.h>

#define PATH_BYTES_MAX 4096

struct client_command {
	struct verb v;
	struct buf path;
	char id[NAMED_ID_SIZE];
	char **words; /* after the client */
};

static const char *client_path(struct client_command *c, const char *rest)
{
	buf_reset(&c->path);
	verb_path(&c->path, &c->v, c->id);
	buf_printf(&c->path, "%s", rest);
	return buf_cstr(&c->path);
}

static int show_details(struct client_command *c, const json_t *client)
{
	if (invocation_format(c->v.in) == PRINT_TABLE)
		return view_details(c->v.in->out, client) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
	return verb_show(&c->v, client);
}

static int client_show(struct client_command *c)
{
	struct http_answer answer;
	int rc;

	if (api_get(c->v.api, client_path(c, ""), &answer, &c->v.f) != 0)
		return verb_fail(&c->v);
	rc = show_details(c, answer.body);
	http_answer_fini(&answer);
	return rc;
}

/* ---- rotate ------------------------------------------------------------------------------------------------------- */

static void print_rotated(FILE *out, const json_t *client)
{
	const json_t *secrets = json_object_get(client, "secrets"), *one;
	size_t i;

	(void)fputs("secret_key, shown this once:\n", out);
	text_put(out, json_string_value(json_object_get(client, "secret_key")));
	(void)fputc('\n', out);
	json_array_foreach(secrets, i, one)
	{
		const char *until = json_string_value(json_object_get(one, "expires_at"));

		if (until == NULL || !str_eq(json_string_value(json_object_get(one, "kind")), "secret"))
			continue;
		text_printf(out, "The one before it, %s, works until %s.",
			json_string_value(json_object_get(one, "id")), until);
		(void)fputc('\n', out);
	}
}

static int client_rotate(struct client_command *c)
{
	json_t *body = json_object();
	const struct api_request rq = {
		.method = "POST", .path = client_path(c, "/rotate-secret"), .body = body, .keyed = true
	};
	const char *overlap = options_text(&c->v.in->options, "overlap", NULL);
	struct http_answer answer;
	int rc;

	if (overlap != NULL)
		(void)json_object_set_new(body, "overlap", json_string(overlap));
	rc = api_call(c->v.api, &rq, &answer, &c->v.f);
	json_decref(body);
	if (rc != 0)
		return verb_fail(&c->v);
	if (invocation_format(c->v.in) == PRINT_TABLE)
		print_rotated(c->v.in->out, answer.body);
	else
		rc = verb_show(&c->v, answer.body);
	http_answer_fini(&answer);
	return rc;
}

/* ---- a secret that ends ------------------------------------------------------------------------------------------- */

static int client_end_secret(struct client_command *c)
{
	struct api_request rq = { .method = "DELETE" };

	(void)client_path(c, "/secrets");
	path_segment(&c->path, c->words[0]);
	rq.path = buf_cstr(&c->path);
	if (api_call(c->v.api, &rq, NULL, &c->v.f) != 0)
		return verb_fail(&c->v);
	if (invocation_format(c->v.in) != PRINT_TABLE)
		return EXIT_DONE; /* there is no object to print */
	text_printf(c->v.in->out, "%s of client %s has ended; agents that use it are cut off.", c->words[0], c->id);
	return fputc('\n', c->v.in->out) == EOF ? EXIT_BAD_NEWS : EXIT_DONE;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *word, *args;
	int n; /* words after it */
	int (*run)(struct client_command *c);
} words[] = {
	{ "end-secret", "a client and the id of one of its secrets", 2, client_end_secret },
	{ "rotate", "one client", 1, client_rotate },
	{ "show", "one client", 1, client_show },
};

static int run_word(struct invocation *in, int (*run)(struct client_command *c))
{
	struct client_command c = { .path = { .data = NULL }, .words = in->argv + 2 };
	int rc = verb_begin(&c.v, in, "client", RESOURCE_GET);

	buf_init(&c.path, PATH_BYTES_MAX);
	if (rc == 0)
		rc = verb_find(&c.v, in->argv[1], c.id);
	if (rc == 0)
		rc = run(&c);
	buf_free(&c.path);
	verb_end(&c.v);
	return rc;
}

int command_client(struct invocation *in)
{
	if (str_eq(in->argv[0], "ls"))
		return verb_list(in, "client", in->argc - 1, in->argv + 1);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_eq(in->argv[0], words[i].word))
			continue;
		if (in->argc - 1 != words[i].n)
			return invocation_usage(in, "%s takes %s, by id or name", words[i].word, words[i].args);
		return run_word(in, words[i].run);
	}
	return invocation_usage(in, "'%s': must be ls, show, rotate or end-secret", in->argv[0]);
}
