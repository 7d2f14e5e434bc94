/*
 * placement - where mappings and relays are and have been. A relay is believed what it counted for mappings that were on
 * it at some time, and nothing about others: they may be another tenant's, on relays of another group.
 *
 * Rows are written in the transaction that places; traffic.c reads them (PLACEMENT_REACHES). They stay, because a relay
 * may report long after a mapping has moved or gone.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_PLACEMENT_H
#define PORTWAY_CONTROLD_TUNNELS_PLACEMENT_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "controld/tunnels/mapping.h"

int placement_note(struct db *tx, const struct mapping *m, struct err *e) MUST_CHECK;
/* The same for anything else that relays count for. */
struct placement_object {
	const char *id, *tenant_id;
	const char *group_id, *node_id; /* node "": every one of the group */
};
int placement_note_object(struct db *tx, const struct placement_object *o, struct err *e) MUST_CHECK;
int placement_forget_node(struct db *tx, const char *node_id, struct err *e) MUST_CHECK;

/* A condition: whether the mapping was ever on the node. */
#define PLACEMENT_REACHES(mapping, node)                                                             \
	"EXISTS (SELECT 1 FROM placements p WHERE p.mapping_id = " mapping " AND (p.node_id = " node \
	" OR (p.node_id = '' AND p.group_id IN (SELECT h.group_id FROM node_homes h WHERE h.node_id = " node "))))"

extern const struct sql_table placement_sql;

#endif
