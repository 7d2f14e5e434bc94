/*
 * host_name_claim - the table of host names that mappings hold: one row each, so that two never have the same one.
 *
 * Unique is (group, protocol, name). A wildcard keeps all names below it for its tenant: others get none of them, and nobody gets a
 * wildcard above a name of another tenant. Only below the group's domain, where everybody has names, does that not hold.
 *
 * Thread: inside a logged transaction, which runs alone; so what was found free stays free until the insert.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_HOST_NAME_CLAIM_H
#define PORTWAY_CONTROLD_TUNNELS_HOST_NAME_CLAIM_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"

struct host_place {
	const char *tenant_id;
	const char *group_id;
	const char *protocol; /* "http", "tls" */
	const char *domain;   /* of the group; "": none */
};

/* For one mapping; ERR_HOST_TAKEN says who has it in the own tenant, and of others only that it is taken. */
int host_name_claim(
	struct db *tx, const struct host_place *at, const char *mapping_id, const char *name, struct err *e) MUST_CHECK;
/* Every name of a mapping. */
int host_name_release(struct db *tx, const char *mapping_id, struct err *e) MUST_CHECK;

/*
 * All routes of a tenant hold a name together, as several of them may be for one host: held once, given up when the last of them
 * goes. field: where the name was written, for errors.
 */
int host_name_claim_for_routes(
	struct db *tx, const struct host_place *at, const char *field, const char *name, struct err *e) MUST_CHECK;
int host_name_release_of_routes(struct db *tx, const struct host_place *at, const char *name, struct err *e) MUST_CHECK;

extern const struct sql_table host_name_claim_sql;

#endif
