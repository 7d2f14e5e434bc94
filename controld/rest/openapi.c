#include "controld/rest/openapi.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/identity.h"
#include "controld/rest/errors.h"
#include "controld/rest/router.h"
#include "controld/rest/schema.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#ifndef PORTWAY_VERSION
#define PORTWAY_VERSION "0"
#endif

/* ---- parts that every operation shares ------------------------------------------------------------------------------ */

static json_t *openapi_error_schema(void)
{
	json_t *detail = json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:[s,s]}, s:{s:s}}}", "type", "object", "properties",
		"field", "type", "string", "constraint", "type", "string", "provided_value", "type", "string", "null",
		"message", "type", "string");
	json_t *details = json_pack("{s:[O, {s:s, s:O}]}", "oneOf", detail, "type", "array", "items", detail);
	json_t *codes = json_array();
	json_t *out;

#define X(name, wire, api, http, retry) \
	if ((http) >= 400)              \
		json_array_append_new(codes, json_string(api));
	ERR_CODES(X)
#undef X
	out = json_pack("{s:s, s:{s:{s:b}, s:{s:b}, s:{s:s, s:o}, s:{s:s}, s:o, s:{s:s, s:s}, s:{s:s}, s:{s:s}}}",
		"type", "object", "properties", "success", "const", 0, "error", "const", 1, "code", "type", "string",
		"examples", codes, "message", "type", "string", "details", details, "timestamp", "type", "string",
		"format", "date-time", "request_id", "type", "string", "documentation_url", "type", "string");
	json_decref(detail);
	return out;
}

static json_t *openapi_components(void)
{
	return json_pack("{s:{s:o}, s:{s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}},"
			 " s:{s:{s:s, s:{s:{s:{s:s}}}}}}",
		"schemas", "Error", openapi_error_schema(), "securitySchemes", "bearer", "type", "http", "scheme",
		"bearer", "bearerFormat", "JWT", "api_key", "type", "apiKey", "in", "header", "name", "X-API-Key",
		"responses", "Error", "description", "What went wrong", "content", "application/json", "schema", "$ref",
		"#/components/schemas/Error");
}

/* ---- one operation --------------------------------------------------------------------------------------------------- */

static json_t *openapi_parameter(const char *name, const char *in, bool required, json_t *schema)
{
	return json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", in, "required", required, "schema", schema);
}

/* What a field needs as a parameter is what it is as a member of an object. */
static void openapi_query(json_t *parameters, const struct schema *query, json_t *components)
{
	json_t *scratch = json_object();

	for (size_t i = 0; i < query->n; i++) {
		const struct schema_field *f = &query->fields[i];
		const struct schema one = { .name = NULL, .fields = f, .n = 1 };
		json_t *object = schema_openapi(&one, components);
		json_t *schema = json_object_get(json_object_get(object, "properties"), f->name);

		json_array_append_new(parameters,
			openapi_parameter(f->name, "query", (f->flags & SCHEMA_REQUIRED) != 0, json_incref(schema)));
		json_decref(object);
	}
	json_decref(scratch);
}

static json_t *openapi_parameters(const struct router_entry *entry, json_t *components)
{
	const struct route *r = entry->route;
	json_t *out = json_array();

	for (size_t i = 0; i < entry->n_captures; i++)
		json_array_append_new(
			out, openapi_parameter(entry->captures[i], "path", true, json_pack("{s:s}", "type", "string")));
	if (r->query != NULL)
		openapi_query(out, r->query, components);
	if (str_eq(r->method, "POST") && r->permission != PERM_PUBLIC)
		json_array_append_new(out, openapi_parameter("Idempotency-Key", "header", false,
						   json_pack("{s:s, s:i}", "type", "string", "maxLength", 255)));
	if (str_eq(r->method, "PUT") || str_eq(r->method, "PATCH"))
		json_array_append_new(
			out, openapi_parameter("If-Match", "header", false, json_pack("{s:s}", "type", "string")));
	return out;
}

static json_t *openapi_content(const struct schema *s, json_t *components)
{
	return json_pack("{s:{s:o}}", "application/json", "schema", schema_openapi(s, components));
}

/* What a partial update may hold: the same members, none of which has to be there. */
static json_t *openapi_partial(const struct schema *s, json_t *components)
{
	json_t *whole = schema_openapi(s, components);
	char name[80];

	if (s->name == NULL) {
		json_object_del(whole, "required");
		return whole;
	}
	if (json_object_get(json_object_get(components, s->name), "required") == NULL)
		return whole;
	json_decref(whole);
	(void)str_fmt(name, sizeof name, "%sUpdate", s->name);
	whole = json_copy(json_object_get(components, s->name));
	json_object_del(whole, "required");
	json_object_set_new(components, name, whole);
	return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name));
}

static json_t *openapi_body(const struct route *r, json_t *components)
{
	const bool partial = (r->flags & ROUTE_PARTIAL) != 0;
	json_t *schema = partial ? openapi_partial(r->request, components) : schema_openapi(r->request, components);

	return json_pack("{s:b, s:{s:{s:o}}}", "required", !partial, "content", "application/json", "schema", schema);
}

