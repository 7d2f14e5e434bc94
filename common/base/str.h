/*
 * str - strings from people and files: bounded copies and strict parsing.
 *
 * Every parser takes the whole string or fails; none accepts leading blanks, signs or trailing bytes it does not name.
 */
#ifndef PORTWAY_BASE_STR_H
#define PORTWAY_BASE_STR_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies with a NUL; 0, or -1 (and a cut copy) when it did not fit. */
int str_copy(char *dst, size_t size, const char *src);
/* snprintf that says whether all of it fitted: 0 or -1. */
int str_fmt(char *dst, size_t size, const char *fmt, ...) PRINTF(3, 4);
bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
/* Decimal digits only. */
int str_to_u64(const char *s, uint64_t min, uint64_t max, uint64_t *out) MUST_CHECK;
int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *out) MUST_CHECK;
/* "250ms" "30s" "5m" "2h" "7d", a bare number is seconds; in milliseconds. */
int str_to_duration_ms(const char *s, uint64_t *ms) MUST_CHECK;
/* "4096" "64KiB" "10MiB" "1GiB" (also K/M/G, powers of 1024), in bytes. */
int str_to_size(const char *s, uint64_t *bytes) MUST_CHECK;
int str_to_bool(const char *s, bool *out) MUST_CHECK; /* true/false/yes/no/on/off/1/0 */
bool str_is_utf8(const char *s, size_t n);            /* RFC 3629, no NUL, no surrogates */
void str_make_utf8(char *s);                          /* bytes that belong to no character become '?' */
/* Lower-case hex; dst needs 2n+1. str_unhex: number of bytes or -1. */
void str_hex(char *dst, const void *src, size_t n);
int str_unhex(void *dst, size_t size, const char *hex);
/* base64url without padding (RFC 4648 section 5); dst needs str_b64url_len(n)+1. */
size_t str_b64url_len(size_t n);
void str_b64url(char *dst, const void *src, size_t n);
int str_unb64url(void *dst, size_t size, const char *s, size_t len); /* bytes, or -1 */
/* How many letters have to be changed, put in or left out (Levenshtein): for "did you mean". Of b the first 127. */
size_t str_distance(const char *a, const char *b);
/* Equal length and content in time that depends on the length only. */
bool str_eq_secret(const char *a, const char *b);

#endif
