#include "controld/fleet/node.h"

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/fleet/fleet_json.h"
#include "controld/fleet/group.h"
#include "controld/fleet/node_cert.h"
#include "controld/fleet/node_token.h"
#include "controld/store/changes.h"
#include "controld/tunnels/tunnels.h"

#include <string.h>

#define SELECT                                                                                                       \
	"SELECT n.id, n.name, n.group_id, g.name, n.standing, n.placed_seq, n.version, n.created_ms, n.updated_ms, " \
	"n.joined_ms, s.seen_ms, s.online, s.address, s.relay_version, "                                             \
	"(SELECT MAX(c.not_after_ms) FROM node_certs c WHERE c.node_id = n.id AND c.revoked_ms = 0), s.controld_id " \
	"FROM nodes n LEFT JOIN node_groups g ON g.id = n.group_id LEFT JOIN node_seen s ON s.node_id = n.id "

static const char sql_get[] = SELECT "WHERE n.id = ?1 OR n.name = ?1 "
				     "ORDER BY CASE WHEN n.id = ?1 THEN 0 ELSE 1 END LIMIT 1";
static const char sql_list[] = SELECT "WHERE n.id > ?1 AND (?2 = '' OR n.group_id = ?2 OR g.name = ?2) AND "
				      "substr(lower(n.name), 1, length(?3)) = lower(?3) ORDER BY n.id LIMIT ?4";
static const char sql_insert[] =
	"INSERT INTO nodes(id, tenant_id, name, group_id, standing, placed_seq, version, created_ms, updated_ms, "
	"joined_ms) VALUES (?1, '', ?2, ?3, 'pending', 0, 1, ?4, ?4, 0)";
static const char sql_update[] =
	"UPDATE nodes SET name = ?2, group_id = ?3, standing = ?4, joined_ms = ?5, version = version + 1, "
	"updated_ms = ?6 WHERE id = ?1";
static const char sql_place[] = "UPDATE nodes SET placed_seq = ?2 WHERE id = ?1";
static const char sql_delete[] = "DELETE FROM nodes WHERE id = ?1";
#define CLAIM                                                                                                  \
	"INSERT INTO node_seen(node_id, tenant_id, seen_ms, online, address, relay_version, controld_id) "     \
	"VALUES (?1, '', ?2, ?3, ?4, ?5, ?6) ON CONFLICT (node_id) DO UPDATE SET seen_ms = excluded.seen_ms, " \
	"online = excluded.online, address = excluded.address, relay_version = excluded.relay_version, "       \
	"controld_id = excluded.controld_id"
static const char sql_claim[] = CLAIM;
static const char sql_come[] = CLAIM " WHERE node_seen.online = 0";
static const char sql_seen[] = "UPDATE node_seen SET seen_ms = ?2, online = ?3, address = ?4, relay_version = ?5 "
			       "WHERE node_id = ?1 AND controld_id = ?6";
static const char sql_leave[] =
	"UPDATE node_seen SET online = 0 WHERE node_id = ?1 AND online = 1 AND controld_id = ?2 AND (controld_id = ?3 "
	"OR NOT EXISTS (SELECT 1 FROM controlds c WHERE c.id = node_seen.controld_id AND c.seen_ms > ?4))";
static const char sql_unseen[] = "DELETE FROM node_seen WHERE node_id = ?1";

static const char *const statements[] = { sql_get, sql_list, sql_insert, sql_update, sql_place, sql_delete, sql_claim,
	sql_come, sql_seen, sql_leave, sql_unseen };
const struct sql_table node_sql = { "node", statements, ARRAY_LEN(statements) };

#define NODE_CONTROLD_ALIVE_MS 10000 /* one that beats every two seconds and has not for so long */

static const char *const standing_names[] = {
	[NODE_PENDING] = "pending",
	[NODE_JOINED] = "joined",
	[NODE_REVOKED] = "revoked",
};

const char *node_standing_name(enum node_standing s)
{
	return standing_names[s];
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum node_standing standing_parse(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(standing_names); i++)
		if (str_eq(s, standing_names[i]))
			return (enum node_standing)i;
	return NODE_REVOKED; /* what is not known is not let in */
}

static void copy_column(char *dst, size_t size, struct query *q, int col)
{
	str_copy(dst, size, query_is_null(q, col) ? "" : query_text(q, col));
}

