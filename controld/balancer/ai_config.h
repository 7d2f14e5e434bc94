/*
 * ai_config - what a tenant wants of forecasts and adaptive balancing: one row a tenant, its SQL, and how the API prints it.
 *
 * Thread: any, inside a transaction.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_AI_CONFIG_H
#define PORTWAY_CONTROLD_BALANCER_AI_CONFIG_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/balancer/lb_actor.h"
#include "controld/rest/schema.h"
#include "controld/store/erasure.h"
#include "controld/store/store.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct ai_config {
	bool enabled;
	char model_type[32];
	double confidence_threshold;
	bool predictive_scaling;
	double learning_rate;
	int64_t version, updated_ms; /* version 0: nobody has written it yet */
};

/* NULL-terminated. */
extern const char *const ai_model_types[];

/* The defaults, when there is no row. */
int ai_config_get(struct db *db, const char *tenant_id, struct ai_config *out, struct err *e) MUST_CHECK;
/* Takes the members of a validated body; names (size bytes) gets those that changed, by comma. */
void ai_config_apply(struct ai_config *c, const json_t *body, char *names, size_t size);
json_t *ai_config_json(const struct ai_config *c);
/* Writes and logs it. */
int ai_config_put(struct db *tx, const char *tenant_id, const struct ai_config *c, const char *fields,
	const struct lb_actor *by, struct err *e) MUST_CHECK;

extern const struct sql_table ai_config_sql;
extern const struct erasure ai_config_erasure;
extern const struct schema ai_config_schema;

#endif
