/*
 * line_room - the inside of the line: what line.c (life, time, the change log) and line_messages.c (what relays send)
 * share. Private to the two.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_LINE_ROOM_H
#define PORTWAY_CONTROLD_FLEET_LINE_LINE_ROOM_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "controld/fleet/line/balance.h"
#include "controld/fleet/line/line.h"
#include "controld/fleet/line/mailbox.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cert_info;
struct gate;
struct grants;
struct line_ca;
struct model;
struct model_reader;
struct node_state;
struct pool;
struct presence;
struct roster_node;

#define LINE_BUS_SHORT 5000 /* bytes of a message between controlds that travels at the least cost */

/* What is being collected for one message. */
struct line_list {
	struct buf bytes;
	size_t count_at;
	uint32_t n;
	uint64_t sent_ms;
};

struct line {
	struct line_conf conf;
	struct mailbox *mailbox;
	struct pool *storer; /* reports: nothing else waits for their commits */
	struct pool *desk;   /* joins, who came and went */
	struct model_reader *reader;
	struct model *model;
	struct polls *polls;
	struct reports *reports;
	struct grants *grants;
	struct joins *joins;
	struct presence *presence;
	struct gate *gate;
	struct link_server *link;
	struct line_ca *ca;
	struct buf message; /* reused */
	struct letter log_moved, asks_opened, said, stop;
	pthread_t thread;
	uint16_t port;
	bool running, stopping, ended;
	bool left_behind; /* nng still knows it */
	bool behind;      /* the log could not be read to its end */
	uint64_t changes; /* of the model, that the relays were woken for */
	uint64_t retry_ms, tick_ms;
	uint64_t turned_ms; /* when the thread was last seen to turn */
	uint64_t refused_rate, malformed, moved;
	pthread_mutex_t stats_lock;
	struct line_stats stats;

	atomic_uint_fast64_t closed_until_ms; /* relays are to go to another controld; monotonic */
	struct map peers;                     /* ids of the controlds that we know of */
	struct balance balance;
	struct map clients; /* what relays that are here said of them; line_clients.c */
	struct line_list states, heard, loads;
	pthread_mutex_t inbox_lock; /* of what follows */
	struct list inbox;
	size_t n_inbox;
	bool missed; /* there was no room in it */
};

/* line_peers.c */
void line_peers_init(struct line *l);
void line_peers_fini(struct line *l);
void line_peers_state(struct line *l, const char *id); /* that is here; NULL: all */
void line_peers_heard(struct line *l, const char *id); /* that is elsewhere */
void line_peers_load(struct line *l, const char *id);  /* that reports here */
void line_peers_answer(struct line *l, const char *id, const void *answer, size_t n);
void line_peers_clients(struct line *l, const char *id, const void *states, size_t n);
void line_peers_asks(struct line *l); /* those that are due to be told */
void line_peers_balance(struct line *l, uint64_t now_ms);
uint64_t line_peers_tick(struct line *l, uint64_t now_ms); /* when to call again */
void line_give_asks(struct line *l);                       /* line.c: to whom is parked here */

/* line_clients.c */
struct client_states;
void line_clients_take(struct line *l, const struct roster_node *n, const struct client_states *list);
void line_clients_tell_all(struct line *l);
void line_clients_hear(struct line *l, const char *node, const void *p, size_t size);
void line_clients_leave(struct line *l, const char *node); /* it is elsewhere */
void line_clients_gone(struct line *l, const char *node);  /* it is nowhere */
void line_clients_fini(struct line *l);

/* What came in, for the link's operations. */
void line_on_request(void *owner, struct link_request *rq);
void line_on_lost(void *owner, struct link_request *rq);
bool line_on_admit(void *owner, const struct cert_info *cert);
/* A node that is not to be counted on any more; a roster_fn. */
void line_on_offline(const struct roster_node *n, void *line);
/* Says how a node stands to who computes the status of mappings. */
void line_tell_statuses(struct line *l, const struct roster_node *n, const struct node_state *s);

#endif
