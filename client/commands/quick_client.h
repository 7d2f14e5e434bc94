/*
 * quick_client - the client that quick commands (portway tcp 22) run as: made once for a profile on this machine, and
 * remembered, so that not every command leaves one behind and the same target gets the same port again.
 *
 * A folder of its own under the user's state, $XDG_STATE_HOME/portway/quick/<profile>-<n>, also the agent's state_dir. Several
 * commands at once take one each: an agent is asked for every mapping of its client, and each allows its own target only.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_QUICK_CLIENT_H
#define PORTWAY_CLIENT_COMMANDS_QUICK_CLIENT_H

#include "common/base/macros.h"

#include <limits.h>
#include <stdint.h>

struct err;

struct quick_client {
	char dir[PATH_MAX];
	int lock_fd;
	char url[512];    /* of the controld that knows it */
	int64_t id;       /* 0: not made yet, or at another controld */
	char secret[64];  /* pws_... */
	char mapping[40]; /* of a command that was killed; "": none */
	char target[300]; /* of the last mapping, "tcp 127.0.0.1:22", */
	uint16_t port;    /* and where it was reachable: by port, */
	char host[254];   /* or by host name; "": by port */
};

/* The first that no other command uses. Its memory of another controld does not count. */
int quick_client_open(struct quick_client *out, const char *profile, const char *url, struct err *e) MUST_CHECK;
int quick_client_save(const struct quick_client *q, struct err *e) MUST_CHECK;
void quick_client_close(struct quick_client *q);

#endif
