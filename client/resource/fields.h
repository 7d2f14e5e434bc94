/*
 * fields - what may be written into a resource, as controld itself describes it in /openapi.json: types, limits, words.
 *
 * Without that description (an old controld, a proxy) values are taken for what they look like.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_FIELDS_H
#define PORTWAY_CLIENT_RESOURCE_FIELDS_H

#include "client/resource/field.h"
#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>

/* The schema of what a path ("/things", "/things/{id}" or "/things/7") takes with a method; NULL: the document has none. */
const json_t *fields_body(const json_t *doc, const char *path, const char *method);
/* The schema of a member, by path; through references. NULL: unknown. */
const json_t *fields_member(const json_t *doc, const json_t *schema, const struct field *f);
/* References followed: the schema that holds the members. */
const json_t *fields_resolve(const json_t *doc, const json_t *schema);

/* A secret: it may be written and is never read. */
bool fields_is_secret(const json_t *schema);
bool fields_is_required(const json_t *object_schema, const char *name);
/* "integer", "string", ...; "" when it is not said. */
const char *fields_type(const json_t *schema);
bool fields_is_nullable(const json_t *schema);

/* Text from the command line as the schema wants it (new); text that does not fit stays text: controld says what is wrong. */
json_t *fields_value(const json_t *doc, const json_t *schema, const char *text);

#endif
