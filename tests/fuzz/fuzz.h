/*
 * fuzz - what fuzz targets share: the entry point, and the check that ends the process where a promise is broken.
 */
#ifndef PORTWAY_TESTS_FUZZ_FUZZ_H
#define PORTWAY_TESTS_FUZZ_FUZZ_H

#include "common/base/buf.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(promise)               \
	do {                              \
		if (!(promise))           \
			__builtin_trap(); \
	} while (0)

/* What was accepted must encode to the same bytes. Releases b. */
static inline void fuzz_check_same(struct buf *b, const uint8_t *data, size_t size)
{
	FUZZ_CHECK(!b->failed && b->len == size && memcmp(b->data, data, size) == 0);
	buf_free(b);
}

/* The input as a string, to be freed; NULL when there is no memory. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);

	if (s == NULL)
		return NULL;
	if (size > 0)
		memcpy(s, data, size);
	s[size] = '\0';
	return s;
}

#endif
