/*
 * ca - controld's own certificate authority: Ed25519, made by the first start, its key sealed among the secrets.
 *
 * Every relay trusts it by the fingerprint in its join token, agents by that in theirs, and it signs both sides of the line:
 * relays' certificates name the node, the listener's are made anew by each start with a key that never leaves memory.
 *
 * Another one takes its place in two steps, which are rows; whoever looks at them sees how far it is:
 *
 *	ca_rotate()   a new CA signs from now on. The one before signs it too (the cross certificate), with which its key is
 *	              destroyed: who trusts the one before only reaches the new one by it, so nothing has to come first.
 *	              Both are trusted. Relays are asked for new certificates, and told of both.
 *	ca_retire()   the one before is trusted no more. It and the cross certificate are still shown, after the leaf, to agents
 *	              and join tokens that know its fingerprint.
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_FLEET_CA_H
#define PORTWAY_CONTROLD_FLEET_CA_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "common/crypto/cert.h"
#include "controld/store/store.h"
#include "proto/join.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct err;
struct who;

#define CA_PEM_SIZE  1024
#define CA_KIND      "fleet_ca" /* in the change log */
#define CA_MIGRATION 39         /* a controld that does not know it does not know of rotation */

struct ca {
	char id[RAND_ID_SIZE];
	char fingerprint[CERT_FINGERPRINT_SIZE];
	char pem[CA_PEM_SIZE];
	char cross_pem[CA_PEM_SIZE]; /* "": it followed none */
	int64_t seq;                 /* change that made it */
	int64_t made_ms, not_after_ms;
	int64_t retired_ms; /* 0: it is trusted */
};

struct ca_state {
	struct ca now;
	struct ca before; /* id "": there was none */
	int64_t step;     /* how many rotations and retirements there were */
};

/* Makes the first CA if the database has none. */
int ca_bootstrap(struct db *tx, int64_t now_ms, struct err *e) MUST_CHECK;
int ca_state(struct db *db, struct ca_state *out, struct err *e) MUST_CHECK;
/* Of the one that signs. */
int ca_fingerprint(struct db *db, char dst[CERT_FINGERPRINT_SIZE], struct err *e) MUST_CHECK;
/* Between ca_rotate() and ca_retire(). */
bool ca_rotating(const struct ca_state *s);

/* Logged. ERR_CONFLICT while there is one to retire. */
int ca_rotate(struct db *tx, const struct who *who, struct ca_state *out, struct err *e) MUST_CHECK;
/*
 * Logged. ERR_CONFLICT when there is none to retire; unless forced, also while there are relays or controlds that have not
 * taken the new one, and names some of them. Those relays have to join again.
 */
int ca_retire(struct db *tx, bool force, const struct who *who, struct ca_state *out, struct err *e) MUST_CHECK;

/* Nodes that have joined and did not come with a certificate of this step yet, though they have a good one; in the order of
 * their ids, after that one. fn: 0 goes on. */
struct ca_node {
	const char *id, *name;
	int64_t issued; /* step of its newest good certificate */
};
typedef int (*ca_node_fn)(const struct ca_node *n, void *arg);
int ca_nodes_behind(struct db *db, int64_t step, const char *after, unsigned limit, ca_node_fn fn, void *arg,
	struct err *e) MUST_CHECK;
/* Controlds that are alive and have not read that change, or do not know of rotation. */
typedef int (*ca_controld_fn)(const char *name, void *arg);
int ca_controlds_behind(struct db *db, int64_t seq, ca_controld_fn fn, void *arg, struct err *e) MUST_CHECK;

/* For a relay's request. */
struct ca_issued {
	char cert_pem[JOIN_PEM_MAX]; /* and what leads to the CA before */
	char ca_pem[JOIN_PEM_MAX];   /* what the relay is to trust, the CA of now first */
	struct cert_info cert;
	int64_t step;
};
int ca_issue_node(struct db *tx, const char *request_pem, const char *node_id, int64_t now_ms, unsigned days,
	struct ca_issued *out, struct err *e) MUST_CHECK;

struct ca_listener {
	char *chain_pem; /* the certificate and all CAs: a relay that joins has only a fingerprint */
	char *key_pem;
	char *trust_pem;            /* of whom relays' certificates may be */
	int64_t step, not_after_ms; /* of the CA */
};
/* names: NULL-terminated list of DNS names and addresses. */
int ca_issue_listener(
	struct db *db, const char *const *names, int64_t now_ms, struct ca_listener *out, struct err *e) MUST_CHECK;
void ca_listener_fini(struct ca_listener *l);

extern const struct sql_table ca_sql;

#endif
