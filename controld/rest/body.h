/*
 * body - a request body into JSON: content type, size after inflating, depth, number of values, doubled keys.
 */
#ifndef PORTWAY_CONTROLD_REST_BODY_H
#define PORTWAY_CONTROLD_REST_BODY_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define BODY_DEPTH_MAX  32
#define BODY_VALUES_MAX 50000 /* of JSON, whatever they are: a megabyte of brackets would take sixty in memory */

struct body_source {
	const char *content_type;     /* or NULL */
	const char *content_encoding; /* or NULL; identity and gzip are taken */
	const uint8_t *data;
	size_t n;
	size_t inflated_max; /* bytes */
};

/* A new object; {} for no bytes. -1: ERR_UNSUPPORTED_MEDIA, ERR_TOO_LARGE or ERR_BAD_REQUEST. */
int body_parse(json_t **out, const struct body_source *src, struct err *e) MUST_CHECK;

#endif
