#include "controld/fleet/fleet.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/clients/client_status.h"
#include "controld/fleet/ca.h"
#include "controld/fleet/fleet_api.h"
#include "controld/fleet/group.h"
#include "controld/fleet/line/asks.h"
#include "controld/fleet/line/line.h"
#include "controld/fleet/line/roster.h"
#include "controld/fleet/node.h"
#include "controld/fleet/node_cert.h"
#include "controld/fleet/node_token.h"
#include "controld/fleet/who.h"
#include "controld/rest/park.h"
#include "proto/mapping_conf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLEET_SILENT_MS 5000 /* the line turns every second; a model with very many objects takes a while */
#define NAMES_MAX       16   /* in the listener's certificate */

/* What a relay may be told to dial: this machine's name, the address we listen on, what the settings add. */
struct names {
	char own[64], listen[256];
	char *more; /* of the settings, cut at the commas */
	const char *list[NAMES_MAX + 1];
};

struct fleet {
	struct fleet_conf conf;
	struct store *store;
	struct parks *parks;
	struct mapping_statuses *statuses;
	struct roster *roster;
	struct asks *asks;
	struct line *line; /* from the start on, until the end */
	struct names names;
	struct fleet_api api;
	struct relays relays;
	struct route *routes;
	size_t n_routes;
};

const struct fleet_conf fleet_conf_default = {
	.listen = "127.0.0.1:7400",
	.offline_ms = 15000,
	.poll_wait_ms = 25000,
	.balance_ms = 30000,
	.relays_max = 4096,
	.snapshots_max = 4,
	.changes_max = 16384,
	.join_rate = 20,
	.join_rate_all = 100,
	.strangers_max = 64,
	.strangers_per_address = 8,
	.cert_days = 90,
	.self = "",
};

const struct sql_table *const fleet_sql[] = { &ca_sql, &group_sql, &node_sql, &node_cert_sql, &node_token_sql };
const size_t fleet_sql_n = ARRAY_LEN(fleet_sql);

/* ---- what tunnels/ asks ------------------------------------------------------------------------------------------ */

static int no_such(const char *field, const char *what, struct err *why, struct err *e)
{
	if (why->code == ERR_NOT_FOUND || why->code == ERR_NODE_NOT_FOUND)
		return err_set(e, ERR_VALIDATION, field, "%s: there is no %s '%s'", field, field, what);
	if (e != NULL)
		*e = *why;
	return -1;
}

static int relays_place(void *self, struct db *db, const char *group, const char *node, char group_id[PROTO_ID_SIZE],
	char node_id[PROTO_ID_SIZE], struct err *e)
{
	bool any_group = group == NULL || group[0] == '\0';
	bool any_node = node == NULL || node[0] == '\0';
	struct group g;
	struct node n;
	struct err why;

	(void)self;
	if (!any_node && node_get(db, node, &n, &why) != 0)
		return no_such("node", node, &why, e);
	if (!any_node && n.standing == NODE_REVOKED)
		return err_set(e, ERR_VALIDATION, "node", "node: '%s' is revoked", n.name);
	if (any_group)
		group = any_node ? GROUP_DEFAULT : n.group_id;
	if (group_get(db, group, &g, &why) != 0)
		return no_such("group", group, &why, e);
	if (!any_node && strcmp(n.group_id, g.id) != 0)
		return err_set(e, ERR_VALIDATION, "node", "node: '%s' is in group '%s', not in '%s'", n.name,
			n.group_name, g.name);
	str_copy(group_id, PROTO_ID_SIZE, g.id);
	str_copy(node_id, PROTO_ID_SIZE, any_node ? "" : n.id);
	return 0;
}

static int relays_domain(void *self, struct db *db, const char *group_id, char domain[HOST_NAME_SIZE], struct err *e)
{
	struct group g;

	(void)self;
	if (group_get(db, group_id, &g, e) != 0)
		return -1;
	return str_copy(domain, HOST_NAME_SIZE, g.domain);
}

static uint16_t relays_shared_port(void *self, const char *group_id, const char *node_id, uint8_t protocol)
{
	return roster_shared_port(((struct fleet *)self)->roster, group_id, node_id, protocol == MAPPING_TLS);
}

/* Asks those of the nodes that are online. */
static int ask_nodes(
	struct fleet *f, const struct ask *what, const char *group_id, const char *node_id, uint64_t *id, struct err *e)
{
	struct asks_node *nodes;
	size_t n;
	int rc;

	if (roster_online(f->roster, group_id, node_id, &nodes, &n, e) != 0)
		return -1;
	if (n == 0 && what->kind == ASK_CUT)
		rc = err_set(e, ERR_UNAVAILABLE, "node", "node '%s' is not online", node_id);
	else
		rc = asks_open(f->asks, what, nodes, n, clock_mono_ms(), id, e);
	free(nodes);
	if (rc == 0 && n > 0)
		line_wake(f->line);
	return rc;
}

