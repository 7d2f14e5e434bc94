/*
 * port_socket - opens the socket of a tunnel port, with the relay's own words when it cannot.
 */
#ifndef PORTWAY_RELAYD_PORT_PORT_SOCKET_H
#define PORTWAY_RELAYD_PORT_PORT_SOCKET_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct err;

struct port_socket {
	uint8_t protocol; /* enum mapping_protocol */
	const char *bind; /* IP literal; "": every IPv4 and IPv6 address, by one socket of both families */
	uint16_t port;
	bool group; /* one of several on this port (SO_REUSEPORT) */
};

/* A bound (TCP: listening), non-blocking socket. ERR_ADDR_IN_USE, ERR_PERMISSION, ERR_NO_DESCRIPTORS, ERR_UNAVAILABLE. */
int port_socket_open(int *fd, const struct port_socket *s, struct err *e) MUST_CHECK;
/* Clients speak first: a connection is there when its first bytes are, or after a second. What the kernel does not know is no loss. */
void port_socket_await_bytes(int fd);
/*
 * Spreads the datagrams of a group of n sockets on one UDP port, in the order in which they were bound: each source
 * (address and port) goes to the same one always. Where the kernel takes no program for it, its own hash does nearly that.
 */
void port_socket_steer(int fd, unsigned n);
/* Its key for a successor: "tcp/<bind>/<port>/<n>". */
#define PORT_SOCKET_KEY 160
void port_socket_key(char dst[PORT_SOCKET_KEY], const char *kind, const struct port_socket *s, unsigned n);

#endif
