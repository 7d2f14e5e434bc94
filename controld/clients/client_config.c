#include "controld/clients/client_config.h"

#include "common/base/jsonw.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_DEFAULT_S 5 /* three that are lost end a link: what is gone is noticed within 15 s */

void client_config_default(struct client_conf *c)
{
	c->compress = false;
	c->reconnect = true;
	c->rate_in = c->rate_out = 0;
	c->max_connections = 0;
	c->heartbeat_s = HEARTBEAT_DEFAULT_S;
	c->allowed.n = c->blocked.n = 0;
}

/* ---- ports: 22, or "8000-8010" ------------------------------------------------------------------------------------ */

static int parse_port(const char *s, uint16_t *out)
{
	uint64_t n;

	if (str_to_u64(s, 1, UINT16_MAX, &n) != 0)
		return -1;
	*out = (uint16_t)n;
	return 0;
}

static int parse_range(const json_t *v, struct client_port_range *out)
{
	char first[8];
	const char *text = json_string_value(v), *dash = text != NULL ? strchr(text, '-') : NULL;

	if (json_is_integer(v)) {
		const json_int_t n = json_integer_value(v);

		out->first = out->last = (uint16_t)n;
		return n >= 1 && n <= UINT16_MAX ? 0 : -1;
	}
	if (dash == NULL || dash - text >= (int)sizeof first)
		return -1;
	str_fmt(first, sizeof first, "%.*s", (int)(dash - text), text);
	return parse_port(first, &out->first) == 0 && parse_port(dash + 1, &out->last) == 0 && out->first <= out->last
	               ? 0
	               : -1;
}

static void apply_ports(struct client_ports *list, const json_t *v, const char *name, struct err_list *errs)
{
	struct client_ports read = { .n = 0 };

	for (size_t i = 0; i < json_array_size(v); i++) {
		char *text = json_dumps(json_array_get(v, i), JSON_ENCODE_ANY);

		if (i == CLIENT_PORTS_MAX)
			err_list_add(errs, ERR_VALIDATION, name, "length", "", "%s: at most %d entries", name,
				CLIENT_PORTS_MAX);
		else if (i < CLIENT_PORTS_MAX && parse_range(json_array_get(v, i), &read.items[read.n]) == 0)
			read.n++;
		else if (i < CLIENT_PORTS_MAX)
			err_list_add(errs, ERR_VALIDATION, name, "format", text,
				"%s: %s is neither a port from 1 to 65535 nor a range such as \"8000-8010\"", name,
				text != NULL ? text : "?");
		free(text);
	}
	*list = read;
}

static void print_ports(const struct client_ports *list, const char *key, struct buf *b)
{
	jsonw_array(b, key);
	for (uint32_t i = 0; i < list->n; i++) {
		char text[16];

		str_fmt(text, sizeof text, "%u-%u", list->items[i].first, list->items[i].last);
		if (list->items[i].first == list->items[i].last)
			jsonw_uint(b, NULL, list->items[i].first);
		else
			jsonw_str(b, NULL, text);
	}
	jsonw_end_array(b);
}

static bool same_ports(const struct client_ports *a, const struct client_ports *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->items, b->items, a->n * sizeof a->items[0]) == 0);
}

/* ---- the object --------------------------------------------------------------------------------------------------- */

/* The ranges of numbers are the schema's. */
void client_config_apply(struct client_conf *c, const json_t *config, const char *prefix, struct err_list *errs)
{
	struct client_conf unset = { .enabled = false };
	const char *name;
	json_t *v;

	client_config_default(&unset);
	json_object_foreach((json_t *)(uintptr_t)config, name, v)
	{
		const bool null = json_is_null(v);
		char path[64];

		str_fmt(path, sizeof path, "%s%s", prefix, name);
		if (str_eq(name, "enable_compression"))
			c->compress = null ? unset.compress : json_is_true(v);
		else if (str_eq(name, "auto_reconnect"))
			c->reconnect = null ? unset.reconnect : json_is_true(v);
		else if (str_eq(name, "bandwidth_limit"))
			c->rate_in = c->rate_out = (uint64_t)json_integer_value(v);
		else if (str_eq(name, "max_connections"))
			c->max_connections = (uint32_t)json_integer_value(v);
		else if (str_eq(name, "heartbeat_interval"))
			c->heartbeat_s = null ? unset.heartbeat_s : (uint32_t)json_integer_value(v);
		else if (str_eq(name, "allowed_ports"))
			apply_ports(&c->allowed, v, path, errs);
		else if (str_eq(name, "blocked_ports"))
			apply_ports(&c->blocked, v, path, errs);
	}
}

