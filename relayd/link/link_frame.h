/*
 * link_frame - what parent and link process say to each other over their socketpair: u32 length, u8 kind, bytes.
 *
 * Pure over bytes. Both ends are the same binary, so there is no version.
 */
#ifndef PORTWAY_RELAYD_LINK_LINK_FRAME_H
#define PORTWAY_RELAYD_LINK_LINK_FRAME_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;

/* The two REQ sockets. */
enum link_line { LINE_POLL, LINE_REPORT, LINES_N };

enum link_frame_kind {
	LINK_FRAME_OPEN = 1, /* parent: struct link_frame_open, once, first */
	LINK_FRAME_SEND,     /* parent: u8 line, message */
	LINK_FRAME_REPLY,    /* child: u8 line, message */
	LINK_FRAME_LOST,     /* child: u8 line, text: what was sent on it will have no reply */
	LINK_FRAME_UP,       /* child: u8 line: it is connected */
	LINK_FRAME_DOWN,     /* child: u8 line, text: it is not */
};

#define LINK_FRAME_HEAD 5
#define LINK_FRAME_MAX  (PROTO_MSG_MAX + 1) /* bytes behind the head */

struct link_frame {
	uint8_t kind;
	const uint8_t *p; /* borrowed from the input */
	size_t n;
};

/* Appends a whole frame: the line's number, if line >= 0, then the bytes. */
void link_frame_put(struct buf *b, enum link_frame_kind kind, int line, const void *p, size_t n);
/* Bytes that the frame at the front takes, 0 when it is not complete, -1 when the input is no frame. */
ssize_t link_frame_get(struct link_frame *out, const void *p, size_t n);

/* What the link process needs to know; strings are "" when absent. */
#define LINK_FRAME_PEM_MAX 8192
struct link_frame_open {
	char address[300]; /* host:port */
	uint32_t turn;     /* which of the host's addresses */
	char cert_pem[LINK_FRAME_PEM_MAX];
	char key_pem[LINK_FRAME_PEM_MAX];
	char ca_pem[LINK_FRAME_PEM_MAX];
	char ca_fingerprint[72];
};
void link_frame_open_put(struct buf *b, const struct link_frame_open *o);
int link_frame_open_get(struct link_frame_open *o, const void *p, size_t n) MUST_CHECK;

#endif
