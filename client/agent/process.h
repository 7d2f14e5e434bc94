/*
 * process - an agent as a process: its worker on the calling thread, signals, descriptors, the status socket.
 *
 * TERM and INT drain, a second one stops at once; HUP reads the settings again.
 */
#ifndef PORTWAY_CLIENT_AGENT_PROCESS_H
#define PORTWAY_CLIENT_AGENT_PROCESS_H

#include "client/agent/settings.h"
#include "client/exit_codes.h"

#include <stdbool.h>

struct agent_target;
struct agent_visit;
struct err;

struct process_conf {
	struct settings *settings; /* taken */
	bool answers;              /* has a status socket */
	/* HUP: the settings once more, -1 when they are wrong (it has complained of all, *e is the first); NULL: HUP does nothing. */
	int (*load)(void *arg, struct settings *out, struct err *e);
	void (*on_ready)(void *arg);                              /* the first link is up; may be NULL */
	void (*on_visit)(void *arg, const struct agent_visit *v); /* as agent.h has it; may be NULL */
	void (*on_target)(void *arg, const struct agent_target *t);
	const char *target; /* host of one that is tried at once; NULL: none */
	uint16_t target_port;
	void *arg;
};

/* Until the agent is over. Answers why in *e when the code is not EXIT_DONE. */
enum command_exit process_run(const struct process_conf *conf, struct err *e);

#endif
