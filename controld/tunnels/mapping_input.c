#include "controld/tunnels/mapping_input.h"

#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "controld/tunnels/mapping_host.h"
#include "controld/tunnels/mapping_settings.h"
#include "controld/tunnels/mapping_socks.h"

#include <string.h>

#define CLIENT_HOST "127.0.0.1"

void mapping_init(struct mapping *m)
{
	memset(m, 0, sizeof *m);
	str_copy(m->group_name, sizeof m->group_name, "default");
	m->active = true;
	m->owner_active = true;
	m->conf.enabled = true;
}

static bool is_new(const struct mapping *m)
{
	return m->id[0] == '\0';
}

/* The member's text, "" for null, NULL if it was not sent. */
static const char *text_of(const json_t *body, const char *name)
{
	const json_t *v = json_object_get(body, name);

	if (v == NULL)
		return NULL;
	return json_is_string(v) ? json_string_value(v) : "";
}

static void take_text(char *dst, size_t size, const json_t *body, const char *name, struct err_list *errs)
{
	const char *s = text_of(body, name);

	if (s != NULL && str_copy(dst, size, s) != 0)
		err_list_add(errs, ERR_VALIDATION, name, "length", s, "%s: must have less than %zu bytes", name, size);
}

static void take_protocol(struct mapping *m, const json_t *body, struct err_list *errs)
{
	const char *s = text_of(body, "protocol");
	const uint8_t protocol = mapping_protocol_parse(s);

	if (is_new(m)) {
		m->conf.protocol = protocol;
		mapping_settings_default(&m->conf);
	} else if (s != NULL && protocol != m->conf.protocol) {
		err_list_add(errs, ERR_VALIDATION, "protocol", "immutable", s,
			"protocol: cannot change from '%s' to '%s'; create another mapping",
			mapping_protocol_name(&m->conf), s);
	}
}

static void take_status(struct mapping *m, const json_t *body)
{
	const char *s = text_of(body, "status");

	if (s != NULL)
		m->active = !str_eq(s, "inactive");
}

/* Kept as addr_print_ip() writes it: one address has one spelling in the table of ports. */
static void take_bind(struct mapping *m, const json_t *body, struct err_list *errs)
{
	const char *s = text_of(body, "bind_address");
	struct addr a;

	if (s == NULL)
		return;
	m->conf.bind[0] = '\0';
	if (s[0] == '\0')
		return;
	if (addr_parse_ip(&a, s, 0) == 0)
		addr_print_ip(&a, m->conf.bind);
	else
		err_list_add(errs, ERR_VALIDATION, "bind_address", "format", s,
			"bind_address: '%s' is not an IPv4 or IPv6 address; \"\" is every address", s);
}

/* Says it in another way: how many instead of which is the last. */
static void take_port_count(struct mapping_conf *c, const json_t *body, struct err_list *errs)
{
	const json_t *count = json_object_get(body, "source_port_count");
	const json_t *end = json_object_get(body, "source_port_end");
	const long long n = json_integer_value(count);
	char value[16];

	if (!json_is_integer(count))
		return;
	str_fmt(value, sizeof value, "%lld", n);
	if (json_is_integer(end) && json_integer_value(end) != c->port_first + n - 1)
		err_list_add(errs, ERR_VALIDATION, "source_port_count", "combination", value,
			"source_port_count: %s and source_port_end say different things; one of them is enough", value);
	else if (c->port_first + n - 1 > 65535)
		err_list_add(errs, ERR_VALIDATION, "source_port_count", "range", value,
			"source_port_count: from source_port %u on there are only %d ports, not %s", c->port_first,
			65536 - c->port_first, value);
	else
		c->port_last = (uint16_t)(c->port_first + n - 1);
}

