/*
 * account_service - the account service that game servers log in at (Hytale's): its addresses and its calls.
 *
 * Its answers are foreign: of the statuses and members that its guide names, those that matter are read, the rest is not.
 *
 * Owner: device_login; immutable. Thread: a worker that may wait.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_ACCOUNT_SERVICE_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_ACCOUNT_SERVICE_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct outbound;

#define SERVICE_URL_MAX    1024
#define SERVICE_NAME_SIZE  16
#define SERVICE_TOKEN_MAX  8192
#define SERVICE_CODE_MAX   512
#define SERVICE_TIMEOUT_MS 10000

/* Which one, and where. */
struct account_service {
	char name[SERVICE_NAME_SIZE]; /* "production", "staging", "own" */
	char oauth[SERVICE_URL_MAX + 1], accounts[SERVICE_URL_MAX + 1], sessions[SERVICE_URL_MAX + 1];
};
/* Addresses that are "" are those of production or staging; with one of its own it is "own". */
void account_service_of(
	struct account_service *s, bool staging, const char *oauth, const char *accounts, const char *sessions);

struct service_answer {
	int status;
	json_t *body; /* an object, or NULL */
};
void service_answer_fini(struct service_answer *a);
/* A text of the answer; "" when it has none. */
const char *service_text(const struct service_answer *a, const char *name);

struct service_call {
	struct outbound *outbound;
	const struct account_service *service;
	bool (*stop)(void *arg); /* may be NULL */
	void *arg;
};
/* 0: an answer came, whatever it says. Tokens are those of service_token_ok(). */
int service_device(const struct service_call *c, struct service_answer *out, struct err *e) MUST_CHECK;
int service_poll(
	const struct service_call *c, const char *device_code, struct service_answer *out, struct err *e) MUST_CHECK;
int service_refresh(
	const struct service_call *c, const char *refresh, struct service_answer *out, struct err *e) MUST_CHECK;
int service_profiles(
	const struct service_call *c, const char *access, struct service_answer *out, struct err *e) MUST_CHECK;
int service_session_new(const struct service_call *c, const char *access, const char *profile,
	struct service_answer *out, struct err *e) MUST_CHECK;
int service_session_refresh(
	const struct service_call *c, const char *session, struct service_answer *out, struct err *e) MUST_CHECK;
int service_session_end(
	const struct service_call *c, const char *session, struct service_answer *out, struct err *e) MUST_CHECK;
int service_keys(const struct service_call *c, struct service_answer *out, struct err *e) MUST_CHECK;

/* What may stand in a header: the letters of RFC 6750. */
bool service_token_ok(const char *token);

#endif
