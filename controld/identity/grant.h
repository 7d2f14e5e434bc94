/*
 * grant - what a client gets for a session: an access token, a refresh token, and the answer that carries both.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_GRANT_H
#define PORTWAY_CONTROLD_IDENTITY_GRANT_H

#include "common/base/macros.h"
#include "controld/identity/room.h"
#include "controld/identity/session.h"
#include "controld/identity/user.h"

#include <jansson.h>

struct err;

/* A session of `u` acting in u->tenant_id, from the address of rq; its row is not written. */
void grant_session(struct identity_service *s, const struct request *rq, const struct user *u, struct session *out);
/*
 * The union of the answers that clients know: {success, token, refresh_token, expires_in, user, data, message}.
 * u carries the tenant and role that the session acts in. NULL and *e when no token could be signed.
 */
json_t *grant_answer(struct identity_service *s, const struct user *u, const struct session *session,
	const char *message, struct err *e);

#endif
