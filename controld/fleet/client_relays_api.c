/* Where the agents of a client connect: the relays that serve it. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "controld/clients/client.h"
#include "controld/clients/client_secret.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/identity/identity.h"
#include "controld/tunnels/tunnels.h"

#include <stdlib.h>
#include <string.h>

#define AT_SIZE    (NODE_AGENTS_SIZE + ADDR_STRLEN)
#define NODES_MAX  1000
#define ASKING     "portway client-relays"  /* what an agent signs begins with it */
#define SIGNED_FOR (INT64_C(5) * 60 * 1000) /* clocks may be so far apart */

struct found {
	struct fleet_api *api;
	struct db *db;
	json_t *items, *nodes;
	char ca[CERT_FINGERPRINT_SIZE];
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

static int on_node(const struct node *n, void *arg)
{
	struct found *f = arg;

	if (n->standing == NODE_JOINED)
		json_array_append_new(f->nodes, json_string(n->id));
	return 0;
}

static int on_group(const char *group_id, void *arg)
{
	const struct node_filter all = { .after = "", .group = group_id, .name = "", .limit = NODES_MAX };
	struct found *f = arg;
	struct asks_node *nodes;
	size_t n;

	f->groups++;
	if ((f->rc = node_list(f->db, &all, on_node, f, f->e)) != 0)
		return -1;
	if ((f->rc = roster_online(f->api->roster, group_id, "", &nodes, &n, f->e)) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct roster_node now;
		char at[AT_SIZE];

		if (roster_get(f->api->roster, nodes[i].id, &now) && agents_at(at, &now) == 0)
			json_array_append_new(
				f->items, json_pack("{s:s, s:s, s:s, s:i, s:i}", "id", now.row.id, "node", now.row.name,
						  "address", at, "http_port", (int)now.load.http_port, "tls_port",
						  (int)now.load.tls_port));
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
	if (group_get(db, GROUP_DEFAULT, &standard, e) != 0 || ca_fingerprint(db, f->ca, e) != 0)
		return -1;
	str_copy(f->domain, sizeof f->domain, standard.domain);
	if (mapping_groups_of_client(db, client, on_group, f, e) != 0 || f->rc != 0)
		return -1;
	return f->groups > 0 ? 0 : on_group(standard.id, f);
}

static int print(struct found *f, struct reply *rp)
{
	reply_json(rp, 200,
		json_pack("{s:s, s:s, s:O, s:O}", "ca_fingerprint", f->ca, "domain", f->domain, "items", f->items,
			"nodes", f->nodes));
	return 0;
}

static int answer(struct fleet_api *api, const char *tenant, struct reply *rp, int64_t id, struct err *e)
{
	struct found f = { .api = api, .e = e };
	int rc;

	if (store_read_begin(api->store, &f.db, e) != 0)
		return -1;
	f.items = json_array();
	f.nodes = json_array();
	rc = find(&f, f.db, tenant, id, e);
	store_read_end(f.db);
	if (rc == 0)
		rc = print(&f, rp);
	json_decref(f.items);
	json_decref(f.nodes);
	return rc;
}

static int on_relays(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	int64_t id;

	if (client_id_parse(request_param(rq, "id"), &id) != 0)
		return err_set(e, ERR_CLIENT_NOT_FOUND, NULL, "there is no client %s", request_param(rq, "id"));
	return answer(feature, request_identity(rq)->tenant_id, rp, id, e);
}

static int on_own_relays(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	return answer(feature, request_identity(rq)->tenant_id, rp, identity_client(request_identity(rq)), e);
}

/* ---- who asks by a signature -------------------------------------------------------------------------------------- */

static int find_signer(struct fleet_api *api, int64_t id, struct client *out)
{
	struct db *db;
	int rc;

	if (store_read_begin(api->store, &db, NULL) != 0)
		return -1;
	rc = client_get(db, "", id, out, NULL);
	store_read_end(db);
	return rc;
}

/*
 * An agent that follows its relays asks every few minutes, with what it signs in with and no session in between: a token
 * would be a logged row for each of them. What is heard on the way is good for the same question, for a few minutes.
 */
static int on_signed(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	const json_t *body = request_body(rq);
	const int64_t id = json_integer_value(json_object_get(body, "client_id")), now = clock_wall_ms();
	const int64_t at = json_integer_value(json_object_get(body, "signed_at"));
	const char *text = json_string_value(json_object_get(body, "signature"));
	uint8_t signature[CLIENT_SIGNATURE_SIZE];
	char message[sizeof ASKING + 64];
	struct client c;

	str_fmt(message, sizeof message, ASKING " %lld %lld", (long long)id, (long long)at);
	if (text == NULL || str_unb64url(signature, sizeof signature, text, strlen(text)) != (int)sizeof signature ||
		find_signer(feature, id, &c) != 0 || !client_key_signed(&c, message, signature, now))
		return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "client_id and signature do not open anything");
	if (at < now - SIGNED_FOR || at > now + SIGNED_FOR)
		return err_set(e, ERR_BAD_REQUEST, "signed_at",
			"signed_at: the clocks of the agent and of controld are more than 5 minutes apart");
	return answer(feature, c.tenant_id, rp, id, e);
}

static const struct schema_field ask_fields[] = {
	{ .name = "client_id", .type = SCHEMA_INT, .flags = SCHEMA_REQUIRED, .min = 1, .max = CLIENT_ID_MAX - 1 },
	{ .name = "signed_at",
		.type = SCHEMA_INT,
		.flags = SCHEMA_REQUIRED,
		.max = CLIENT_ID_MAX - 1,
		.help = "ms since 1970" },
	{ .name = "signature",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.max = 128,
		.help = "base64url of Ed25519 over '" ASKING " <client_id> <signed_at>'; the key's seed is "
			"the client's secret, or it is a registered one" },
};
static const struct schema ask_schema = { "ClientRelaysAsk", ask_fields, ARRAY_LEN(ask_fields), false };

static const struct schema_field item_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "of the relay" },
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
	{ .name = "nodes",
		.type = SCHEMA_ANY,
		.help = "ids of all relays that there are for it, online or not: one that is missing here is gone" },
};
static const struct schema relays_schema = { "ClientRelays", relays_fields, ARRAY_LEN(relays_fields), false };

const struct route client_relays_routes[] = {
	{ "POST", "/api/v1/client-relays", PERM_PUBLIC, LANE_DB, NULL, &ask_schema, &relays_schema, 200, 0, on_signed,
		"Where the client's agents connect, for who signs with one of its keys", "Clients" },
	{ "GET", "/api/v1/clients/{id}/relays", PERM_READ, LANE_DB, NULL, NULL, &relays_schema, 200, 0, on_relays,
		"Where the agents of a client connect", "Clients" },
	{ "GET", "/api/v1/self/relays", PERM_CLIENT, LANE_DB, NULL, NULL, &relays_schema, 200, 0, on_own_relays,
		"Where the client's agents connect", "Client itself" },
};
const size_t client_relays_routes_n = ARRAY_LEN(client_relays_routes);
