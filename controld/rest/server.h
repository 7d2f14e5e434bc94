/*
 * server - the HTTP server: listening socket, worker lanes, routes, health, metrics, and a graceful end.
 *
 * Owner:  app. Thread: loop, or before it runs.
 * Ends:   server_stop() stops accepting, lets running requests finish for conf.stop_ms, then calls stopped(); afterwards
 *         server_finish() waits for the workers, and server_free().
 */
#ifndef PORTWAY_CONTROLD_REST_SERVER_H
#define PORTWAY_CONTROLD_REST_SERVER_H

#include "common/base/macros.h"
#include "controld/rest/park.h"
#include "controld/rest/route.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct authenticator; /* identity/identity.h */
struct err;
struct loop;
struct metrics;
struct server;
struct store;
struct tls_ctx;

enum server_access_log { SERVER_LOG_OFF, SERVER_LOG_ERRORS, SERVER_LOG_ALL };

/* Tokens per second and how many may be spent at once; rate 0: no limit. */
struct server_rate {
	uint64_t rate;
	uint64_t burst;
};

/* Strings are borrowed until server_free(). */
struct server_conf {
	const char *listen;          /* "127.0.0.1:8080"; port 0: the kernel picks one */
	struct tls_ctx *tls;         /* NULL: plain HTTP; borrowed */
	const char *public_url;      /* of documentation links; NULL or "": as the request's Host says */
	const char *cors_origins;    /* "https://a.example, https://b.example", "*", or "" for none */
	const char *trusted_proxies; /* CIDRs whose X-Forwarded-For is believed, by comma; "" for none */
	enum server_access_log access_log;

	size_t connections_max;             /* at once */
	size_t connections_per_address_max; /* 0: no limit of its own */
	uint64_t requests_per_connection;   /* then it is closed; 0: no limit */
	size_t head_max;                    /* bytes of request line and headers */
	size_t body_max;                    /* bytes of a body, after inflating too */
	uint64_t head_ms;                   /* from a request's first byte to the end of its headers */
	uint64_t body_ms;                   /* from there to the end of its body */
	uint64_t idle_ms;                   /* between requests */
	uint64_t write_ms;                  /* to take an answer */
	uint64_t stop_ms;                   /* for running requests at the end */

	unsigned db_threads, slow_threads;
	size_t db_queue_max, slow_queue_max; /* requests that wait for a thread; more are refused with 503 */
	size_t parked_max;                   /* answers that wait for something at once */

	struct server_rate per_identity;      /* all requests of one user or API key */
	struct server_rate per_address;       /* all requests of one client address */
	struct server_rate login_per_address; /* ROUTE_LOGIN rows of one client address */
	uint64_t row_rate_percent;            /* of what rows say (ROUTE_PER_MINUTE); 0: they are not limited */
};

/* store: for Idempotency-Key (NULL: the header is ignored). auth: borrowed. */
int server_new(struct server **out, const struct server_conf *conf, struct loop *loop, struct store *store,
	const struct authenticator *auth, struct err *e) MUST_CHECK;
void server_free(struct server *s);

/* Before server_start(). */
int server_add_routes(struct server *s, struct route_table table, struct err *e) MUST_CHECK;

/*
 * One part of /health. check runs on a thread of its own, once a second; it may block. 0, or -1 with the reason.
 * critical: /health is 503 without it, else "degraded".
 */
struct health_probe {
	const char *name; /* "database" */
	int (*check)(void *self, struct err *e);
	void *self;
	bool critical;
};
int server_add_health(struct server *s, const struct health_probe *probe, struct err *e) MUST_CHECK;

/* A tenant's plan: requests per hour and token, 0 for none (then there is no X-RateLimit header). */
struct rate_plans {
	uint64_t (*per_hour)(void *self, const char *tenant_id);
	void *self;
};
void server_set_plans(struct server *s, const struct rate_plans *plans);

/* Binds and listens. */
int server_start(struct server *s, struct err *e) MUST_CHECK;
uint16_t server_port(const struct server *s);
void server_stop(struct server *s, void (*stopped)(void *arg), void *arg);

/*
 * Takes over what may change while it serves: certificate and key (not whether there is TLS), CORS, access log, rates.
 * Connections that are open keep their certificate; borrows like server_new().
 */
void server_reload(struct server *s, const struct server_conf *fresh);
/*
 * Once the loop has ended: when this returns no handler and no probe runs, and none will, so features may go; waking
 * parks is still allowed until server_free().
 */
void server_finish(struct server *s);

struct parks *server_parks(struct server *s);
/* A further registry that /metrics prints; borrowed until server_free(). */
int server_add_metrics(struct server *s, struct metrics *m, struct err *e) MUST_CHECK;

#endif
