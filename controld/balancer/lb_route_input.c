#include "controld/balancer/lb_route_input.h"

#include "common/base/str.h"
#include "proto/route_conf.h"

#include <string.h>

#define HOUR 3600000
#define DAY  86400000

/* ---- the table ---------------------------------------------------------------------------------------------------- */

/* name, kind, default number, default text, shortest, longest, code */
static const struct knob rows[] = {
	{ "description", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "aliases", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "methods", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "headers", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "priority", KNOB_INT, 100, NULL, 0, 0, ERR_NONE },
	{ "https_only", KNOB_BOOL, 0, NULL, 0, 0, ERR_NONE },
	{ "targets", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "redirect", KNOB_JSON, 0, "null", 0, 0, ERR_NONE },
	{ "rewrite.prefix", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "rewrite.host", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "request_headers", KNOB_JSON, 0, "null", 0, 0, ERR_NONE },
	{ "response_headers", KNOB_JSON, 0, "null", 0, 0, ERR_NONE },
	{ "timeouts.request", KNOB_MS, 0, NULL, 0, DAY, ERR_NONE },
	{ "timeouts.response", KNOB_MS, 0, NULL, 0, DAY, ERR_NONE },
	{ "timeouts.idle", KNOB_MS, 0, NULL, 0, 7 * (int64_t)DAY, ERR_NONE },
	{ "retries.max", KNOB_INT, 3, NULL, 0, 0, ERR_NONE },
	{ "retries.on", KNOB_JSON, 0, "[\"connect\",\"reset\"]", 0, 0, ERR_NONE },
	{ "rate_limit.per_second", KNOB_INT, 0, NULL, 0, 0, ERR_NONE },
	{ "rate_limit.burst", KNOB_INT, 0, NULL, 0, 0, ERR_NONE },
	{ "rate_limit.key", KNOB_TEXT, 0, "source", 0, 0, ERR_NONE },
	{ "rate_limit.header", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "bandwidth.in", KNOB_INT, 0, NULL, 0, 0, ERR_NONE },
	{ "bandwidth.out", KNOB_INT, 0, NULL, 0, 0, ERR_NONE },
	{ "max_body", KNOB_INT, 0, NULL, 0, 0, ERR_NONE },
	{ "max_requests", KNOB_INT, 0, NULL, 0, 0, ERR_NONE },
	{ "allow", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "deny", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "cors", KNOB_JSON, 0, "null", 0, 0, ERR_NONE },
	{ "gzip.enabled", KNOB_BOOL, 0, NULL, 0, 0, ERR_NONE },
	{ "gzip.level", KNOB_INT, 5, NULL, 0, 0, ERR_NONE },
	{ "gzip.min_size", KNOB_INT, 1024, NULL, 0, 0, ERR_NONE },
	{ "gzip.types", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "mirror", KNOB_JSON, 0, "null", 0, 0, ERR_NONE },
	{ "error_pages", KNOB_JSON, 0, "[]", 0, 0, ERR_NONE },
	{ "client_certificate.mode", KNOB_TEXT, 0, "none", 0, 0, ERR_NONE },
	{ "client_certificate.ca", KNOB_TEXT, 0, "", 0, 0, ERR_NONE },
	{ "access_log", KNOB_BOOL, 1, NULL, 0, 0, ERR_NONE },
};
const struct knobs lb_route_knobs = { rows, ARRAY_LEN(rows), false };

int lb_route_init(struct lb_route *r)
{
	memset(r, 0, sizeof *r);
	(void)str_copy(r->path_prefix, sizeof r->path_prefix, "/");
	(void)str_copy(r->group_name, sizeof r->group_name, "default");
	r->active = r->owner_active = true;
	r->version = 1;
	r->settings = json_object();
	return r->settings != NULL ? 0 : -1;
}

/* ---- what a schema cannot say -------------------------------------------------------------------------------------- */

static void refuse(const char *field, const char *rule, const char *value, const char *why, struct err_list *errs)
{
	err_list_add(errs, ERR_VALIDATION, field, rule, value, "%s: '%.80s' %s", field, value, why);
}

static int take_host(char dst[HOST_NAME_SIZE], const char *s)
{
	if (strcmp(s, "*") == 0)
		return str_copy(dst, HOST_NAME_SIZE, s);
	return host_pattern_take(dst, s, strlen(s));
}