/* Ports to be picked are 0 up to their number less one. */
static void take_ports(struct mapping *m, const json_t *body, struct err_list *errs)
{
	struct mapping_conf *c = &m->conf;
	const uint16_t more = (uint16_t)(c->port_last - c->port_first);
	const json_t *first = json_object_get(body, "source_port");
	const json_t *last = json_object_get(body, "source_port_end");
	const json_t *target = json_object_get(body, "target_port");
	char value[16];

	if (first != NULL)
		c->port_first = (uint16_t)json_integer_value(first);
	if (last != NULL)
		c->port_last = (uint16_t)json_integer_value(last);
	if (json_is_null(last) || (last == NULL && more == 0))
		c->port_last = c->port_first;
	else if (last == NULL && c->port_first == 0)
		c->port_last = more;
	if (c->port_first == 0 && json_is_integer(last)) {
		str_fmt(value, sizeof value, "%u", c->port_last);
		err_list_add(errs, ERR_VALIDATION, "source_port_end", "combination", value,
			"source_port_end: %s needs a source_port; to have a range picked say its source_port_count",
			value);
		c->port_last = 0;
	} else {
		take_port_count(c, body, errs);
	}
	if (target != NULL)
		c->target_port = (uint16_t)json_integer_value(target);
}

static void check_ports(const struct mapping_conf *c, struct err_list *errs)
{
	char value[16];

	str_fmt(value, sizeof value, "%u", c->port_last);
	if (c->port_last < c->port_first || c->port_last - c->port_first >= MAPPING_PORTS_MAX)
		err_list_add(errs, ERR_VALIDATION, "source_port_end", "range", value,
			"source_port_end: %s must be from %u to %u (source_port and up to %d ports)", value,
			c->port_first, MIN(c->port_first + MAPPING_PORTS_MAX - 1, 65535), MAPPING_PORTS_MAX);
	else if (c->target_port + (c->port_last - c->port_first) > 65535) {
		str_fmt(value, sizeof value, "%u", c->target_port);
		err_list_add(errs, ERR_VALIDATION, "target_port", "range", value,
			"target_port: %s is at most %d here, as it counts up with %d source ports", value,
			65535 - (c->port_last - c->port_first), c->port_last - c->port_first + 1);
	}
}

static void take_client(struct mapping *m, const json_t *body)
{
	const json_t *v = json_object_get(body, "target_client_id");

	if (v != NULL)
		mapping_set_client(m, json_integer_value(v));
}

/* Who dials by himself has to be told what; a client's agent dials its own machine. */
static void take_target(struct mapping *m, const json_t *body, struct err_list *errs)
{
	const bool client = m->conf.target_client[0] != '\0';
	const char *s = text_of(body, "target_host");

	if (m->conf.target_port == 0 && m->conf.protocol != MAPPING_SOCKS5)
		err_list_add(errs, json_object_get(body, "target_port") == NULL ? ERR_MISSING_FIELD : ERR_VALIDATION,
			"target_port", "required", "", "target_port: is needed, from 1 to 65535");
	if (s == NULL && m->conf.target_host[0] != '\0')
		return;
	if (m->conf.protocol == MAPPING_SOCKS5) {
		str_copy(m->conf.target_host, sizeof m->conf.target_host, s != NULL ? s : "");
		return;
	}
	if (client && (s == NULL || s[0] == '\0'))
		s = CLIENT_HOST;
	if (s == NULL || s[0] == '\0') {
		err_list_add(errs, s == NULL ? ERR_MISSING_FIELD : ERR_VALIDATION, "target_host", "required", "",
			"target_host: a host name or an IP address is needed");
		return;
	}
	if (!addr_is_host(s) || str_copy(m->conf.target_host, sizeof m->conf.target_host, s) != 0)
		err_list_add(errs, ERR_VALIDATION, "target_host", "format", s,
			"target_host: '%s' is not a host name or an IP address", s);
}

static void take_source(struct mapping *m, const json_t *body)
{
	const json_t *v = json_object_get(body, "source_client_id");

	if (v != NULL)
		mapping_set_source(m, json_integer_value(v));
}

