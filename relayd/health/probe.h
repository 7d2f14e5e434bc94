/*
 * probe - one try whether a backend works: a connection, a TLS handshake, an answer to a request or to a call of gRPC; as its pool says.
 *
 * Owner: who started it, until on_done. Thread: the worker's.
 * Ends:  on_done exactly once and never inside probe_start(), or probe_cancel() before it. It frees itself.
 */
#ifndef PORTWAY_RELAYD_HEALTH_PROBE_H
#define PORTWAY_RELAYD_HEALTH_PROBE_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct addr;
struct agents;
struct err;
struct pool_health;
struct probe;
struct tls_ctx;
struct worker;

struct probe_result {
	const struct err *why; /* NULL: it works */
	unsigned status;       /* HTTP; 0: none came */
	uint64_t connect_ns;   /* until it was connected; 0: it was not */
	uint64_t answer_ns;    /* from asking to the answer, or from connecting to the end of the handshake; 0: none */
};

struct probe_conf {
	const struct pool_health *how; /* borrowed until it ends, as the others */
	const char *host;
	uint16_t port;
	struct agents *agents;   /* with a client: whose agent dials it. NULL: this relay takes none */
	const char *client;      /* NULL, "": the relay dials it */
	const char *backend;     /* with a client: its id, by which agents know how they stand with it */
	struct tls_ctx *tls;     /* NULL: in clear */
	const char *server_name; /* TLS: the name to ask for, and to check where tls verifies */
	bool (*may)(const struct addr *to, void *arg); /* asked of each address */
	void (*on_done)(void *arg, const struct probe_result *r);
	void *arg;
};

/* NULL: out of memory or descriptors, which says nothing of the backend; on_done is not called. */
struct probe *probe_start(struct worker *w, const struct probe_conf *conf) MUST_CHECK;
void probe_cancel(struct probe *p); /* NULL is fine */

#endif
