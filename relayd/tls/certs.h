/*
 * certs - the certificates, ticket keys and answers to ACME challenges in force, for the workers that end TLS.
 *
 * A service before those that use it: when they hear of a snapshot, its certificates are in force. A change of a certificate is read once,
 * and is every worker's with its next handshake; handshakes under way keep what they began with.
 *
 * Owner:  services, by its struct service. Thread: control thread; what takes a worker is that worker's.
 */
#ifndef PORTWAY_RELAYD_TLS_CERTS_H
#define PORTWAY_RELAYD_TLS_CERTS_H

#include "common/base/macros.h"
#include "relayd/loop/service.h"

#include <stddef.h>
#include <stdint.h>

struct certs;
struct err;
struct tls_store;
struct worker;

/* *out is the service's, and goes with it. */
int certs_new(struct certs **out, struct service *service, const struct service_env *env, struct err *e) MUST_CHECK;

/* Borrowed for the callback: its certificates, within the realm of each tenant's id, and the ticket keys. */
struct tls_store *certs_store(const struct certs *c, const struct worker *w);
/* The same: certificates that answer tls-alpn-01, within TLS_REALM_ACME. */
struct tls_store *certs_challenges(const struct certs *c, const struct worker *w);
/* What is to be answered at /.well-known/acme-challenge/<token> of this host; borrowed for the callback; NULL: nothing. */
const char *certs_answer(const struct certs *c, const struct worker *w, const char *host, const char *token,
	size_t token_n, int64_t now_ms);

#endif
