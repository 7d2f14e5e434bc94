/*
 * mapping_reply - a mapping as the answer to a call: at once, or when the relays have said what they make of it.
 *
 * Thread: any worker. Functions give 0, or -1 with *e filled. For the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_REPLY_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_REPLY_H

#include "common/base/macros.h"
#include "controld/tunnels/mapping.h"

#include <stdint.h>

struct err;
struct mapping_watch;
struct reply;
struct request;
struct tunnels;

/* The status and its reasons; live->error is a reference of the caller's. */
void mapping_find_status(struct tunnels *t, const struct mapping *m, int64_t now_ms, struct mapping_live *live);
int mapping_reply(struct tunnels *t, struct reply *rp, int status, const struct mapping *m, const struct traffic *tr,
	struct err *e) MUST_CHECK;

/* An answer that waits until the relays have said what they make of the new version. */
struct mapping_waiting {
	struct tunnels *t;
	int status;
	uint64_t until_ms; /* monotonic */
	struct mapping m;
	struct traffic traffic;
	struct mapping_watch *watch; /* NULL at first */
};
/* Copies *from, whose mapping's lists it takes over and empties; they are left as they were when memory runs out. */
int mapping_reply_settled(struct request *rq, struct reply *rp, struct mapping_waiting *from, struct err *e) MUST_CHECK;

#endif
