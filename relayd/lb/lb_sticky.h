/*
 * lb_sticky - a cookie that keeps a client at its target: key of the target and an end, signed. There is no table, so nothing
 * grows, and every worker and every relay with the same secret reads it.
 *
 *	base64url( version 1 | key 8 | end in minutes since 1970, 4 | HMAC-SHA-256 of pool and these, cut to 16 )   39 characters
 *
 * The pool is signed with it, so that a cookie of one pool is none in another. A client cannot choose its target, and learns
 * nothing about targets but whether two cookies name the same.
 *
 * Thread: any; no state.
 */
#ifndef PORTWAY_RELAYD_LB_LB_STICKY_H
#define PORTWAY_RELAYD_LB_LB_STICKY_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

#define LB_STICKY_LEN    39
#define LB_STICKY_SECRET 32

void lb_sticky_make(char out[LB_STICKY_LEN + 1], const uint8_t secret[LB_STICKY_SECRET], const char *pool, uint64_t key,
	int64_t ends_ms);
/* 0 and *key, or -1: not one of ours, or over. */
int lb_sticky_read(uint64_t *key, const uint8_t secret[LB_STICKY_SECRET], const char *pool, const char *p, size_t n,
	int64_t now_ms) MUST_CHECK;

#endif