static int relays_list(void *self, const char *group_id, const char *node_id, const char *mapping_id, uint32_t limit,
	uint64_t *ask, struct err *e)
{
	struct ask what = { .kind = ASK_CONNECTIONS, .limit = MIN(limit, (uint32_t)ANSWER_CONNS_MAX) };

	if (str_copy(what.object, sizeof what.object, mapping_id) != 0)
		return err_set(e, ERR_MAPPING_NOT_FOUND, NULL, "there is no mapping '%s'", mapping_id);
	return ask_nodes(self, &what, group_id, node_id, ask, e);
}

static int relays_cut(void *self, const char *node_id, uint64_t conn, uint64_t *ask, struct err *e)
{
	const struct ask what = { .kind = ASK_CUT, .conn = conn };

	return ask_nodes(self, &what, "", node_id, ask, e);
}

static int relays_result(void *self, uint64_t ask, struct relay_answers *out, struct err *e)
{
	return asks_result(((struct fleet *)self)->asks, ask, out, e);
}

static void relays_forget(void *self, uint64_t ask)
{
	asks_forget(((struct fleet *)self)->asks, ask);
}

static void relays_count(void *self, size_t *nodes, size_t *online)
{
	roster_count(((struct fleet *)self)->roster, nodes, online);
}

static const struct relays_ops relays_ops = {
	.place = relays_place,
	.domain = relays_domain,
	.shared_port = relays_shared_port,
	.list = relays_list,
	.cut = relays_cut,
	.result = relays_result,
	.forget = relays_forget,
	.count = relays_count,
};

const struct relays *fleet_relays(struct fleet *f)
{
	return &f->relays;
}

static void on_finished(uint64_t ask, void *arg)
{
	struct fleet *f = arg;
	char key[32];

	str_fmt(key, sizeof key, "ask:%" PRIu64, ask);
	park_wake(f->parks, key);
}

int fleet_behind(void *fleet, const char *group_id, int64_t seq, void (*fn)(const char *name, void *arg), void *arg,
	size_t *n, struct err *e)
{
	const struct fleet *f = fleet;
	size_t here;

	(void)e;
	roster_behind(f->roster, group_id, (uint64_t)seq, fn, arg, &here);
	*n += here;
	return 0;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int work_bootstrap(struct db *tx, void *arg, struct err *e)
{
	const struct who who = { "system", "", clock_wall_ms() };

	(void)arg;
	return group_bootstrap(tx, &who, e) != 0 || ca_bootstrap(tx, who.now_ms, e) != 0 ? -1 : 0;
}

int fleet_bootstrap(struct store *store, struct err *e)
{
	return store_write(store, STORE_LOGGED, work_bootstrap, NULL, e);
}

static int make_routes(struct fleet *f, struct err *e)
{
	const struct {
		const struct route *rows;
		size_t n;
	} tables[] = {
		{ ca_routes, ca_routes_n },
		{ client_relays_routes, client_relays_routes_n },
		{ cluster_routes, cluster_routes_n },
		{ group_routes, group_routes_n },
		{ node_routes, node_routes_n },
		{ node_token_routes, node_token_routes_n },
	};

	f->routes = calloc(ca_routes_n + client_relays_routes_n + cluster_routes_n + group_routes_n + node_routes_n +
				   node_token_routes_n,
		sizeof *f->routes);
	if (f->routes == NULL)
		return err_set(e, ERR_NOMEM, NULL, "fleet: out of memory");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		memcpy(f->routes + f->n_routes, tables[i].rows, tables[i].n * sizeof *f->routes);
		f->n_routes += tables[i].n;
	}
	return 0;
}

int fleet_new(struct fleet **out, const struct fleet_conf *conf, struct store *store, struct parks *parks,
	struct mapping_statuses *statuses, struct err *e)
{
	struct fleet *f = calloc(1, sizeof *f);

	if (f == NULL)
		return err_set(e, ERR_NOMEM, NULL, "fleet: out of memory");
	f->conf = *conf;
	f->store = store;
	f->parks = parks;
	f->statuses = statuses;
	f->relays = (struct relays){ &relays_ops, f };
	if (roster_new(&f->roster, conf->offline_ms, e) != 0 || asks_new(&f->asks, on_finished, f, e) != 0 ||
		make_routes(f, e) != 0)
		goto fail;
	f->api = (struct fleet_api){ store, f->roster, conf->self };
	*out = f;
	return 0;
fail:
	fleet_free(f);
	return -1;
}

void fleet_free(struct fleet *f)
{
	bool left_behind;

	if (f == NULL)
		return;
	left_behind = !line_free(f->line);
	asks_free(f->asks);
	if (!left_behind) /* whom to let in is still asked */
		roster_free(f->roster);
	free(f->names.more);
	free(f->routes);
	free(f);
}

static int names_make(struct names *n, const struct fleet_conf *c, struct err *e)
{
	uint16_t port;
	char *save = NULL;
	size_t i = 0;

	n->list[i++] = "controld";
	n->list[i++] = "localhost";
	if (gethostname(n->own, sizeof n->own - 1) == 0 && addr_is_host(n->own))
		n->list[i++] = n->own;
	if (addr_split_host(c->listen, n->listen, sizeof n->listen, &port) == 0)
		n->list[i++] = n->listen;
	n->more = strdup(c->names == NULL ? "" : c->names);
	if (n->more == NULL)
		return err_set(e, ERR_NOMEM, NULL, "fleet: out of memory");
	for (char *s = strtok_r(n->more, ", ", &save); s != NULL && i < NAMES_MAX; s = strtok_r(NULL, ", ", &save))
		n->list[i++] = s;
	return 0;
}

