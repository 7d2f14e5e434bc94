/*
 * format - what bodies for a kind of destination look like, and what its answers mean. One file per kind.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_FORMAT_H
#define PORTWAY_CONTROLD_NOTIFY_FORMAT_H

#include "common/base/macros.h"
#include "controld/out/outbound.h"

#include <stdbool.h>

struct buf;
struct err;

enum verdict {
	VERDICT_DELIVERED,
	VERDICT_REFUSED, /* this body, and no other time either: the next one is sent */
	VERDICT_AGAIN,   /* later, and the next ones wait */
	VERDICT_DEAD,    /* nothing will be taken there any more */
	VERDICT_STOPPED, /* we end: as if it had not been tried */
};

struct format {
	const char *name; /* "generic" */
	/* out: what is sent, made of the text that topic_body() wrote; NULL: that text itself. */
	int (*render)(const char *body, struct buf *out, struct err *e);
	/* Of an answer's status. */
	enum verdict (*judge)(int status);
};

/* NULL when there is none. */
const struct format *format_find(const char *name);
extern const char *const format_names[]; /* NULL at the end: for schemas */

extern const struct format format_generic;

#endif
