/*
 * relay - one relay of the agent's list, and the links kept to it: as many as it asks for, for ever, unless it refuses the
 * agent for good.
 *
 * A first link is dialled alone; the others follow when it is up. After a loss the next try waits a random time that grows
 * with each failure (full jitter, within what the relay told); a relay that sends its agents away says how far they shall
 * spread.
 *
 * Owner:  the agent. Thread: the worker's.
 * Ends:   relay_close() or relay_retire(); on_change tells, and relay_is_over() then answers true: the owner frees it.
 */
#ifndef PORTWAY_CLIENT_AGENT_RELAY_RELAY_H
#define PORTWAY_CLIENT_AGENT_RELAY_RELAY_H

#include "client/agent/relay/spares.h"
#include "client/agent/relay/uplink.h"
#include "client/agent/settings.h"

struct buf;

struct relay {
	struct list in; /* the agent's */
	const struct uplink_env *env;
	void (*on_change)(
		struct relay *r, void *arg); /* a link came up, or was lost; never inside a call of the owner */
	void *arg;
	char name[SETTINGS_RELAY_SIZE]; /* as written */
	struct relay_url url;
	struct tls_ctx *web_tls;  /* of a web server around it; NULL: none */
	char node[FRAME_ID_SIZE]; /* as it calls itself; "": not known yet */
	struct list uplinks;
	struct spares spares;
	unsigned wanted;  /* links, while one is up */
	unsigned attempt; /* failures in a row */
	unsigned dials;
	uint64_t backoff_ms; /* longest wait */
	bool closing;
	bool refused;          /* for good */
	bool reconnect;        /* when links are lost; the relay says */
	bool lost;             /* they were, and it may not */
	bool stranger;         /* it is of another CA than the settings say */
	uint64_t unknown_ns;   /* since when it knows no such client; 0: it did not say so last */
	struct frame_end last; /* the refusal; code 0: none */
	char last_error[FRAME_REASON_SIZE];
	int64_t last_error_ms;
};

/* name: as relay_url.h says, checked before. NULL: out of memory. */
struct relay *relay_new(const char *name, const struct uplink_env *env, void (*on_change)(struct relay *r, void *arg),
	void *arg) MUST_CHECK;
void relay_free(struct relay *r);
/* No new links; those there are end with their streams. */
void relay_retire(struct relay *r, const char *why);
void relay_close(struct relay *r, const char *why);
/* Nothing is left of it, and nothing will come. */
bool relay_is_over(const struct relay *r);
/* Tries again what was refused for good. */
void relay_retry(struct relay *r);
/* The credential is another one now: its links and their streams go on with it. */
void relay_greet_again(struct relay *r);
unsigned relay_links_up(const struct relay *r);
/* As an object of the status. */
void relay_print(const struct relay *r, struct buf *b);

#endif
