/*
 * ticket_conf - the keys that TLS tickets are sealed with, the same on all relays. The body of the one object of kind OBJECT_TICKETS.
 *
 * Keys come before they begin and stay after they were followed, so relays that hear of it at different times take each other's tickets.
 * Immutable once decoded, and in one piece: nothing to release.
 */
#ifndef PORTWAY_PROTO_TICKET_CONF_H
#define PORTWAY_PROTO_TICKET_CONF_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stddef.h>
#include <stdint.h>

struct buf;

#define TICKET_KEYS_MAX  8
#define TICKET_NAME_SIZE 16
#define TICKET_KEY_SIZE  32
#define TICKETS_ID       "tickets" /* the object's id */

struct ticket_key {
	uint8_t name[TICKET_NAME_SIZE];
	uint8_t cipher[TICKET_KEY_SIZE], mac[TICKET_KEY_SIZE];
	int64_t from_ms, until_ms; /* seals from then, opens until then; wall clock */
};

struct ticket_conf {
	uint32_t n;
	struct ticket_key keys[TICKET_KEYS_MAX];
};

void ticket_conf_encode(const struct ticket_conf *c, struct buf *b);
/* Whole body or nothing: 0, or -1 and *c zeroed. */
int ticket_conf_decode(struct ticket_conf *c, const void *p, size_t n) MUST_CHECK;

#endif
