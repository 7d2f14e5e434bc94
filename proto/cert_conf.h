/*
 * cert_conf - a certificate that relays show: chain, private key, names and what its CA says of it. The body of an object of kind
 * OBJECT_CERT.
 *
 * Immutable once decoded; cert_conf_fini() wipes the key. A relay that keeps bodies on disk seals them (relayd/conf/last_good.h).
 */
#ifndef PORTWAY_PROTO_CERT_CONF_H
#define PORTWAY_PROTO_CERT_CONF_H

#include "common/base/macros.h"
#include "common/net/host_name.h"
#include "proto/msg.h"

#include <stddef.h>
#include <stdint.h>

struct buf;

#define CERT_NAMES_MAX     100
#define CERT_CHAIN_PEM_MAX (64 * 1024)
#define CERT_KEY_PEM_MAX   (16 * 1024)
#define CERT_OCSP_MAX      (16 * 1024)

struct cert_conf {
	char tenant[PROTO_ID_SIZE];    /* it is shown for names of this tenant's routes only */
	uint32_t n_names;              /* at least one */
	char (*names)[HOST_NAME_SIZE]; /* patterns (common/net/host_name.h) that it is good for */
	char *chain;                   /* PEM, leaf first */
	char *key;                     /* PEM */
	size_t ocsp_n;                 /* 0: there is none */
	uint8_t *ocsp;                 /* the CA's answer in DER, to be shown until then */
	int64_t ocsp_until_ms;         /* wall clock; 0 without one */
};

void cert_conf_fini(struct cert_conf *c); /* of a decoded one */
void cert_conf_encode(const struct cert_conf *c, struct buf *b);
/* Whole body or nothing: 0, or -1 and *c zeroed. */
int cert_conf_decode(struct cert_conf *c, const void *p, size_t n) MUST_CHECK;

#endif
