/*
 * udp_visit - datagrams of a mapping that leads from a client's own machine: its agent opens a stream for each address that
 * sends there.
 *
 * Owner: a session (udp_session.h), whose client it is. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_DATAGRAM_UDP_VISIT_H
#define PORTWAY_RELAYD_DATAGRAM_UDP_VISIT_H

struct udp_lane;
struct visit;

/* Takes the stream, or refuses it. */
void udp_visit_open(struct udp_lane *l, const struct visit *v);

#endif