void client_config_print(const struct client_conf *c, const char *key, struct buf *b)
{
	jsonw_object(b, key);
	jsonw_bool(b, "enable_compression", c->compress);
	jsonw_uint(b, "bandwidth_limit", c->rate_in);
	jsonw_uint(b, "max_connections", c->max_connections);
	print_ports(&c->allowed, "allowed_ports", b);
	print_ports(&c->blocked, "blocked_ports", b);
	jsonw_bool(b, "auto_reconnect", c->reconnect);
	jsonw_uint(b, "heartbeat_interval", c->heartbeat_s);
	jsonw_end_object(b);
}

bool client_config_same(const struct client_conf *a, const struct client_conf *b)
{
	return a->compress == b->compress && a->reconnect == b->reconnect && a->rate_in == b->rate_in &&
	       a->rate_out == b->rate_out && a->max_connections == b->max_connections &&
	       a->heartbeat_s == b->heartbeat_s && same_ports(&a->allowed, &b->allowed) &&
	       same_ports(&a->blocked, &b->blocked);
}

int client_config_load(struct client_conf *c, const char *text, struct err *e)
{
	struct err_list errs;
	json_t *config = json_loads(text, 0, NULL);

	errs.n = errs.dropped = 0;
	client_config_default(c);
	if (config == NULL)
		return err_set(e, ERR_STORAGE, NULL, "the stored config of a client is not JSON");
	client_config_apply(c, config, "", &errs);
	json_decref(config);
	return errs.n == 0 ? 0 : err_set(e, ERR_STORAGE, NULL, "the stored config of a client: %s", errs.items[0].msg);
}

#define NULLED SCHEMA_NULLABLE
#define PORTS(n, h)                                                                                                 \
	{                                                                                                           \
		.name = n, .type = SCHEMA_ARRAY, .flags = NULLED, .max = CLIENT_PORTS_MAX, .item_type = SCHEMA_ANY, \
		.help = h ": numbers, or ranges such as \"8000-8010\""                                              \
	}

static const struct schema_field fields[] = {
	{ .name = "enable_compression",
		.type = SCHEMA_BOOL,
		.flags = NULLED,
		.help = "of tcp through this client, of all its mappings; default false. docs/security.md says when "
			"not to" },
	{ .name = "bandwidth_limit",
		.type = SCHEMA_INT,
		.flags = NULLED,
		.max = INT64_MAX,
		.help = "bytes per second of the whole client on each relay, both ways; 0: no limit" },
	{ .name = "max_connections",
		.type = SCHEMA_INT,
		.flags = NULLED,
		.max = 10000000,
		.help = "at once, of all its mappings on each relay; 0: no limit" },
	PORTS("allowed_ports", "target ports at the client; empty: all"),
	PORTS("blocked_ports", "target ports that are refused; wins over allowed_ports"),
	{ .name = "auto_reconnect",
		.type = SCHEMA_BOOL,
		.flags = NULLED,
		.help = "false: an agent that has lost its links to a relay does not dial it again, and ends when none "
			"is left; default true" },
	{ .name = "heartbeat_interval",
		.type = SCHEMA_INT,
		.flags = NULLED,
		.min = 5,
		.max = 3600,
		.help = "seconds between two looks at a quiet link, three in vain end it; default 5" },
};
const struct schema client_config_schema = { "ClientConfig", fields, ARRAY_LEN(fields), false };
