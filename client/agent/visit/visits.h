/*
 * visits - mappings that lead from this machine: what relays have offered, and who of them does.
 *
 * The agent listens for each where its own settings let it, and asks one of the relays for a stream for each connection.
 * What nobody offers any more is listened on for a while, as a relay that was started again offers it again; what a relay
 * takes back is given up at once, unless another one still offers it.
 *
 * Owner: the agent. Thread: the worker's.
 */
#ifndef PORTWAY_CLIENT_AGENT_VISIT_VISITS_H
#define PORTWAY_CLIENT_AGENT_VISIT_VISITS_H

#include "client/agent/target/sessions.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/macros.h"
#include "common/base/map.h"
#include "common/tunnel/frame_offer.h"
#include "common/uv/slab.h"
#include "common/uv/wheel.h"

#define VISITS_MAX       1024 /* mappings */
#define VISITS_TRIED_MAX 8    /* relays that one connection asks */

struct allow;
struct buf;
struct tunnel_link;
struct visit;
struct visit_sockets;

/* Relays that were asked. */
struct visit_tried {
	const void *relays[VISITS_TRIED_MAX];
	unsigned n;
};

struct visits_ops {
	/* It listens now, or cannot, or not any more as it is offered no more; never inside a call of the owner. */
	void (*on_change)(void *arg, const struct visit *v);
};

struct visits {
	struct worker *worker;
	struct sessions *sessions; /* counters, limits, and who is told of a stream's end */
	const struct visits_ops *ops;
	void *arg;
	struct allow *allow; /* where it may listen */
	struct map by_id;    /* struct visit by mapping id */
	struct slab tcp_slab, udp_slab;
	struct list tcp;        /* struct visit_tcp */
	struct list associates; /* struct visit_associate; they count as udp */
	struct flow_way way[2];
	uint64_t n_tcp, n_udp;
	bool closed; /* nothing is listened on any more */
};

/* One mapping. */
struct visit {
	struct visits *all;
	struct frame_offer offer;
	struct list vias;              /* links that offer it */
	struct visit_sockets *sockets; /* NULL: it does not listen, */
	char why[FRAME_REASON_SIZE];   /* because of this */
	enum err_code why_code;
	struct timer timer;  /* to listen again, or to be forgotten */
	uint64_t settled_ns; /* until then other relays may be about to offer it as well */
	struct list asking;  /* struct visit_tcp that no relay has served yet */
	struct list udp;     /* struct visit_udp; the one that was silent longest first */
	struct map udp_by_peer;
	struct visit_tried failed; /* relays that could not lead datagrams to the target lately */
};

void visits_init(struct visits *all, struct sessions *sessions, const struct visits_ops *ops, void *arg);
void visits_fini(struct visits *all); /* every link is gone */
/* Takes the reference. */
void visits_set_allow(struct visits *all, struct allow *allow);
/* Listens no more; connections go on. */
void visits_close(struct visits *all);
void visits_cut_all(struct visits *all);
void visits_print(const struct visits *all, struct buf *b);

/* relay: which one it is, for whoever asks the next one. */
void visits_offered(struct visits *all, struct tunnel_link *l, const void *relay, const struct frame_offer *o);
void visits_withdrawn(struct visits *all, const struct tunnel_link *l, const char *mapping);
/* The link takes no new streams. */
void visits_link_left(struct visits *all, const struct tunnel_link *l);

/* ---- for what comes in -------------------------------------------------------------------------------------------- */
/* A link of a relay that was not asked yet, which is noted; NULL: none is left. */
struct tunnel_link *visit_pick(const struct visit *v, struct visit_tried *tried);
bool visit_is_offered(const struct visit *v);
/* What a relay is asked for somebody who came to this port. */
void visit_open_frame(const struct visit *v, uint16_t port, const struct addr *from, struct frame_open *o);

#endif
