/*
 * uplink - one link to a relay: the wait before it is dialled, the dial, the greeting, its life, its end.
 *
 * Owner:  relay. Thread: the worker's.
 * Ends:   by itself or by uplink_close(), any number of times; on_over exactly once, at the end of a round, and the owner
 *         frees it there. uplink_retire() lets its streams end first.
 */
#ifndef PORTWAY_CLIENT_AGENT_RELAY_UPLINK_H
#define PORTWAY_CLIENT_AGENT_RELAY_UPLINK_H

#include "common/net/addr.h"
#include "common/tunnel/tunnel_link.h"

struct credential;
struct connector;
struct http_proxy;
struct instance;
struct proxy_hop;
struct relay_url;
struct sessions;
struct visits;
struct uplink;

#define UPLINK_DIAL_MS 10000 /* to the relay or the proxy, its name included */

/* What all links of an agent share; borrowed. What it points to may be exchanged: the next dial uses the new one. */
struct uplink_env {
	struct worker *worker;
	struct tunnel_desk *desk;
	struct tls_ctx *tls;
	const struct credential *credential;
	const struct instance *instance;
	const struct http_proxy *proxy;
	struct sessions *sessions;
	struct checks *checks;
	struct visits *visits;
	uint64_t unknown_ms; /* a relay that knows no such client for so long means it */
};

struct uplink_ops {
	void (*on_up)(struct uplink *u, const struct frame_welcome *w);
	/* The relay wants no more of it, and a new one within so long. */
	void (*on_goaway)(struct uplink *u, const struct frame_end *why);
	/* It asks for another number of links for one connection (u->reserve). NULL: from this one it does not. */
	void (*on_reserve)(struct uplink *u);
	/* A stream came. NULL: nobody asks. */
	void (*on_taken)(struct uplink *u);
	void (*on_over)(struct uplink *u);
	void (*on_rules)(struct uplink *u, const struct frame_rules *r); /* NULL: it does not matter */
};

enum uplink_state { UPLINK_WAITING, UPLINK_DIALLING, UPLINK_GREETING, UPLINK_UP, UPLINK_LEAVING, UPLINK_OVER };

struct uplink {
	int state; /* enum uplink_state; */
	int last;  /* and the one that it ended in */
	const struct uplink_env *env;
	const struct uplink_ops *ops;
	struct list in; /* the relay's */
	void *owner;
	const struct relay_url *url; /* borrowed, as the next */
	struct tls_ctx *web_tls;     /* NULL: none */
	unsigned first;              /* address to begin with */
	uint8_t role;                /* enum frame_role */
	uint16_t lane;               /* of the relay: where it is; or is to be, if it is for one connection */
	uint16_t reserve;            /* links for one connection that the relay wants ready there */
	uint64_t start_ns;           /* of the dial, while it waits */
	int64_t since_ms;            /* wall clock: up */
	uint64_t up_ns;              /* the same on the worker's; 0: it never was */
	struct addr to;
	struct timer timer;
	struct task grave;
	struct connector *dial;
	struct proxy_hop *hop;
	struct tunnel_link link;
	struct frame_end refused;    /* code 0: it was not */
	bool greets_again;           /* it greeted with a credential that is another one now */
	bool other_ca;               /* it is over, as who answered is of another CA */
	char why[FRAME_REASON_SIZE]; /* it is over */
};

/* Dials after delay_ms. NULL: out of memory. */
struct uplink *uplink_new(
	const struct uplink_env *env, const struct uplink_ops *ops, void *owner, uint64_t delay_ms) MUST_CHECK;
void uplink_set_target(struct uplink *u, const struct relay_url *url, struct tls_ctx *web_tls, unsigned first);
/* For one connection at a time. */
void uplink_set_alone(struct uplink *u, uint16_t lane);
/* The credential is another one now: what the relay knows the link by. Its streams go on. */
void uplink_greet_again(struct uplink *u);
/* Tells the relay to open no more streams; over when the last one has ended. */
void uplink_retire(struct uplink *u, const char *why);
void uplink_close(struct uplink *u, const char *why);
/* A session of its link has ended. */
void uplink_on_session_ended(struct tunnel_link *l);
const char *uplink_state_name(const struct uplink *u);

#endif
