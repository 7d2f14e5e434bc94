/*
 * client_secret - the secrets of a client: made here, shown once, kept as public keys.
 *
 * A secret is the seed of an Ed25519 key, written "pws_" and base64url. Up to CLIENT_KEYS_MAX are good at a time: a new
 * one is made while the old one still works, so that agents change over without an outage. A key that was made elsewhere
 * may be registered beside them, bare or in a certificate, with which it ends; nobody here ever has its private half.
 *
 * Pure: no database; time is passed in.
 */
#ifndef PORTWAY_CONTROLD_CLIENTS_CLIENT_SECRET_H
#define PORTWAY_CONTROLD_CLIENTS_CLIENT_SECRET_H

#include "common/base/macros.h"
#include "controld/clients/client.h"

#include <stdint.h>

#define CLIENT_SECRET_SIZE    (4 + 43 + 1) /* bytes of the text with its NUL */
#define CLIENT_SIGNATURE_SIZE 64

/*
 * Makes a secret the newest of *c; those before it end after overlap_ms at the latest, 0 at once. When there is no room
 * the one that ends first makes it.
 */
int client_secret_add(
	struct client *c, char text[CLIENT_SECRET_SIZE], int64_t overlap_ms, int64_t now_ms, struct err *e) MUST_CHECK;

struct client_new_key {
	uint8_t public_key[CLIENT_KEY_SIZE];
	enum client_key_kind kind;
	int64_t not_after_ms; /* 0: never */
};
/* pem: a public key, or a certificate that is valid now. */
int client_key_read(struct client_new_key *out, const char *pem, int64_t now_ms, struct err *e) MUST_CHECK;
/* Makes it the newest of *c, or takes over its new end when it is there (a certificate was renewed). ERR_CONFLICT: no room. */
int client_key_add(struct client *c, const struct client_new_key *new_key, int64_t now_ms, struct err *e) MUST_CHECK;

/* One by its id; -1 when there is none. */
int client_secret_remove(struct client *c, const char *id) MUST_CHECK;
/* Forgets those that have ended. */
void client_secret_prune(struct client *c, int64_t now_ms);
/* Whether this text is a secret of the client that is good now. */
bool client_secret_matches(const struct client *c, const char *text, int64_t now_ms);
/* Whether one of its keys that are good now made this signature. */
bool client_key_signed(
	const struct client *c, const char *message, const uint8_t signature[CLIENT_SIGNATURE_SIZE], int64_t now_ms);
/* What names the newest secret without telling it: "pwa_" and the beginning of its public key's hash; "" without one. */
#define CLIENT_AUTH_CODE_SIZE 24
void client_auth_code(const struct client *c, char dst[CLIENT_AUTH_CODE_SIZE]);

/* As the row keeps them. */
void client_secrets_store(const struct client *c, struct buf *b);
int client_secrets_load(struct client *c, const char *text, struct err *e) MUST_CHECK;
/* As the API prints them: ids and times. */
void client_secrets_print(const struct client *c, const char *key, struct buf *b);

#endif
