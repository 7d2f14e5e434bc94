#include "controld/tunnels/mapping_settings.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum setting_type {
	SETTING_U32,
	SETTING_U64,
	SETTING_BOOL,
	SETTING_MS,     /* a duration, kept in milliseconds */
	SETTING_S,      /* a duration, kept in seconds */
	SETTING_CHOICE, /* u8: index of the name */
	SETTING_CIDRS,
	SETTING_TEXT, /* char [max]; its default is the only one of its choices */
};

struct setting {
	const char *section; /* the object it is a member of; NULL: the mapping itself */
	const char *name;
	enum setting_type type;
	size_t at;         /* in struct mapping_conf */
	uint64_t tcp, udp; /* defaults */
	const char *const *choices;
	uint64_t min, max; /* of a duration, in its own unit; other ranges are the schema's */
};

static const char *const proxy_names[] = {
	[MAPPING_PROXY_NONE] = "none", [MAPPING_PROXY_V1] = "v1", [MAPPING_PROXY_V2] = "v2", NULL
};
static const char *const transport_names[] = {
	[MAPPING_TRANSPORT_AUTO] = "auto",
	[MAPPING_TRANSPORT_MUX] = "mux",
	[MAPPING_TRANSPORT_DEDICATED] = "dedicated",
	NULL,
};
static const char *const compress_names[] = {
	[MAPPING_COMPRESS_NONE] = "none", [MAPPING_COMPRESS_ZSTD] = "zstd", NULL
};
static const char *const health_names[] = {
	[HEALTH_NONE] = "none", [HEALTH_TCP] = "tcp", [HEALTH_HTTP] = "http", NULL
};
static const char *const health_path[] = { "/", NULL };
static const char *const on_delete_names[] = {
	[MAPPING_KEEP] = "keep", [MAPPING_DRAIN] = "drain", [MAPPING_CUT] = "cut", NULL
};

#define AT(member) offsetof(struct mapping_conf, member)
#define MINUTE     60000u
#define HOUR       3600000u
#define DAY        86400000u

