/*
 * frame - what parent and link process say to each other over their socketpair: u32 length, u8 kind, bytes.
 *
 * Pure over bytes. Both ends are the same binary, so there is no version.
 */
#ifndef PORTWAY_RELAYD_LINK_FRAME_H
#define PORTWAY_RELAYD_LINK_FRAME_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

/* The two REQ sockets. */
enum link_line { LINE_POLL, LINE_REPORT, LINES_N };

enum frame_kind {
	FRAME_OPEN = 1, /* parent: struct frame_open, once, first */
	FRAME_SEND,     /* parent: u8 line, message */
	FRAME_REPLY,    /* child: u8 line, message */
	FRAME_LOST,     /* child: u8 line, text: what was sent on it will have no reply */
	FRAME_UP,       /* child: u8 line: it is connected */
	FRAME_DOWN,     /* child: u8 line, text: it is not */
};

#define FRAME_HEAD 5
#define FRAME_MAX  (PROTO_MSG_MAX + 1) /* bytes behind the head */

struct frame {
	uint8_t kind;
	const uint8_t *p; /* borrowed from the input */
	size_t n;
};

/* Appends a whole frame: the line's number, if line >= 0, then the bytes. */
void frame_put(struct buf *b, enum frame_kind kind, int line, const void *p, size_t n);
/* Bytes that the frame at the front takes, 0 when it is not complete, -1 when the input is no frame. */
ssize_t frame_get(struct frame *out, const void *p, size_t n);

/* What the link process needs to know; strings are "" when absent. */
#define FRAME_PEM_MAX 8192
struct frame_open {
	char address[300]; /* host:port */
	char cert_pem[FRAME_PEM_MAX];
	char key_pem[FRAME_PEM_MAX];
	char ca_pem[FRAME_PEM_MAX];
	char ca_fingerprint[72];
};
void frame_open_put(struct buf *b, const struct frame_open *o);
int frame_open_get(struct frame_open *o, const void *p, size_t n) MUST_CHECK;

#endif
