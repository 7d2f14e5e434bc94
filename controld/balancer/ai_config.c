#include "controld/balancer/ai_config.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/store/changes.h"

#include <stdlib.h>
#include <string.h>

enum { SQL_GET, SQL_PUT, SQL_ERASE };
static const char *const sql[] = {
	[SQL_GET] = "SELECT enabled, model_type, confidence_threshold, predictive_scaling, learning_rate, version, "
		    "updated_ms FROM ai_configs WHERE tenant_id = ?1",
	[SQL_PUT] = "INSERT INTO ai_configs (tenant_id, enabled, model_type, confidence_threshold, predictive_scaling, "
		    "learning_rate, version, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT "
		    "(tenant_id) DO "
		    "UPDATE SET enabled = ?2, model_type = ?3, confidence_threshold = ?4, predictive_scaling = ?5, "
		    "learning_rate = ?6, version = ?7, updated_ms = ?8",
	[SQL_ERASE] = "DELETE FROM ai_configs WHERE tenant_id = ?1",
};
const struct sql_table ai_config_sql = { "ai_config", sql, ARRAY_LEN(sql) };

const char *const ai_model_types[] = { "exponential_smoothing", "neural_network", NULL };

static const struct ai_config standard = { .enabled = false,
	.model_type = "exponential_smoothing",
	.confidence_threshold = 0.8,
	.predictive_scaling = false,
	.learning_rate = 0.001 };

int ai_config_get(struct db *db, const char *tenant_id, struct ai_config *out, struct err *e)
{
	struct query *q;
	int rc;

	*out = standard;
	if (db_query(db, &q, sql[SQL_GET], e, bind_s(tenant_id)) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1) {
		out->enabled = query_int(q, 0) != 0;
		(void)str_copy(out->model_type, sizeof out->model_type, query_text(q, 1));
		out->confidence_threshold = query_real(q, 2);
		out->predictive_scaling = query_int(q, 3) != 0;
		out->learning_rate = query_real(q, 4);
		out->version = query_int(q, 5);
		out->updated_ms = query_int(q, 6);
	}
	query_end(q);
	return rc < 0 ? -1 : 0;
}

static void note(char *names, size_t size, const char *name, bool differs)
{
	const size_t used = strlen(names);

	if (differs)
		(void)str_fmt(names + used, size - used, "%s%s", used > 0 ? "," : "", name);
}

static void take_bool(const json_t *body, const char *name, bool fallback, bool *dst)
{
	const json_t *v = json_object_get(body, name);

	if (v != NULL)
		*dst = json_is_null(v) ? fallback : json_is_true(v);
}

static void take_real(const json_t *body, const char *name, double fallback, double *dst)
{
	const json_t *v = json_object_get(body, name);

	if (v != NULL)
		*dst = json_is_null(v) ? fallback : json_number_value(v);
}

/* As it was sent and stored: another number is another wish, however near. */
static bool same(double a, double b)
{
	return !(a < b) && !(a > b);
}

void ai_config_apply(struct ai_config *c, const json_t *body, char *names, size_t size)
{
	const json_t *type = json_object_get(body, "model_type");
	const struct ai_config old = *c;

	names[0] = '\0';
	take_bool(body, "enabled", standard.enabled, &c->enabled);
	take_bool(body, "predictive_scaling", standard.predictive_scaling, &c->predictive_scaling);
	take_real(body, "confidence_threshold", standard.confidence_threshold, &c->confidence_threshold);
	take_real(body, "learning_rate", standard.learning_rate, &c->learning_rate);
	if (type != NULL)
		(void)str_copy(c->model_type, sizeof c->model_type,
			json_is_string(type) ? json_string_value(type) : standard.model_type);
	note(names, size, "enabled", old.enabled != c->enabled);
	note(names, size, "model_type", !str_eq(old.model_type, c->model_type));
	note(names, size, "confidence_threshold", !same(old.confidence_threshold, c->confidence_threshold));
	note(names, size, "predictive_scaling", old.predictive_scaling != c->predictive_scaling);
	note(names, size, "learning_rate", !same(old.learning_rate, c->learning_rate));
}

json_t *ai_config_json(const struct ai_config *c)
{
	char time[CLOCK_RFC3339_SIZE];

	clock_rfc3339(time, c->updated_ms);
	return json_pack("{s:b, s:s, s:f, s:b, s:f, s:I, s:o}", "enabled", c->enabled, "model_type", c->model_type,
		"confidence_threshold", c->confidence_threshold, "predictive_scaling", c->predictive_scaling,
		"learning_rate", c->learning_rate, "version", (json_int_t)c->version, "updated_at",
		c->updated_ms != 0 ? json_string(time) : json_null());
}

int ai_config_put(struct db *tx, const char *tenant_id, const struct ai_config *c, const char *fields,
	const struct lb_actor *by, struct err *e)
{
	json_t *object = ai_config_json(c);
	char *text = json_dumps(object, JSON_COMPACT);
	const struct change row = { .time_ms = by->now_ms,
		.tenant = tenant_id,
		.actor = by->name,
		.request_id = by->request_id,
		.kind = "ai_config",
		.op = "update",
		.subject = tenant_id,
		.fields = fields,
		.object = text };
	int rc = changes_append(tx, &row, NULL, e);

	free(text);
	json_decref(object);
	if (rc != 0)
		return -1;
	rc = db_exec(tx, sql[SQL_PUT], e, bind_s(tenant_id), bind_i(c->enabled), bind_s(c->model_type),
		bind_d(c->confidence_threshold), bind_i(c->predictive_scaling), bind_d(c->learning_rate),
		bind_i(c->version), bind_i(c->updated_ms));
	return rc < 0 ? -1 : 0;
}

static int erase(
	struct db *tx, const struct erase_owner *o, unsigned limit, int64_t *position, unsigned *n, struct err *e)
{
	(void)limit;
	(void)position;
	*n = 0;
	return o->tenant && db_exec(tx, sql[SQL_ERASE], e, bind_s(o->id)) < 0 ? -1 : 0;
}

const struct erasure ai_config_erasure = { "ai_config", "ai_configs", erase };

#define FLAG(n, h)                                                                  \
	{                                                                           \
		.name = n, .type = SCHEMA_BOOL, .flags = SCHEMA_NULLABLE, .help = h \
	}
static const struct schema_field config_fields[] = {
	FLAG("enabled", "forecasts are wanted"),
	{ .name = "model_type",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_NULLABLE,
		.choices = ai_model_types,
		.help = "what forecasts the load; default exponential_smoothing" },
	{ .name = "confidence_threshold",
		.type = SCHEMA_NUMBER,
		.flags = SCHEMA_NULLABLE,
		.min = 0,
		.max = 1,
		.help = "below it a forecast recommends nothing; default 0.8" },
	FLAG("predictive_scaling", "a forecast says whether more backends are needed"),
	{ .name = "learning_rate",
		.type = SCHEMA_NUMBER,
		.flags = SCHEMA_NULLABLE,
		.min = 0,
		.max = 1,
		.help = "of neural_network; default 0.001" },
	{ .name = "version", .type = SCHEMA_INT, .flags = SCHEMA_IGNORED },
	{ .name = "updated_at", .type = SCHEMA_STRING, .flags = SCHEMA_IGNORED | SCHEMA_NULLABLE },
};
const struct schema ai_config_schema = { "AiConfig", config_fields, ARRAY_LEN(config_fields), false };
