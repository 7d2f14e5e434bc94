/*
 * spend - MSG_SPEND, relay -> controld on the report line, and MSG_GRANT back: how much a relay may still pass of what the owners
 * of mappings have bought for the month.
 *
 * All numbers are totals since the relay's boot, so that a lost or repeated message changes nothing: a relay says up to where it
 * may spend by its own knowledge (held) and how much of that is in counters that controld has acknowledged (settled); the
 * difference is what controld has to keep apart for it. The answer is the new limit.
 */
#ifndef PORTWAY_PROTO_SPEND_H
#define PORTWAY_PROTO_SPEND_H

#include "common/base/macros.h"
#include "proto/msg.h"

#include <stdbool.h>
#include <stdint.h>

#define SPEND_ACCOUNTS_MAX 256

struct spend_item {
	char account[PROTO_ID_SIZE];
	uint64_t held, settled;
	bool wants; /* more; else it only says how it stands */
};
struct msg_spend {
	char boot[PROTO_ID_SIZE];
	uint32_t n;
	struct spend_item items[SPEND_ACCOUNTS_MAX];
};
void msg_spend_encode(const struct msg_spend *m, struct buf *b);
int msg_spend_decode(struct msg_spend *m, const void *p, size_t n) MUST_CHECK;

struct grant_item {
	char account[PROTO_ID_SIZE];
	uint64_t limit;
	bool used_up;      /* there is nothing to be had now */
	int64_t resets_ms; /* wall clock: then there will be; 0: not known */
};
struct msg_grant {
	uint32_t n;
	struct grant_item items[SPEND_ACCOUNTS_MAX];
};
void msg_grant_encode(const struct msg_grant *m, struct buf *b);
int msg_grant_decode(struct msg_grant *m, const void *p, size_t n) MUST_CHECK;

#endif
