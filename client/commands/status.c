/*
 * status - how controld, its relays and the tunnels are: /health for everyone, the rest for who has credentials.
 */
#include "client/api/api.h"
#include "client/commands/command.h"
#include "client/out/text.h"
#include "client/resource/pages.h"
#include "client/resource/view.h"
#include "common/base/str.h"

#define TUNNELS_SHOWN 20
#define TUNNELS_MAX   1000 /* looked at */

static const struct column tunnel_columns[] = {
	{ "TUNNEL", "label", CELL_TEXT },
	{ "PROTO", "protocol", CELL_TEXT },
	{ "PORT", NULL, CELL_PORTS },
	{ "TARGET", NULL, CELL_TARGET },
	{ "STATUS", "status", CELL_TEXT },
	{ "CLIENT", "target_client_status", CELL_TEXT },
	{ "CONNS", "traffic_stats.connections_active", CELL_COUNT },
	{ "LATENCY", "latency_us", CELL_US },
	{ "NOT REACHED", "traffic_stats.refused_by_reason.dial", CELL_COUNT },
	{ NULL, NULL, CELL_TEXT },
};

/* What is known. Only health is there for everyone. */
struct overview {
	json_t *health, *nodes; /* NULL: nobody is logged in */
	json_t *tunnels;
	bool more; /* than are in tunnels */
};

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

/* ---- tunnels ------------------------------------------------------------------------------------------------------ */

/* Its name, or its id; and how long it took to reach the target, in the mean of all connections there were. */
static int add_tunnel(const json_t *mapping, void *arg)
{
	struct overview *o = arg;
	const char *name = json_string_value(json_object_get(mapping, "name"));
	const json_t *stats = json_object_get(mapping, "traffic_stats");
	const json_int_t reached = json_integer_value(json_object_get(stats, "targets_reached"));
	const json_int_t us = json_integer_value(json_object_get(stats, "connect_time_us"));
	json_t *row;

	if (json_array_size(o->tunnels) == TUNNELS_MAX) {
		o->more = true;
		return 1;
	}
	row = json_copy((json_t *)mapping);
	(void)json_object_set(row, "label", json_object_get(mapping, name != NULL && name[0] != '\0' ? "name" : "id"));
	(void)json_object_set_new(row, "latency_us", reached > 0 ? json_integer(us / reached) : json_null());
	return json_array_append_new(o->tunnels, row) == 0 ? 0 : 1;
}

/* What is wrong first, then what is in use, then the newest. */
static int weight(const json_t *tunnel)
{
	const char *status = text_of(tunnel, "status"), *client = text_of(tunnel, "target_client_status");
	const json_t *stats = json_object_get(tunnel, "traffic_stats");

	if (str_eq(status, "error"))
		return 3;
	if (str_eq(client, "offline") || str_eq(client, "error"))
		return 2;
	return json_integer_value(json_object_get(stats, "connections_active")) > 0;
}

static int put_tunnels(FILE *out, const struct overview *o)
{
	const struct view_conf conf = { .out = out, .format = PRINT_TABLE, .columns = tunnel_columns, .id = "id" };
	const size_t n = json_array_size(o->tunnels);
	struct view view;
	size_t shown = 0;
	int rc = 0;

	(void)fprintf(out, "tunnels: %zu%s\n", n, o->more ? " and more" : "");
	if (n == 0)
		return 0;
	if (view_begin(&view, &conf) != 0)
		return -1;
	for (int w = 3; w >= 0; w--)
		for (size_t i = n; i > 0 && shown < TUNNELS_SHOWN && rc == 0; i--) {
			const json_t *tunnel = json_array_get(o->tunnels, i - 1);

			if (weight(tunnel) != w)
				continue;
			rc = view_show(&view, NULL, tunnel);
			shown++;
		}
	rc |= view_end(&view);
	if (n > shown)
		(void)fprintf(out, "  and %zu more: portway ls\n", n - shown);
	return rc;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static int print_text(FILE *out, const char *url, const struct overview *o)
{
	const json_t *check, *node;
	size_t i;

	text_printf(out, "controld %s at %s: %s, up %s", text_of(o->health, "version"), url,
		text_of(o->health, "status"), text_of(o->health, "uptime"));
	(void)fputc('\n', out);
	json_array_foreach(json_object_get(o->health, "checks"), i, check)
		put_line(out, text_of(check, "name"), text_of(check, "status"));
	if (o->nodes == NULL) {
		(void)fputs("Log in to see the relays and tunnels as well (portway login).\n", out);
		return 0;
	}
	(void)fprintf(out, "relays: %zu\n", json_array_size(o->nodes));
	json_array_foreach(o->nodes, i, node) print_node(out, node);
	return put_tunnels(out, o);
}

static int print(const struct invocation *in, const char *url, const struct overview *o)
{
	const enum print_format format = invocation_format(in);
	json_t *all;
	int rc;

	if (format == PRINT_TABLE || format == PRINT_NAME)
		return print_text(in->out, url, o) == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
	all = json_pack("{sO sO? sO?}", "controld", o->health, "nodes", o->nodes, "tunnels", o->tunnels);
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

static int look(struct api *api, struct overview *o, struct failure *f)
{
	struct pages pages = { .path = "/api/v1/mappings" };
	struct http_answer nodes;

	if (!api_has_credentials(api))
		return 0;
	if (api_get(api, "/api/v1/nodes?limit=200", &nodes, f) != 0)
		return -1;
	o->nodes = json_incref(json_object_get(nodes.body, "items"));
	http_answer_fini(&nodes);
	o->tunnels = json_array();
	return MIN(pages_each(api, &pages, add_tunnel, o, f), 0);
}

int command_status(struct invocation *in)
{
	struct overview o = { .health = NULL };
	struct http_answer health;
	struct failure f;
	struct api *api;
	int rc = invocation_api(in, &api);

	if (rc != 0)
		return rc;
	if (ask_health(api, &health, &f) != 0) {
		api_close(api);
		return invocation_fail(in, &f);
	}
	o.health = health.body;
	rc = look(api, &o, &f) == 0 ? print(in, api_url(api), &o) : invocation_fail(in, &f);
	if (rc == EXIT_DONE && health.status != 200)
		rc = EXIT_BAD_NEWS;
	json_decref(o.nodes);
	json_decref(o.tunnels);
	http_answer_fini(&health);
	api_close(api);
	return rc;
}
