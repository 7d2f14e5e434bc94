/*
 * acme_account - who controld is at its certificate authority: one key for all certificates, sealed in the database, and what the CA calls
 * the account that goes with it. All controlds of a database share it. Another CA gets another key.
 */
#ifndef PORTWAY_CONTROLD_ACME_ACME_ACCOUNT_H
#define PORTWAY_CONTROLD_ACME_ACME_ACCOUNT_H

#include "common/base/macros.h"
#include "controld/acme/acme_reply.h"

struct err;
struct es256;
struct store;

struct acme_account {
	struct es256 *key;
	char kid[ACME_URL_SIZE]; /* "": the CA has not been told of the key yet, or has forgotten it */
};

void acme_account_fini(struct acme_account *a);
/* The one for the CA with this directory; its key is made, and on disk, if there is none. */
int acme_account_load(struct acme_account *out, struct store *s, const char *directory, struct err *e) MUST_CHECK;
/* Writes down a->kid, unless the key has been replaced meanwhile. */
int acme_account_named(const struct acme_account *a, struct store *s, const char *directory, struct err *e) MUST_CHECK;

#endif
