/*
 * tunnels - the feature: mappings, their ports, connections and traffic. What other rooms may use of it.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_TUNNELS_H
#define PORTWAY_CONTROLD_TUNNELS_TUNNELS_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/rest/route.h"
#include "controld/store/store.h"
#include "controld/tunnels/mapping_status.h"
#include "controld/tunnels/relays.h"
#include "proto/mapping_conf.h"
#include "proto/report.h"

struct client_statuses;
struct tunnels;

struct tunnels_conf {
	uint16_t port_min, port_max; /* source_port 0 picks from here */
	uint64_t create_wait_ms;     /* how long a create waits for the relays; 500 */
	uint32_t mappings_max;       /* per tenant; 0: none */
	uint64_t series_retention_10s_ms, series_retention_1m_ms, series_retention_1h_ms;
	uint32_t anonymous_mappings_max; /* of one anonymous client */
	int host_names_by;               /* enum host_names_by: who may have names outside of a group's domain */
	const char *anonymous_bind;      /* address that their ports are bound to; NULL or "": all. Borrowed */
	struct client_statuses *clients; /* what relays say about clients; NULL: nothing is known */
	struct store *samples;           /* the series' own database file; NULL: no series are kept */
};

int tunnels_new(struct tunnels **out, const struct tunnels_conf *conf, struct store *store, struct parks *parks,
	struct mapping_statuses *statuses, const struct relays *relays, struct err *e) MUST_CHECK;
void tunnels_free(struct tunnels *t);
/* The limits of conf that may change while it serves. Any thread. */
struct tunnels_limits {
	uint64_t create_wait_ms;
	uint32_t mappings_max, anonymous_mappings_max;
};
void tunnels_set_limits(struct tunnels *t, const struct tunnels_limits *l);
struct route_table tunnels_routes(struct tunnels *t);
/* What is due from time to time (samples, mappings of clients that are being deleted, picked ports that are settled): to be
 * called about every 5 s, on a thread that may wait for the database. */
int tunnels_tick(struct tunnels *t, int64_t now_ms, struct err *e) MUST_CHECK;
/* Once a second: ports that were picked and that a relay, or an agent, finds taken. By every controld, of what it was told. */
int tunnels_move_ports(struct tunnels *t, int64_t now_ms, struct err *e) MUST_CHECK;
struct erasure;
extern const struct erasure *const tunnels_erasures[];
extern const size_t tunnels_erasures_n;
/* Users who have passed what they may in a month, and months that end: about every second. */
int tunnels_quotas(struct tunnels *t, int64_t now_ms, struct err *e) MUST_CHECK;
extern const struct sql_table *const tunnels_sql[];
extern const size_t tunnels_sql_n;

/* ---- for fleet/: mappings as relays see them ---------------------------------------------------------------------- */
struct mapping_placed {
	char id[PROTO_ID_SIZE];
	char group_id[PROTO_ID_SIZE];
	char node_id[PROTO_ID_SIZE]; /* "" = every node of the group */
	int64_t seq;                 /* of its newest logged change */
	bool present;                /* false: deleted, or off in a way that takes it from the relays */
	struct mapping_conf conf;    /* when present; fn must copy or encode, not keep */
};
typedef int (*mapping_placed_fn)(const struct mapping_placed *m, void *arg);
/* One mapping as of now (present = false if it is gone). */
int mapping_placed_get(struct db *db, const char *id, mapping_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
/* All of them, any order. */
int mapping_placed_all(struct db *db, mapping_placed_fn fn, void *arg, struct err *e) MUST_CHECK;
/* Ids of the mappings that a changed user or tenant owns or a changed client serves (suspension reaches the relays through
 * them). */
int mapping_ids_of(struct db *db, const char *kind, const char *subject, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e) MUST_CHECK;

/* The groups that mappings of this client are placed on. */
int mapping_groups_of_client(struct db *db, const char *client, int (*fn)(const char *group_id, void *arg), void *arg,
	struct err *e) MUST_CHECK;

/* ---- for fleet/: counters ------------------------------------------------------------------------------------------- */
struct traffic_report {
	const char *node_id;
	const struct msg_report *m;
	bool stored;      /* false: that number, or a newer one, was there already, which is as good */
	bool refused;     /* and that is why it is not stored: the node has too many boots that have not ended */
	uint32_t skipped; /* meters beyond the most that one node may have */
};
/* No honest relay comes there; a hostile one fills this and no more. */
#define TRAFFIC_BOOTS_MAX  256       /* of one node, that have not ended */
#define TRAFFIC_BOOTS_KEPT 1000      /* of one node, that have ended: a report of them that comes late counts nothing */
#define TRAFFIC_METERS_MAX (1 << 20) /* of one node */
/*
 * Stores the rows of reports inside the transaction that claims their numbers: replaces values, never adds. Sorts them.
 * The totals are written once and last, in one order: two controlds that store at once never wait for each other in a
 * ring, and the total of the system, which all of them add to, is held for the shortest time.
 */
int traffic_store_reports(
	struct db *tx, struct traffic_report *reports, size_t n, int64_t now_ms, struct err *e) MUST_CHECK;
/* A node is in this group from now on: counters of mappings that are or were in its groups are taken from it. */
int placement_note_node(struct db *tx, const char *node_id, const char *group_id, struct err *e) MUST_CHECK;
/* A node was removed for good: what its boots had open is no longer active. */
int traffic_node_gone(struct db *tx, const char *node_id, int64_t now_ms, struct err *e) MUST_CHECK;

#endif
