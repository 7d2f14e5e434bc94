/*
 * schema_format - what a string must look like: the check, the words for an error, and OpenAPI's name of it.
 */
#ifndef PORTWAY_CONTROLD_REST_SCHEMA_FORMAT_H
#define PORTWAY_CONTROLD_REST_SCHEMA_FORMAT_H

#include "controld/rest/schema.h"

#include <stdbool.h>

bool schema_format_ok(enum schema_format format, const char *s);
const char *schema_format_rule(enum schema_format format);    /* "an IP address" */
const char *schema_format_openapi(enum schema_format format); /* "email", or NULL */

#endif
