/*
 * jsonw - writes JSON text straight into a buf, for answers that are made often: no tree is built.
 *
 * The separators come by themselves: a comma is written unless the last byte opens something. key is NULL for an item of
 * an array and for the outermost value; else a name with nothing to escape. Errors are those of the buf (sticky).
 *
 *	jsonw_object(&b, NULL);
 *	jsonw_str(&b, "id", m->id);
 *	jsonw_end_object(&b);
 */
#ifndef PORTWAY_BASE_JSONW_H
#define PORTWAY_BASE_JSONW_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The same with the length of the name, which the compiler knows where the name is a literal. */
void jsonw_put(struct buf *b, const char *key, size_t key_n, const char *text, size_t n);
void jsonw_put_str(struct buf *b, const char *key, size_t key_n, const char *s);
void jsonw_put_number(struct buf *b, const char *key, size_t key_n, uint64_t v, bool minus);
void jsonw_put_time(struct buf *b, const char *key, size_t key_n, int64_t wall_ms);
/*
 * Many numbers of an object at once, by a table: {JSONW_NUMBER("first", 0), ...}, with the place of each value. They follow
 * one another, and the first one follows another member or the object's beginning.
 */
struct jsonw_number {
	const char *text; /* comma, name and colon */
	uint8_t n, at;
};
#define JSONW_NUMBER(name, at)                                              \
	{                                                                   \
		",\"" name "\":", (uint8_t)(sizeof name + 3), (uint8_t)(at) \
	}
void jsonw_numbers(struct buf *b, const struct jsonw_number *list, size_t n, const int64_t *values);
static inline size_t jsonw_key(const char *key)
{
	return key != NULL ? strlen(key) : 0;
}

void jsonw_end_object(struct buf *b);
void jsonw_end_array(struct buf *b);
static inline void jsonw_raw(struct buf *b, const char *key, const char *json, size_t n) /* JSON text already */
{
	jsonw_put(b, key, jsonw_key(key), json, n);
}
static inline void jsonw_object(struct buf *b, const char *key)
{
	jsonw_raw(b, key, "{", 1);
}
static inline void jsonw_array(struct buf *b, const char *key)
{
	jsonw_raw(b, key, "[", 1);
}
static inline void jsonw_null(struct buf *b, const char *key)
{
	jsonw_raw(b, key, "null", 4);
}
static inline void jsonw_bool(struct buf *b, const char *key, bool v)
{
	jsonw_raw(b, key, v ? "true" : "false", v ? 4 : 5);
}
static inline void jsonw_str(struct buf *b, const char *key, const char *s) /* valid UTF-8; NULL writes null */
{
	jsonw_put_str(b, key, jsonw_key(key), s);
}
static inline void jsonw_str_or_null(struct buf *b, const char *key, const char *s) /* "" writes null as well */
{
	jsonw_str(b, key, s != NULL && s[0] != '\0' ? s : NULL);
}
static inline void jsonw_uint(struct buf *b, const char *key, uint64_t v)
{
	jsonw_put_number(b, key, jsonw_key(key), v, false);
}
static inline void jsonw_int(struct buf *b, const char *key, int64_t v)
{
	jsonw_put_number(b, key, jsonw_key(key), v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
}
static inline void jsonw_time(struct buf *b, const char *key, int64_t wall_ms) /* RFC 3339; 0 writes null */
{
	jsonw_put_time(b, key, jsonw_key(key), wall_ms);
}

#endif
