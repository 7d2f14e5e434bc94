/*
 * friends - addresses (of IPv6: sites, a /64) from which agents were let in lately.
 *
 * Owner: the agents service. Thread: any (one lock).
 * Limit: FRIENDS_MAX; the one that was not heard of for longest gives way.
 */
#ifndef PORTWAY_RELAYD_TUNNEL_FRIENDS_H
#define PORTWAY_RELAYD_TUNNEL_FRIENDS_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

#define FRIENDS_MAX     4096
#define FRIENDS_KEY_MAX 9

struct addr;
struct friends;

int friends_new(struct friends **out) MUST_CHECK;
void friends_free(struct friends *f); /* NULL is fine */
void friends_add(struct friends *f, const struct addr *from);
bool friends_have(struct friends *f, const struct addr *from);
/* Family, then the address or its /64: what counts as one. */
void friends_key(uint8_t key[FRIENDS_KEY_MAX], const struct addr *a);

#endif
