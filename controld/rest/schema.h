/*
 * schema - what a JSON object or a query string may hold, as a const table: validation with all errors at once, and
 * the OpenAPI description, from the same rows.
 */
#ifndef PORTWAY_CONTROLD_REST_SCHEMA_H
#define PORTWAY_CONTROLD_REST_SCHEMA_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err_list;
struct schema;

enum schema_type {
	SCHEMA_STRING,
	SCHEMA_INT,
	SCHEMA_NUMBER,
	SCHEMA_BOOL,
	SCHEMA_OBJECT, /* sub */
	SCHEMA_ARRAY,  /* of sub (objects) or of item_type */
	SCHEMA_ANY,
};

enum schema_format {
	SCHEMA_FORMAT_NONE,
	SCHEMA_FORMAT_EMAIL,
	SCHEMA_FORMAT_HOST, /* DNS name or IP literal */
	SCHEMA_FORMAT_IP,
	SCHEMA_FORMAT_CIDR,
	SCHEMA_FORMAT_NAME,     /* [A-Za-z0-9][A-Za-z0-9._-]* */
	SCHEMA_FORMAT_TIME,     /* RFC 3339 */
	SCHEMA_FORMAT_DURATION, /* "30s" or seconds; an int is allowed as well */
	SCHEMA_FORMAT_PASSWORD, /* PASSWORD_MIN..MAX, shown as *** in errors */
	SCHEMA_FORMAT_ZONE,     /* of time: UTC, +02:00, Europe/Berlin */
};

enum schema_flags {
	SCHEMA_REQUIRED = 1,
	SCHEMA_NULLABLE = 2,  /* null resets to the default on update */
	SCHEMA_READ_ONLY = 4, /* answers only; in a request refused as unknown */
	SCHEMA_SECRET = 8,    /* shown as *** in errors */
	SCHEMA_IGNORED = 16,  /* accepted in a request and without effect: printed clients send it back */
};

struct schema_field {
	const char *name;
	enum schema_type type;
	unsigned flags;
	int64_t min,
		max; /* value, length in characters, or items; max 0: none for numbers, 1024 for strings and arrays */
	const char *const *choices; /* NULL-terminated */
	enum schema_format format;
	enum schema_type item_type; /* arrays of scalars */
	const struct schema *sub;
	const char *help; /* with unit */
};

struct schema {
	const char *name; /* OpenAPI component; NULL: inline */
	const struct schema_field *fields;
	size_t n;
	bool open; /* unknown members are ignored (foreign formats); default: refused by name */
};

/* Checks a whole object; adds every error with its path. partial: nothing is required (PUT changes only what is sent). */
void schema_check(const struct schema *s, const json_t *value, bool partial, struct err_list *errs);
/* Adds the JSON Schema of s under components/schemas and answers a reference (new) to it. */
json_t *schema_openapi(const struct schema *s, json_t *components);

#endif
