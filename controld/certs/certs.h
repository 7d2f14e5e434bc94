/*
 * certs - the feature: certificates of web sites, and the keys that all relays seal TLS tickets with. What other rooms may use of it.
 */
#ifndef PORTWAY_CONTROLD_CERTS_CERTS_H
#define PORTWAY_CONTROLD_CERTS_CERTS_H

#include "common/base/macros.h"
#include "controld/jobs/kind.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"
#include "proto/cert_conf.h"
#include "proto/ticket_conf.h"

#include <stdbool.h>
#include <stdint.h>

struct acme_ca;
struct certs;
struct erasure;
struct err;
struct jobs;
struct outbound;

/* What is asked of the relays; fleet/ implements it, app wires it. */
struct certs_relays {
	/* Calls fn with the name of each relay of this group that is online, or that was and may come back, and has not confirmed the
	 * change seq; *n is raised by how many such relays there are, whatever they have confirmed. */
	int (*behind)(void *self, const char *group_id, int64_t seq, void (*fn)(const char *name, void *arg), void *arg,
		size_t *n, struct err *e);
	void *self;
};

struct certs_conf {
	uint32_t certificates_max; /* of one tenant; 0: none */
	struct jobs *jobs;         /* NULL: nothing is fetched by itself */
	struct outbound *outbound; /* to what certificates name */
	const struct acme_ca *ca;  /* that gives certificates, copied, but not its strings; NULL: none does */
	struct certs_relays relays;
	uint64_t retry_ms;      /* after the first failure of an order; doubled each time */
	uint64_t relay_wait_ms; /* relays have so long to confirm what they are to answer */
};

/* conf's pointers are borrowed until certs_free(). */
int certs_new(struct certs **out, const struct certs_conf *conf, struct store *store, struct err *e) MUST_CHECK;
void certs_free(struct certs *c);
struct route_table certs_routes(struct certs *c);
/* For the janitor: the next ticket key is made before it is needed, old ones go. One controld does it for all. */
int certs_rotate_tickets(void *certs, int64_t now_ms, struct err *e);
/* The same: jobs for certificates that are to be renewed, or whose CA is to be asked about them; answers that nobody asks for go. */
int certs_tick(void *certs, int64_t now_ms, struct err *e);

/* The work, for jobs. */
struct job_kinds certs_kinds(struct certs *c);

/* For /metrics; X(name, what). */
#define CERTS_COUNTERS(X)                                            \
	X(issued, "certificates that a CA gave")                     \
	X(issue_failed, "attempts to get one that failed")           \
	X(relays_late, "orders that relays did not confirm in time") \
	X(ocsp_fetched, "words of CAs about certificates (OCSP)")    \
	X(ocsp_failed, "attempts to get one that failed")            \
	X(revoked, "certificates that their CAs have revoked")
struct certs_stats {
#define X(name, what) uint64_t name;
	CERTS_COUNTERS(X)
#undef X
};
void certs_stats(const struct certs *c, struct certs_stats *out);

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
/* Whether a route of the tenant ends TLS for this name. */
int certificate_name_is_routed(
	struct db *db, const char *tenant_id, const char *name, bool *routed, struct err *e) MUST_CHECK;
/* Those that a route, as it is now, brings to its group. */
int certificate_ids_of_route(
	struct db *db, const char *route_id, int (*fn)(const char *id, void *arg), void *arg, struct err *e) MUST_CHECK;

/* What a relay answers a CA; body is NULL in one that is gone. */
struct answer_placed {
	const char *id;
	int64_t seq;
	const void *body; /* encoded (proto/acme_conf.h); borrowed for the callback, and wiped behind it */
	size_t n;
};
typedef int (*answer_placed_fn)(const struct answer_placed *a, void *arg); /* 0 goes on */
int answer_placed_get(struct db *db, const char *id, answer_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
int answer_placed_ids(struct db *db, int (*fn)(const char *id, void *arg), void *arg, struct err *e) MUST_CHECK;
/* The groups in which a route of its tenant ends TLS for its host. */
int answer_groups(
	struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e) MUST_CHECK;
int answer_ids_of_route(
	struct db *db, const char *route_id, int (*fn)(const char *id, void *arg), void *arg, struct err *e) MUST_CHECK;

/* The keys as they are, none if there are none; *seq: of the newest change of them. */
int ticket_keys_placed(struct db *db, struct ticket_conf *out, int64_t *seq, struct err *e) MUST_CHECK;

extern const struct sql_table *const certs_sql[];
extern const size_t certs_sql_n;
extern const struct erasure *const certs_erasures[];
extern const size_t certs_erasures_n;

#endif
