#include "client/resource/resource.h"

#include "common/base/str.h"

#include <string.h>

#define API      "/api/v1/"
#define BALANCER "/api/"

static const struct column api_key_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "PREFIX", "prefix", CELL_TEXT },
	{ "ROLE", "role", CELL_TEXT },
	{ "SCOPES", "scopes", CELL_TEXT },
	{ "EXPIRES", "expires_at", CELL_TIME },
	{ "USED", "last_used_at", CELL_AGE },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column audit_columns[] = {
	{ "SEQ", "seq", CELL_COUNT },
	{ "TIME", "time", CELL_TIME },
	{ "ACTOR", "actor", CELL_TEXT },
	{ "KIND", "kind", CELL_TEXT },
	{ "OP", "op", CELL_TEXT },
	{ "SUBJECT", "subject", CELL_TEXT },
	{ "FIELDS", "fields", CELL_TEXT },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column backend_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "POOL", "pool", CELL_TEXT },
	{ "ADDRESS", "address", CELL_TEXT },
	{ "WEIGHT", "weight", CELL_COUNT },
	{ "STATUS", "status", CELL_TEXT },
	{ "REGION", "region", CELL_TEXT },
	{ "BACKUP", "backup", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column certificate_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "NAMES", "names", CELL_TEXT },
	{ "SOURCE", "source", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "ENDS", "not_after", CELL_TIME },
	{ "ERROR", "error", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column client_columns[] = {
	{ "ID", "id", CELL_COUNT },
	{ "NAME", "name", CELL_TEXT },
	{ "TYPE", "type", CELL_TEXT },
	{ "ENABLED", "enabled", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "NODES", "instances", CELL_LENGTH },
	{ "SEEN", "last_seen", CELL_AGE },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column connection_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "PROTO", "protocol", CELL_TEXT },
	{ "CLIENT", "remote_addr", CELL_TEXT },
	{ "PORT", "local_addr", CELL_TEXT },
	{ "TARGET", "target_addr", CELL_TEXT },
	{ "NODE", "node", CELL_TEXT },
	{ "IN", "bytes_received", CELL_BYTES },
	{ "OUT", "bytes_sent", CELL_BYTES },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column connection_code_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "PROTO", "protocol", CELL_TEXT },
	{ "TARGET", NULL, CELL_TARGET },
	{ "EXPIRES", "expires_at", CELL_TIME },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column group_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "DESCRIPTION", "description", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column job_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "KIND", "kind", CELL_TEXT },
	{ "QUEUE", "queue", CELL_TEXT },
	{ "STATE", "state", CELL_TEXT },
	{ "DONE", "progress.done", CELL_COUNT },
	{ "TOTAL", "progress.total", CELL_COUNT },
	{ "FAILURES", "failures", CELL_COUNT },
	{ "ERROR", "error.message", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column job_kind_columns[] = {
	{ "NAME", "name", CELL_TEXT },
	{ "QUEUE", "queue", CELL_TEXT },
	{ "ATTEMPTS", "attempts", CELL_COUNT },
	{ "BY HAND", "may_start", CELL_TEXT },
	{ "WHAT", "summary", CELL_TEXT },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column job_queue_columns[] = {
	{ "NAME", "name", CELL_TEXT },
	{ "WEIGHT", "weight", CELL_COUNT },
	{ "QUEUED", "queued", CELL_COUNT },
	{ "SCHEDULED", "scheduled", CELL_COUNT },
	{ "RUNNING", "running", CELL_COUNT },
	{ "DEAD", "dead", CELL_COUNT },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column join_token_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NODE", "name", CELL_TEXT },
	{ "GROUP", "group", CELL_TEXT },
	{ "EXPIRES", "expires_at", CELL_TIME },
	{ "USED", "used_at", CELL_TIME },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column mapping_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "PROTO", "protocol", CELL_TEXT },
	{ "PORT", NULL, CELL_PORTS },
	{ "TARGET", NULL, CELL_TARGET },
	{ "GROUP", "group", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column node_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "GROUP", "group", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "REVISION", "revision", CELL_COUNT },
	{ "LAG", "lag", CELL_COUNT },
	{ "REFUSED", "refused", CELL_COUNT },
	{ "CONNS", "load.connections", CELL_COUNT },
	{ "VERSION", "version", CELL_TEXT },
	{ "SEEN", "last_seen", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column pool_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "ALGORITHM", "algorithm", CELL_TEXT },
	{ "BACKENDS", "backends", CELL_LENGTH },
	{ "STATUS", "status", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column route_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "HOST", "host", CELL_TEXT },
	{ "PATH", "path_prefix", CELL_TEXT },
	{ "POOL", "pool", CELL_TEXT },
	{ "TLS", "ssl_enabled", CELL_TEXT },
	{ "GROUP", "group", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column schedule_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "KIND", "kind", CELL_TEXT },
	{ "CRON", "cron", CELL_TEXT },
	{ "ZONE", "time_zone", CELL_TEXT },
	{ "PAUSED", "paused", CELL_TEXT },
	{ "NEXT", "next_at", CELL_TIME },
	{ "LAST", "last_at", CELL_TIME },
	{ "MISSED", "missed_runs", CELL_COUNT },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column tenant_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "MAY DIAL", "dial_allow", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column user_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "EMAIL", "email", CELL_TEXT },
	{ "ROLE", "role", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "TENANT", "tenant_id", CELL_TEXT },
	{ "LAST LOGIN", "last_login", CELL_TIME },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column webhook_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "URL", "url", CELL_TEXT },
	{ "FORMAT", "format", CELL_TEXT },
	{ "EVENTS", "events", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "WAITING", "waiting", CELL_COUNT },
	{ "FAILURES", "failures", CELL_COUNT },
	{ "DELIVERED", "last_delivered_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};
static const struct column plain_columns[] = {
	{ "ID", "id", CELL_TEXT },
	{ "NAME", "name", CELL_TEXT },
	{ "STATUS", "status", CELL_TEXT },
	{ "AGE", "created_at", CELL_AGE },
	{ NULL, NULL, CELL_TEXT },
};

const struct resource resource_table[] = {
	{ .name = "api-key",
		.plural = "api-keys",
		.path = API "api-keys",
		.verbs = RESOURCE_LIST | RESOURCE_GET | RESOURCE_CREATE | RESOURCE_DELETE,
		.columns = api_key_columns,
		.id = "id",
		.names = { "name" },
		.secret = "key",
		.summary = "keys that programs use in place of a login" },
	{ .name = "audit",
		.plural = "audit",
		.path = API "audit",
		.verbs = RESOURCE_LIST,
		.columns = audit_columns,
		.id = "seq",
		.summary = "who did what, newest first" },
	{ .name = "backend",
		.plural = "backends",
		.path = BALANCER "backends",
		.verbs = RESOURCE_CRUD,
		.columns = backend_columns,
		.id = "id",
		.summary = "servers of pools; weight 0 drains one" },
	{ .name = "certificate",
		.plural = "certificates",
		.path = API "certificates",
		.verbs = RESOURCE_CRUD,
		.columns = certificate_columns,
		.id = "id",
		.names = { "name" },
		.summary = "what relays show for hosts over TLS" },
	{ .name = "client",
		.plural = "clients",
		.path = API "clients",
		.verbs = RESOURCE_CRUD,
		.columns = client_columns,
		.id = "id",
		.names = { "name" },
		.numbered = true,
		.searched = true,
		.secret = "secret_key",
		.summary = "agents behind NAT, and what they may do" },
	{ .name = "connection",
		.plural = "connections",
		.path = API "connections",
		.verbs = RESOURCE_LIST | RESOURCE_DELETE,
		.columns = connection_columns,
		.id = "id",
		.page = 4096,
		.summary = "what passes now; deleting one cuts it" },
	{ .name = "connection-code",
		.plural = "connection-codes",
		.path = API "connection-codes",
		.verbs = RESOURCE_LIST | RESOURCE_CREATE | RESOURCE_DELETE,
		.columns = connection_code_columns,
		.id = "id",
		.secret = "code",
		.summary = "words that open one target once, for who has no account" },
	{ .name = "group",
		.plural = "groups",
		.path = API "groups",
		.verbs = RESOURCE_CRUD,
		.columns = group_columns,
		.id = "id",
		.summary = "groups of relays" },
	{ .name = "job",
		.plural = "jobs",
		.path = API "jobs",
		.verbs = RESOURCE_LIST | RESOURCE_GET | RESOURCE_CREATE | RESOURCE_DELETE,
		.columns = job_columns,
		.id = "id",
		.summary = "long work; portway job follows and cancels it" },
	{ .name = "job-kind",
		.plural = "job-kinds",
		.path = API "job-kinds",
		.verbs = RESOURCE_LIST,
		.columns = job_kind_columns,
		.id = "name",
		.summary = "what jobs there can be" },
	{ .name = "job-queue",
		.plural = "job-queues",
		.path = API "job-queues",
		.verbs = RESOURCE_LIST,
		.columns = job_queue_columns,
		.id = "name",
		.summary = "queues of jobs, and how many wait in them" },
	{ .name = "join-token",
		.plural = "join-tokens",
		.path = API "nodes/join-tokens",
		.verbs = RESOURCE_LIST | RESOURCE_CREATE | RESOURCE_DELETE,
		.columns = join_token_columns,
		.id = "id",
		.names = { "name" },
		.secret = "token",
		.summary = "tokens that let one relay join" },
	{ .name = "mapping",
		.plural = "mappings",
		.path = API "mappings",
		.verbs = RESOURCE_CRUD,
		.columns = mapping_columns,
		.id = "id",
		.names = { "name" },
		.searched = true,
		.settles = true,
		.summary = "tunnel ports and where they lead" },
	{ .name = "node",
		.plural = "nodes",
		.path = API "nodes",
		.verbs = RESOURCE_LIST | RESOURCE_GET | RESOURCE_UPDATE | RESOURCE_DELETE,
		.columns = node_columns,
		.id = "id",
		.summary = "relays; a join-token makes one" },
	{ .name = "pool",
		.plural = "pools",
		.path = BALANCER "pools",
		.verbs = RESOURCE_CRUD,
		.columns = pool_columns,
		.id = "name",
		.summary = "backends that serve the same, and how requests are spread" },
	{ .name = "route",
		.plural = "routes",
		.path = BALANCER "routes",
		.verbs = RESOURCE_CRUD,
		.columns = route_columns,
		.id = "id",
		.settles = true,
		.summary = "which requests go to which pool" },
	{ .name = "schedule",
		.plural = "schedules",
		.path = API "schedules",
		.verbs = RESOURCE_CRUD,
		.columns = schedule_columns,
		.id = "id",
		.names = { "name" },
		.summary = "what starts jobs by the clock" },
	{ .name = "tenant",
		.plural = "tenants",
		.path = API "tenants",
		.verbs = RESOURCE_CRUD,
		.columns = tenant_columns,
		.id = "id",
		.names = { "name" },
		.summary = "tenants, apart from each other" },
	{ .name = "user",
		.plural = "users",
		.path = API "users",
		.verbs = RESOURCE_CRUD,
		.columns = user_columns,
		.id = "id",
		.names = { "email", "username" },
		.searched = true,
		.summary = "people who may log in" },
	{ .name = "webhook",
		.plural = "webhooks",
		.path = "/api/webhooks",
		.verbs = RESOURCE_CRUD,
		.columns = webhook_columns,
		.id = "id",
		.names = { "name" },
		.secret = "secret",
		.summary = "URLs that changes are posted to; portway webhook tests them" },
	{ .name = NULL },
};

const struct resource *resource_find(const char *name)
{
	for (const struct resource *r = resource_table; r->name != NULL; r++)
		if (strcmp(r->name, name) == 0 || strcmp(r->plural, name) == 0)
			return r;
	return NULL;
}

/* ---- what only the API knows -------------------------------------------------------------------------------------- */

/* Its methods as verbs; 0 when the document has no such path. */
static unsigned verbs_of(const json_t *paths, const char *path)
{
	char one[128];
	const json_t *many = json_object_get(paths, path), *single;
	unsigned verbs = 0;

	if (str_fmt(one, sizeof one, "%s/{id}", path) != 0)
		return 0;
	single = json_object_get(paths, one);
	verbs |= json_object_get(many, "get") != NULL ? RESOURCE_LIST : 0;
	verbs |= json_object_get(many, "post") != NULL ? RESOURCE_CREATE : 0;
	verbs |= json_object_get(single, "get") != NULL ? RESOURCE_GET : 0;
	verbs |= json_object_get(single, "put") != NULL ? RESOURCE_UPDATE : 0;
	verbs |= json_object_get(single, "delete") != NULL ? RESOURCE_DELETE : 0;
	return verbs;
}

int resource_discover(struct resource_found *out, const json_t *doc, const char *name)
{
	static const struct {
		const char *above, *ending;
	} places[] = { { API, "s" }, { API, "" }, { API, "es" }, { "/api/", "s" }, { "/api/", "" } };
	const json_t *paths = json_object_get(doc, "paths");
	unsigned verbs;

	if (name[0] == '\0' || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (str_fmt(out->path, sizeof out->path, "%s%s%s", places[i].above, name, places[i].ending) != 0 ||
			(verbs = verbs_of(paths, out->path)) == 0)
			continue;
		out->resource = (struct resource){ .name = name,
			.plural = out->path + strlen(places[i].above),
			.path = out->path,
			.verbs = verbs,
			.columns = plain_columns,
			.id = "id",
			.names = { "name" },
			.summary = "" };
		return 0;
	}
	return -1;
}
