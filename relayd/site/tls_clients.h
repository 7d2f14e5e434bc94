/*
 * tls_clients - whom this relay trusts as a backend: one context for all pools that say the same, as one with the system's CAs takes a
 * megabyte and ten milliseconds.
 *
 * Owner: the service, in its site_env. Thread: control thread; a context may be used by any.
 */
#ifndef PORTWAY_RELAYD_SITE_TLS_CLIENTS_H
#define PORTWAY_RELAYD_SITE_TLS_CLIENTS_H

#include "common/base/macros.h"
#include "common/base/map.h"

struct err;
struct pool_conf;
struct tls_ctx;

struct tls_clients {
	struct map by_need;
};

void tls_clients_init(struct tls_clients *t);
void tls_clients_fini(struct tls_clients *t);
/* A reference; *out NULL: the pool's backends are reached in clear. ERR_CRYPTO: its CA cannot be read. */
int tls_clients_get(
	struct tls_clients *t, const struct pool_conf *pool, struct tls_ctx **out, struct err *e) MUST_CHECK;

#endif
