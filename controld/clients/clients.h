/*
 * clients - the feature: clients, their config and secrets, and what the relays say about them. What other rooms may use
 * of it; client.h is the noun.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENTS_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENTS_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/clients/anonymous.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"
#include "proto/client_conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_actor;
struct client_statuses;
struct clients;
struct identity_service;

struct clients_conf {
	uint32_t clients_max; /* per tenant; 0: none */
	struct anonymous_conf anonymous;
	struct client_statuses *statuses;
	struct identity_service *identity; /* signs clients' tokens, and learns from here who they are; NULL: none */
};

int clients_new(struct clients **out, const struct clients_conf *conf, struct store *store, struct err *e) MUST_CHECK;
void clients_free(struct clients *c);
/* The limits of conf that may change while it serves. Any thread. */
struct clients_limits {
	uint32_t clients_max;
	struct anonymous_conf anonymous;
};
void clients_set_limits(struct clients *c, const struct clients_limits *l);
struct route_table clients_routes(struct clients *c);
uint64_t clients_logins_failed(struct clients *c); /* of clients and their sessions, since the start; any thread */
/* From time to time, about every 5 s, on a thread that may wait for the database. Clients that are going or have expired: one
 * controld does it for all. */
int clients_tick(struct clients *c, int64_t now_ms, struct err *e) MUST_CHECK;
/* When clients were seen, by the relays that speak with this controld. */
int clients_see(struct clients *c, int64_t now_ms, struct err *e) MUST_CHECK;
struct erasure;
extern const struct erasure *const clients_erasures[]; /* before those of tunnels */
extern const size_t clients_erasures_n;
extern const struct sql_table *const clients_sql[];
extern const size_t clients_sql_n;

/* ---- for tunnels/ ------------------------------------------------------------------------------------------------- */
/* The set of groups with mappings of this client changes in this transaction: its relays must hear of it. */
int client_moved(struct db *tx, int64_t id, const struct client_actor *by, struct err *e) MUST_CHECK;

/* ---- for fleet/: clients as relays see them ----------------------------------------------------------------------- */
struct client_placed {
	char id[PROTO_ID_SIZE];
	int64_t seq;             /* of its newest logged change */
	bool present;            /* false: deleted, going or expired */
	struct client_conf conf; /* when present */
};
typedef int (*client_placed_fn)(const struct client_placed *c, void *arg);
/* One client as of now (present = false if it is gone). */
int client_placed_get(struct db *db, const char *id, client_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
int client_placed_all(struct db *db, client_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
/* Ids of the clients that a changed user or tenant owns. */
int client_ids_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg), void *arg,
	struct err *e) MUST_CHECK;

#endif
