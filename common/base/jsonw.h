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

void jsonw_object(struct buf *b, const char *key);
void jsonw_end_object(struct buf *b);
void jsonw_array(struct buf *b, const char *key);
void jsonw_end_array(struct buf *b);
void jsonw_str(struct buf *b, const char *key, const char *s);         /* valid UTF-8; NULL writes null */
void jsonw_str_or_null(struct buf *b, const char *key, const char *s); /* "" writes null as well */
void jsonw_int(struct buf *b, const char *key, int64_t v);
void jsonw_uint(struct buf *b, const char *key, uint64_t v);
void jsonw_bool(struct buf *b, const char *key, bool v);
void jsonw_null(struct buf *b, const char *key);
void jsonw_time(struct buf *b, const char *key, int64_t wall_ms);           /* RFC 3339; 0 writes null */
void jsonw_raw(struct buf *b, const char *key, const char *json, size_t n); /* a value that is JSON text already */

#endif
