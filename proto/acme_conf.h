/*
 * acme_conf - what a relay answers to a CA that wants to see whether a name is served here (RFC 8555 section 8.3, RFC 8737). The body
 * of an object of kind OBJECT_ACME.
 *
 * Immutable once decoded; acme_conf_fini() wipes the key.
 */
#ifndef PORTWAY_PROTO_ACME_CONF_H
#define PORTWAY_PROTO_ACME_CONF_H

#include "common/base/macros.h"
#include "common/net/host_name.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum acme_type {
	ACME_HTTP = 1, /* authorization at /.well-known/acme-challenge/<token>, in clear */
	ACME_TLS = 2,  /* a certificate of its own, to whoever offers acme-tls/1 and nothing else */
};

#define ACME_TOKEN_SIZE         129
#define ACME_AUTHORIZATION_SIZE 256
#define ACME_PEM_MAX            (16 * 1024)

struct acme_conf {
	uint8_t type; /* enum acme_type */
	char host[HOST_NAME_SIZE];
	char token[ACME_TOKEN_SIZE];                 /* HTTP: of the alphabet of base64url */
	char authorization[ACME_AUTHORIZATION_SIZE]; /* HTTP */
	char *chain, *key;                           /* TLS: PEM; else NULL */
	int64_t until_ms;                            /* wall clock: nobody asks any more */
};

void acme_conf_fini(struct acme_conf *c); /* of a decoded one */
void acme_conf_encode(const struct acme_conf *c, struct buf *b);
/* Whole body or nothing: 0, or -1 and *c zeroed. */
int acme_conf_decode(struct acme_conf *c, const void *p, size_t n) MUST_CHECK;
/* What may stand in a path as it is. */
bool acme_conf_is_token(const char *s) MUST_CHECK;

#endif
