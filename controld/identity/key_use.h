/*
 * key_use - when an API key was last shown, and from where: kept in memory, written down every few seconds.
 *
 * Operational rows: nothing is logged, and what a controld that dies has not written is lost.
 *
 * Owner: the identity service. Thread: any.
 */
#ifndef PORTWAY_CONTROLD_IDENTITY_KEY_USE_H
#define PORTWAY_CONTROLD_IDENTITY_KEY_USE_H

#include "common/base/macros.h"
#include "common/net/addr.h"
#include "controld/identity/identity.h"
#include "controld/store/store.h"

#include <stdint.h>

struct err;
struct key_uses;

#define KEY_USES_MAX 1024 /* keys between two writes; of more nothing is known, which is counted */

int key_uses_new(struct key_uses **out, struct store *store, struct err *e) MUST_CHECK;
void key_uses_free(struct key_uses *u); /* takes NULL; writes what it has, if it can */

/* Has the shape of authenticator.used. */
void key_uses_note(void *key_uses, const struct identity *id, const struct addr *from);
/* Writes down what has come since. */
int key_uses_write(struct key_uses *u, struct err *e) MUST_CHECK;
uint64_t key_uses_dropped(struct key_uses *u);
/* Rows of keys that are gone go. */
int key_uses_clean(struct db *tx, struct err *e) MUST_CHECK;

extern const struct sql_table key_use_sql;
struct erasure;
extern const struct erasure key_use_erasure;

#endif
