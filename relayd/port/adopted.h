/*
 * adopted - sockets of the predecessor that wait for the first configuration to claim them.
 *
 * Owner: the port service. Thread: control thread. What nobody claims is closed with it.
 */
#ifndef PORTWAY_RELAYD_PORT_ADOPTED_H
#define PORTWAY_RELAYD_PORT_ADOPTED_H

#include "common/base/macros.h"

#include <stdbool.h>

struct adopted;
struct handover_socket;

int adopted_new(struct adopted **out) MUST_CHECK;
void adopted_free(struct adopted *a);
/* Takes the descriptor in any case; a second one of the same key replaces the first. */
void adopted_add(struct adopted *a, const struct handover_socket *s);
bool adopted_has(const struct adopted *a, const char *key);
/* The listening socket of this key, now the caller's; -1: none. */
int adopted_claim(struct adopted *a, const char *key);
/*
 * What belongs to a socket (its key is "session/<socket's key>/<serial>"): one after the other, until there is none.
 * The caller owns the descriptor; the record is borrowed until the next call.
 */
bool adopted_claim_session(struct adopted *a, const char *socket_key, struct handover_socket *out);

#endif