static json_t *openapi_responses(const struct route *r, json_t *components)
{
	const int status = r->status != 0 ? r->status : 200;
	json_t *success = json_pack("{s:s}", "description", errors_phrase(status));
	json_t *out = json_object();
	char text[16];

	if (r->response != NULL)
		json_object_set_new(success, "content", openapi_content(r->response, components));
	if ((r->flags & ROUTE_STREAM) != 0)
		json_object_set_new(success, "content",
			json_pack("{s:{s:{s:s}}}", "text/event-stream", "schema", "type", "string"));
	if ((r->flags & ROUTE_NDJSON) != 0)
		json_object_set_new(success, "content",
			json_pack("{s:{s:{s:s}}}", "application/x-ndjson", "schema", "type", "string"));
	(void)str_fmt(text, sizeof text, "%d", status);
	json_object_set_new(out, text, success);
	json_object_set_new(out, "default", json_pack("{s:s}", "$ref", "#/components/responses/Error"));
	return out;
}

/* "getApiV1MappingsId": unique because method and path are. */
static json_t *openapi_operation_id(const struct route *r)
{
	char id[160];
	size_t n = 0;
	bool up = false;

	for (const char *p = r->method; *p != '\0' && n + 1 < sizeof id; p++)
		id[n++] = (char)tolower((unsigned char)*p);
	for (const char *p = r->path; *p != '\0' && n + 1 < sizeof id; p++) {
		const unsigned char ch = (unsigned char)*p;

		if (isalnum(ch))
			id[n++] = (char)(up ? toupper(ch) : ch);
		up = !isalnum(ch);
	}
	return json_stringn(id, n);
}

/* What an API key needs stands with it, as the scopes of OAuth do. */
static void openapi_security(json_t *out, const struct route *r)
{
	char scope[IDENTITY_SCOPE_SIZE];

	identity_scope_of(scope, r);
	json_object_set_new(out, "security",
		r->permission == PERM_PUBLIC ? json_array()
					     : json_pack("[{s:[]},{s:[s]}]", "bearer", "api_key", scope));
}

static json_t *openapi_operation(const struct router_entry *entry, json_t *components)
{
	const struct route *r = entry->route;
	json_t *out = json_pack("{s:o, s:o, s:o}", "operationId", openapi_operation_id(r), "parameters",
		openapi_parameters(entry, components), "responses", openapi_responses(r, components));

	if (r->summary != NULL)
		json_object_set_new(out, "summary", json_string(r->summary));
	if (r->tag != NULL)
		json_object_set_new(out, "tags", json_pack("[s]", r->tag));
	if (r->request != NULL)
		json_object_set_new(out, "requestBody", openapi_body(r, components));
	openapi_security(out, r);
	if (permission_role_name(r->permission)[0] != '\0')
		json_object_set_new(out, "x-role", json_string(permission_role_name(r->permission)));
	if (ROUTE_PER_MINUTE_OF(r) > 0)
		json_object_set_new(out, "x-ratelimit-per-minute", json_integer(ROUTE_PER_MINUTE_OF(r)));
	return out;
}

/* ---- the document ---------------------------------------------------------------------------------------------------- */

static void openapi_add(json_t *paths, const struct router_entry *entry, json_t *components)
{
	json_t *path = json_object_get(paths, entry->route->path);
	char method[16];
	size_t n = 0;

	if (path == NULL) {
		path = json_object();
		json_object_set_new(paths, entry->route->path, path);
	}
	for (const char *p = entry->route->method; *p != '\0' && n + 1 < sizeof method; p++)
		method[n++] = (char)tolower((unsigned char)*p);
	method[n] = '\0';
	json_object_set_new(path, method, openapi_operation(entry, components));
}

static json_t *openapi_tags(const struct router *router)
{
	json_t *seen = json_object();
	json_t *out = json_array();

	for (size_t i = 0; i < router_count(router); i++) {
		const char *tag = router_at(router, i)->route->tag;

		if (tag == NULL || json_object_get(seen, tag) != NULL)
			continue;
		json_object_set_new(seen, tag, json_true());
		json_array_append_new(out, json_pack("{s:s}", "name", tag));
	}
	json_decref(seen);
	return out;
}

static int openapi_write(const char *text, size_t n, void *out)
{
	buf_put(out, text, n);
	return 0;
}

int openapi_render(struct buf *out, const struct router *router, const char *server_url, struct err *e)
{
	json_t *components = openapi_components();
	json_t *paths = json_object();
	json_t *doc;
	int rc;

	for (size_t i = 0; i < router_count(router); i++)
		openapi_add(paths, router_at(router, i), json_object_get(components, "schemas"));
	doc = json_pack("{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:o, s:o, s:o}", "openapi", "3.1.0", "info", "title",
		"Portway controld", "version", PORTWAY_VERSION, "description",
		"One control plane, many relays: tenants, users, mappings, nodes and their traffic.", "servers", "url",
		server_url[0] != '\0' ? server_url : "/", "tags", openapi_tags(router), "paths", paths, "components",
		components);
	rc = doc == NULL ? -1 : json_dump_callback(doc, openapi_write, out, JSON_COMPACT);
	json_decref(doc);
	return rc == 0 && !out->failed ? 0 : err_set(e, ERR_NOMEM, NULL, "openapi: out of memory");
}
