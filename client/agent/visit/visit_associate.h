/*
 * visit_associate - the datagrams of a local SOCKS5 client (UDP ASSOCIATE): a socket of this machine where they come in, and
 * the stream on which they go to the relay and come from it, each with its SOCKS5 header.
 *
 * The relay, which reads what the client says, asks for it with a stream that names the one of the client's connection
 * (FRAME_OF_STREAM); the first datagram that it gets says where they are taken. Who is heard is that client alone, from the
 * port that sends first.
 *
 * Owner:  visits. Thread: the worker's.
 * Ends:   with its stream, which ends with the connection, or when the agent may listen there no more.
 */
#ifndef PORTWAY_CLIENT_AGENT_VISIT_VISIT_ASSOCIATE_H
#define PORTWAY_CLIENT_AGENT_VISIT_VISIT_ASSOCIATE_H

#include <stdbool.h>
#include <stdint.h>

struct frame_open;
struct tunnel_link;
struct visits;

bool visit_associate_is_asked_for(const struct frame_open *o);
/* tunnel_link_ops.on_open, of such a stream. */
void visit_associate_open(struct visits *all, struct tunnel_link *l, uint32_t id, const struct frame_open *o);
/* The list of where it may listen has changed. */
void visit_associate_recheck(struct visits *all);
void visit_associate_cut_all(struct visits *all);

#endif
