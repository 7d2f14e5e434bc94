/*
 * quotas - the accounts that this relay's mappings are paid from (bytes), and its routes (requests): how much each may still pass here.
 *
 * An account is made when a mapping first names it and stays until the process ends, so who has its allowance needs no reference.
 * What it may pass is asked of controld when little is left (relayd/spending.c).
 *
 * Owner:  engine. Thread: quotas_get(): any; the rest: control thread.
 */
#ifndef PORTWAY_RELAYD_LIMIT_QUOTAS_H
#define PORTWAY_RELAYD_LIMIT_QUOTAS_H

#include "common/base/macros.h"
#include "common/net/allowance.h"
#include "proto/spend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quotas;

/* on_low: somewhere little is left; on any thread. overdraft: bytes of an account while controld does not answer. */
int quotas_new(struct quotas **out, uint64_t overdraft, void (*on_low)(void *arg), void *arg) MUST_CHECK;
void quotas_free(struct quotas *qs); /* NULL is fine */
/* NULL: "" has none (nor has qs NULL), or there is no memory for it: it passes unmetered. */
struct allowance *quotas_get(struct quotas *qs, const char *account);
/* The same of an account of requests: a new one has a few before it was granted any, and another overdraft. */
struct allowance *quotas_get_requests(struct quotas *qs, const char *account);

#define QUOTAS_REQUESTS_FIRST     100
#define QUOTAS_REQUESTS_OVERDRAFT 10000

/* ---- counters that were acknowledged ------------------------------------------------------------------------------ */
/* A report is being put together; what was counted until now is in it if it is complete. */
void quotas_mark(struct quotas *qs);
/* That report was stored. */
void quotas_settle(struct quotas *qs);

/* ---- asking ------------------------------------------------------------------------------------------------------- */
/* The accounts of which more is wanted now. */
void quotas_ask(struct quotas *qs, uint64_t now_ms, struct msg_spend *out);
/* The answer. told() for each account that is over now, or is not any more. */
void quotas_take(struct quotas *qs, const struct msg_grant *m, uint64_t now_ms,
	void (*told)(const struct grant_item *g, bool over, void *arg), void *arg);
/* Nobody answers: the overdraft counts from now on, until somebody does. */
void quotas_alone(struct quotas *qs);
/* Some account has nothing left and waits. */
bool quotas_waiting(struct quotas *qs);

#endif