/* Rows of one section stand together: each section is printed as one object. */
static const struct setting settings[] = {
	/* section, name, type, where, default of tcp and of udp, names, shortest and longest */
	{ "limits", "bandwidth_in", SETTING_U64, AT(rate_in), 0, 0, NULL, 0, 0 },
	{ "limits", "bandwidth_out", SETTING_U64, AT(rate_out), 0, 0, NULL, 0, 0 },
	{ "limits", "max_connections", SETTING_U32, AT(max_connections), 0, 10000, NULL, 0, 0 },
	{ "limits", "max_connections_per_source", SETTING_U32, AT(max_per_source), 0, 0, NULL, 0, 0 },
	{ "limits", "connection_rate_per_source", SETTING_U32, AT(rate_per_source), 0, 0, NULL, 0, 0 },
	{ NULL, "allow", SETTING_CIDRS, AT(allow), 0, 0, NULL, 0, 0 },
	{ NULL, "deny", SETTING_CIDRS, AT(deny), 0, 0, NULL, 0, 0 },
	{ NULL, "proxy_protocol", SETTING_CHOICE, AT(proxy_out), MAPPING_PROXY_NONE, MAPPING_PROXY_NONE, proxy_names, 0,
		0 },
	{ NULL, "proxy_every_datagram", SETTING_BOOL, AT(proxy_out_every), 0, 0, NULL, 0, 0 },
	{ "accept_proxy_protocol", "enabled", SETTING_BOOL, AT(proxy_in), 0, 0, NULL, 0, 0 },
	{ "accept_proxy_protocol", "trusted", SETTING_CIDRS, AT(proxy_trusted), 0, 0, NULL, 0, 0 },
	{ "timeouts", "connect", SETTING_MS, AT(connect_timeout_ms), 10000, 10000, NULL, 100, 10 * MINUTE },
	{ "timeouts", "idle", SETTING_MS, AT(idle_timeout_ms), HOUR, MINUTE, NULL, 1000, 7 * DAY },
	{ "timeouts", "half_close", SETTING_MS, AT(half_close_timeout_ms), 5 * MINUTE, 5 * MINUTE, NULL, 1000, DAY },
	{ NULL, "keepalive", SETTING_S, AT(keepalive_s), 30, 30, NULL, 0, 7200 },
	{ NULL, "transport", SETTING_CHOICE, AT(transport), 0, 0, transport_names, 0, 0 },
	{ NULL, "compression", SETTING_CHOICE, AT(compress), 0, 0, compress_names, 0, 0 },
	{ "health", "type", SETTING_CHOICE, AT(health.type), 0, 0, health_names, 0, 0 },
	{ "health", "interval", SETTING_MS, AT(health.interval_ms), 10000, 10000, NULL, HEALTH_INTERVAL_MIN_MS,
		HEALTH_INTERVAL_MAX_MS },
	{ "health", "timeout", SETTING_MS, AT(health.timeout_ms), 3000, 3000, NULL, HEALTH_TIMEOUT_MIN_MS,
		HEALTH_TIMEOUT_MAX_MS },
	{ "health", "rise", SETTING_U32, AT(health.rise), 2, 2, NULL, 0, 0 },
	{ "health", "fall", SETTING_U32, AT(health.fall), 3, 3, NULL, 0, 0 },
	{ "health", "path", SETTING_TEXT, AT(health.path), 0, 0, health_path, 0, HEALTH_PATH_SIZE },
	{ "health", "expect", SETTING_U32, AT(health.expect), 0, 0, NULL, 0, 0 },
	{ NULL, "on_delete", SETTING_CHOICE, AT(on_delete), MAPPING_DRAIN, MAPPING_DRAIN, on_delete_names, 0, 0 },
	{ NULL, "drain", SETTING_MS, AT(drain_ms), 30000, 30000, NULL, 0, DAY },
	{ NULL, "udp_amplification_limit", SETTING_U32, AT(udp_amplification), 0, 0, NULL, 0, 0 },
	{ NULL, "hot", SETTING_BOOL, AT(hot), 0, 0, NULL, 0, 0 },
};

/* ---- one value ---------------------------------------------------------------------------------------------------- */
static void *cell(struct mapping_conf *c, const struct setting *s)
{
	return (char *)c + s->at;
}

static uint64_t get_number(const struct mapping_conf *c, const struct setting *s)
{
	const void *p = (const char *)c + s->at;

	switch (s->type) {
	case SETTING_U64:
		return *(const uint64_t *)p;
	case SETTING_U32:
	case SETTING_MS:
	case SETTING_S:
		return *(const uint32_t *)p;
	case SETTING_BOOL:
		return *(const bool *)p;
	case SETTING_CHOICE:
		return *(const uint8_t *)p;
	case SETTING_CIDRS:
	case SETTING_TEXT:
		break;
	}
	return 0;
}

static void set_number(struct mapping_conf *c, const struct setting *s, uint64_t v)
{
	void *p = cell(c, s);

	switch (s->type) {
	case SETTING_U64:
		*(uint64_t *)p = v;
		break;
	case SETTING_U32:
	case SETTING_MS:
	case SETTING_S:
		*(uint32_t *)p = (uint32_t)MIN(v, UINT32_MAX);
		break;
	case SETTING_BOOL:
		*(bool *)p = v != 0;
		break;
	case SETTING_CHOICE:
		*(uint8_t *)p = (uint8_t)v;
		break;
	case SETTING_CIDRS:
	case SETTING_TEXT:
		break;
	}
}

static const struct mapping_cidrs *get_cidrs(const struct mapping_conf *c, const struct setting *s)
{
	return (const struct mapping_cidrs *)(const void *)((const char *)c + s->at);
}

static const char *get_text(const struct mapping_conf *c, const struct setting *s)
{
	return (const char *)c + s->at;
}

static uint64_t default_of(const struct mapping_conf *c, const struct setting *s)
{
	return c->protocol == MAPPING_UDP ? s->udp : s->tcp;
}

