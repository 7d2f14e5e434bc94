/*
 * unit - the agent as a service of systemd: the text of its unit, sandboxed as far as an agent allows.
 */
#ifndef PORTWAY_CLIENT_AGENT_UNIT_H
#define PORTWAY_CLIENT_AGENT_UNIT_H

#include <stdbool.h>

struct buf;

#define UNIT_NAME "portway-agent.service"

struct unit {
	const char *program; /* absolute path of portway */
	const char *config;  /* of the settings; systemd's specifiers hold: "%E/portway/agent.yaml" */
	bool user;           /* of the user's own systemd, else of the system's */
};

void unit_print(const struct unit *u, struct buf *out);

#endif
