#include "controld/clients/client_input.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "controld/clients/client_config.h"
#include "controld/clients/client_secret.h"

#include <string.h>

#define CLIENT_PEM_MAX 8192
#define OVERLAP_MAX_MS (INT64_C(30) * 86400 * 1000)

void client_init(struct client *c, int64_t now_ms)
{
	memset(c, 0, sizeof *c);
	c->active = c->owner_active = true;
	c->version = 1;
	c->created_ms = c->updated_ms = now_ms;
	client_config_default(&c->conf);
}

static void take_name(struct client *c, const json_t *body, struct err_list *errs)
{
	const json_t *v = json_object_get(body, "name");
	const char *s = json_is_string(v) ? json_string_value(v) : "";

	if (v != NULL && str_copy(c->name, sizeof c->name, s) != 0)
		err_list_add(errs, ERR_VALIDATION, "name", "length", s, "name: at most %d characters", CLIENT_NAME_MAX);
}

/* *ends_ms: as it is, and as the body has it; null is never. */
static void take_expiry(int64_t *ends_ms, const json_t *body, int64_t now_ms, struct err_list *errs)
{
	const json_t *v = json_object_get(body, "expires_at");
	const char *s = json_string_value(v);
	int64_t at = 0;

	if (v == NULL)
		return;
	if (s != NULL && clock_parse_rfc3339(s, &at) != 0)
		err_list_add(
			errs, ERR_VALIDATION, "expires_at", "format", s, "expires_at: '%s' is not an RFC 3339 time", s);
	else if (s != NULL && at != *ends_ms && at <= now_ms)
		err_list_add(errs, ERR_VALIDATION, "expires_at", "range", s, "expires_at: '%s' is in the past", s);
	else
		*ends_ms = at;
}

void client_apply(struct client *c, const json_t *body, int64_t now_ms, struct err_list *errs)
{
	const json_t *enabled = json_object_get(body, "enabled");
	const json_t *single = json_object_get(body, "single");
	const json_t *config = json_object_get(body, "config");

	take_name(c, body, errs);
	take_expiry(&c->conf.expires_ms, body, now_ms, errs);
	if (enabled != NULL)
		c->active = !json_is_false(enabled);
	if (single != NULL)
		c->conf.single = json_is_true(single);
	if (json_is_null(config))
		client_config_default(&c->conf);
	else if (config != NULL)
		client_config_apply(&c->conf, config, "config.", errs);
}

int64_t client_overlap_ms(const json_t *body, struct err_list *errs)
{
	const json_t *v = json_object_get(body, "overlap");
	const char *s = json_string_value(v);
	uint64_t ms = (uint64_t)MIN(MAX(json_integer_value(v), 0), INT32_MAX) * 1000;
	char value[32];

	if (v == NULL || json_is_null(v))
		return CLIENT_OVERLAP_DEFAULT_MS;
	if (s != NULL && str_to_duration_ms(s, &ms) != 0) {
		err_list_add(errs, ERR_VALIDATION, "overlap", "format", s,
			"overlap: '%s' is not a duration such as \"24h\"", s);
		return 0;
	}
	str_fmt(value, sizeof value, "%llums", (unsigned long long)ms);
	if (ms > OVERLAP_MAX_MS)
		err_list_add(
			errs, ERR_VALIDATION, "overlap", "range", value, "overlap: %s must be from 0 to 30d", value);
	return (int64_t)ms;
}

void client_key_apply(struct client_new_key *k, const json_t *body, int64_t now_ms, struct err_list *errs)
{
	const char *pem = json_string_value(json_object_get(body, "pem"));
	int64_t ends_ms = 0;
	struct err e;

	if (client_key_read(k, pem != NULL ? pem : "", now_ms, &e) != 0)
		err_list_add(errs, e.code, "pem", "format", NULL, "%s", e.msg);
	take_expiry(&ends_ms, body, now_ms, errs);
	if (ends_ms != 0 && (k->not_after_ms == 0 || ends_ms < k->not_after_ms))
		k->not_after_ms = ends_ms;
}

/* ---- schemas ------------------------------------------------------------------------------------------------------ */

/* Members that only answers have are accepted in a request and ignored, so that an object that was read can be sent
 * back. */
#define ANSWER SCHEMA_IGNORED
#define NULLED SCHEMA_NULLABLE

static const char *const types[] = { "registered", "anonymous", NULL };
static const char *const statuses[] = { "online", "offline", "error", NULL };

