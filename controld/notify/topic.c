#include "controld/notify/topic.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "controld/events/event.h"

#include <string.h>

/* The first that fits; kind NULL: any. Backends join a pool and leave it. */
static const struct {
	const char *kind, *op, *verb;
} verbs[] = { { "backend", "create", "added" }, { "backend", "delete", "removed" }, { NULL, "create", "created" },
	{ NULL, "update", "updated" }, { NULL, "delete", "deleted" } };

static const char *verb_of(const struct change *c)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eq(c->op, verbs[i].op) && (verbs[i].kind == NULL || str_eq(c->kind, verbs[i].kind)))
			return verbs[i].verb;
	return c->op;
}

static bool is_event(const struct change *c)
{
	return str_eq(c->kind, TOPIC_EVENT_KIND) && str_eq(c->op, TOPIC_EVENT_OP);
}

void topic_name(char dst[TOPIC_SIZE], const struct change *c)
{
	if (is_event(c)) {
		(void)str_copy(dst, TOPIC_SIZE, c->subject);
		return;
	}
	(void)str_fmt(dst, TOPIC_SIZE, "%s.%s", c->kind, verb_of(c));
}

bool topic_is_open(const struct change *c)
{
	return c->tenant[0] != '\0' && event_needs(c->kind) != PERM_SYSTEM;
}

static bool one_matches(const char *pattern, size_t n, const char *topic)
{
	if (n > 0 && pattern[n - 1] == '*')
		return strncmp(pattern, topic, n - 1) == 0;
	return strlen(topic) == n && memcmp(pattern, topic, n) == 0;
}

bool topic_matches(const char *list, const char *topic)
{
	while (*list != '\0') {
		const size_t n = strcspn(list, ",");

		if (one_matches(list, n, topic))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

/* "*", or a kind, a dot, and a verb or "*". */
static bool is_pattern(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	const size_t kind = strspn(s, letters);

	if (str_eq(s, "*"))
		return true;
	if (kind == 0 || s[kind] != '.' || strlen(s) >= TOPIC_SIZE)
		return false;
	s += kind + 1;
	return str_eq(s, "*") || (*s != '\0' && s[strspn(s, letters)] == '\0');
}

bool topic_is_name(const char *s)
{
	return is_pattern(s) && strchr(s, '*') == NULL;
}

int topic_list_take(const json_t *events, char *dst, size_t size, struct err *e)
{
	size_t used = 0, i;
	const json_t *item;

	if (json_array_size(events) == 0)
		return err_set(
			e, ERR_VALIDATION, "events", "events: must have an item, such as \"mapping.created\" or \"*\"");
	json_array_foreach(events, i, item)
	{
		const char *s = json_string_value(item);
		const size_t n = s != NULL ? strlen(s) : 0;

		if (s == NULL || !is_pattern(s))
			return err_set(e, ERR_VALIDATION, "events",
				"events: '%.60s' must be *, kind.* or kind.verb, such as mapping.created",
				s != NULL ? s : "");
		if (used + n + 2 > size)
			return err_set(
				e, ERR_VALIDATION, "events", "events: more than %zu characters in all", size - 1);
		if (used > 0)
			dst[used++] = ',';
		memcpy(dst + used, s, n + 1);
		used += n;
	}
	return 0;
}

static void put_object(struct buf *b, const char *key, const char *object)
{
	if (object != NULL && object[0] == '{')
		jsonw_raw(b, key, object, strlen(object));
	else
		jsonw_null(b, key);
}

void topic_body(struct buf *b, const struct change *c, const char *topic, const uint8_t log_id[CHANGES_LOG_ID_SIZE])
{
	char id[EVENTS_ID_SIZE];

	event_id_print(id, log_id, c->seq);
	jsonw_object(b, NULL);
	jsonw_str(b, "id", id);
	jsonw_str(b, "event", topic);
	jsonw_time(b, "timestamp", c->time_ms);
	jsonw_str(b, "tenant_id", c->tenant);
	jsonw_str(b, "origin", is_event(c) ? TOPIC_MANUAL : TOPIC_SYSTEM);
	if (is_event(c)) {
		jsonw_str(b, "sent_by", c->actor);
		put_object(b, "data", c->object);
		jsonw_end_object(b);
		return;
	}
	jsonw_object(b, "data");
	jsonw_str(b, "subject", c->subject);
	jsonw_str(b, "actor", c->actor);
	event_put_fields(b, c->fields);
	put_object(b, c->kind, c->object);
	jsonw_end_object(b);
	jsonw_end_object(b);
}

char *topic_blank(const char *body)
{
	json_t *parsed = json_loads(body, 0, NULL), *data = json_object_get(parsed, "data"), *v;
	const char *name;
	char *text;
	void *next;

	json_object_foreach_safe(data, next, name,
		v) if (!str_eq(name, "subject") && !str_eq(name, "actor") && !str_eq(name, "fields"))(void)
		json_object_set_new(data, name, json_null());
	text = json_dumps(parsed != NULL ? parsed : json_null(), JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(parsed);
	return text;
}
