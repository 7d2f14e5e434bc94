/*
 * relay_url - how a relay is reached, as people write it: "host:port", or where only web traffic passes "wss://host[:port][/path]"
 * and "ws://...": a WebSocket, with a web server's TLS around it or without.
 *
 * Pure.
 */
#ifndef PORTWAY_CLIENT_AGENT_RELAY_RELAY_URL_H
#define PORTWAY_CLIENT_AGENT_RELAY_RELAY_URL_H

#include "common/base/macros.h"
#include "common/tunnel/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define RELAY_URL_SIZE      520 /* as written, with NUL */
#define RELAY_URL_PATH_SIZE 256

struct relay_url {
	char host[FRAME_HOST_SIZE];
	uint16_t port;
	bool web;                            /* in a WebSocket */
	bool tls;                            /* that is in TLS */
	char path[RELAY_URL_PATH_SIZE];      /* "/..." */
	char authority[FRAME_HOST_SIZE + 8]; /* for its Host field */
};

/* -1: it is none of them. */
int relay_url_parse(struct relay_url *out, const char *text) MUST_CHECK;

#endif
