/*
 * fleet - the relays: groups, nodes, join tokens, the CA, and the line that tells each relay what to run and takes its
 * reports in. Features do not know it; it reads them, and gives tunnels/ the small interface in relays.h.
 *
 * Owner:  app. Thread: app's for the life cycle, workers for the routes and the relays interface.
 * Ends:   fleet_stop() before the server (its parks are woken until then), fleet_free() after it: requests that still
 *         run between the two find relays that do not answer.
 */
#ifndef PORTWAY_CONTROLD_FLEET_FLEET_H
#define PORTWAY_CONTROLD_FLEET_FLEET_H

#include "common/base/macros.h"
#include "controld/fleet/bus.h"
#include "controld/fleet/fleet_stats.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"
#include "controld/tunnels/relays.h"

#include <stddef.h>
#include <stdint.h>

struct err;
struct fleet;
struct client_statuses;
struct lb_healths;
struct mapping_statuses;
struct parks;

struct fleet_conf {
	const char *listen;    /* "127.0.0.1:7400"; port 0: the kernel's choice */
	const char *names;     /* further DNS names and addresses in the listener's certificate, by comma; NULL: none */
	uint64_t offline_ms;   /* a node that was silent this long is offline; 15000 */
	uint64_t poll_wait_ms; /* a relay's question is answered at the latest after this; 25000 */
	uint64_t balance_ms;   /* relays go over to a controld that was there so long; 0: never. 30000 */
	uint32_t relays_max;   /* 4096 */
	uint32_t snapshots_max;            /* sent at once, of those that take several messages; 4 */
	uint32_t changes_max;              /* of one group in memory: who is further behind gets a snapshot; 16384 */
	uint32_t join_rate, join_rate_all; /* joins per second, from one address and in all; 20, 100 */
	uint32_t strangers_max, strangers_per_address; /* connected without a certificate; 64, of these 8 */
	uint32_t cert_days;                            /* life of a relay's certificate; 90 */
	const char *self;                              /* id of this run of controld (controlds.id) */
	struct fleet_bus bus;                          /* to the others on the same database */
	struct client_statuses *clients;               /* told what relays say about clients; NULL: nobody is */
	struct lb_healths *backends;                   /* the same about backends */
};
/* What the numbers above say. */
extern const struct fleet_conf fleet_conf_default;

/* The group `default` and the CA, if the database has none yet. */
int fleet_bootstrap(struct store *store, struct err *e) MUST_CHECK;

/* conf's strings are borrowed until fleet_free(). */
int fleet_new(struct fleet **out, const struct fleet_conf *conf, struct store *store, struct parks *parks,
	struct mapping_statuses *statuses, struct err *e) MUST_CHECK;
void fleet_free(struct fleet *f);
/* Loads what there is, listens and runs; fleet_bootstrap() was called. */
int fleet_start(struct fleet *f, struct err *e) MUST_CHECK;
void fleet_stop(struct fleet *f);           /* again is fine */
uint16_t fleet_port(const struct fleet *f); /* that it listens on, once it was started */

/* Of the other controlds, on any thread, after fleet_start(): a message; one is gone; messages may have been missed. */
void fleet_peer_message(struct fleet *f, const char *from, const void *p, size_t n);
void fleet_peer_lost(struct fleet *f, const char *from);
void fleet_peer_gap(struct fleet *f);
void fleet_send_away(struct fleet *f); /* closes the connections of all relays, if there are others for them to go to */
void fleet_leave(struct fleet *f);     /* tells them that this one goes */
int fleet_check(struct fleet *f, struct err *e) MUST_CHECK; /* the line's thread has turned within the last seconds */
struct route_table fleet_routes(struct fleet *f);
const struct relays *fleet_relays(struct fleet *f); /* as long as the fleet lives, also before its start */
/* What certs/ asks: struct certs_relays says what. */
int fleet_behind(void *fleet, const char *group_id, int64_t seq, void (*fn)(const char *name, void *arg), void *arg,
	size_t *n, struct err *e);
extern const struct sql_table *const fleet_sql[];
extern const size_t fleet_sql_n;

/* As of the last second. */
void fleet_stats(struct fleet *f, struct fleet_stats *out);

#endif
