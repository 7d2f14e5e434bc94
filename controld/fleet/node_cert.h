/*
 * node_cert - the certificates that were issued to relays: which are refused though they have not ended.
 *
 * Operational rows; a certificate that has ended is forgotten with the next one of its node.
 */
#ifndef PORTWAY_CONTROLD_FLEET_NODE_CERT_H
#define PORTWAY_CONTROLD_FLEET_NODE_CERT_H

#include "common/base/macros.h"
#include "controld/store/store.h"

#include <stdint.h>

struct cert_info;
struct db;
struct err;

/* Good ones of one node at once, by CAs that are trusted: a relay renews its own long before it ends, a few times at most. */
#define NODE_CERTS_MAX 16

/* One that was issued: at which step of the CAs (ca.h), and since when the node comes with it; 0: it has not yet. */
struct node_cert {
	const char *node_id;
	const struct cert_info *cert;
	int64_t ca_step, used_ms;
};
/* ERR_RATE_LIMITED when the node has the most it may have. */
int node_cert_add(struct db *tx, const struct node_cert *c, int64_t now_ms, struct err *e) MUST_CHECK;
/* The node came with it. *ca_step: of the certificate; -1: there is no such. */
int node_cert_use(struct db *tx, const char *node_id, const char *serial, int64_t now_ms, int64_t *ca_step,
	struct err *e) MUST_CHECK;
/* 1: it was issued to this node, at that step of the CAs or later, and not revoked; 0: it was not. */
int node_cert_is_good(
	struct db *db, const char *node_id, const char *serial, int64_t since_step, struct err *e) MUST_CHECK;
int node_cert_revoke(struct db *tx, const char *node_id, int64_t now_ms, struct err *e) MUST_CHECK; /* all there are */
int node_cert_forget(struct db *tx, const char *node_id, struct err *e) MUST_CHECK;
/* Serial numbers that are refused. fn: 0 goes on. */
int node_cert_refused(struct db *db, const char *node_id, int (*fn)(const char *serial, void *arg), void *arg,
	struct err *e) MUST_CHECK;

extern const struct sql_table node_cert_sql;

#endif
