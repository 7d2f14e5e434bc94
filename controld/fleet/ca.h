/*
 * ca - controld's own certificate authority: Ed25519, made by the first start, its key sealed among the secrets.
 *
 * Every relay trusts it by the fingerprint in its join token, and it signs both sides of the line: relays' certificates
 * name the node, the listener's are made anew by each start with a key that never leaves memory.
 *
 * Owner: fleet. Thread: any; nothing in it changes.
 */
#ifndef PORTWAY_CONTROLD_FLEET_CA_H
#define PORTWAY_CONTROLD_FLEET_CA_H

#include "common/base/macros.h"

#include <stdint.h>

struct ca;
struct db;
struct err;

/* Makes the CA if the database has none. */
int ca_bootstrap(struct db *tx, int64_t now_ms, struct err *e) MUST_CHECK;
int ca_load(struct ca **out, struct db *db, struct err *e) MUST_CHECK;
void ca_free(struct ca *ca);
const char *ca_pem(const struct ca *ca);
const char *ca_fingerprint(const struct ca *ca);

/* For a relay's request: PEM, malloc'ed; NULL on error. */
char *ca_issue_node(const struct ca *ca, const char *request_pem, const char *node_id, int64_t now_ms, unsigned days,
	struct err *e);

struct ca_listener {
	char *chain_pem; /* the certificate, then the CA's: a relay that joins has only the fingerprint */
	char *key_pem;
};
/* names: NULL-terminated list of DNS names and addresses. */
int ca_issue_listener(const struct ca *ca, const char *const *names, int64_t now_ms, struct ca_listener *out,
	struct err *e) MUST_CHECK;
void ca_listener_fini(struct ca_listener *l);

#endif
