/*
 * visit_tcp - a connection that came in at this machine, and the stream on which a relay leads it to the target.
 *
 * Relays are asked one after the other until the target's agent has connected there; until then nothing of the connection
 * is read, so the next one can be asked. While no relay offers the mapping for a moment, it waits for one.
 *
 * Owner:  visits. Thread: the worker's.
 * Ends:   by itself, with its link, or by visit_tcp_give_up() while it asks. Memory goes at the end of the round.
 */
#ifndef PORTWAY_CLIENT_AGENT_VISIT_VISIT_TCP_H
#define PORTWAY_CLIENT_AGENT_VISIT_VISIT_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;
struct visit;
struct visits;

size_t visit_tcp_size(void);
/* Takes fd, and resets it if there is no room. */
void visit_tcp_open(struct visit *v, int fd, uint16_t port, const struct addr *from);
/* A link offers the mapping: for those that wait for one. */
void visit_tcp_ask_again(struct visit *v);
/* Those that are not served yet. */
void visit_tcp_give_up(struct visit *v, const char *why);
void visit_tcp_cut_all(struct visits *all);
struct tunnel_link;
/* Who came, and where to, of the one that has this stream on the link; false: there is none. */
bool visit_tcp_ends(
	const struct visits *all, const struct tunnel_link *l, uint64_t stream, struct addr *from, struct addr *at);

#endif
