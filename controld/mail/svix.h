/*
 * svix - signatures of the events that the mail service posts: HMAC-SHA256 over "id.timestamp.body".
 */
#ifndef PORTWAY_CONTROLD_MAIL_SVIX_H
#define PORTWAY_CONTROLD_MAIL_SVIX_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SVIX_TOLERANCE_S 300 /* how old an event may be, or how far ahead its clock */

struct svix_message {
	const char *id, *timestamp, *signature; /* headers svix-id, svix-timestamp, svix-signature; NULL: not there */
	const void *body;
	size_t n;
};

/* secret: "whsec_" and base64. */
bool svix_verify(const char *secret, const struct svix_message *m, int64_t now_s);

#endif
