/* Where the agents of a client connect: the relays that serve it. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "controld/clients/client.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/roster.h"
#include "controld/identity/identity.h"
#include "controld/tunnels/tunnels.h"

#include <stdlib.h>

#define AT_SIZE (NODE_AGENTS_SIZE + ADDR_STRLEN)

struct found {
	struct fleet_api *api;
	json_t *items;
	char domain[HOST_NAME_SIZE]; /* of `default`, where new mappings go */
	unsigned groups;
	int rc;
	struct err *e;
};

/* As the relay says it; a relay that listens on every address is reached where controld met it. */
static int agents_at(char dst[AT_SIZE], const struct roster_node *n)
{
	char ip[ADDR_STRLEN];
	struct addr at, met;

	if (n->load.agents[0] == '\0')
		return -1;
	if (addr_parse(&at, n->load.agents) != 0)
		return str_copy(dst, AT_SIZE, n->load.agents); /* a name */
	addr_print_ip(&at, ip);
	if ((!str_eq(ip, "0.0.0.0") && !str_eq(ip, "::")) || addr_parse(&met, n->row.address) != 0)
		return str_copy(dst, AT_SIZE, n->load.agents);
	addr_set_port(&met, addr_port(&at));
	addr_print(&met, dst);
	return 0;
}

static int on_group(const char *group_id, void *arg)
{
	struct found *f = arg;
	struct asks_node *nodes;
	size_t n;

	f->groups++;
	if ((f->rc = roster_online(f->api->roster, group_id, "", &nodes, &n, f->e)) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct roster_node now;
		char at[AT_SIZE];

		if (roster_get(f->api->roster, nodes[i].id, &now) && agents_at(at, &now) == 0)
			json_array_append_new(f->items,
				json_pack("{s:s, s:s, s:i, s:i}", "node", now.row.name, "address", at, "http_port",
					(int)now.load.http_port, "tls_port", (int)now.load.tls_port));
	}
	free(nodes);
	return 0;
}

/* Those that are told of the client: of the groups of its mappings, or `default` (line/model_reader.c says the same). */
static int find(struct found *f, struct db *db, const char *tenant, int64_t id, struct err *e)
{
	char client[PROTO_ID_SIZE];
	struct group standard;
	bool exists;

	if (client_exists(db, tenant, id, &exists, e) != 0)
		return -1;
	if (!exists)
		return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %lld", (long long)id);
	client_id_print(client, id);
	if (group_get(db, GROUP_DEFAULT, &standard, e) != 0)
		return -1;
	str_copy(f->domain, sizeof f->domain, standard.domain);
	if (mapping_groups_of_client(db, client, on_group, f, e) != 0 || f->rc != 0)
		return -1;
	return f->groups > 0 ? 0 : on_group(standard.id, f);
}

static int answer(struct fleet_api *api, const struct request *rq, struct reply *rp, int64_t id, struct err *e)
{
	struct found f = { .api = api, .e = e };
	struct db *db;
	int rc;

	if (store_read_begin(f.api->store, &db, e) != 0)
		return -1;
	f.items = json_array();
	rc = find(&f, db, request_identity(rq)->tenant_id, id, e);
	store_read_end(db);
	if (rc != 0) {
		json_decref(f.items);
		return -1;
	}
	reply_json(rp, 200,
		json_pack("{s:s, s:s, s:o}", "ca_fingerprint", f.api->ca != NULL ? ca_fingerprint(f.api->ca) : "",
			"domain", f.domain, "items", f.items));
	return 0;
}

static int on_relays(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	int64_t id;

	if (client_id_parse(request_param(rq, "id"), &id) != 0)
		return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %s", request_param(rq, "id"));
	return answer(feature, rq, rp, id, e);
}

static int on_own_relays(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return answer(feature, rq, rp, identity_client(request_identity(rq)), e);
}

static const struct schema_field item_fields[] = {
	{ .name = "node", .type = SCHEMA_STRING, .help = "name of the relay" },
	{ .name = "address", .type = SCHEMA_STRING, .help = "host:port that agents connect to" },
	{ .name = "http_port", .type = SCHEMA_INT, .help = "of its mappings with protocol http; 0: it has none" },
	{ .name = "tls_port", .type = SCHEMA_INT, .help = "of its mappings with protocol tls; 0: it has none" },
};
static const struct schema item_schema = { "ClientRelay", item_fields, ARRAY_LEN(item_fields), false };
static const struct schema_field relays_fields[] = {
	{ .name = "ca_fingerprint",
		.type = SCHEMA_STRING,
		.help = "by which an agent knows its relays; <id>.<secret_key>.<this> is the agent's token" },
	{ .name = "domain",
		.type = SCHEMA_STRING,
		.help = "of the group default: where host names are made up; \"\": nowhere" },
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &item_schema, .help = "those that are online and take agents" },
};
static const struct schema relays_schema = { "ClientRelays", relays_fields, ARRAY_LEN(relays_fields), false };

const struct route client_relays_routes[] = {
	{ "GET", "/api/v1/clients/{id}/relays", PERM_READ, LANE_DB, NULL, NULL, &relays_schema, 200, 0, on_relays,
		"Where the agents of a client connect", "Clients" },
	{ "GET", "/api/v1/self/relays", PERM_CLIENT, LANE_DB, NULL, NULL, &relays_schema, 200, 0, on_own_relays,
		"Where the client's agents connect", "Client itself" },
};
const size_t client_relays_routes_n = ARRAY_LEN(client_relays_routes);