static const struct schema_field fields[] = {
	{ .name = "id",
		.type = SCHEMA_INT,
		.min = 1,
		.max = CLIENT_ID_MAX - 1,
		.help = "picked; a system administrator may choose it for a new client" },
	{ .name = "tenant_id", .type = SCHEMA_STRING, .flags = ANSWER },
	{ .name = "user_id",
		.type = SCHEMA_STRING,
		.flags = NULLED,
		.max = PROTO_ID_SIZE,
		.help = "whose it is; default: the caller. Another one needs an administrator" },
	{ .name = "name", .type = SCHEMA_STRING, .flags = NULLED, .max = CLIENT_NAME_MAX, .help = "for people" },
	{ .name = "type", .type = SCHEMA_STRING, .flags = ANSWER, .choices = types },
	{ .name = "enabled",
		.type = SCHEMA_BOOL,
		.flags = NULLED,
		.help = "false: its agents are not let in and its mappings are off; default true" },
	{ .name = "single",
		.type = SCHEMA_BOOL,
		.flags = NULLED,
		.help = "one agent at a time: a second one is refused, not added; default false" },
	{ .name = "auth_code",
		.type = SCHEMA_STRING,
		.flags = ANSWER,
		.help = "names the newest secret without telling it" },
	{ .name = "secret_key",
		.type = SCHEMA_STRING,
		.flags = ANSWER | SCHEMA_SECRET,
		.help = "for the agent; in the answers that make one only, it is stored nowhere" },
	{ .name = "secrets",
		.type = SCHEMA_ANY,
		.flags = ANSWER,
		.help = "those that work, newest first: id, kind (secret, public_key, certificate), created_at, "
			"expires_at" },
	{ .name = "status",
		.type = SCHEMA_STRING,
		.flags = ANSWER,
		.choices = statuses,
		.help = "what the relays say" },
	{ .name = "node_id",
		.type = SCHEMA_STRING,
		.flags = ANSWER | NULLED,
		.help = "a relay that it has links with" },
	{ .name = "last_seen", .type = SCHEMA_STRING, .flags = ANSWER | NULLED, .help = "by a relay; null: never" },
	{ .name = "instances",
		.type = SCHEMA_ANY,
		.flags = ANSWER,
		.help = "its agents: instance, node, remote_addr, version, status, links, since, targets_down (that it "
			"checks; and private mappings that lead from its machine, where it cannot listen) and "
			"targets_doubted (that connections failed to reach lately), each with mapping_id and reason" },
	{ .name = "instances_left_out", .type = SCHEMA_INT, .flags = ANSWER, .help = "how many more there are" },
	{ .name = "targets_left_out",
		.type = SCHEMA_INT,
		.flags = ANSWER,
		.help = "targets, down or doubted, that are not listed at their instances" },
	{ .name = "config", .type = SCHEMA_OBJECT, .flags = NULLED, .sub = &client_config_schema },
	{ .name = "expires_at",
		.type = SCHEMA_STRING,
		.flags = NULLED,
		.format = SCHEMA_FORMAT_TIME,
		.help = "the relays end it then by themselves; null: never" },
	{ .name = "version", .type = SCHEMA_INT, .flags = ANSWER, .help = "rises with each change; the ETag" },
	{ .name = "created_at", .type = SCHEMA_STRING, .flags = ANSWER },
	{ .name = "updated_at", .type = SCHEMA_STRING, .flags = ANSWER },
};
const struct schema client_schema = { "Client", fields, ARRAY_LEN(fields), false };

static const struct schema_field rotate_fields[] = {
	{ .name = "overlap",
		.type = SCHEMA_STRING,
		.flags = NULLED,
		.format = SCHEMA_FORMAT_DURATION,
		.help = "how long the secrets before it work on: from 0 to 30d; default 24h" },
};
const struct schema client_rotate_schema = { "ClientRotate", rotate_fields, ARRAY_LEN(rotate_fields), false };

static const struct schema_field key_fields[] = {
	{ .name = "pem",
		.type = SCHEMA_STRING,
		.flags = SCHEMA_REQUIRED,
		.max = CLIENT_PEM_MAX,
		.help = "an Ed25519 public key, or a certificate (X.509) of one, in PEM; never the private key" },
	{ .name = "expires_at",
		.type = SCHEMA_STRING,
		.flags = NULLED,
		.format = SCHEMA_FORMAT_TIME,
		.help = "the relays refuse it from then on; default: when the certificate ends, and never later than "
			"that" },
};
const struct schema client_key_schema = { "ClientKey", key_fields, ARRAY_LEN(key_fields), false };

static const struct schema_field query_fields[] = {
	{ .name = "user_id", .type = SCHEMA_STRING, .max = PROTO_ID_SIZE, .help = "of this user" },
	{ .name = "type", .type = SCHEMA_STRING, .choices = types, .help = "of this type" },
	{ .name = "status", .type = SCHEMA_STRING, .choices = statuses, .help = "that stand like this now" },
	{ .name = "q", .type = SCHEMA_STRING, .max = CLIENT_NAME_MAX, .help = "beginning of the name, or the id" },
	{ .name = "limit", .type = SCHEMA_INT, .min = 1, .max = 200, .help = "items in one answer; default 50" },
	{ .name = "cursor", .type = SCHEMA_STRING, .max = 20, .help = "next_cursor of the answer before" },
};
const struct schema client_list_query = { NULL, query_fields, ARRAY_LEN(query_fields), false };

static const struct schema_field list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &client_schema },
	{ .name = "next_cursor", .type = SCHEMA_STRING, .flags = NULLED, .help = "null: this was the last page" },
};
const struct schema client_list_schema = { "ClientList", list_fields, ARRAY_LEN(list_fields), false };
