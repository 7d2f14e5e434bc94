/*
 * print - answers for programs and for people: JSON, YAML, ids.
 *
 * JSON for a terminal is ASCII, so that nothing in a name reaches the terminal as more than its letters; for a pipe it is
 * UTF-8 as it came.
 */
#ifndef PORTWAY_CLIENT_OUT_PRINT_H
#define PORTWAY_CLIENT_OUT_PRINT_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdio.h>

enum print_format { PRINT_TABLE, PRINT_JSON, PRINT_YAML, PRINT_NAME };

/* Of the words of --output. */
enum print_format print_format(const char *name);

/* All of them: 0, or -1 when it could not be written. */
int print_json(FILE *out, const json_t *value) MUST_CHECK;      /* over several lines */
int print_json_part(FILE *out, const json_t *value) MUST_CHECK; /* the same without an end of line: an item of a list */
int print_json_line(FILE *out, const json_t *value) MUST_CHECK; /* in one line */
int print_yaml(FILE *out, const json_t *value) MUST_CHECK;      /* a document without its --- */

/* The member at a path like "traffic_stats.bytes_sent"; NULL when it is not there. */
const json_t *print_member(const json_t *object, const char *path);

#endif
