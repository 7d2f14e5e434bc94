/*
 * call_identity - who asks, and whether he may: by his role what the row needs, and by his API key's scopes.
 *
 * Owner: the dispatch. Thread: any worker, or the loop for rows of LANE_LOOP.
 */
#ifndef PORTWAY_CONTROLD_REST_CALL_IDENTITY_H
#define PORTWAY_CONTROLD_REST_CALL_IDENTITY_H

#include "common/base/macros.h"

struct authenticator;
struct call;
struct err;
struct rest_metrics;

/* Both borrowed. */
struct call_identity {
	const struct authenticator *auth;
	struct rest_metrics *metrics;
};

/*
 * 0, with has_identity where the row is not for everybody; or -1: ERR_AUTHENTICATION_FAILED, ERR_FORBIDDEN, or what the
 * authenticator said. A read whose session of the database ended is done once more.
 */
int call_identity_find(const struct call_identity *who, struct call *c, struct err *e) MUST_CHECK;

#endif
