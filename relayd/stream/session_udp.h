/*
 * session_udp - the datagrams of a SOCKS5 client (UDP ASSOCIATE, RFC 1928 section 7), each of which says where to.
 *
 * They come to a socket of their own, at the address that the connection came to, from where it came from (behind a load
 * balancer: from where its PROXY header says): the first one says from which port, and no other is heard. Of a client behind
 * an agent (a private mapping) that socket is the agent's, which is asked for it on a stream, and on that they come.
 * Each destination is a stream to the target client's agent, which resolves its name and looks at its list and the mapping's;
 * answers come back from there alone, so nobody is sent what nobody asked for. Of SESSION_UDP_DESTINATIONS the one that was
 * silent longest gives way. Fragments are dropped.
 *
 * Owner: a session, and it ends with its connection. Thread: the worker's.
 */
#ifndef PORTWAY_RELAYD_STREAM_SESSION_UDP_H
#define PORTWAY_RELAYD_STREAM_SESSION_UDP_H

#include <stdint.h>

#define SESSION_UDP_DESTINATIONS 64

struct session;
struct session_udp;

/* Answers the client; may close the session. */
void session_udp_begin(struct session *s);
/* Of the connection, on which nothing may come but its end, and that closes the session. */
void session_udp_on_client(struct session *s, uint32_t events);
void session_udp_free(struct session_udp *u); /* NULL is fine */

#endif
