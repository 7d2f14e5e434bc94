/*
 * lb_backend - one server of a pool: an address that relays dial, or that the agent of a client dials at its own side. The row of
 * the table, its SQL, what a caller may write, and how the API prints it.
 *
 * Owner: the caller, usually on the stack; lb_backend_fini() releases the settings.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_LB_BACKEND_H
#define PORTWAY_CONTROLD_BALANCER_LB_BACKEND_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/balancer/lb_actor.h"
#include "controld/balancer/lb_pool.h"
#include "controld/rest/schema.h"
#include "controld/store/store.h"
#include "proto/backend_state.h"
#include "proto/msg.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define LB_BACKEND_HOST_SIZE   256
#define LB_BACKEND_REGION_SIZE 64
#define LB_BACKEND_WEIGHT_MAX  1000

struct lb_backend {
	char id[PROTO_ID_SIZE];
	char tenant_id[PROTO_ID_SIZE];
	char pool_id[PROTO_ID_SIZE], pool_name[LB_POOL_NAME_MAX + 1];
	char host[LB_BACKEND_HOST_SIZE]; /* a name or an IP literal, without brackets */
	uint16_t port;
	int64_t client_id; /* 0: the relays dial it */
	bool dial_any;     /* the address was written by a system administrator */
	uint32_t weight;   /* 0: it drains */
	char region[LB_BACKEND_REGION_SIZE];
	bool backup;
	uint32_t max_connections; /* 0: no limit */
	json_t *settings;         /* values of lb_health_knobs that stand before the pool's */
	int64_t version;
	int64_t created_ms, updated_ms;
	enum backend_state_kind state; /* reading only: how it is (lb_standing.h) */
};

void lb_backend_fini(struct lb_backend *b);
int lb_backend_init(struct lb_backend *b) MUST_CHECK; /* a new one; -1: out of memory */
/* Takes the members of a body that its schema let through; all that is wrong goes to errs. */
void lb_backend_apply(struct lb_backend *b, const json_t *body, struct err_list *errs);
/* "10.0.0.1:80", "[::1]:80". */
#define LB_BACKEND_ADDRESS_SIZE (LB_BACKEND_HOST_SIZE + 10)
void lb_backend_address(const struct lb_backend *b, char dst[LB_BACKEND_ADDRESS_SIZE]);

/* The object of the API; status: what relays say, NULL: as the change log keeps it. */
void lb_backend_print(struct buf *out, const struct lb_backend *b, const char *status);
/* Names of the members that differ, each after a comma. */
void lb_backend_diff(const struct lb_backend *a, const struct lb_backend *b, struct buf *fields);
int lb_backend_log(struct db *tx, const struct lb_backend *b, const char *op, const char *fields,
	const struct lb_actor *by, struct err *e) MUST_CHECK;

/* ---- rows --------------------------------------------------------------------------------------------------------- */
/* ERR_BACKEND_NOT_FOUND. *b is released by the caller on success. */
int lb_backend_get(
	struct db *db, const char *tenant_id, const char *id, struct lb_backend *b, struct err *e) MUST_CHECK;
struct lb_backend_filter {
	const char *tenant_id;
	const char *pool_id; /* "": of all pools */
	const char *region;  /* "": any */
	const char *after;   /* id of the last one seen */
	unsigned limit;
};
/* In the order of their ids. fn: 0 goes on, 1 stops. */
typedef int (*lb_backend_fn)(const struct lb_backend *b, void *arg);
int lb_backend_list(
	struct db *db, const struct lb_backend_filter *f, lb_backend_fn fn, void *arg, struct err *e) MUST_CHECK;
int lb_backend_count(struct db *db, const char *pool_id, int64_t *n, struct err *e) MUST_CHECK;

int lb_backend_insert(struct db *tx, const struct lb_backend *b, struct err *e) MUST_CHECK;
int lb_backend_update(struct db *tx, const struct lb_backend *b, struct err *e) MUST_CHECK;
int lb_backend_delete(struct db *tx, const char *id, struct err *e) MUST_CHECK;

extern const struct sql_table lb_backend_sql;
extern const struct schema lb_backend_schema, lb_backend_list_query, lb_backend_list_schema;

#endif