/* A connection to a client's own machine never meets a relay's port. */
static void check_source(const struct mapping *m, struct err_list *errs)
{
	const struct mapping_conf *c = &m->conf;

	if (c->source_client[0] == '\0')
		return;
	if (c->target_client[0] == '\0')
		err_list_add(errs, ERR_VALIDATION, "source_client_id", "combination", c->source_client,
			"source_client_id: %s needs a target_client_id: what comes in at a client goes to an agent",
			c->source_client);
	if (c->proxy_in)
		err_list_add(errs, ERR_VALIDATION, "accept_proxy_protocol.enabled", "combination", "true",
			"accept_proxy_protocol.enabled: 'true' is for ports on relays only");
	if (c->hot)
		err_list_add(
			errs, ERR_VALIDATION, "hot", "combination", "true", "hot: 'true' is for ports on relays only");
}

static void take_expiry(struct mapping *m, const json_t *body, int64_t now_ms, struct err_list *errs)
{
	const char *s = text_of(body, "expires_at");
	int64_t at;

	if (s == NULL)
		return;
	if (s[0] == '\0') {
		m->conf.expires_ms = 0;
		return;
	}
	if (clock_parse_rfc3339(s, &at) != 0)
		err_list_add(
			errs, ERR_VALIDATION, "expires_at", "format", s, "expires_at: '%s' is not an RFC 3339 time", s);
	else if (at == m->conf.expires_ms)
		return; /* an expired mapping that is sent back as it was */
	else if (at <= now_ms)
		err_list_add(errs, ERR_VALIDATION, "expires_at", "range", s, "expires_at: '%s' is in the past", s);
	else
		m->conf.expires_ms = at;
}

static void take_placement(struct mapping *m, const json_t *body, struct err_list *errs)
{
	take_text(m->group_name, sizeof m->group_name, body, "group", errs);
	if (m->group_name[0] == '\0')
		str_copy(m->group_name, sizeof m->group_name, "default");
	take_text(m->node_name, sizeof m->node_name, body, "node", errs);
}

/* Fields by which others are judged. */
static const char *const pivots[] = { "protocol", "target_client_id", "source_client_id", "source_port",
	"source_port_end", "source_port_count", "target_port", "host_names", "bind_address", "proxy_protocol",
	"accept_proxy_protocol", "limits.max_connections", "socks_allow" };

static bool is_of_several(const struct err *e)
{
	return str_eq(e->constraint, "combination") || str_eq(e->constraint, "required") ||
	       str_starts(e->field, "source_port_") || str_eq(e->field, "target_port");
}

/*
 * Beside what a schema has found (the first `known`), whose members are not in the body: nothing more is said of a field that is
 * wrong already, nor of several fields together when one by which others are judged is wrong by itself.
 */
static void leave_certain(struct err_list *errs, size_t known)
{
	const size_t all = errs->n;
	struct err_list schema = *errs;
	bool shaky = false;

	errs->n = schema.n = known;
	for (size_t i = 0; i < ARRAY_LEN(pivots); i++)
		shaky |= err_list_has(&schema, pivots[i]);
	for (size_t i = known; i < all; i++)
		if (!err_list_has(&schema, schema.items[i].field) && !(shaky && is_of_several(&schema.items[i])))
			errs->items[errs->n++] = schema.items[i];
}

void mapping_apply(struct mapping *m, const json_t *body, int64_t now_ms, struct err_list *errs)
{
	const size_t known = errs->n;

	take_protocol(m, body, errs);
	take_text(m->name, sizeof m->name, body, "name", errs);
	take_text(m->description, sizeof m->description, body, "description", errs);
	take_placement(m, body, errs);
	take_status(m, body);
	take_bind(m, body, errs);
	take_ports(m, body, errs);
	take_source(m, body);
	take_client(m, body);
	take_target(m, body, errs);
	take_expiry(m, body, now_ms, errs);
	mapping_host_take(&m->conf, body, errs);
	mapping_settings_apply(&m->conf, body, errs);
	mapping_socks_apply(&m->conf, body, errs);
	check_ports(&m->conf, errs);
	mapping_settings_check(&m->conf, errs);
	check_source(m, errs);
	mapping_socks_check(&m->conf, errs);
	if (known > 0)
		leave_certain(errs, known);
}
