/*
 * acme_client - a conversation with a certificate authority: signed requests, nonces, how long to wait, what went wrong.
 *
 * Owner:  whoever runs it, on one worker; acme_client_fini() at the end. Thread: one.
 */
#ifndef PORTWAY_CONTROLD_ACME_ACME_CLIENT_H
#define PORTWAY_CONTROLD_ACME_ACME_CLIENT_H

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "controld/acme/acme_reply.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct es256;
struct outbound;

/* Which CA, and how one is known there: from the settings; borrowed. */
struct acme_ca {
	struct outbound *outbound;
	const char *directory;         /* URL; "": there is none */
	const char *contact;           /* mail address; "": none */
	const char *eab_kid, *eab_key; /* of an account elsewhere; "": none */
	bool terms_agreed;
};

struct acme_client {
	const struct acme_ca *ca;
	struct acme_directory directory;
	struct es256 *key;       /* of the account; borrowed */
	char kid[ACME_URL_SIZE]; /* what the CA calls it; "": not known yet */
	bool (*stop)(void *arg); /* asked while a call is under way */
	void *arg;
	char nonce[256];              /* for the next request; "": one has to be fetched */
	struct acme_problem said;     /* of the last call that was refused */
	uint64_t retry_ms;            /* as the CA said at its last answer; 0: nothing */
	char location[ACME_URL_SIZE]; /* of its last answer; "" for none */
};

/* Reads the directory. c->ca, key, kid, stop and arg are set by the caller. */
int acme_client_open(struct acme_client *c, struct err *e) MUST_CHECK;
/*
 * A signed request; payload: JSON, "" to read something. The answer is appended to body. -1 when it was refused: c->said says what the CA
 * has to say of it. ERR_RATE_LIMITED: not before c->retry_ms; ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_IO: it may be tried again; ERR_NOT_FOUND:
 * there is no such thing (any more); ERR_INVALID_TOKEN: it does not know the account; ERR_CONFLICT: told to stop; else it is in vain.
 */
int acme_client_post(
	struct acme_client *c, const char *url, const char *payload, struct buf *body, struct err *e) MUST_CHECK;
/* Makes an account of c->key, or finds the one there is, and sets c->kid. */
int acme_client_register(struct acme_client *c, struct err *e) MUST_CHECK;

#endif
