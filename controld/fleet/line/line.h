/*
 * line - one thread that speaks with all relays: what comes in, what goes out, and when.
 *
 * It owns the listener, the model and everything that follows from a message: parked polls, reports on their way to the
 * disk, joins, who is online. The database is read on the thread in short statements and written by two workers.
 *
 * Owner:  fleet.
 * Thread: line_wake(), line_peer(), line_leave() and line_stats() any; the rest the thread that owns the fleet.
 * Ends:   line_stop() answers what it still can, closes the listener and joins the threads; line_free().
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_LINE_H
#define PORTWAY_CONTROLD_FLEET_LINE_LINE_H

#include "common/base/macros.h"
#include "controld/fleet/bus.h"
#include "controld/fleet/line/joins.h"
#include "controld/fleet/line/link_server.h"
#include "controld/fleet/line/polls.h"
#include "controld/fleet/line/reports.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asks;
struct client_statuses;
struct err;
struct lb_healths;
struct line;
struct mapping_statuses;
struct roster;
struct store;

struct line_conf {
	const char *listen; /* "127.0.0.1:7400"; port 0: the kernel's choice */
	const char *const
		*names; /* NULL-terminated: what else the listener's certificate says; borrowed, as its texts */
	uint64_t poll_wait_ms;
	uint64_t balance_ms;
	uint32_t snapshots_max;
	uint32_t relays_max;
	uint32_t changes_max;   /* kept in memory, of one group */
	uint32_t join_rate;     /* per second, from one address */
	uint32_t join_rate_all; /* per second, in all */
	uint32_t strangers_max; /* connected without a certificate */
	uint32_t strangers_per_address;
	unsigned cert_days;
	struct store *store;
	struct roster *roster;
	struct asks *asks;
	struct mapping_statuses *statuses;
	const char *self; /* controlds.id; borrowed */
	struct fleet_bus bus;
	struct client_statuses *clients; /* may be NULL, as the next */
	struct lb_healths *backends;
};

/* Makes the thread-less part: from here on changes of the log are noted. */
int line_new(struct line **out, const struct line_conf *c, struct err *e) MUST_CHECK;
/* Loads the model, listens, runs. */
int line_start(struct line *l, struct err *e) MUST_CHECK;
void line_stop(struct line *l); /* again is fine */
/* False: a part of it had to be left behind until the process ends, and with it what line_conf names. */
bool line_free(struct line *l);
uint16_t line_port(const struct line *l);
/* There are new asks; without effect after line_stop(). */
void line_wake(struct line *l);

/* Of the other controlds: one has said something, is gone, or what they said was not heard for a while; or this one has
 * lost the database, and the relays are better off with another. */
enum line_peer_event { LINE_PEER_MESSAGE, LINE_PEER_LOST, LINE_PEER_GAP, LINE_SEND_AWAY };
void line_peer(struct line *l, enum line_peer_event event, const char *from, const void *p, size_t n);
/* Tells them that this one is leaving. */
void line_leave(struct line *l);

struct line_ca_stats {
	uint64_t step;   /* that the listener shows: rotations and retirements so far */
	uint64_t behind; /* nodes that have not come with a certificate of it */
	uint64_t ends_s; /* of the CA that signs; seconds since 1970 */
};

struct line_stats {
	struct polls_stats polls;
	struct reports_stats reports;
	struct joins_stats joins;
	struct link_server_stats link;
	struct line_ca_stats ca;
	uint64_t at_ms;        /* monotonic: when this was true */
	uint64_t objects;      /* in the model */
	uint64_t revision;     /* sequence */
	uint64_t refused_rate; /* joins that came too fast */
	uint64_t malformed;    /* messages that could not be read */
	uint64_t events_lost, moved;
};
/* As of the last second. */
void line_stats(struct line *l, struct line_stats *out);

#endif