static int make_line(struct fleet *f, struct err *e)
{
	const struct line_conf c = {
		.listen = f->conf.listen,
		.names = f->names.list,
		.poll_wait_ms = f->conf.poll_wait_ms,
		.balance_ms = f->conf.balance_ms,
		.snapshots_max = f->conf.snapshots_max,
		.relays_max = f->conf.relays_max,
		.changes_max = f->conf.changes_max,
		.join_rate = f->conf.join_rate,
		.join_rate_all = f->conf.join_rate_all,
		.strangers_max = f->conf.strangers_max,
		.strangers_per_address = f->conf.strangers_per_address,
		.cert_days = f->conf.cert_days,
		.store = f->store,
		.roster = f->roster,
		.asks = f->asks,
		.statuses = f->statuses,
		.self = f->conf.self,
		.bus = f->conf.bus,
		.clients = f->conf.clients,
		.backends = f->conf.backends,
	};

	return line_new(&f->line, &c, e) != 0 || line_start(f->line, e) != 0 ? -1 : 0;
}

int fleet_start(struct fleet *f, struct err *e)
{
	if (names_make(&f->names, &f->conf, e) != 0 || make_line(f, e) != 0)
		return -1;
	log_info("fleet_listening", log_s("listen", f->conf.listen), log_u("port", line_port(f->line)));
	return 0;
}

void fleet_stop(struct fleet *f)
{
	if (f->line != NULL)
		line_stop(f->line);
}

void fleet_peer_message(struct fleet *f, const char *from, const void *p, size_t n)
{
	line_peer(f->line, LINE_PEER_MESSAGE, from, p, n);
}

void fleet_peer_lost(struct fleet *f, const char *from)
{
	line_peer(f->line, LINE_PEER_LOST, from, NULL, 0);
}

void fleet_peer_gap(struct fleet *f)
{
	line_peer(f->line, LINE_PEER_GAP, NULL, NULL, 0);
}

void fleet_send_away(struct fleet *f)
{
	line_peer(f->line, LINE_SEND_AWAY, NULL, NULL, 0);
}

void fleet_leave(struct fleet *f)
{
	line_leave(f->line);
}

uint16_t fleet_port(const struct fleet *f)
{
	return line_port(f->line);
}

int fleet_check(struct fleet *f, struct err *e)
{
	struct line_stats s;
	uint64_t silent_ms;

	line_stats(f->line, &s);
	silent_ms = clock_mono_ms() - s.at_ms;
	if (silent_ms > FLEET_SILENT_MS)
		return err_set(e, ERR_UNAVAILABLE, NULL, "the line to the relays has stood still for %" PRIu64 " ms",
			silent_ms);
	return 0;
}

struct route_table fleet_routes(struct fleet *f)
{
	return (struct route_table){ f->routes, f->n_routes, &f->api };
}

void fleet_stats(struct fleet *f, struct fleet_stats *out)
{
	struct line_stats s = { .objects = 0 };
	uint64_t agents = 0, targets = 0;
	size_t nodes, online;

	roster_count(f->roster, &nodes, &online);
	if (f->line != NULL)
		line_stats(f->line, &s);
	if (f->conf.clients != NULL)
		client_statuses_untold(f->conf.clients, &agents, &targets);
	*out = (struct fleet_stats){
		.reports_stored = s.reports.stored,
		.reports_failed = s.reports.failed,
		.report_commits = s.reports.batches,
		.deltas = s.polls.deltas,
		.snapshots = s.polls.snapshots,
		.snapshot_pages = s.polls.pages,
		.nothings = s.polls.nothings,
		.laters = s.polls.laters,
		.superseded = s.polls.superseded,
		.joins = s.joins.joined,
		.renewals = s.joins.renewed,
		.joins_refused = s.joins.refused,
		.joins_limited = s.refused_rate,
		.certs_limited = s.joins.too_many,
		.reports_refused = s.reports.refused,
		.meters_skipped = s.reports.meters_skipped,
		.strangers_refused = s.link.strangers_refused,
		.connections_refused = s.link.refused,
		.connections_expelled = s.link.expelled,
		.malformed = s.malformed,
		.events_lost = s.events_lost,
		.relays_moved = s.moved,
		.bytes_in = s.link.bytes_in,
		.bytes_out = s.link.bytes_out,
		.nodes_online = online,
		.polls_parked = s.polls.parked,
		.snapshots_running = s.polls.fetching,
		.reports_waiting = s.reports.waiting,
		.connections = s.link.peers,
		.contexts = s.link.contexts,
		.ca_step = s.ca.step,
		.ca_behind = s.ca.behind,
		.ca_ends_s = s.ca.ends_s,
		.objects = s.objects,
		.agents_left_out = agents,
		.targets_left_out = targets,
		.revision = s.revision,
	};
}
