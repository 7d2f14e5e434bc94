/*
 * hex - the digits of a number, for what is written with each request (str_hex() takes bytes of any length).
 *
 * Pure.
 */
#ifndef PORTWAY_BASE_HEX_H
#define PORTWAY_BASE_HEX_H

#include <stdint.h>

/* All 16 digits of v, in lower case, the highest first; no NUL. */
void hex_u64(char dst[16], uint64_t v);

#endif
