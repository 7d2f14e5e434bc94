/*
 * membership - how this relay is a node of the fleet: joining with a token, the certificate, its renewal.
 *
 *   OUTSIDE --token--> JOINING --certificate--> MEMBER --renewal--> MEMBER
 *                         |                       ^
 *                         +--refused for good-----+ (with an older certificate), else OUTSIDE
 *
 * Owner: app. Thread: control thread (its file writes are a few kilobytes).
 * Ends:  membership_close(), any number of times; on_closed once, then it is gone.
 */
#ifndef PORTWAY_RELAYD_LINK_MEMBERSHIP_H
#define PORTWAY_RELAYD_LINK_MEMBERSHIP_H

#include "common/base/macros.h"
#include "common/crypto/seal.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct err;
struct identity;
struct link;
struct membership;
struct reporter;

struct membership_conf {
	const char *path;    /* of the identity file; borrowed */
	const char *token;   /* join token, "": none; borrowed */
	const char *name;    /* borrowed */
	const uint8_t *seal; /* SEAL_KEY_SIZE; borrowed */
};

/* on_member: the link was opened with a certificate; polls and reports may begin. Called for each renewal too. */
int membership_new(struct membership **out, uv_loop_t *loop, const struct membership_conf *conf, struct link *link,
	struct reporter *reporter, void (*on_member)(void *arg), void *arg, struct err *e) MUST_CHECK;
void membership_start(struct membership *m);
void membership_close(struct membership *m, void (*on_closed)(void *arg), void *arg);
/* From the link's events. */
void membership_up(struct membership *m);
/* controld asks for it (ASK_RENEW). */
void membership_renew(struct membership *m);
bool membership_is_member(const struct membership *m);
/* Of a member: borrowed until on_member is called again. */
const struct identity *membership_identity(const struct membership *m);
const char *membership_node_id(const struct membership *m); /* "" outside */
int64_t membership_ends_ms(const struct membership *m);     /* of the certificate, wall clock; 0: none */
/* Why this relay is outside; "" if it is not. */
const char *membership_trouble(const struct membership *m);

#endif
