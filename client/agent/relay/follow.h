/*
 * follow - asks controld which relays there are for this client, and tells the agent: at the start, every few minutes, and
 * soon after it is asked to. controld knows by a signature who asks; the secret stays here.
 *
 * What cannot be asked changes nothing: an agent lives as long as its links do, whatever becomes of controld.
 *
 * Owner:  the agent. Thread: the worker's; the request itself blocks one of libuv's.
 * Ends:   follow_stop(); an answer that is still under way is thrown away when it comes.
 */
#ifndef PORTWAY_CLIENT_AGENT_RELAY_FOLLOW_H
#define PORTWAY_CLIENT_AGENT_RELAY_FOLLOW_H

#include "client/agent/settings.h"
#include "common/uv/wheel.h"

#include <jansson.h>

struct credential;
struct follow_job;
struct worker;

struct follow_list {
	char relays[SETTINGS_RELAYS_MAX * SETTINGS_RELAY_SIZE]; /* "host:port,host:port", at least one */
	const json_t *nodes;                                    /* ids of all that there are, online or not */
};

typedef void (*follow_fn)(
	void *arg, const struct follow_list *list); /* NULL: controld does not know these credentials */

struct follow {
	struct worker *worker;
	follow_fn on_list;
	void *arg;
	const struct settings *settings; /* borrowed until follow_stop() */
	const struct credential *credential;
	struct follow_job *job; /* the request under way, or NULL */
	struct timer next;
	uint64_t asked_ns;
	int64_t told_ms; /* wall clock, of the last list; 0: none yet */
	bool running;
	char error[160]; /* why the last one brought nothing; "": it did */
};

void follow_init(struct follow *f, struct worker *w, follow_fn on_list, void *arg);
/* Asks now and from now on; nothing where the settings name no controld. */
void follow_start(struct follow *f, const struct settings *s, const struct credential *c);
/* Something was lost: asks soon, but not more than once in 10 s or the interval, whichever is shorter. */
void follow_hurry(struct follow *f);
void follow_stop(struct follow *f);

/* Of controld's answer; -1 when it is none, or names no relay. */
int follow_read(const json_t *answer, struct follow_list *out) MUST_CHECK;
bool follow_has_relay(const struct follow_list *list, const char *relay);
bool follow_has_node(const struct follow_list *list, const char *id);

#endif
