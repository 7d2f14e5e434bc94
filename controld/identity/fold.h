/*
 * fold - small helpers of the nouns of identity: unique names, members of a body that change an object, times.
 *
 * Two names that differ in the case of ASCII letters only are the same name.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_FOLD_H
#define PORTWAY_CONTROLD_IDENTITY_FOLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* The form that is compared. */
void fold_key(char *dst, size_t size, const char *s);
/* A failed insert or update: if the name was taken, say so by field and value. Returns -1. */
int fold_taken(struct err *e, const char *field, const char *value);

/* Copies a text member if it was sent; null empties it. */
void fold_take(const json_t *body, const char *member, char *dst, size_t size);

/* Names of changed members, by comma. */
struct fold_names {
	char *text;
	size_t size;
};
void fold_note(struct fold_names *n, const char *name, bool changed);

/* RFC 3339; null for 0. */
json_t *fold_time(int64_t wall_ms);

#endif
