/*
 * settle - an answer that waits until the relays have said what they make of a change, for as long as a create waits at most.
 *
 * Then the object is read anew and printed as it stands.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_SETTLE_H
#define PORTWAY_CONTROLD_BALANCER_SETTLE_H

#include "common/base/macros.h"
#include "controld/balancer/balancer.h"
#include "proto/msg.h"

#include <stddef.h>
#include <stdint.h>

/* Reads and prints the object; status: of the answer. */
typedef int (*settle_print_fn)(
	struct balancer *b, const char *tenant_id, const char *id, int status, struct reply *rp, struct err *e);

#define SETTLE_PLACES_MAX 16 /* a pool that stands in more groups does not wait for the others */
struct settle_place {
	char group_id[PROTO_ID_SIZE], node_id[PROTO_ID_SIZE];
};
struct settle {
	char tenant_id[PROTO_ID_SIZE];
	char id[PROTO_ID_SIZE];     /* of what is printed */
	char object[PROTO_ID_SIZE]; /* of what relays run */
	int64_t seq;                /* of its change */
	struct settle_place places[SETTLE_PLACES_MAX];
	size_t n_places; /* 0: there is nothing to wait for */
	int status;
	settle_print_fn print;
};

int settle_reply(struct balancer *b, struct reply *rp, const struct settle *s, struct err *e) MUST_CHECK;
/* The groups that a pool stands in, as places. */
struct db;
struct lb_pool;
int settle_pool_places(
	struct balancer *b, struct db *db, const struct lb_pool *p, struct settle *s, struct err *e) MUST_CHECK;

/* What relays say of an object that stands in these places: error if one refuses, active if each has one that runs it, else
 * pending. *error (may be NULL) gets reasons by node, a new object, or NULL. */
const char *settle_status(struct balancer *b, const struct settle *s, json_t **error);

#endif
