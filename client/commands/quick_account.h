/*
 * quick_account - as whom a quick command speaks with controld: the login's user, or a client without an account; and the
 * client that it runs its agent as.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_QUICK_ACCOUNT_H
#define PORTWAY_CLIENT_COMMANDS_QUICK_ACCOUNT_H

#include "common/base/macros.h"

#include <jansson.h>

struct quick;

/* One call; *out (may be NULL) is the caller's. -1: q->f says why. */
int quick_account_call(struct quick *q, const char *method, const json_t *body, json_t **out, const char *fmt, ...)
	PRINTF(5, 6);
int quick_account_save(struct quick *q) MUST_CHECK;
/* Finds or makes the client. What a killed command left there goes first. */
int quick_account_open(struct quick *q) MUST_CHECK;
/* Without an account: with a token that is fresh. */
int quick_account_log_in(struct quick *q) MUST_CHECK;
/* Relays refuse the client for good: the next command makes another one. */
void quick_account_disown(struct quick *q);
/* The token, wiped. */
void quick_account_forget(struct quick *q);
void quick_account_close(struct quick *q);

#endif
