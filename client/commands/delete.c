/*
 * delete - one or several objects; connections - the live ones, and cutting them, which is the same.
 */
#include "client/commands/verb.h"
#include "client/out/text.h"
#include "common/base/buf.h"

#include <string.h>

#define PATH_BYTES_MAX 4096
#define IF_MATCH_SIZE  80

static int delete_one(struct verb *v, const char *word, const char *if_match)
{
	struct api_request rq = { .method = "DELETE", .if_match = if_match };
	char id[NAMED_ID_SIZE];
	struct buf path;
	int rc = verb_find(v, word, id);

	if (rc != 0)
		return rc;
	buf_init(&path, PATH_BYTES_MAX);
	verb_path(&path, v, id);
	rq.path = buf_cstr(&path);
	rc = api_call(v->api, &rq, NULL, &v->f);
	buf_free(&path);
	if (rc != 0)
		return verb_fail(v);
	if (invocation_format(v->in) == PRINT_TABLE)
		text_printf(v->in->out, "%s %s is gone.", v->resource->name, word);
	else if (invocation_format(v->in) == PRINT_NAME)
		text_put(v->in->out, id);
	else
		return EXIT_DONE; /* there is no object to print */
	return fputc('\n', v->in->out) == EOF ? EXIT_BAD_NEWS : EXIT_DONE;
}

/* Each is tried, whatever becomes of the others; the first failure is the exit code. */
static int delete_all(struct verb *v, int argc, char **argv)
{
	char match[IF_MATCH_SIZE] = "";
	int rc = invocation_etag(v->in, match, sizeof match);

	if (rc != 0)
		return rc;
	for (int i = 0; i < argc; i++) {
		int now = delete_one(v, argv[i], match[0] != '\0' ? match : NULL);

		rc = rc != EXIT_DONE ? rc : now;
		if (now == EXIT_CREDENTIALS || now == EXIT_NO_ANSWER)
			break;
	}
	return rc;
}

int verb_delete(struct invocation *in, const char *resource, int argc, char **argv)
{
	struct verb v;
	int rc = verb_begin(&v, in, resource, RESOURCE_DELETE);

	if (rc == 0)
		rc = delete_all(&v, argc, argv);
	verb_end(&v);
	return rc;
}

int command_delete(struct invocation *in)
{
	return verb_delete(in, in->argv[0], in->argc - 1, in->argv + 1);
}

int command_connections(struct invocation *in)
{
	if (in->argc == 0 || strcmp(in->argv[0], "ls") == 0)
		return verb_list(in, "connection", MAX(in->argc - 1, 0), in->argv + MIN(in->argc, 1));
	if (strcmp(in->argv[0], "cut") != 0)
		return invocation_usage(in, "it takes ls or cut, not '%s'", in->argv[0]);
	if (in->argc < 2)
		return invocation_usage(in, "cut takes the ids of connections");
	return verb_delete(in, "connection", in->argc - 1, in->argv + 1);
}
