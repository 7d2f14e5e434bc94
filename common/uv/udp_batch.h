/*
 * udp_batch - datagrams that came in one system call, in memory that a worker keeps for all its UDP sockets.
 *
 * Owner: who serves a worker's UDP. Thread: the worker's. What was received is valid until the next receive.
 * Every slot holds the longest datagram there is, so nothing is ever cut; memory that short ones never touch costs nothing.
 * In front of each is room for a PROXY header.
 */
#ifndef PORTWAY_UV_UDP_BATCH_H
#define PORTWAY_UV_UDP_BATCH_H

#include "common/base/macros.h"
#include "common/net/addr.h"

#include <stdint.h>
#include <sys/socket.h>

#define UDP_BATCH     64
#define UDP_HEADROOM  128
#define UDP_SLOT_SIZE 65536

/* The address of ours that a datagram was sent to, on a socket of every address; family 0: the socket has just one. */
struct udp_local {
	sa_family_t family;
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

struct udp_batch;

int udp_batch_new(struct udp_batch **out) MUST_CHECK;
void udp_batch_free(struct udp_batch *b);
/* How many came; -1 with errno. Fewer than UDP_BATCH: there was no more. */
int udp_batch_receive(struct udp_batch *b, int fd);
/* The same from a connected socket: no addresses. */
int udp_batch_receive_connected(struct udp_batch *b, int fd);

/* Where another datagram may be put, with the same room in front of it, until the next receive. */
void *udp_batch_slot(const struct udp_batch *b, unsigned i);
struct iovec *udp_batch_datagram(struct udp_batch *b, unsigned i);
/* Who sent it, as the socket tells it: an IPv4 peer is IPv4-mapped on a socket of both families. */
const struct addr *udp_batch_from(const struct udp_batch *b, unsigned i);
void udp_batch_local(const struct udp_batch *b, unsigned i, struct udp_local *out);

#endif
