/*
 * device_login - game servers log in at an account service by a code that a person types in (RFC 8628), and get game sessions
 * there. What a key of ours began is kept: its tokens, sealed, are refreshed before they end; who comes without a key is
 * passed through and keeps his tokens himself.
 *
 * Owner:  app. Thread: any.
 * Ends:   device_login_free(), after the server and the jobs.
 */
#ifndef PORTWAY_CONTROLD_DEVICE_LOGIN_DEVICE_LOGIN_H
#define PORTWAY_CONTROLD_DEVICE_LOGIN_DEVICE_LOGIN_H

#include "common/base/macros.h"
#include "controld/jobs/kind.h"
#include "controld/rest/route.h"
#include "controld/store/reseal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device_login;
struct err;
struct erasure;
struct jobs;
struct outbound;
struct platform;
struct sql_table;
struct store;

struct device_login_conf {
	struct store *store;
	struct outbound *outbound;
	struct platform *platform;                           /* says whether it is staging */
	struct jobs *jobs;                                   /* does the refreshing */
	const char *oauth_url, *accounts_url, *sessions_url; /* "": those of the environment; borrowed */
	bool open;                                           /* a login may be begun without a key */
	uint64_t sessions_max;                               /* of an account, as the service is known to allow */
};

int device_login_new(struct device_login **out, const struct device_login_conf *conf, struct err *e) MUST_CHECK;
void device_login_free(struct device_login *d);
struct route_table device_login_routes(struct device_login *d);
/* Every minute, one controld for all: what is due is queued, what is over is deleted. */
int device_login_tick(struct device_login *d, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct job_kind device_login_job_kinds[];
extern const size_t device_login_job_kinds_n;
extern const struct sql_table *const device_login_sql[];
extern const size_t device_login_sql_n;
extern const struct erasure *const device_login_erasures[];
extern const size_t device_login_erasures_n;

#define ACCOUNT_SEALED_N      2
#define GAME_SESSION_SEALED_N 2
extern const struct sealed_column account_sealed[ACCOUNT_SEALED_N];
extern const struct sealed_column game_session_sealed[GAME_SESSION_SEALED_N];

#endif
