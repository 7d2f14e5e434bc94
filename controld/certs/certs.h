/*
 * certs - the feature: certificates of web sites, and the keys that all relays seal TLS tickets with. What other rooms may use of it.
 */
#ifndef PORTWAY_CONTROLD_CERTS_CERTS_H
#define PORTWAY_CONTROLD_CERTS_CERTS_H

#include "common/base/macros.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"
#include "proto/cert_conf.h"
#include "proto/ticket_conf.h"

#include <stdbool.h>
#include <stdint.h>

struct certs;
struct erasure;
struct err;

struct certs_conf {
	uint32_t certificates_max; /* of one tenant; 0: none */
};

int certs_new(struct certs **out, const struct certs_conf *conf, struct store *store, struct err *e) MUST_CHECK;
void certs_free(struct certs *c);
struct route_table certs_routes(struct certs *c);
/* For the janitor: the next ticket key is made before it is needed, old ones go. One controld does it for all. */
int certs_rotate_tickets(void *certs, int64_t now_ms, struct err *e);

/* ---- what relays run ---------------------------------------------------------------------------------------------- */

/* A certificate as relays see it; conf is empty in one that is gone. */
struct certificate_placed {
	bool present;
	char id[PROTO_ID_SIZE];
	int64_t seq;
	struct cert_conf conf; /* borrowed for the callback */
};
typedef int (*certificate_placed_fn)(const struct certificate_placed *c, void *arg); /* 0 goes on */
int certificate_placed_get(
	struct db *db, const char *id, certificate_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
int certificate_placed_all(struct db *db, certificate_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
/* The groups in which a route of its tenant ends TLS for one of its names, or below one. */
int certificate_groups(
	struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e) MUST_CHECK;
/* Those that a route, as it is now, brings to its group. */
int certificate_ids_of_route(
	struct db *db, const char *route_id, int (*fn)(const char *id, void *arg), void *arg, struct err *e) MUST_CHECK;
/* The keys as they are, none if there are none; *seq: of the newest change of them. */
int ticket_keys_placed(struct db *db, struct ticket_conf *out, int64_t *seq, struct err *e) MUST_CHECK;

extern const struct sql_table *const certs_sql[];
extern const size_t certs_sql_n;
extern const struct erasure *const certs_erasures[];
extern const size_t certs_erasures_n;

#endif
