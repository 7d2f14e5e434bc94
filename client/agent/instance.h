/*
 * instance - which agent of its client this is, and which run of it: the same name after every restart, and an epoch that
 * only rises. By them a relay knows that a new link takes over from an old one at once.
 *
 * Kept in two small files of the state folder: "instance", made once, and "epoch", written at each start before it is used.
 */
#ifndef PORTWAY_CLIENT_AGENT_INSTANCE_H
#define PORTWAY_CLIENT_AGENT_INSTANCE_H

#include "common/base/macros.h"
#include "common/tunnel/frame.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct instance {
	char name[FRAME_ID_SIZE];
	int lock_fd;    /* of the folder: two agents of one instance would put each other out */
	uint64_t epoch; /* milliseconds of the wall clock at the start, or one more than the last */
};

/* name "": the one of the folder. The folder is made. ERR_CONFLICT: another agent has it. */
int instance_open(
	struct instance *out, const char *state_dir, const char *name, int64_t now_ms, struct err *e) MUST_CHECK;
void instance_close(struct instance *i);
/* What a name may be: letters, digits, '.', '_', '-', and it fits. */
bool instance_is_name(const char *name);

#endif