static void reset(struct mapping_conf *c, const struct setting *s)
{
	if (s->type == SETTING_CIDRS) {
		struct mapping_cidrs *list = cell(c, s);

		free(list->items);
		*list = (struct mapping_cidrs){ 0 };
		return;
	}
	if (s->type == SETTING_TEXT)
		str_copy(cell(c, s), s->max, s->choices[0]);
	else
		set_number(c, s, default_of(c, s));
}

static bool same_cidrs(const struct mapping_cidrs *a, const struct mapping_cidrs *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->items, b->items, a->n * sizeof a->items[0]) == 0);
}

static bool same(const struct mapping_conf *a, const struct mapping_conf *b, const struct setting *s)
{
	if (s->type == SETTING_CIDRS)
		return same_cidrs(get_cidrs(a, s), get_cidrs(b, s));
	if (s->type == SETTING_TEXT)
		return str_eq(get_text(a, s), get_text(b, s));
	return get_number(a, s) == get_number(b, s);
}

static bool is_default(const struct mapping_conf *c, const struct setting *s)
{
	if (s->type == SETTING_CIDRS)
		return get_cidrs(c, s)->n == 0;
	if (s->type == SETTING_TEXT)
		return str_eq(get_text(c, s), s->choices[0]);
	return get_number(c, s) == default_of(c, s);
}

void mapping_settings_default(struct mapping_conf *c)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		reset(c, &settings[i]);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */
static void path_of(const struct setting *s, char *dst, size_t size)
{
	str_fmt(dst, size, "%s%s%s", s->section != NULL ? s->section : "", s->section != NULL ? "." : "", s->name);
}

static void refuse(
	const struct setting *s, const char *rule, const char *value, const char *want, struct err_list *errs)
{
	char path[64];

	path_of(s, path, sizeof path);
	err_list_add(errs, ERR_VALIDATION, path, rule, value, "%s: '%s' is not %s", path, value, want);
}

static void apply_cidrs(struct mapping_conf *c, const struct setting *s, const json_t *v, struct err_list *errs)
{
	struct mapping_cidrs list = { .n = (uint32_t)MIN(json_array_size(v), MAPPING_CIDRS_MAX) };

	if (list.n > 0)
		list.items = calloc(list.n, sizeof list.items[0]);
	if (list.n > 0 && list.items == NULL) {
		err_list_add(errs, ERR_NOMEM, s->name, "", "", "out of memory");
		return;
	}
	for (uint32_t i = 0; i < list.n; i++) {
		const char *text = json_string_value(json_array_get(v, i));

		if (text == NULL || cidr_parse(&list.items[i], text) != 0)
			refuse(s, "format", text != NULL ? text : "", "an address range such as 10.0.0.0/8", errs);
	}
	reset(c, s);
	*(struct mapping_cidrs *)cell(c, s) = list;
}

static void apply_choice(struct mapping_conf *c, const struct setting *s, const char *name, struct err_list *errs)
{
	for (uint64_t i = 0; s->choices[i] != NULL; i++)
		if (str_eq(s->choices[i], name)) {
			set_number(c, s, i);
			return;
		}
	refuse(s, "enum", name != NULL ? name : "", "one of its names", errs);
}

static void refuse_range(const struct setting *s, uint64_t ms, struct err_list *errs)
{
	const unsigned long long unit = s->type == SETTING_S ? 1000 : 1;
	char path[64], value[32];

	path_of(s, path, sizeof path);
	str_fmt(value, sizeof value, "%llums", (unsigned long long)ms);
	err_list_add(errs, ERR_VALIDATION, path, "range", value, "%s: %s must be from %llums to %llus", path, value,
		s->min * unit, s->max * unit / 1000);
}

static void apply_duration(struct mapping_conf *c, const struct setting *s, const json_t *v, struct err_list *errs)
{
	const char *text = json_string_value(v);
	uint64_t ms = (uint64_t)MIN(json_integer_value(v), INT32_MAX) * 1000;
	uint64_t amount;

	if (text != NULL && str_to_duration_ms(text, &ms) != 0) {
		refuse(s, "format", text, "a duration such as \"30s\"", errs);
		return;
	}
	amount = s->type == SETTING_S ? (ms + 999) / 1000 : ms;
	if (amount < s->min || amount > s->max) {
		refuse_range(s, ms, errs);
		return;
	}
	set_number(c, s, amount);
}

