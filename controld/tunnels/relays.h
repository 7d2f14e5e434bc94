/*
 * relays - what tunnels/ may ask of the relays, as an interface; fleet/ implements it, app wires it.
 *
 * An ask is sent to the nodes, the answers are collected until all came or the deadline passed; then park key
 * "ask:<id>" is woken. So a handler parks its reply and reads the result when it is finished.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_RELAYS_H
#define PORTWAY_CONTROLD_TUNNELS_RELAYS_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/net/host_name.h"
#include "proto/answer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay_conn {
	char node_id[PROTO_ID_SIZE];
	char node_name[PROTO_NAME_SIZE];
	struct conn_info info;
};

struct relay_answers {
	bool complete; /* every online node that was asked has answered */
	bool truncated;
	size_t nodes_asked, nodes_answered;
	size_t cut; /* connections ended, for a cut */
	size_t n;
	struct relay_conn *conns; /* malloc'ed; relay_answers_fini() */
};
void relay_answers_fini(struct relay_answers *a);

struct db;

struct relays_ops {
	/* Where a mapping goes: names or ids of a group ("" or NULL: "default") and of one node of it ("": all). Answers ids;
	 * ERR_VALIDATION on field "group" or "node" when there is no such thing. */
	int (*place)(void *self, struct db *db, const char *group, const char *node, char group_id[PROTO_ID_SIZE],
		char node_id[PROTO_ID_SIZE], struct err *e);
	/* The domain of a group by its id; "": it has none. */
	int (*domain)(void *self, struct db *db, const char *group_id, char domain[HOST_NAME_SIZE], struct err *e);
	/* Where clients reach mappings with host names there (protocol: MAPPING_HTTP, MAPPING_TLS), as a relay that is online tells;
	 * 0: none does. May be NULL: nobody knows. */
	uint16_t (*shared_port)(void *self, const char *group_id, const char *node_id, uint8_t protocol);
	/* List connections of a mapping ("" all) on a node ("" all of the group; group "" all). 0 and an ask id. */
	int (*list)(void *self, const char *group_id, const char *node_id, const char *mapping_id, uint32_t limit,
		uint64_t *ask, struct err *e);
	int (*cut)(void *self, const char *node_id, uint64_t conn, uint64_t *ask, struct err *e);
	/* Copies what came so far. */
	int (*result)(void *self, uint64_t ask, struct relay_answers *out, struct err *e);
	void (*forget)(void *self, uint64_t ask);
	/* Nodes that have joined, and how many of them are online. May be NULL: nobody knows. */
	void (*count)(void *self, size_t *nodes, size_t *online);
};

struct relays {
	const struct relays_ops *ops;
	void *self;
};

#endif
