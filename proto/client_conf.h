/*
 * client_conf - one client as a relay knows it: the body of an object of kind OBJECT_CLIENT.
 *
 * The object's id is the client's number in decimal. A relay holds public keys only: an agent shows that it has the
 * secret by signing. Immutable once decoded, and in one piece: nothing to release. All limits: 0 means none.
 */
#ifndef PORTWAY_PROTO_CLIENT_CONF_H
#define PORTWAY_PROTO_CLIENT_CONF_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define CLIENT_KEY_SIZE  32 /* an Ed25519 public key */
#define CLIENT_KEYS_MAX  4
#define CLIENT_PORTS_MAX 64 /* entries of one list */

struct client_key {
	uint8_t public_key[CLIENT_KEY_SIZE];
	int64_t not_after_ms; /* wall clock; 0: no end. The relay enforces it alone */
};

struct client_port_range {
	uint16_t first, last;
};

struct client_ports {
	uint32_t n;
	struct client_port_range items[CLIENT_PORTS_MAX];
};

struct client_conf {
	bool enabled; /* false: its links are cut, and none is let in */
	bool single;  /* a second instance is refused, not added */
	uint32_t n_keys;
	struct client_key keys[CLIENT_KEYS_MAX]; /* any of them will do: a secret is replaced with an overlap */
	uint64_t rate_in, rate_out;              /* bytes/s of the whole client, to the agent / from it */
	uint32_t max_connections;
	uint32_t heartbeat_s;        /* how often the link is tried when nothing passes */
	bool compress;               /* also for mappings that do not ask for it */
	bool reconnect;              /* false: an agent that lost its link does not dial again by itself */
	int64_t expires_ms;          /* wall clock; 0: never. The relay enforces it alone */
	struct client_ports allowed; /* target ports at the client; empty: all */
	struct client_ports blocked; /* wins over allowed */
	char tenant[PROTO_ID_SIZE];
};

/* Whether the client's lists let a target port through. */
bool client_conf_port_ok(const struct client_conf *c, uint16_t port);
void client_conf_encode(const struct client_conf *c, struct buf *b);
/* Whole body or nothing: 0, or -1 and *c zeroed. */
int client_conf_decode(struct client_conf *c, const void *p, size_t n) MUST_CHECK;

#endif
