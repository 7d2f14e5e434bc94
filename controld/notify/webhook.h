/*
 * webhook - where a tenant wants to be told of changes: its row and its SQL.
 *
 * The URL and the secret are sealed in the database: whoever knows a URL may often post there. Printed is the URL
 * without its query. The secret is never printed but in the answer that made it.
 *
 * Thread: inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_WEBHOOK_H
#define PORTWAY_CONTROLD_NOTIFY_WEBHOOK_H

#include "common/base/macros.h"
#include "common/base/rand.h"
#include "controld/out/guard.h"
#include "controld/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct change;
struct err;
struct erasure;

#define WEBHOOK_NAME_MAX 64

#define WEBHOOK_DESCRIPTION_MAX 500
#define WEBHOOK_PLATFORM        "ADMIN" /* scopes */
#define WEBHOOK_TENANT          "TENANT"
#define WEBHOOK_SECRET_MIN      8
#define WEBHOOK_SECRET_MAX      128
#define WEBHOOK_EVENTS_MAX      1024 /* bytes, all together */
#define WEBHOOKS_MAX            50   /* of one tenant */
#define WEBHOOK_ERROR_SIZE      200

struct webhook {
	char id[RAND_ID_SIZE];
	char tenant_id[40]; /* "": the platform's, which hears all */
	char name[WEBHOOK_NAME_MAX + 1];
	char format[16];
	char type[16]; /* what people sort them by */
	char description[WEBHOOK_DESCRIPTION_MAX + 1];
	char url[GUARD_URL_MAX + 1];
	char url_shown[GUARD_URL_MAX + 1];
	char secret[WEBHOOK_SECRET_MAX + 1];
	char events[WEBHOOK_EVENTS_MAX + 1]; /* by comma */
	bool enabled;
	char paused[64];  /* why, or "" */
	int64_t from_seq; /* changes up to here are not for it */
	int64_t version, created_ms, updated_ms;
	/* how it stands, read with it */
	int64_t waiting, dropped, failures, last_status, last_ok_ms;
	char last_error[WEBHOOK_ERROR_SIZE];
};

int webhook_insert(struct db *tx, const struct webhook *w, struct err *e) MUST_CHECK;
/* The whole of it, if its version still is w->version; that rises in the row. ERR_CONFLICT. */
int webhook_update(struct db *tx, const struct webhook *w, struct err *e) MUST_CHECK;
/* With its deliveries. */
int webhook_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;
/* tenant_id "": of any. With URL and secret. ERR_NOT_FOUND. */
int webhook_get(struct db *db, const char *tenant_id, const char *id, struct webhook *out, struct err *e) MUST_CHECK;
typedef int (*webhook_fn)(const struct webhook *w, void *arg); /* 0 goes on */
/* By id, after this one; tenant_id "": of all. Without URL and secret. */
int webhook_list(struct db *db, const char *tenant_id, const char *after, unsigned limit, webhook_fn fn, void *arg,
	struct err *e) MUST_CHECK;
int webhook_count(struct db *db, const char *tenant_id, int64_t *n, struct err *e) MUST_CHECK;
/* Nothing is sent until it is enabled again. 1; 0 when it was so already. */
int webhook_pause(struct db *tx, const char *id, const char *why, int64_t now_ms, struct err *e) MUST_CHECK;

/* How many wait for all, and how many webhooks are paused. */
int webhook_totals(struct db *db, int64_t *waiting, int64_t *paused, struct err *e) MUST_CHECK;

const char *webhook_scope(const struct webhook *w);
const char *webhook_status(const struct webhook *w); /* "active", "paused", "disabled" */
/* As the member "events", an array. */
void webhook_print_events(struct buf *b, const char *events);
/* As the API prints it; secret: with it. */
void webhook_print(struct buf *b, const struct webhook *w, bool secret);
/* A row of the change log about it. *seq (may be NULL) gets its number. */
int webhook_log(struct db *tx, const struct webhook *w, struct change *c, int64_t *seq, struct err *e) MUST_CHECK;

extern const struct sql_table webhook_sql;
extern const struct erasure webhook_erasure;

#endif