static void apply_one(struct mapping_conf *c, const struct setting *s, const json_t *v, struct err_list *errs)
{
	if (json_is_null(v)) {
		reset(c, s);
		return;
	}
	switch (s->type) {
	case SETTING_U32:
	case SETTING_U64:
		set_number(c, s, (uint64_t)json_integer_value(v));
		break;
	case SETTING_BOOL:
		set_number(c, s, json_is_true(v));
		break;
	case SETTING_MS:
	case SETTING_S:
		apply_duration(c, s, v, errs);
		break;
	case SETTING_CHOICE:
		apply_choice(c, s, json_string_value(v), errs);
		break;
	case SETTING_CIDRS:
		apply_cidrs(c, s, v, errs);
		break;
	case SETTING_TEXT:
		if (str_copy(cell(c, s), s->max, json_string_value(v)) != 0)
			refuse(s, "length", json_string_value(v), "short enough", errs);
		break;
	}
}

void mapping_settings_apply(struct mapping_conf *c, const json_t *body, struct err_list *errs)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		const json_t *v = json_object_get(body, s->section != NULL ? s->section : s->name);

		if (s->section != NULL && json_is_object(v))
			v = json_object_get(v, s->name);
		if (v != NULL)
			apply_one(c, s, v, errs);
	}
}

static void need(bool ok, const char *field, const char *value, const char *why, struct err_list *errs)
{
	if (!ok)
		err_list_add(errs, ERR_VALIDATION, field, "combination", value, "%s: '%s' %s", field, value, why);
}

static void check_health(const struct health_conf *h, struct err_list *errs)
{
	char value[16];

	str_fmt(value, sizeof value, "%u", h->expect);
	need(health_path_ok(h->path), "health.path", h->path, "must begin with '/' and have no blanks", errs);
	need(h->expect == 0 || (h->expect >= 100 && h->expect <= 599), "health.expect", value,
		"must be 0 or a status from 100 to 599", errs);
}

