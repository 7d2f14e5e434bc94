#include "controld/events/event.h"

#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>

#define LOG_ID_SHOWN 4 /* bytes: enough to see that a database is another one */

/* What the routes of these objects ask of who reads them. What is not listed is for administrators of the tenant. */
static const struct {
	const char *kind;
	enum permission needs;
	bool about_identity;
} kinds[] = {
	{ "mapping", PERM_READ, false },
	{ "client", PERM_READ, false },
	{ "pool", PERM_READ, false },
	{ "backend", PERM_READ, false },
	{ "route", PERM_READ, false },
	{ "certificate", PERM_READ, false },
	{ "job", PERM_READ, false },
	{ "schedule", PERM_READ, false },
	{ "webhook", PERM_TENANT_ADMIN, false },
	{ "user", PERM_TENANT_ADMIN, true },
	{ "tenant", PERM_TENANT_ADMIN, true },
	{ "api_key", PERM_TENANT_ADMIN, true },
	{ "login", PERM_TENANT_ADMIN, false },
	{ "sync", PERM_READ, false },
	{ "email_suppression", PERM_SYSTEM, false },
	{ "node", PERM_SYSTEM, false },
	{ "group", PERM_SYSTEM, false },
	{ "join_token", PERM_SYSTEM, false },
	{ "fleet_ca", PERM_SYSTEM, false },
	{ "config", PERM_SYSTEM, false },
	{ "setting", PERM_SYSTEM, false },
	{ "repo", PERM_SYSTEM, false },
	{ "master_key", PERM_SYSTEM, false },
};

void event_put_fields(struct buf *b, const char *fields)
{
	jsonw_array(b, "fields");
	while (*fields != '\0') {
		char name[128];
		const size_t n = strcspn(fields, ",");

		(void)str_fmt(name, sizeof name, "%.*s", (int)MIN(n, sizeof name - 1), fields);
		jsonw_str(b, NULL, name);
		fields += n + (fields[n] == ',');
	}
	jsonw_end_array(b);
}

/* As GET /api/v1/audit prints it. */
static void put_json(struct buf *b, const struct change *c)
{
	jsonw_object(b, NULL);
	jsonw_int(b, "seq", c->seq);
	jsonw_time(b, "time", c->time_ms);
	jsonw_str(b, "tenant_id", c->tenant);
	jsonw_str(b, "actor", c->actor);
	jsonw_str(b, "request_id", c->request_id);
	jsonw_str(b, "kind", c->kind);
	jsonw_str(b, "op", c->op);
	jsonw_str(b, "subject", c->subject);
	event_put_fields(b, c->fields);
	if (c->object != NULL && strchr(c->object, '\n') == NULL)
		jsonw_raw(b, "object", c->object, strlen(c->object));
	else
		jsonw_null(b, "object");
	jsonw_end_object(b);
}

void event_make(struct event *ev, const struct change *c, const uint8_t log_id[CHANGES_LOG_ID_SIZE])
{
	char id[EVENTS_ID_SIZE];
	struct buf json;

	memset(ev, 0, sizeof *ev);
	ev->seq = c->seq;
	ev->needs = PERM_TENANT_ADMIN;
	(void)str_copy(ev->tenant_id, sizeof ev->tenant_id, c->tenant);
	(void)str_copy(ev->kind, sizeof ev->kind, c->kind);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(c->kind, kinds[i].kind)) {
			ev->needs = kinds[i].needs;
			ev->about_identity = kinds[i].about_identity;
		}
	if (str_eq(c->op, "logout") || str_eq(c->op, "token_reuse"))
		ev->about_identity = true;
	event_id_print(id, log_id, c->seq);
	buf_init(&json, EVENTS_TEXT_MAX);
	put_json(&json, c);
	buf_init(&ev->text, EVENTS_TEXT_MAX + 256);
	buf_printf(&ev->text, "id: %s\nevent: change\ndata: %s\n\n", id, buf_cstr(&json));
	ev->text.failed = ev->text.failed || json.failed;
	buf_free(&json);
}

enum permission event_needs(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(kind, kinds[i].kind))
			return kinds[i].needs;
	return PERM_TENANT_ADMIN;
}

void event_fini(struct event *ev)
{
	buf_free(&ev->text);
}

/* Whether a comma-separated list has the word; an empty one has all. */
static bool is_listed(const char *list, const char *word)
{
	const size_t n = strlen(word);

	if (*list == '\0')
		return true;
	for (const char *p = list; (p = strstr(p, word)) != NULL; p += n)
		if ((p == list || p[-1] == ',') && (p[n] == '\0' || p[n] == ','))
			return true;
	return false;
}

bool event_is_for(const struct event *ev, const struct event_filter *f)
{
	if (f->tenant_id[0] != '\0' && !str_eq(f->tenant_id, ev->tenant_id))
		return false;
	if (!f->who.system_admin && !str_eq(f->who.tenant_id, ev->tenant_id))
		return false;
	return identity_allows(&f->who, ev->needs) && is_listed(f->kinds, ev->kind) && !ev->text.failed;
}

void event_id_print(char dst[EVENTS_ID_SIZE], const uint8_t log_id[CHANGES_LOG_ID_SIZE], int64_t seq)
{
	char hex[2 * LOG_ID_SHOWN + 1];

	str_hex(hex, log_id, LOG_ID_SHOWN);
	(void)str_fmt(dst, EVENTS_ID_SIZE, "%s-%" PRId64, hex, seq);
}

int event_id_parse(const char *s, const uint8_t log_id[CHANGES_LOG_ID_SIZE], int64_t *seq)
{
	char hex[2 * LOG_ID_SHOWN + 1];
	const char *dash = strchr(s, '-');

	if (dash == NULL || dash - s != 2 * LOG_ID_SHOWN || str_to_i64(dash + 1, 0, INT64_MAX, seq) != 0)
		return -1;
	str_hex(hex, log_id, LOG_ID_SHOWN);
	return strncmp(s, hex, 2 * LOG_ID_SHOWN) == 0 ? 0 : 1;
}
