/*
 * status - how controld and its relays are: /health for everyone, the nodes as well for who has a token.
 */
#include "client/commands/command.h"
#include "client/http_get.h"
#include "common/base/err.h"

#include <jansson.h>

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "-";
}

static void print_node(FILE *out, const json_t *node)
{
	fprintf(out, "  %-20s %-8s revision %lld\n", text_of(node, "name"), text_of(node, "status"),
		(long long)json_integer_value(json_object_get(node, "revision")));
}

static void print_text(FILE *out, const char *base, const json_t *health, const json_t *nodes)
{
	const json_t *check, *node;
	size_t i;

	fprintf(out, "controld %s at %s: %s, up %s\n", text_of(health, "version"), base, text_of(health, "status"),
		text_of(health, "uptime"));
	json_array_foreach(json_object_get(health, "checks"), i, check)
		fprintf(out, "  %-20s %s\n", text_of(check, "name"), text_of(check, "status"));
	if (nodes == NULL) {
		fprintf(out, "Set PORTWAY_TOKEN to see the relays as well.\n");
		return;
	}
	fprintf(out, "relays: %zu\n", json_array_size(nodes));
	json_array_foreach(nodes, i, node) print_node(out, node);
}

static int print_json(FILE *out, const json_t *health, const json_t *nodes)
{
	json_t *all = json_pack("{sO sO?}", "controld", health, "nodes", nodes);

	if (all == NULL || json_dumpf(all, out, JSON_COMPACT) != 0) {
		json_decref(all);
		return -1;
	}
	json_decref(all);
	return fputc('\n', out) == EOF ? -1 : 0;
}

/* 0 and the relays (none without a token), or the exit code. */
static int ask_nodes(const struct command_options *opt, struct http_answer *nodes)
{
	struct err e;

	if (opt->token == NULL)
		return 0;
	if (http_get(nodes, opt->controld, "/api/v1/nodes", opt->token, &e) != 0) {
		fprintf(stderr, "portway status: %s\n", e.msg);
		return EXIT_NO_ANSWER;
	}
	if (nodes->status == 200)
		return 0;
	fprintf(stderr, "portway status: %s/api/v1/nodes answered %ld: %s\n", opt->controld, nodes->status,
		text_of(nodes->body, "message"));
	return nodes->status == 401 || nodes->status == 403 ? EXIT_CREDENTIALS : EXIT_BAD_NEWS;
}

int command_status(const struct command_options *opt, int argc, char **argv)
{
	struct http_answer health = { 0 }, nodes = { 0 };
	const json_t *items;
	struct err e;
	int rc;

	if (argc > 1) {
		fprintf(stderr, "portway status: unexpected argument '%s'\n", argv[1]);
		return EXIT_USAGE;
	}
	if (http_get(&health, opt->controld, "/health", NULL, &e) != 0) {
		fprintf(stderr, "portway status: %s\n", e.msg);
		return EXIT_NO_ANSWER;
	}
	if (health.body == NULL) {
		fprintf(stderr, "portway status: %s is not a controld (answer %ld without JSON)\n", opt->controld,
			health.status);
		return EXIT_NO_ANSWER;
	}
	rc = ask_nodes(opt, &nodes);
	if (rc == 0) {
		items = json_object_get(nodes.body, "items");
		if (!opt->json)
			print_text(opt->out, opt->controld, health.body, items);
		else if (print_json(opt->out, health.body, items) != 0)
			rc = EXIT_BAD_NEWS;
		if (health.status != 200)
			rc = EXIT_BAD_NEWS;
	}
	http_answer_fini(&health);
	http_answer_fini(&nodes);
	return rc;
}
