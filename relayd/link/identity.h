/*
 * identity - who this relay is: its key, its certificate, the CA it trusts, its node id; one sealed file, 0600.
 *
 * Before it has joined, the file already holds the key and the request that go with a join token: a relay whose answer
 * was lost asks again with the same request, and controld knows it.
 *
 * Owner: membership. Thread: control thread; file calls block.
 */
#ifndef PORTWAY_RELAYD_LINK_IDENTITY_H
#define PORTWAY_RELAYD_LINK_IDENTITY_H

#include "common/base/macros.h"
#include "common/crypto/seal.h"
#include "proto/join.h"
#include "relayd/link/link_frame.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct identity {
	char token_id[PROTO_ID_SIZE]; /* of the join token that made it */
	char node_id[PROTO_ID_SIZE];  /* "" until joined */
	char key_pem[JOIN_PEM_MAX];
	char request_pem[JOIN_PEM_MAX];
	char cert_pem[JOIN_PEM_MAX]; /* "" until joined */
	char ca_pem[JOIN_PEM_MAX];
};

/* ERR_NOT_FOUND: there is none. */
int identity_load(struct identity *out, const char *path, const uint8_t seal[SEAL_KEY_SIZE], struct err *e) MUST_CHECK;
int identity_save(
	const struct identity *id, const char *path, const uint8_t seal[SEAL_KEY_SIZE], struct err *e) MUST_CHECK;
/* A new key and the request for it; nothing else of *out is touched. */
int identity_make_key(struct identity *out, const char *name, struct err *e) MUST_CHECK;
/* Takes what controld answered to the request. ca_fingerprint: what one of its CAs must have, or NULL for who has shown one. */
int identity_accept(
	struct identity *id, const struct msg_joined *m, const char *ca_fingerprint, struct err *e) MUST_CHECK;
bool identity_joined(const struct identity *id);
/* From when on it should be renewed, and when it ends; wall clock. */
int identity_times(const struct identity *id, int64_t *renew_ms, int64_t *end_ms) MUST_CHECK;
void identity_credentials(const struct identity *id, struct link_frame_open *out);

#endif
