/*
 * visits - mappings that lead from a client's own machine, on one worker: its agents are offered them, listen there, and
 * open a stream for each connection.
 *
 * Who may open a stream is decided here, of the client that the link has proved to be: a mapping is opened by its source
 * client, and by nobody else.
 *
 * Owner: a lane embeds its door. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_VISITS_H
#define PORTWAY_RELAYD_TUNNEL_VISITS_H

#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/net/addr.h"
#include "common/tunnel/frame_check.h"
#include "common/tunnel/frame_offer.h"
#include "proto/msg.h"

#define VISITS_MAX 4096 /* offered to one link */

struct agent_table;
struct agents;
struct mapping_conf;
struct mux;
struct visit_door;
struct worker;

/* A stream that an agent asks for; borrowed for the call. */
struct visit {
	struct mux *mux;
	uint32_t id;
	const struct frame_open *open; /* its kind and port are the door's */
	const char *client;            /* whose agent it is; */
	const struct addr *from;       /* where that agent is, */
	const struct addr *at;         /* and where it reaches us */
};
/* stream_accept() or stream_refuse() before it returns. */
typedef void (*visit_fn)(struct visit_door *d, const struct visit *v);

struct visit_door {
	struct agent_table *table; /* NULL: closed */
	visit_fn on_visit;
	char client[PROTO_ID_SIZE];
	struct frame_offer offer;
	struct list of_seat;
};

/* From now on agents of conf->source_client are offered the mapping. */
int visit_door_open(struct visit_door *d, struct agents *a, const struct worker *w, const char *mapping,
	const struct mapping_conf *conf, visit_fn on_visit) MUST_CHECK;
/* Any number of times, also of a door that was never opened (zeroed). */
void visit_door_close(struct visit_door *d);

/* ---- for the links of the worker ---------------------------------------------------------------------------------- */
struct agent_link;
/* What a link that came up may open. */
void visits_offer(struct agent_link *a);
void visits_take(struct agent_link *a, uint32_t id, const struct frame_open *o);
/* What it says of a mapping that leads from its machine: whether that is news. False as well for all others. */
bool visits_hear(struct agent_link *a, const struct frame_health *said);
/* The table ends before the lanes do. */
void visits_forget(struct agent_table *t);

#endif
