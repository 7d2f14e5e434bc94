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

/* p: the kind of an address; it, and its port, are whole. */
static int get_target(char host[SOCKS5_HOST_SIZE], uint16_t *to, const uint8_t *p)
{
	const uint8_t *port = p + 5;

	if (p[0] == IPV4) {
		inet_ntop(AF_INET, p + 1, host, SOCKS5_HOST_SIZE);
	} else if (p[0] == IPV6) {
		inet_ntop(AF_INET6, p + 1, host, SOCKS5_HOST_SIZE);
		port = p + 17;
	} else {
		port = get_string(host, p + 1);
		if (strlen(host) != p[1] || !addr_is_host(host))
			return -1;
	}
	*to = (uint16_t)(port[0] << 8 | port[1]);
	return 0;
}

int socks5_request(struct socks5_request *out, const uint8_t *p)
{
	out->command = p[1];
	return get_target(out->host, &out->port, p + 3);
}

size_t socks5_reply(uint8_t out[SOCKS5_REPLY_MAX], enum socks5_code code, const struct addr *bound)
{
	bool v6 = bound != NULL && bound->sa.sa_family == AF_INET6;
	size_t n = v6 ? 16 : 4;

	memset(out, 0, SOCKS5_REPLY_MAX);
	out[0] = 5;
	out[1] = (uint8_t)code;
	out[3] = v6 ? IPV6 : IPV4;
	if (v6)
		memcpy(out + 4, &bound->v6.sin6_addr, n);
	else if (bound != NULL)
		memcpy(out + 4, &bound->v4.sin_addr, n);
	if (bound != NULL) {
		out[4 + n] = (uint8_t)(addr_port(bound) >> 8);
		out[5 + n] = (uint8_t)addr_port(bound);
	}
	return 4 + n + 2;
}

/* RSV RSV FRAG, and then as in a request: of which only the reserved byte stands elsewhere. */
int socks5_datagram(char host[SOCKS5_HOST_SIZE], uint16_t *port, const uint8_t *p, size_t n)
{
	const uint8_t start[5] = { 5, 0, 0, n > 3 ? p[3] : 0, n > 4 ? p[4] : 0 };
	int need;

	if (n < sizeof start || p[0] != 0 || p[1] != 0 || p[2] != 0)
		return -1;
	need = need_request(start, sizeof start);
	if (need < 0 || (size_t)need > n || get_target(host, port, p + 3) != 0 || *port == 0)
		return -1;
	return need;
}
