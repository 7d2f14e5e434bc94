/*
 * addr - IP socket addresses: parse, print, compare, hash. IPv4-mapped IPv6 addresses are normalised to IPv4.
 */
#ifndef PORTWAY_NET_ADDR_H
#define PORTWAY_NET_ADDR_H

#include "common/base/macros.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len; /* 0: no address */
};

/* "[2001:db8::1]:65535%scope" and NUL fit. */
#define ADDR_STRLEN 80

/* An IP literal without port; no names. 0 or -1. */
int addr_parse_ip(struct addr *a, const char *ip, uint16_t port) MUST_CHECK;
/* "127.0.0.1:80", "[::1]:80". */
int addr_parse(struct addr *a, const char *s) MUST_CHECK;
void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len); /* normalises v4-mapped */
void addr_print(const struct addr *a, char dst[ADDR_STRLEN]);                      /* with port */
void addr_print_ip(const struct addr *a, char dst[ADDR_STRLEN]);                   /* without */
/* Whose it is, for limits: an IPv4 address, of IPv6 the 64 bits of a network, within which one host has all addresses. */
void addr_print_site(const struct addr *a, char dst[ADDR_STRLEN]);
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b);    /* address and port */
bool addr_equal_ip(const struct addr *a, const struct addr *b); /* address only */
/* Loopback, private, link-local, unique-local, multicast, unspecified, CGNAT, metadata: closed to dialling unless granted. */
bool addr_is_special(const struct addr *a);
/* "host:port" where host is a name, an IPv4 or a bracketed IPv6 literal; for settings and targets. */
int addr_split_host(const char *s, char *host, size_t host_size, uint16_t *port) MUST_CHECK;
/* A DNS host name (RFC 1123: labels of letters, digits, hyphens, <= 253) or an IP literal. */
bool addr_is_host(const char *s);

#endif
