/*
 * mapping_dial - which addresses a mapping may have dialled: all of them if a system administrator wrote the target, else
 * what was granted to the tenant. The relay checks the resolved address at each dial; a target that is an address
 * already is refused here, where somebody can read why.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_DIAL_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_DIAL_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/net/cidr.h"
#include "controld/store/store.h"
#include "proto/mapping_conf.h"
#include "proto/msg.h"

/* One tenant's grants; kept from row to row, as rows of one tenant often follow each other. */
struct dial_grants {
	char tenant_id[PROTO_ID_SIZE]; /* "": nothing read yet */
	struct cidr items[MAPPING_CIDRS_MAX];
	size_t n;
};
int dial_grants_read(struct dial_grants *g, struct db *db, const char *tenant_id, struct err *e) MUST_CHECK;

/* Lends the grants to the conf; they must outlive its use. */
void dial_grants_lend(struct dial_grants *g, struct mapping_conf *c);

/* ERR_DENIED_TARGET if the target is an IP literal that a relay would refuse to dial. */
int mapping_dial_check(struct db *db, const char *tenant_id, const struct mapping_conf *c, struct err *e) MUST_CHECK;

#endif