void mapping_settings_check(const struct mapping_conf *c, struct err_list *errs)
{
	const bool udp = c->protocol == MAPPING_UDP;

	need(!udp || c->proxy_out != MAPPING_PROXY_V1, "proxy_protocol", "v1", "has no form for udp; use v2", errs);
	need(!udp || !c->proxy_in, "accept_proxy_protocol.enabled", "true", "is for tcp only", errs);
	need(!c->proxy_in || c->proxy_trusted.n > 0, "accept_proxy_protocol.trusted", "[]",
		"must name at least one trusted range when it is enabled", errs);
	need(!c->proxy_out_every || (udp && c->proxy_out == MAPPING_PROXY_V2), "proxy_every_datagram", "true",
		"needs protocol udp and proxy_protocol v2", errs);
	need(udp || c->udp_amplification == 0, "udp_amplification_limit", "set", "is for udp only", errs);
	need(c->transport == MAPPING_TRANSPORT_AUTO || c->target_client[0] != '\0', "transport",
		transport_names[c->transport], "needs a target_client_id", errs);
	need(c->compress == MAPPING_COMPRESS_NONE || c->target_client[0] != '\0', "compression",
		compress_names[c->compress], "needs a target_client_id", errs);
	check_health(&c->health, errs);
	need(c->health.type == HEALTH_NONE || (!udp && c->target_client[0] != '\0'), "health.type",
		health_names[c->health.type], "is for tcp with a target_client_id: the client's agents check", errs);
	need(!c->hot || !mapping_conf_has_hosts(c), "hot", "true", "is for mappings with a source_port", errs);
	need(!udp || c->max_connections > 0, "limits.max_connections", "0",
		"is not possible for udp: sessions are bounded", errs);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */
static void print_duration(struct buf *b, const char *name, uint64_t ms)
{
	const bool whole = ms % 1000 == 0;
	uint64_t v = whole ? ms / 1000 : ms;
	char text[24], *p = text + sizeof text;

	*--p = '\0';
	*--p = 's';
	if (!whole)
		*--p = 'm';
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	jsonw_str(b, name, p);
}

static void print_cidrs(struct buf *b, const char *name, const struct mapping_cidrs *list)
{
	jsonw_array(b, name);
	for (uint32_t i = 0; i < list->n; i++) {
		char text[CIDR_STRLEN];

		cidr_print(&list->items[i], text);
		jsonw_str(b, NULL, text);
	}
	jsonw_end_array(b);
}

static void print_one(const struct mapping_conf *c, const struct setting *s, struct buf *b)
{
	const uint64_t v = get_number(c, s);

	switch (s->type) {
	case SETTING_U32:
	case SETTING_U64:
		jsonw_uint(b, s->name, v);
		break;
	case SETTING_BOOL:
		jsonw_bool(b, s->name, v != 0);
		break;
	case SETTING_MS:
		print_duration(b, s->name, v);
		break;
	case SETTING_S:
		print_duration(b, s->name, v * 1000);
		break;
	case SETTING_CHOICE:
		jsonw_str(b, s->name, s->choices[v]);
		break;
	case SETTING_CIDRS:
		print_cidrs(b, s->name, get_cidrs(c, s));
		break;
	case SETTING_TEXT:
		jsonw_str(b, s->name, get_text(c, s));
		break;
	}
}

static void print(const struct mapping_conf *c, bool defaults, struct buf *b)
{
	const char *open = NULL;

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];

		if (!defaults && is_default(c, s))
			continue;
		if (open != NULL && !str_eq(open, s->section))
			jsonw_end_object(b);
		if (s->section != NULL && !str_eq(open, s->section))
			jsonw_object(b, s->section);
		open = s->section;
		print_one(c, s, b);
	}
	if (open != NULL)
		jsonw_end_object(b);
}

static bool all_default(const struct mapping_conf *c)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		if (!is_default(c, &settings[i]))
			return false;
	return true;
}

/* The members of most mappings, of tcp and of udp: written once, as they are more than half of each one in a list. */
static struct buf default_members[2];

static void write_defaults(void)
{
	for (size_t udp = 0; udp < ARRAY_LEN(default_members); udp++) {
		struct mapping_conf c = { .protocol = udp ? MAPPING_UDP : MAPPING_TCP };

		buf_init(&default_members[udp], 4096);
		mapping_settings_default(&c);
		print(&c, true, &default_members[udp]);
	}
}

void mapping_settings_print(const struct mapping_conf *c, struct buf *b)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const struct buf *members = &default_members[c->protocol == MAPPING_UDP];

	pthread_once(&once, write_defaults);
	if (members->failed || !all_default(c))
		print(c, true, b);
	else
		jsonw_raw(b, NULL, (const char *)members->data, members->len);
}

void mapping_settings_store(const struct mapping_conf *c, struct buf *b)
{
	jsonw_object(b, NULL);
	print(c, false, b);
	jsonw_end_object(b);
}

int mapping_settings_load(struct mapping_conf *c, const char *text, struct err *e)
{
	struct err_list errs;
	json_t *body;

	errs.n = errs.dropped = 0;
	mapping_settings_default(c);
	if (strcmp(text, "{}") == 0)
		return 0;
	body = json_loads(text, 0, NULL);
	if (body == NULL)
		return err_set(e, ERR_STORAGE, NULL, "settings of a stored mapping are not JSON");
	mapping_settings_apply(c, body, &errs);
	json_decref(body);
	return errs.n == 0 ? 0 : err_set(e, ERR_STORAGE, NULL, "settings of a stored mapping: %s", errs.items[0].msg);
}

void mapping_settings_diff(const struct mapping_conf *a, const struct mapping_conf *b, struct buf *fields)
{
	const char *named = NULL;

	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		const char *member = s->section != NULL ? s->section : s->name;

		if (same(a, b, s) || str_eq(member, named))
			continue;
		buf_printf(fields, ",%s", member);
		named = member;
	}
}
