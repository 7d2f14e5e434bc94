/*
 * socks5 - what a SOCKS5 client says (RFC 1928, RFC 1929), message by message: bytes in, nothing kept. Pure.
 *
 * A message tells its length bit by bit. socks5_need() answers how many bytes of it there have to be before it can be
 * looked at again; as many as were asked for, and it is whole. So nobody reads beyond it, into what is the target's.
 */
#ifndef PORTWAY_NET_SOCKS5_H
#define PORTWAY_NET_SOCKS5_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOCKS5_MSG_MAX   513 /* the longest: name and password of 255 bytes each */
#define SOCKS5_REPLY_MAX 22
#define SOCKS5_HEAD_MAX  262 /* in front of a datagram */
#define SOCKS5_HOST_SIZE 256

struct addr;

enum socks5_msg { SOCKS5_GREETING, SOCKS5_LOGIN, SOCKS5_REQUEST };
/* -1: it cannot become one. */
int socks5_need(enum socks5_msg what, const uint8_t *p, size_t n);

enum socks5_method { SOCKS5_NO_LOGIN = 0, SOCKS5_PASSWORD = 2, SOCKS5_NO_METHOD = 0xff };
/* Of whole messages. */
bool socks5_offers(const uint8_t *greeting, enum socks5_method m);
/* Both are NUL-terminated. -1: one is empty, or holds a NUL. */
int socks5_login(const uint8_t *p, char user[256], char password[256]) MUST_CHECK;

enum socks5_command { SOCKS5_CONNECT = 1, SOCKS5_BIND = 2, SOCKS5_ASSOCIATE = 3 };
struct socks5_request {
	uint8_t command;             /* as it came; not one of the enum, perhaps */
	char host[SOCKS5_HOST_SIZE]; /* an IP literal, or a name of RFC 1123 */
	uint16_t port;
};
/* -1: the host is no name. */
int socks5_request(struct socks5_request *out, const uint8_t *p) MUST_CHECK;

enum socks5_code {
	SOCKS5_DONE = 0,
	SOCKS5_FAILED = 1,
	SOCKS5_NOT_ALLOWED = 2,
	SOCKS5_NO_NETWORK = 3,
	SOCKS5_NO_HOST = 4,
	SOCKS5_REFUSED = 5,
	SOCKS5_NO_COMMAND = 7,
	SOCKS5_NO_ADDRESS = 8,
};
/* bound: where datagrams are to be sent; NULL: of no interest (0.0.0.0:0). Its length. */
size_t socks5_reply(uint8_t out[SOCKS5_REPLY_MAX], enum socks5_code code, const struct addr *bound);

/* What a datagram begins with (section 7): where it is for, or from. Its length; -1: it has none, or is a fragment. */
int socks5_datagram(char host[SOCKS5_HOST_SIZE], uint16_t *port, const uint8_t *p, size_t n) MUST_CHECK;

#endif