static void take_hosts(struct lb_route *r, const json_t *body, struct err_list *errs)
{
	static const char why[] =
		"is no host name, nor '*.' and one, nor '*' for every host; letters outside of ASCII are "
		"written as A-labels (xn--...)";
	const char *s = json_string_value(json_object_get(body, "host"));
	json_t *aliases = json_object_get(r->settings, "aliases"), *one;
	char name[HOST_NAME_SIZE];
	size_t i;

	if (s != NULL && take_host(r->host, s) != 0)
		refuse("host", "format", s, why, errs);
	json_array_foreach(aliases, i, one)
	{
		s = json_string_value(one);
		if (take_host(name, s) != 0)
			refuse("aliases", "format", s, why, errs);
		else
			json_string_set(one, name);
	}
	for (i = 1; (s = lb_route_host(r, i)) != NULL; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(s, lb_route_host(r, j)) == 0)
				refuse("aliases", "unique", s, "is there twice", errs);
}

/* As a relay compares paths: no dot segments, whole escapes; what begins a query or a fragment is no part of a path. */
static bool is_path(const char *s)
{
	if (*s != '/')
		return false;
	for (const char *p = s; *p != '\0'; p++) {
		const unsigned char c = (unsigned char)*p;
		uint8_t byte;
		const char hex[3] = { c == '%' ? p[1] : '0', c == '%' && p[1] != '\0' ? p[2] : '0', '\0' };

		if (c <= ' ' || c >= 127 || c == '?' || c == '#' || c == '\\' || str_unhex(&byte, 1, hex) != 1 ||
			(c == '%' && byte == 0))
			return false;
		if (c == '/' && p[1] == '.' &&
			(p[2] == '\0' || p[2] == '/' || (p[2] == '.' && (p[3] == '\0' || p[3] == '/'))))
			return false;
	}
	return true;
}

static void take_path(struct lb_route *r, const json_t *body, struct err_list *errs)
{
	const json_t *v = json_object_get(body, "path_prefix");
	const char *s = json_is_string(v) && json_string_length(v) > 0 ? json_string_value(v) : "/";

	if (v == NULL)
		return;
	if (is_path(s))
		(void)str_copy(r->path_prefix, sizeof r->path_prefix, s);
	else
		refuse("path_prefix", "format", s,
			"must begin with '/' and have no blanks, no '?' or '#', no '.' or '..' segments and only whole "
			"escapes",
			errs);
}

static bool is_token(const char *s)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

	return s != NULL && *s != '\0' && strlen(s) < 128 && s[strspn(s, letters)] == '\0';
}

/* RFC 9110 section 5.5: visible characters, blanks inside; UTF-8 may pass. */
static bool is_field_value(const char *s)
{
	if (s == NULL || strlen(s) >= ROUTE_VALUE_SIZE || *s == ' ' || *s == '\t')
		return false;
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 127 || ((*s == ' ' || *s == '\t') && s[1] == '\0'))
			return false;
	return true;
}

static void check_name(const char *field, const char *name, struct err_list *errs)
{
	if (!is_token(name))
		refuse(field, "format", name != NULL ? name : "", "is no name of a header field", errs);
}

static void check_wants(const json_t *wants, struct err_list *errs)
{
	const json_t *one;
	size_t i;

	json_array_foreach(wants, i, one)
	{
		const char *value = json_string_value(json_object_get(one, "value"));

		check_name("headers", json_string_value(json_object_get(one, "name")), errs);
		if (value != NULL && !is_field_value(value))
			refuse("headers", "format", value, "is no value of a header field", errs);
	}
}

