#include "common/net/socks5.h"

#include "common/net/addr.h"

#include <arpa/inet.h>
#include <string.h>

enum { IPV4 = 1, NAME = 3, IPV6 = 4 }; /* kinds of address */

static int need_greeting(const uint8_t *p, size_t n)
{
	if (n > 0 && p[0] != 5)
		return -1;
	if (n < 2)
		return 2;
	return p[1] > 0 ? 2 + p[1] : -1;
}

static int need_login(const uint8_t *p, size_t n)
{
	if (n > 0 && p[0] != 1)
		return -1;
	if (n < 2)
		return 2;
	return n < 3u + p[1] ? 3 + p[1] : 3 + p[1] + p[2 + p[1]];
}

static int need_request(const uint8_t *p, size_t n)
{
	if ((n > 0 && p[0] != 5) || (n > 2 && p[2] != 0))
		return -1;
	if (n < 5)
		return 5;
	switch (p[3]) {
	case IPV4:
		return 4 + 4 + 2;
	case IPV6:
		return 4 + 16 + 2;
	case NAME:
		return p[4] > 0 ? 5 + p[4] + 2 : -1;
	default:
		return -1;
	}
}

int socks5_need(enum socks5_msg what, const uint8_t *p, size_t n)
{
	switch (what) {
	case SOCKS5_GREETING:
		return need_greeting(p, n);
	case SOCKS5_LOGIN:
		return need_login(p, n);
	default:
		return need_request(p, n);
	}
}

bool socks5_offers(const uint8_t *p, enum socks5_method m)
{
	return memchr(p + 2, (int)m, p[1]) != NULL;
}

/* A length and so many bytes; where the next one is. */
static const uint8_t *get_string(char dst[256], const uint8_t *p)
{
	memcpy(dst, p + 1, p[0]);
	dst[p[0]] = '\0';
	return p + 1 + p[0];
}

int socks5_login(const uint8_t *p, char user[256], char password[256])
{
	const uint8_t *second = get_string(user, p + 1);

	get_string(password, second);
	return p[1] > 0 && second[0] > 0 && strlen(user) == p[1] && strlen(password) == second[0] ? 0 : -1;
}

int socks5_request(struct socks5_request *out, const uint8_t *p)
{
	const uint8_t *port = p + 8;

	out->command = p[1];
	if (p[3] == IPV4) {
		inet_ntop(AF_INET, p + 4, out->host, sizeof out->host);
	} else if (p[3] == IPV6) {
		inet_ntop(AF_INET6, p + 4, out->host, sizeof out->host);
		port = p + 20;
	} else {
		port = get_string(out->host, p + 4);
		if (strlen(out->host) != p[4] || !addr_is_host(out->host))
			return -1;
	}
	out->port = (uint16_t)(port[0] << 8 | port[1]);
	return 0;
}

void socks5_reply(uint8_t out[SOCKS5_REPLY], enum socks5_code code)
{
	const uint8_t reply[SOCKS5_REPLY] = { 5, (uint8_t)code, 0, IPV4 };

	memcpy(out, reply, sizeof reply);
}
