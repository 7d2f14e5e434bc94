/*
 * errors - the one form in which the API says what went wrong, and the page about each code.
 *
 *	{"success":false,"error":true,"code","message","details","timestamp","request_id","documentation_url"}
 *
 * details is one {field, constraint, provided_value, message}, an array of these for several errors, {} for none that
 * has a field.
 */
#ifndef PORTWAY_CONTROLD_REST_ERRORS_H
#define PORTWAY_CONTROLD_REST_ERRORS_H

#include "common/base/err.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct errors_context {
	const char *request_id;
	const char *base_url; /* "https://panel.example"; "" for a path only */
	int64_t now_ms;
};

/* 422 if anything present is invalid, 400 if something is only missing or cannot be parsed, else that of the first. */
int errors_status(const struct err *items, size_t n);
/* n >= 1; dropped: how many more there were. */
void errors_render(
	struct buf *out, const struct err *items, size_t n, size_t dropped, const struct errors_context *ctx);
const char *errors_phrase(int status);
/* The HTML page of one code ("VALIDATION_ERROR"); -1 for a code there is not. */
int errors_page(struct buf *out, const char *code) MUST_CHECK;

#endif
