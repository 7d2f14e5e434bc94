/*
 * api - controld as one user: its address, who asks, calls that survive a bad moment of the network.
 *
 * Who asks, the first that there is: PORTWAY_TOKEN, PORTWAY_API_KEY, the login of the profile, nobody. A login is used at the
 * address it was made for and nowhere else. Its access token is renewed before it ends.
 *
 * A call is repeated with jitter while it may help and can do no harm: when nothing was sent, or when doing it twice is the
 * same as once (GET, PUT, DELETE, a POST with its Idempotency-Key). Refused credentials are final.
 *
 * Owner: the command; one thread.
 */
#ifndef PORTWAY_CLIENT_API_API_H
#define PORTWAY_CLIENT_API_API_H

#include "client/api/failure.h"
#include "client/api/http.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api;
struct profile;

#define API_URL_DEFAULT "http://127.0.0.1:8080"

struct api_conf {            /* borrowed while the api lives */
	const char *url;     /* NULL: PORTWAY_URL, the profile's, API_URL_DEFAULT */
	const char *profile; /* NULL: PORTWAY_PROFILE, "default" */
	const char *ca_file; /* NULL: PORTWAY_CA, the profile's, the system's */
	unsigned tries;      /* at most; 0: API_TRIES */
	uint64_t timeout_ms; /* of one try; 0: API_TIMEOUT_MS */
	bool login_only;     /* the environment's token and key are not looked at */
	bool anonymous;      /* no credentials, whatever there is */
};
#define API_TRIES      4
#define API_TIMEOUT_MS 15000

int api_open(struct api **out, const struct api_conf *conf, struct failure *f) MUST_CHECK;
void api_close(struct api *a);

const char *api_url(const struct api *a);
bool api_has_credentials(const struct api *a);
/* "PORTWAY_TOKEN", "PORTWAY_API_KEY", "profile default", "nobody": for people. */
const char *api_who(const struct api *a);
const char *api_profile_name(const struct api *a);
/* The header line of who asks, "" for nobody; wipe it. dst: SESSION_HEADER_SIZE of session.h. */
int api_credentials(const struct api *a, char *dst, size_t size) MUST_CHECK;
const char *api_ca_file(const struct api *a); /* "" for the system's */
/* The login that is used, or NULL. */
const struct profile *api_profile(const struct api *a);

struct api_request {
	const char *method, *path; /* path with its query, encoded */
	const json_t *body;        /* or NULL */
	const char *if_match;      /* ETag with its quotes, or NULL */
	bool keyed;                /* a POST that takes an Idempotency-Key: one is made, the same for every try */
	bool public;               /* send no credentials */
	bool any_status;           /* every answer is one: whatever its status, it is handed out */
};

/* 0 with an answer of 2xx; else -1 and *f. *out (may be NULL) is freed with http_answer_fini(). */
int api_call(struct api *a, const struct api_request *rq, struct http_answer *out, struct failure *f) MUST_CHECK;
int api_get(struct api *a, const char *path, struct http_answer *out, struct failure *f) MUST_CHECK;

/* From now on calls are made with this token and no other credentials. Borrowed. */
void api_use_token(struct api *a, const char *token);
/* Takes the answer of a login into the profile and keeps it. */
int api_keep_login(struct api *a, const json_t *grant, struct failure *f) MUST_CHECK;

#endif