static void node_load(struct node *n, struct query *q)
{
	*n = (struct node){
		.standing = standing_parse(query_text(q, 4)),
		.placed_seq = query_int(q, 5),
		.version = query_int(q, 6),
		.created_ms = query_int(q, 7),
		.updated_ms = query_int(q, 8),
		.joined_ms = query_int(q, 9),
		.seen_ms = query_int(q, 10),
		.online = query_int(q, 11) != 0,
		.cert_not_after_ms = query_int(q, 14),
	};
	copy_column(n->id, sizeof n->id, q, 0);
	copy_column(n->name, sizeof n->name, q, 1);
	copy_column(n->group_id, sizeof n->group_id, q, 2);
	copy_column(n->group_name, sizeof n->group_name, q, 3);
	copy_column(n->address, sizeof n->address, q, 12);
	copy_column(n->relay_version, sizeof n->relay_version, q, 13);
	copy_column(n->controld_id, sizeof n->controld_id, q, 15);
}

int node_get(struct db *db, const char *id_or_name, struct node *out, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql_get, e, bind_s(id_or_name)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		node_load(out, q);
	else if (rc == 0)
		err_set(e, ERR_NODE_NOT_FOUND, NULL, "there is no node '%s'", id_or_name);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int node_list(struct db *db, const struct node_filter *f, node_fn fn, void *arg, struct err *e)
{
	struct query *q;
	struct node n;
	int rc;

	if (db_query(db, &q, sql_list, e, bind_s(f->after), bind_s(f->group), bind_s(f->name), bind_i(f->limit)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		node_load(&n, q);
		if (fn(&n, arg) != 0)
			break;
	}
	query_end(q);
	return rc < 0 ? -1 : 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static const char *status_name(const struct node *n)
{
	if (n->standing != NODE_JOINED)
		return node_standing_name(n->standing);
	return n->online ? "online" : "offline";
}

/* What the change log keeps. */
static json_t *node_json(const struct node *n)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", n->id, "name", n->name, "status",
		status_name(n), "group", n->group_name, "group_id", n->group_id, "created_at",
		fleet_json_time(n->created_ms), "updated_at", fleet_json_time(n->updated_ms), "joined_at",
		fleet_json_time(n->joined_ms));
}

static int node_log(struct db *tx, const char *op, const char *fields, const struct node *n, const struct who *who,
	int64_t *seq, struct err *e)
{
	const struct change c = { .kind = "node", .op = op, .subject = n->id, .fields = fields };

	return fleet_json_log(tx, &c, node_json(n), who, seq, e);
}

static int taken(const char *name, struct err *e)
{
	if (e != NULL && e->code == ERR_ALREADY_EXISTS)
		err_set(e, ERR_ALREADY_EXISTS, "name", "there is a node '%s' already", name);
	return -1;
}

static void put_into(struct node *n, const struct group *g)
{
	str_copy(n->group_id, sizeof n->group_id, g->id);
	str_copy(n->group_name, sizeof n->group_name, g->name);
}

/* The change that moves a node marks what its relay has of before as worthless. */
static int node_log_moved(
	struct db *tx, const char *op, const char *fields, struct node *n, const struct who *who, struct err *e)
{
	if (node_log(tx, op, fields, n, who, &n->placed_seq, e) != 0)
		return -1;
	if (db_exec(tx, sql_place, e, bind_s(n->id), bind_i(n->placed_seq)) < 0)
		return -1;
	return placement_note_node(tx, n->id, n->group_id, e);
}

int node_create(
	struct db *tx, struct node *n, const char *name, const struct group *g, const struct who *who, struct err *e)
{
	*n = (struct node){
		.standing = NODE_PENDING, .version = 1, .created_ms = who->now_ms, .updated_ms = who->now_ms
	};
	rand_id(n->id, "nod");
	str_copy(n->name, sizeof n->name, name);
	put_into(n, g);
	if (db_exec(tx, sql_insert, e, bind_s(n->id), bind_s(n->name), bind_s(n->group_id), bind_i(who->now_ms)) < 0)
		return taken(name, e);
	return node_log_moved(tx, "create", "name,group", n, who, e);
}

static int node_write(struct db *tx, struct node *n, const struct who *who, struct err *e)
{
	n->version++;
	n->updated_ms = who->now_ms;
	if (db_exec(tx, sql_update, e, bind_s(n->id), bind_s(n->name), bind_s(n->group_id),
		    bind_s(node_standing_name(n->standing)), bind_i(n->joined_ms), bind_i(who->now_ms)) < 0)
		return taken(n->name, e);
	return 0;
}

int node_update(struct db *tx, struct node *n, const struct group *g, const struct who *who, struct err *e)
{
	bool moved = g != NULL && strcmp(g->id, n->group_id) != 0;

	if (moved)
		put_into(n, g);
	if (node_write(tx, n, who, e) != 0)
		return -1;
	return moved ? node_log_moved(tx, "update", "name,group", n, who, e)
	             : node_log(tx, "update", "name", n, who, NULL, e);
}

int node_bind(struct db *tx, struct node *n, const struct who *who, struct err *e)
{
	n->standing = NODE_JOINED;
	n->joined_ms = who->now_ms;
	if (node_cert_revoke(tx, n->id, who->now_ms, e) != 0 || node_write(tx, n, who, e) != 0)
		return -1;
	return node_log(tx, "join", "status", n, who, NULL, e);
}

/* ---- the end of a node ------------------------------------------------------------------------------------------- */

struct placed_here {
	const char *node;
	unsigned n;
};

static int on_placed(const struct mapping_placed *m, void *arg)
{
	struct placed_here *h = arg;

	h->n += strcmp(m->node_id, h->node) == 0;
	return 0;
}

static int node_revoke(struct db *tx, struct node *n, const struct who *who, struct err *e)
{
	n->standing = NODE_REVOKED;
	if (node_cert_revoke(tx, n->id, who->now_ms, e) != 0 || node_write(tx, n, who, e) != 0)
		return -1;
	return node_log(tx, "revoke", "status", n, who, NULL, e);
}

static int node_remove(struct db *tx, const struct node *n, const struct who *who, struct err *e)
{
	struct placed_here here = { .node = n->id };

	if (mapping_placed_all(tx, on_placed, &here, e) != 0)
		return -1;
	if (here.n > 0)
		return err_set(e, ERR_CONFLICT, NULL, "%u mappings are placed on node '%s'; move or delete them first",
			here.n, n->name);
	if (traffic_node_gone(tx, n->id, who->now_ms, e) != 0 || node_token_delete_of(tx, n->id, e) != 0 ||
		node_cert_forget(tx, n->id, e) != 0 || db_exec(tx, sql_unseen, e, bind_s(n->id)) < 0 ||
		db_exec(tx, sql_delete, e, bind_s(n->id)) < 0)
		return -1;
	return node_log(tx, "delete", "", n, who, NULL, e);
}

int node_delete(struct db *tx, struct node *n, const struct who *who, struct err *e)
{
	return n->standing == NODE_JOINED ? node_revoke(tx, n, who, e) : node_remove(tx, n, who, e);
}

/* ---- what the line hears ----------------------------------------------------------------------------------------- */

static int write_seen(struct db *tx, const char *sql, const struct node *n, struct err *e)
{
	return db_exec(tx, sql, e, bind_s(n->id), bind_i(n->seen_ms), bind_i(n->online), bind_s(n->address),
		bind_s(n->relay_version), bind_s(n->controld_id));
}

static int node_event(struct db *tx, const char *op, const struct node *n, const struct who *who, struct err *e)
{
	return node_log(tx, op, "status", n, who, NULL, e);
}

int node_come(struct db *tx, const struct node *n, const struct who *who, struct err *e)
{
	int rows = write_seen(tx, sql_come, n, e);

	if (rows == 0)
		rows = write_seen(tx, sql_claim, n, e) < 0 ? -1 : 0;
	return rows <= 0 ? rows : node_event(tx, "online", n, who, e);
}

int node_seen(struct db *tx, const struct node *n, struct err *e)
{
	return write_seen(tx, sql_seen, n, e) < 0 ? -1 : 0;
}

int node_gone(struct db *tx, const struct node *n, const char *self, const struct who *who, struct err *e)
{
	int rows = db_exec(tx, sql_leave, e, bind_s(n->id), bind_s(n->controld_id), bind_s(self),
		bind_i(who->now_ms - NODE_CONTROLD_ALIVE_MS));

	return rows <= 0 ? rows : node_event(tx, "offline", n, who, e);
}