/* What would take a message apart that the relay has to frame by itself. */
static bool is_framing(const char *name)
{
	static const char *const names[] = { "connection", "content-length", "host", "keep-alive", "te", "trailer",
		"transfer-encoding", "upgrade" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (name != NULL && strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static void check_edit(const char *field, const char *name, const char *value, struct err_list *errs)
{
	check_name(field, name, errs);
	if (is_framing(name))
		refuse(field, "reserved", name, "is set by the relay alone", errs);
	if (value != NULL && !is_field_value(value))
		refuse(field, "format", value, "is no value of a header field", errs);
}

static void check_edits(const char *field, const json_t *edits, struct err_list *errs)
{
	const json_t *removed = json_object_get(edits, "remove"), *given, *value;
	size_t n = json_array_size(removed), i;
	const char *name;

	for (const char *const *op = (const char *const[]){ "set", "add", NULL }; *op != NULL; op++) {
		given = json_object_get(edits, *op);
		if (given != NULL && !json_is_null(given) && !json_is_object(given))
			refuse(field, "type", *op, "must be an object of names and values", errs);
		json_object_foreach((json_t *)(uintptr_t)given, name, value)
		{
			n++;
			check_edit(field, name, json_is_string(value) ? json_string_value(value) : "\n", errs);
		}
	}
	json_array_foreach(removed, i, value) check_edit(field, json_string_value(value), NULL, errs);
	if (n > LB_ROUTE_EDITS_MAX)
		refuse(field, "length", "{...}", "has more than 32 fields", errs);
}

/* What relays write into heads; joined: into one field, with ", " between the words. */
static void check_words(const char *field, const json_t *words, bool joined, struct err_list *errs)
{
	const size_t most = joined ? ROUTE_VALUE_SIZE : ROUTE_ORIGIN_SIZE;
	const json_t *one;
	size_t n = 0, i;

	json_array_foreach(words, i, one)
	{
		n = (joined ? n : 0) + json_string_length(one) + 2;
		if (!is_field_value(json_string_value(one)))
			refuse(field, "format", json_string_value(one), "is no value of a header field", errs);
		if (n >= most) {
			refuse(field, "length", json_string_value(one), "is too long, alone or with those before",
				errs);
			return;
		}
	}
}

/* with: the other field; nothing is said if one of the two is wrong by itself. */
static void need(
	bool ok, const char *field, const char *with, const char *value, const char *why, struct err_list *errs)
{
	if (!ok && !err_list_has(errs, field) && !err_list_has(errs, with))
		err_list_add(errs, ERR_VALIDATION, field, "combination", value, "%s: '%.60s' %s", field, value, why);
}

/* There must be somebody who answers. */
static void check_targets(const struct lb_route *r, const json_t *body, struct err_list *errs)
{
	const json_t *targets = json_object_get(r->settings, "targets");
	const bool redirects = json_object_get(r->settings, "redirect") != NULL;
	const bool pool = r->pool_name[0] != '\0', split = json_array_size(targets) > 0;

	if (err_list_has(errs, "pool") || err_list_has(errs, "targets") || err_list_has(errs, "redirect"))
		return;
	if (!pool && !split && !redirects)
		err_list_add(errs, json_object_get(body, "pool") == NULL ? ERR_MISSING_FIELD : ERR_VALIDATION, "pool",
			"required", "", "pool: the name of a pool is needed (or targets, or a redirect)");
	need(!pool || !split, "targets", "pool", "[...]", "is a split over pools; then pool is null", errs);
	need(!redirects || (!pool && !split), "redirect", "pool", "{...}",
		"is an answer of the relay itself; then pool is null and there are no targets", errs);
}

static void check_location(const struct lb_route *r, struct err_list *errs)
{
	const json_t *redirect = json_object_get(r->settings, "redirect");
	const char *to = json_string_value(json_object_get(redirect, "location"));
	const json_t *status = json_object_get(redirect, "status");
	const json_int_t n = status != NULL ? json_integer_value(status) : 302;
	char value[16];

	if (redirect == NULL)
		return;
	(void)str_fmt(value, sizeof value, "%d", (int)n);
	if (n > 303 && n != 307 && n != 308)
		refuse("redirect.status", "choice", value, "must be 301, 302, 303, 307 or 308", errs);
	if (to == NULL || !is_field_value(to) || strchr(to, ' ') != NULL ||
		(to[0] != '/' && !str_starts(to, "http://") && !str_starts(to, "https://")))
		refuse("redirect.location", "format", to != NULL ? to : "",
			"must be a path, or begin with http:// or https://; {host}, {path} and {query} are put in",
			errs);
}

static void check_pem(const char *field, const char *pem, struct err_list *errs)
{
	if (pem[0] != '\0' && (strstr(pem, "-----BEGIN CERTIFICATE-----") == NULL || strlen(pem) > ROUTE_CA_MAX))
		refuse(field, "format", "...", "must be certificates in PEM", errs);
}

/* In bytes, as relays count. */
static void check_pages(const json_t *pages, struct err_list *errs)
{
	const json_t *one;
	size_t i;

	json_array_foreach(pages, i, one)
	{
		const json_t *type = json_object_get(one, "content_type");

		if (json_is_string(type) &&
			(!is_field_value(json_string_value(type)) || json_string_length(type) >= ROUTE_MEDIA_SIZE))
			refuse("error_pages", "format", json_string_value(type), "is no media type", errs);
		if (json_string_length(json_object_get(one, "body")) > ROUTE_PAGE_MAX)
			refuse("error_pages", "length", "...", "has a body of more than 16384 bytes", errs);
	}
}

static void check(const struct lb_route *r, const json_t *body, struct err_list *errs)
{
	const struct knobs *k = &lb_route_knobs;
	const json_t *v = r->settings, *mirror = json_object_get(v, "mirror");
	const json_t *cors = json_object_get(v, "cors");
	const char *prefix = knobs_text(k, v, "rewrite.prefix"), *host = knobs_text(k, v, "rewrite.host");
	const char *mode = knobs_text(k, v, "client_certificate.mode");
	const char *ca = knobs_text(k, v, "client_certificate.ca");
	const char *key = knobs_text(k, v, "rate_limit.key"), *header = knobs_text(k, v, "rate_limit.header");
	char name[HOST_NAME_SIZE];

	check_targets(r, body, errs);
	check_location(r, errs);
	need(mirror == NULL || json_is_string(json_object_get(mirror, "pool")), "mirror.pool", "mirror", "",
		"must be the name of a pool", errs);
	check_wants(json_object_get(v, "headers"), errs);
	check_edits("request_headers", json_object_get(v, "request_headers"), errs);
	check_edits("response_headers", json_object_get(v, "response_headers"), errs);
	check_pages(json_object_get(v, "error_pages"), errs);
	check_words("cors.origins", json_object_get(cors, "origins"), false, errs);
	check_words("cors.methods", json_object_get(cors, "methods"), true, errs);
	check_words("cors.headers", json_object_get(cors, "headers"), true, errs);
	check_words("cors.expose", json_object_get(cors, "expose"), true, errs);
	check_words("gzip.types", json_object_get(v, "gzip.types"), true, errs);
	if (prefix[0] != '\0' && !is_path(prefix))
		refuse("rewrite.prefix", "format", prefix, "is no path", errs);
	if (host[0] != '\0' && host_name_take(name, host, strlen(host)) != 0)
		refuse("rewrite.host", "format", host, "is no host name", errs);
	check_pem("client_certificate.ca", ca, errs);
	need(strcmp(mode, "none") == 0 || ca[0] != '\0', "client_certificate.mode", "client_certificate.ca", mode,
		"needs a ca", errs);
	need(strcmp(mode, "none") == 0 || r->ssl_enabled, "client_certificate.mode", "ssl_enabled", mode,
		"needs ssl_enabled", errs);
	need(strcmp(key, "header") != 0 || is_token(header), "rate_limit.key", "rate_limit.header", key,
		"needs the name of a header field as rate_limit.header", errs);
	need(r->ssl_enabled || knobs_number(k, v, "https_only") == 0, "https_only", "ssl_enabled", "true",
		"needs ssl_enabled", errs);
}

/* ---- taking ------------------------------------------------------------------------------------------------------- */

static void take_text(
	char *dst, size_t size, const json_t *body, const char *name, const char *fallback, struct err_list *errs)
{
	const json_t *v = json_object_get(body, name);
	const char *s = json_is_string(v) ? json_string_value(v) : fallback;

	if (v != NULL && str_copy(dst, size, s) != 0)
		refuse(name, "length", s, "is too long", errs);
}

void lb_route_apply(struct lb_route *r, const json_t *body, struct err_list *errs)
{
	const json_t *ssl = json_object_get(body, "ssl_enabled"), *status = json_object_get(body, "status");

	knobs_apply(&lb_route_knobs, r->settings, body, errs);
	take_hosts(r, body, errs);
	take_path(r, body, errs);
	take_text(r->pool_name, sizeof r->pool_name, body, "pool", "", errs);
	take_text(r->group_name, sizeof r->group_name, body, "group", "default", errs);
	take_text(r->node_name, sizeof r->node_name, body, "node", "", errs);
	if (ssl != NULL)
		r->ssl_enabled = json_is_true(ssl);
	if (json_is_null(status) || str_eq(json_string_value(status), "active"))
		r->active = true;
	else if (str_eq(json_string_value(status), "inactive"))
		r->active = false;
	check(r, body, errs);
}
