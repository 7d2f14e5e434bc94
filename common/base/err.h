/*
 * err - what went wrong, for a human and for a program: code, field, value, constraint, sentence.
 *
 * Owner:  whoever declares it, on the stack; no heap, nothing to free.
 * Thread: any; the objects are not shared.
 * Filled once, by the place that knows; the layers above only pass it on. Every function takes e == NULL.
 * The texts are always UTF-8 and end with a whole character; a byte that is no part of one becomes '?'.
 */
#ifndef PORTWAY_BASE_ERR_H
#define PORTWAY_BASE_ERR_H

#include "common/base/err_codes.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>

enum err_code {
#define X(name, wire, api, http, retry) ERR_##name = (wire),
	ERR_CODES(X)
#undef X
};

struct err {
	enum err_code code;
	char field[64];      /* path of the wrong member, "limits.max_connections"; "" if none */
	char constraint[48]; /* machine-readable rule: "range", "required", "format", "unknown", ...; "" if none */
	char value[96];      /* the value given, cut; "***" for a secret; "" if none */
	char msg[256];       /* one sentence that names field, value and valid range */
};

/* Everything that is wrong with one input. Beyond ERR_LIST_MAX only counted. */
#define ERR_LIST_MAX 32
struct err_list {
	size_t n;       /* filled entries of items */
	size_t dropped; /* how many more there were */
	struct err items[ERR_LIST_MAX];
};

/* Fill *e and return -1, so that `return err_set(...)` reads as what it is. field may be NULL. */
int err_set(struct err *e, enum err_code code, const char *field, const char *fmt, ...) PRINTF(4, 5);
/* The same with errno's text appended: "open /x: No such file or directory". */
int err_set_sys(struct err *e, enum err_code code, int errnum, const char *fmt, ...) PRINTF(4, 5);
/* Add constraint and value to an error that err_set() made. Returns -1. */
int err_detail(struct err *e, const char *constraint, const char *value);
void err_clear(struct err *e);

/* Appends one error; returns -1. */
int err_list_add(struct err_list *l, enum err_code code, const char *field, const char *constraint, const char *value,
	const char *fmt, ...) PRINTF(6, 7);
/* Appends a copy of e, unless its field is named already: one wrong value is one thing that is wrong. */
void err_list_take(struct err_list *l, const struct err *e);
/* Is this field, what it is a member of, or a member of it among what is wrong? */
bool err_list_has(const struct err_list *l, const char *field);

#ifdef __clang_analyzer__ /* which does not see into err.c: these answer -1 */
#define err_set(...)      ((void)(err_set)(__VA_ARGS__), -1)
#define err_set_sys(...)  ((void)(err_set_sys)(__VA_ARGS__), -1)
#define err_detail(...)   ((void)(err_detail)(__VA_ARGS__), -1)
#define err_list_add(...) ((void)(err_list_add)(__VA_ARGS__), -1)
#endif

const char *err_api(enum err_code code);  /* "VALIDATION_ERROR" */
const char *err_name(enum err_code code); /* "VALIDATION" */
int err_http(enum err_code code);         /* 422 */
bool err_retryable(enum err_code code);
/* ERR_INTERNAL for a number that this build does not know. */
enum err_code err_from_wire(unsigned wire);

#endif
