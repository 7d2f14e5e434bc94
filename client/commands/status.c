/*
 * status - how controld and its relays are: /health for everyone, the nodes as well for who has credentials.
 */
#include "client/api/api.h"
#include "client/commands/command.h"
#include "client/out/text.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "-";
}

static void put_line(FILE *out, const char *name, const char *state)
{
	(void)fputs("  ", out);
	text_printf(out, "%-20s %s", name, state);
	(void)fputc('\n', out);
}

static void print_node(FILE *out, const json_t *node)
{
	char state[64];

	(void)snprintf(state, sizeof state, "%-8s revision %lld", text_of(node, "status"),
		(long long)json_integer_value(json_object_get(node, "revision")));
	put_line(out, text_of(node, "name"), state);
}

static void print_text(FILE *out, const char *url, const json_t *health, const json_t *nodes)
{
	const json_t *check, *node;
	size_t i;

	text_printf(out, "controld %s at %s: %s, up %s", text_of(health, "version"), url, text_of(health, "status"),
		text_of(health, "uptime"));
	(void)fputc('\n', out);
	json_array_foreach(json_object_get(health, "checks"), i, check)
		put_line(out, text_of(check, "name"), text_of(check, "status"));
	if (nodes == NULL) {
		(void)fputs("Log in to see the relays as well (portway login).\n", out);
		return;
	}
	(void)fprintf(out, "relays: %zu\n", json_array_size(nodes));
	json_array_foreach(nodes, i, node) print_node(out, node);
}

static int print(const struct invocation *in, const char *url, const json_t *health, const json_t *nodes)
{
	const enum print_format format = invocation_format(in);
	json_t *all;
	int rc;

	if (format == PRINT_TABLE || format == PRINT_NAME) {
		print_text(in->out, url, health, nodes);
		return EXIT_DONE;
	}
	all = json_pack("{sO sO?}", "controld", health, "nodes", nodes);
	rc = all == NULL ? -1 : format == PRINT_YAML ? print_yaml(in->out, all) : print_json_line(in->out, all);
	json_decref(all);
	return rc == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

/* Unhealthy answers 503, which is news and no trouble of the network: it is read without tries. */
static int ask_health(struct api *api, struct http_answer *health, struct failure *f)
{
	const struct api_request rq = { .method = "GET", .path = "/health", .public = true, .any_status = true };

	if (api_call(api, &rq, health, f) != 0)
		return -1;
	if (json_object_get(health->body, "status") != NULL)
		return 0;
	failure_set(f, EXIT_NO_ANSWER, "%s is not a controld (answer %ld)", api_url(api), health->status);
	http_answer_fini(health);
	return -1;
}

int command_status(struct invocation *in)
{
	struct http_answer health, nodes = { 0 };
	struct failure f;
	struct api *api;
	int rc = invocation_api(in, &api);

	if (rc != 0)
		return rc;
	if (ask_health(api, &health, &f) != 0) {
		api_close(api);
		return invocation_fail(in, &f);
	}
	if (api_has_credentials(api) && api_get(api, "/api/v1/nodes?limit=200", &nodes, &f) != 0)
		rc = invocation_fail(in, &f);
	else
		rc = print(in, api_url(api), health.body, json_object_get(nodes.body, "items"));
	if (rc == EXIT_DONE && health.status != 200)
		rc = EXIT_BAD_NEWS;
	http_answer_fini(&health);
	http_answer_fini(&nodes);
	api_close(api);
	return rc;
}
