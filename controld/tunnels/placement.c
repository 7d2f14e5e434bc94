#include "controld/tunnels/placement.h"

#include "controld/tunnels/tunnels.h"

enum { SQL_MAPPING, SQL_NODE, SQL_FORGET_NODE };
static const char *const sql[] = {
	[SQL_MAPPING] = "INSERT INTO placements (tenant_id, mapping_id, group_id, node_id) VALUES (?1, ?2, ?3, ?4) "
			"ON CONFLICT (mapping_id, group_id, node_id) DO NOTHING",
	[SQL_NODE] = "INSERT INTO node_homes (tenant_id, node_id, group_id) VALUES ('', ?1, ?2) "
		     "ON CONFLICT (node_id, group_id) DO NOTHING",
	[SQL_FORGET_NODE] = "DELETE FROM node_homes WHERE node_id = ?1",
};
const struct sql_table placement_sql = { "placement", sql, ARRAY_LEN(sql) };

int placement_note(struct db *tx, const struct mapping *m, struct err *e)
{
	return placement_note_object(tx, &(struct placement_object){ m->id, m->tenant_id, m->group_id, m->node_id }, e);
}

int placement_note_object(struct db *tx, const struct placement_object *o, struct err *e)
{
	return db_post(
		tx, sql[SQL_MAPPING], e, bind_s(o->tenant_id), bind_s(o->id), bind_s(o->group_id), bind_s(o->node_id));
}

int placement_note_node(struct db *tx, const char *node_id, const char *group_id, struct err *e)
{
	return db_exec(tx, sql[SQL_NODE], e, bind_s(node_id), bind_s(group_id)) < 0 ? -1 : 0;
}

int placement_forget_node(struct db *tx, const char *node_id, struct err *e)
{
	return db_exec(tx, sql[SQL_FORGET_NODE], e, bind_s(node_id)) < 0 ? -1 : 0;
}
