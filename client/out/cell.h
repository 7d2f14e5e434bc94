/*
 * cell - one member of an object as a table shows it: bytes with a unit, times as ages, lists by commas.
 *
 * What is written is harmless on a terminal already (text.h).
 */
#ifndef PORTWAY_CLIENT_OUT_CELL_H
#define PORTWAY_CLIENT_OUT_CELL_H

#include "common/base/macros.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum cell_kind {
	CELL_TEXT,   /* as it is; null and "" are "-" */
	CELL_COUNT,  /* a number, on the right */
	CELL_BYTES,  /* "1.2M" */
	CELL_US,     /* of microseconds: "85us", "1.2ms", "3.4s" */
	CELL_AGE,    /* of a time: "5m" */
	CELL_TIME,   /* "2026-11-22 10:00:00" */
	CELL_LENGTH, /* of a list: how many */
	CELL_PORTS,  /* of a mapping: "20000", "20000-20099" */
	CELL_TARGET, /* of a mapping: where it leads */
};

struct column {
	const char *title;
	const char *path; /* "traffic_stats.bytes_sent"; NULL where the kind looks at the whole object */
	enum cell_kind kind;
};

/* Appends the cell; how many columns of a terminal it takes. */
size_t cell_put(struct buf *out, const struct column *c, const json_t *object, int64_t now_ms);
bool cell_is_right(enum cell_kind kind); /* numbers stand on the right */
/* Whether it changes by time alone: not looked at when objects are compared. */
bool cell_is_restless(enum cell_kind kind);

/* "1.2M" (powers of 1024); "5m", "3d"; dst of 16 is enough. */
void cell_bytes(char *dst, size_t size, uint64_t n);
void cell_age(char *dst, size_t size, int64_t ms);
void cell_us(char *dst, size_t size, uint64_t us);

#endif
