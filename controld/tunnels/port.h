/*
 * port - the table of ports that mappings hold: one row each, so that two mappings never listen on the same one.
 *
 * Unique is (group, address, protocol, port). An address is the relay's own: "" is every one of both families,
 * "0.0.0.0" and "::" every one of theirs; an address meets its wildcards and they meet it.
 *
 * Thread: inside a logged transaction, which runs alone; so what was found free stays free until the insert.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_PORT_H
#define PORTWAY_CONTROLD_TUNNELS_PORT_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdint.h>

struct port_place {
	const char *tenant_id;
	const char *group_id;
	const char *protocol; /* "tcp", "udp" */
	const char *address;  /* "" or an IP literal as addr_print_ip() writes it */
};

/* n ports in a row within [min, max]: the first from `start` on; 0: from anywhere, so that ports are not used again soon. */
struct port_wish {
	uint16_t min, max, n, start;
};
/* *out gets the lowest of them. ERR_NO_PORT. */
int port_pick(struct db *tx, const struct port_place *at, const struct port_wish *wish, uint16_t *out,
	struct err *e) MUST_CHECK;
/* first..last for one mapping, all or an error: ERR_PORT_TAKEN names the port and, in the own tenant, who has it. */
int port_claim(struct db *tx, const struct port_place *at, const char *mapping_id, uint16_t first, uint16_t last,
	struct err *e) MUST_CHECK;
/* Every port of a mapping. */
int port_release(struct db *tx, const char *mapping_id, struct err *e) MUST_CHECK;

extern const struct sql_table port_sql;

#endif
