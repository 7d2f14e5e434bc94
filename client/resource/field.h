/*
 * field - one word of a command line that sets a member: limits.max_connections=10, allow:=["10.0.0.0/8"], password=@FILE.
 */
#ifndef PORTWAY_CLIENT_RESOURCE_FIELD_H
#define PORTWAY_CLIENT_RESOURCE_FIELD_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stddef.h>

struct err;

#define FIELD_DEPTH_MAX 6
#define FIELD_NAME_MAX  64

enum field_form {
	FIELD_TEXT, /* name=value: the value is what the member's type makes of it */
	FIELD_JSON, /* name:=value: the value is JSON */
	FIELD_FILE, /* name=@path: the value is the content of a file, "-" the standard input */
};

struct field {
	size_t depth;
	char path[FIELD_DEPTH_MAX][FIELD_NAME_MAX + 1];
	enum field_form form;
	const char *value; /* borrowed from the word */
};

/* Names are letters, digits, '_' and '-', joined by dots. */
int field_parse(struct field *out, const char *word, struct err *e) MUST_CHECK;
/* Sets the member in the object, making the objects on the way; a list that is set again grows. Takes value. */
int field_set(json_t *object, const struct field *f, json_t *value, struct err *e) MUST_CHECK;
/* "limits.max_connections"; dst of FIELD_DEPTH_MAX * (FIELD_NAME_MAX + 1) */
void field_path(char *dst, size_t size, const struct field *f);

#endif
