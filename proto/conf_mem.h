/*
 * conf_mem - the memory of one decoded body with many strings and lists: taken piece by piece, released at once.
 *
 * Strings of a body come into one block of the body's length: a string takes at least two bytes on the wire more than its
 * characters, so the block is never too short. A string that is not there is "", never NULL.
 *
 * Owner: the decoded struct that embeds it; zeroed, it is empty and owns nothing. Thread: one at a time.
 */
#ifndef PORTWAY_PROTO_CONF_MEM_H
#define PORTWAY_PROTO_CONF_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor;
struct conf_piece;

struct conf_mem {
	struct conf_piece *pieces;
	char *texts;
	size_t used, cap;
};

/* For a body of body_n bytes. Allocates nothing yet. */
void conf_mem_init(struct conf_mem *m, size_t body_n);
void conf_mem_fini(struct conf_mem *m); /* also of a zeroed one */
/* str(size); without memory the cursor fails. */
const char *conf_mem_text(struct conf_mem *m, struct cursor *c, size_t size);
/* The same for a text that is long (u32 length), at most max bytes. */
const char *conf_mem_long(struct conf_mem *m, struct cursor *c, size_t max);

/* How a list lies on the wire, and in memory. */
struct conf_list {
	uint32_t max;
	size_t wire_min; /* bytes of the shortest item */
	size_t size;     /* of an item in memory */
};
/* The count is read; zeroed room for so many items, or NULL and *n = 0. */
void *conf_mem_list(struct conf_mem *m, struct cursor *c, const struct conf_list *list, uint32_t *n);

/* What may stand in a head: a token (RFC 9110 section 5.6.2) in lower case; a value without control characters or blanks around. */
bool conf_is_field_name(const char *s);
bool conf_is_token(const char *s);
bool conf_is_field_value(const char *s);

#endif
