/*
 * attempt - one delivery sent once: signed, posted, judged.
 *
 * Thread: a worker that may wait.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_ATTEMPT_H
#define PORTWAY_CONTROLD_NOTIFY_ATTEMPT_H

#include "controld/notify/delivery.h"
#include "controld/notify/format.h"
#include "controld/notify/webhook.h"

#include <stdbool.h>
#include <stdint.h>

struct outbound;

#define ATTEMPT_SIGNATURE_SIZE 80

struct attempt_conf {
	struct outbound *outbound;
	uint64_t timeout_ms;
	bool (*stop)(void *arg);
	void *arg;
};

struct attempt {
	enum verdict verdict;
	int status; /* 0: no answer */
	int64_t latency_ms;
	int64_t pause_ms; /* until the next call, as the answer says; 0: it does not */
	bool everywhere;  /* of any webhook to that place */
	char error[WEBHOOK_ERROR_SIZE];
};

void attempt_make(struct attempt *out, const struct attempt_conf *c, const struct webhook *w, struct delivery *d);

/* "sha256=" and the HMAC in lower-case hexadecimal digits, of the text alone. */
void attempt_sign(char dst[ATTEMPT_SIGNATURE_SIZE], const char *secret, const void *body, size_t n);
/* "v1=" and the HMAC of "<time>.<text>": what a receiver checks that refuses what is old. */
void attempt_sign_at(char dst[ATTEMPT_SIGNATURE_SIZE], const char *secret, int64_t time_s, const char *body);
/* When the next one is: after the n-th failure in a row, doubled each time, half of it by chance; n from 1. */
uint64_t attempt_backoff_ms(int64_t n, uint64_t first_ms, uint64_t most_ms);

#endif
