/*
 * join - how a relay gets its certificate: MSG_JOIN with a token, MSG_RENEW with the one it has, MSG_JOINED back,
 * MSG_REFUSED when controld will not.
 *
 * A join token is "<id>.<secret>.<fingerprint of controld's CA>": the relay checks the CA by it before the secret
 * leaves the machine. It works once.
 */
#ifndef PORTWAY_PROTO_JOIN_H
#define PORTWAY_PROTO_JOIN_H

#include "common/base/macros.h"
#include "proto/msg.h"

#define JOIN_TOKEN_MAX 256
#define JOIN_PEM_MAX   3072

struct msg_join {
	char token_id[PROTO_ID_SIZE];
	char secret[64]; /* base64url */
	char name[PROTO_NAME_SIZE];
	char version[32];
	char request_pem[JOIN_PEM_MAX]; /* PKCS#10 */
};
void msg_join_encode(const struct msg_join *m, struct buf *b);
int msg_join_decode(struct msg_join *m, const void *p, size_t n) MUST_CHECK;

struct msg_renew {
	char request_pem[JOIN_PEM_MAX];
};
void msg_renew_encode(const struct msg_renew *m, struct buf *b);
int msg_renew_decode(struct msg_renew *m, const void *p, size_t n) MUST_CHECK;

struct msg_joined {
	char node_id[PROTO_ID_SIZE];
	char name[PROTO_NAME_SIZE];  /* of the node, whatever the relay calls itself */
	char cert_pem[JOIN_PEM_MAX]; /* and CAs between it and the one that a token may still name */
	char ca_pem
		[JOIN_PEM_MAX]; /* of whom a controld's certificate may be: one CA, or two while one follows the other */
};
void msg_joined_encode(const struct msg_joined *m, struct buf *b);
int msg_joined_decode(struct msg_joined *m, const void *p, size_t n) MUST_CHECK;

struct msg_refused {
	uint16_t code;     /* enum err_code */
	uint32_t retry_ms; /* 0: do not come back with the same */
	char reason[160];
};
void msg_refused_encode(const struct msg_refused *m, struct buf *b);
int msg_refused_decode(struct msg_refused *m, const void *p, size_t n) MUST_CHECK;

struct join_token {
	char id[PROTO_ID_SIZE];
	char secret[64];
	char ca_fingerprint[65]; /* hex SHA-256 */
};
int join_token_parse(struct join_token *t, const char *s) MUST_CHECK;
/* dst needs JOIN_TOKEN_MAX. */
int join_token_print(const struct join_token *t, char *dst) MUST_CHECK;

#endif
