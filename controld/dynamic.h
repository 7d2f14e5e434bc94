/*
 * dynamic - settings that an administrator changes over the API: checked, kept in the database, in force at once on every
 * controld, without a restart. What nobody has changed is what the settings file says.
 *
 * Owner:  app. Thread: any (one lock inside).
 * Ends:   dynamic_free(), after the server.
 */
#ifndef PORTWAY_CONTROLD_DYNAMIC_H
#define PORTWAY_CONTROLD_DYNAMIC_H

#include "common/base/macros.h"
#include "controld/rest/route.h"

#include <stdint.h>

struct dynamic;
struct err;
struct settings;
struct sql_table;
struct store;

/* X(name, key, member of struct settings, kind, min, max, what) */
#define DYNAMIC_KEYS(X)                                                                                                \
	X(ANONYMOUS_BANDWIDTH, "anonymous.bandwidth", anonymous.bandwidth, NUMBER, 0, INT64_MAX,                       \
		"bytes per second of one anonymous client on each relay; 0: no limit")                                 \
	X(ANONYMOUS_CLIENTS, "anonymous.clients_max", anonymous.clients_max, NUMBER, 1, 10000000,                      \
		"anonymous clients at once")                                                                           \
	X(ANONYMOUS_CONNECTIONS, "anonymous.connections_max", anonymous.connections_max, NUMBER, 0, 1000000,           \
		"of one anonymous client at once, on each relay; 0: no limit")                                         \
	X(ANONYMOUS_ENABLED, "anonymous.enabled", anonymous.enabled, BOOL, 0, 1, "whether the anonymous door is open") \
	X(ANONYMOUS_LIFETIME, "anonymous.lifetime", anonymous.lifetime_ms, DURATION, 1000, INT64_C(2592000000),        \
		"how long an anonymous client lasts")                                                                  \
	X(ANONYMOUS_MAPPINGS, "anonymous.mappings_max", anonymous.mappings_max, NUMBER, 1, 10000,                      \
		"of one anonymous client")                                                                             \
	X(ANONYMOUS_PER_HOUR, "anonymous.per_hour", anonymous.per_hour, NUMBER, 0, 1000000,                            \
		"clients that one address may make in an hour; 0: no limit")                                           \
	X(CLIENTS_MAX, "clients.max", clients.max, NUMBER, 0, 100000000, "of one tenant; 0: no limit")                 \
	X(CREATE_WAIT, "tunnels.create_wait", tunnels.create_wait_ms, DURATION, 0, 5000,                               \
		"how long the answer to a new mapping waits for the relays")                                           \
	X(MAPPINGS_MAX, "tunnels.mappings_max", tunnels.mappings_max, NUMBER, 0, 100000000,                            \
		"of one tenant; 0: no limit")

enum dynamic_key {
#define X(name, key, member, kind, min, max, what) DYNAMIC_##name,
	DYNAMIC_KEYS(X)
#undef X
		DYNAMIC_KEYS_N
};

/* A value: a number, 0 or 1, or milliseconds. */
struct dynamic_values {
	int64_t of[DYNAMIC_KEYS_N];
};

/* Called with the values of now: once at dynamic_watch(), then after each change, by the thread that learnt of it. */
typedef int (*dynamic_fn)(const struct dynamic_values *v, void *arg, struct err *e);

/* What the settings say, and over it what the database has. */
int dynamic_new(struct dynamic **out, const struct settings *s, struct store *store, struct err *e) MUST_CHECK;
void dynamic_free(struct dynamic *d);
int dynamic_watch(struct dynamic *d, dynamic_fn fn, void *arg, struct err *e) MUST_CHECK;
/* Looks whether another controld has changed something: every few seconds, on a thread that may wait for the database. */
int dynamic_reload(struct dynamic *d, struct err *e) MUST_CHECK;
struct route_table dynamic_routes(struct dynamic *d);

extern const struct sql_table dynamic_sql;

#endif
