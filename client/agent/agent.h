/*
 * agent - the client side of tunnels, on a worker: links to every relay of the list, sessions to what they ask for.
 *
 *   RUNNING --agent_drain()--> DRAINING --last stream or time--> OVER
 *      |                           |                              ^
 *      +-- every relay refuses ----+------- agent_stop() ---------+
 *
 * It knows no signal, no file of settings and no socket for its status: those are process's.
 *
 * Owner:  process, or a test. Thread: the worker's.
 * Ends:   on_over exactly once, never inside a call of the owner but agent_free(); then agent_free().
 */
#ifndef PORTWAY_CLIENT_AGENT_AGENT_H
#define PORTWAY_CLIENT_AGENT_AGENT_H

#include "client/agent/settings.h"
#include "client/exit_codes.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct agent;
struct buf;
struct err;
struct worker;

/* A private mapping that leads from this machine. Borrowed for the call. */
struct agent_visit {
	const char *mapping, *address; /* an IP address */
	uint16_t port;                 /* the first */
	bool listening;
	const char *why; /* it does not */
};

/* A TCP target. Borrowed for the call. */
struct agent_target {
	const char *host;
	uint16_t port;
	const char *why; /* it cannot be reached; NULL: it can */
};

struct agent_events {
	void (*on_ready)(void *arg); /* the first link is up; once */
	void (*on_over)(void *arg, enum command_exit code, const char *why);
	/* It listens now, or does not, or not any more; never inside a call of the owner. NULL: nobody asks. */
	void (*on_visit)(void *arg, const struct agent_visit *v);
	/* It cannot be reached, or can be again; may be NULL. */
	void (*on_target)(void *arg, const struct agent_target *t);
};

/* Takes the settings (also when it fails). ERR_CONFLICT: another agent runs with the same state_dir. */
int agent_open(struct agent **out, struct worker *w, struct settings *settings, const struct agent_events *events,
	void *arg, struct err *e) MUST_CHECK;
/* Takes the settings. What did not change is not touched; on an error (a token file that is gone) nothing is. */
int agent_reload(struct agent *a, struct settings *settings, struct err *e) MUST_CHECK;
/* Says of this target how it is before anybody comes, and again when that changes. */
void agent_try_target(struct agent *a, const char *host, uint16_t port);
/* What the status says of the last reload; "": it went well. */
void agent_note_reload(struct agent *a, const char *error);
/* No new streams; over when the last one has ended, at the latest after drain_timeout. */
void agent_drain(struct agent *a);
void agent_stop(struct agent *a);
/* After on_over, or with the worker stopped. */
void agent_free(struct agent *a);
/* How it is, as a JSON object. */
void agent_print(const struct agent *a, struct buf *b);

#endif
