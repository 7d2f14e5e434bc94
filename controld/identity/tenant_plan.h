/*
 * tenant_plan - how often each token of a tenant may ask in an hour, by the tenant's plan: kept in memory for a few seconds, as it is
 * asked with every request.
 *
 * Thread: any (one lock inside).
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_TENANT_PLAN_H
#define PORTWAY_CONTROLD_IDENTITY_TENANT_PLAN_H

#include "common/base/macros.h"

#include <stdint.h>

struct err;
struct identity_service;
struct store;
struct tenant_plans;

int tenant_plans_new(struct tenant_plans **out, struct store *store, struct err *e) MUST_CHECK;
void tenant_plans_free(struct tenant_plans *p);
/* 0: no limit, also while the database cannot be asked. */
uint64_t tenant_plans_per_hour(struct tenant_plans *p, const char *tenant_id);
void tenant_plans_forget(struct tenant_plans *p);
/* The same of a service. */
void tenant_plan_forget(struct identity_service *s);

#endif
