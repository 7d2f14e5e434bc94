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
#include <stddef.h>
#include <stdint.h>

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
	bool is_signed;   /* whoever receives it checks our signature */
	/* Whether a URL is of this kind; NULL: none is by itself. */
	bool (*is_url)(const char *url);
	/* The URL as it may be shown: whoever knows it whole can often post there. */
	void (*show_url)(const char *url, char *dst, size_t size);
	/* out: what is sent, made of the text that topic_body() wrote; NULL: that text itself. */
	int (*render)(const char *body, struct buf *out, struct err *e);
	/* Of an answer's status. */
	enum verdict (*judge)(int status);
	/* How long the next call waits, in ms, as the answer says; 0: it does not. */
	int64_t (*pause_ms)(struct outbound_answer *a);
	/* Whether that is meant for all that is sent to the same place (place_hold.h); NULL: never. */
	bool (*everywhere)(struct outbound_answer *a);
};

/* NULL when there is none. */
const struct format *format_find(const char *name);
/* The kind that a URL is of. */
const struct format *format_of_url(const char *url);
extern const char *const format_names[]; /* NULL at the end: for schemas */

extern const struct format format_generic, format_discord;

#endif
