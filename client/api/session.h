/*
 * session - who asks controld: a token or a key from the environment, or the login of a profile, renewed when it ends.
 *
 * Owner: the api that embeds it. Borrows nothing but strings of the environment.
 */
#ifndef PORTWAY_CLIENT_API_SESSION_H
#define PORTWAY_CLIENT_API_SESSION_H

#include "client/api/http.h"
#include "client/api/profile.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

enum session_kind { SESSION_NOBODY, SESSION_TOKEN, SESSION_API_KEY, SESSION_PROFILE };

struct session {
	enum session_kind kind;
	const char *secret;     /* of the environment; NULL with a profile */
	struct profile profile; /* read also when it is not used: its address may be */
};

/* Reads the profile and, unless only the login counts, the environment. 0 also when there is no login. */
int session_init(struct session *s, const char *profile_name, bool login_only, struct err *e) MUST_CHECK;
void session_fini(struct session *s); /* wipes */
/* The login is for another address: it is not used. */
void session_bind(struct session *s, const char *url);
const char *session_who(const struct session *s);

/* "Authorization: Bearer ...", "X-API-Key: ..." or "" */
#define SESSION_HEADER_SIZE (PROFILE_ACCESS_SIZE + 32)
int session_header(const struct session *s, char dst[SESSION_HEADER_SIZE]) MUST_CHECK;

/* Whether the access token ends within moments. */
bool session_is_stale(const struct session *s, int64_t now_ms);
/*
 * New tokens for old: under the profile's lock, and only if no other command has done it meanwhile. refused: the access
 * token was not accepted, although its time has not come. -1 with ERR_AUTHENTICATION_FAILED when the login has ended;
 * with another code when the network is to blame (the same tokens may be shown again).
 */
int session_refresh(struct session *s, struct http *http, bool refused, uint64_t timeout_ms, struct err *e) MUST_CHECK;
/* Takes access token, refresh token and life out of an answer of login or refresh. */
int session_take(struct session *s, const json_t *grant, int64_t now_ms, struct err *e) MUST_CHECK;

#endif
