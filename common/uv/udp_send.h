/*
 * udp_send - several datagrams to one destination in as few system calls as the kernel allows.
 *
 * Datagrams of one size that follow each other leave as one (UDP_SEGMENT: the kernel cuts them apart again); what differs
 * goes into the same sendmmsg. When the kernel refuses segments for a destination, it is not asked again.
 */
#ifndef PORTWAY_UV_UDP_SEND_H
#define PORTWAY_UV_UDP_SEND_H

#include "common/uv/udp_batch.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct udp_route {
	int fd;
	const struct addr *to;         /* NULL: the socket is connected */
	const struct udp_local *local; /* leave from this address of ours; NULL or family 0: the socket's */
	bool segments;                 /* the kernel may be asked to; cleared when it refuses */
};

/* Sends at most UDP_BATCH; bit i of the answer: the kernel took datagram i. Order is kept. */
uint64_t udp_send(struct udp_route *r, struct iovec *datagrams, unsigned n);

#endif
