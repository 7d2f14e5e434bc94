/*
 * knobs - what may be tuned of a pool, a backend or a route: a table of names, kinds, defaults and ranges.
 *
 * The values of one object are a JSON object whose members have the names of the table ("health_check.path"): what is not there is
 * at its default. What a caller may send was checked by a schema before; what a schema cannot say (durations) is checked here.
 *
 * Pure.
 */
#ifndef PORTWAY_CONTROLD_BALANCER_KNOBS_H
#define PORTWAY_CONTROLD_BALANCER_KNOBS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum knob_type {
	KNOB_INT,
	KNOB_BOOL,
	KNOB_TEXT,
	KNOB_MS,   /* a duration, kept in milliseconds, printed as "30s" */
	KNOB_JSON, /* anything else: lists, objects */
};

struct knob {
	const char *name; /* "health_check.path": members of one object stand together */
	enum knob_type type;
	int64_t number;      /* default of a number, a duration, a bool */
	const char *text;    /* default of a text; of KNOB_JSON as it is printed */
	int64_t least, most; /* of a duration */
	enum err_code code;  /* of what is wrong with it; 0: ERR_VALIDATION */
};

struct knobs {
	const struct knob *rows;
	size_t n;
	bool own; /* of values that stand before those of another object: what is said stays said, also if it is the default */
};

/* Takes the members that are in body, null resets one or a whole object of them. */
void knobs_apply(const struct knobs *k, json_t *values, const json_t *body, struct err_list *errs);
/* With defaults, as members of the object that is being written. */
void knobs_print(const struct knobs *k, const json_t *values, struct buf *b);
/* Those that are there only. */
void knobs_print_own(const struct knobs *k, const json_t *values, struct buf *b);
/* Appends the names of members that differ, each after a comma. */
void knobs_diff(const struct knobs *k, const json_t *a, const json_t *b, struct buf *fields);

int64_t knobs_number(const struct knobs *k, const json_t *values, const char *name);
const char *knobs_text(const struct knobs *k, const json_t *values, const char *name);
/* NULL: at its default. */
const json_t *knobs_json(const json_t *values, const char *name);

/* As a row keeps them. */
int knobs_load(json_t **values, const char *text, struct err *e) MUST_CHECK;
char *knobs_store(const json_t *values); /* malloc'ed; NULL: out of memory */

/* "30s", "250ms". */
#define KNOBS_DURATION_SIZE 24
void knobs_duration(char dst[KNOBS_DURATION_SIZE], int64_t ms);

#endif
