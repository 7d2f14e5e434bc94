/*
 * visit_udp - who sends datagrams to a port of this machine, and the stream on which a relay leads them to the target.
 *
 * Owner:  its visit. Thread: the worker's.
 * Ends:   after silence, with its link, with the visit's sockets, or when its place is needed.
 */
#ifndef PORTWAY_CLIENT_AGENT_VISIT_VISIT_UDP_H
#define PORTWAY_CLIENT_AGENT_VISIT_VISIT_UDP_H

#include <stddef.h>
#include <stdint.h>

struct io;
struct task;
struct visit;

size_t visit_udp_size(void);
/* Events of a visit_socket. */
void visit_udp_on_socket(struct io *io, uint32_t events);
void visit_udp_on_again(struct task *t);
/* All of a visit: without the socket there is no way to answer. */
void visit_udp_cut(struct visit *v);

#endif
