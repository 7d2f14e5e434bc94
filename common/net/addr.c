#include "common/net/addr.h"

#include "common/base/str.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static const uint8_t addr_mapped_prefix[12] = { [10] = 0xff, [11] = 0xff }; /* ::ffff:0:0/96 */

static void addr_set_v4(struct addr *a, const void *ip, in_port_t port)
{
	memset(a, 0, sizeof *a);
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = port;
	memcpy(&a->v4.sin_addr, ip, 4);
	a->len = sizeof a->v4;
}

static void addr_set_v6(struct addr *a, const struct sockaddr_in6 *sin6)
{
	const uint8_t *ip = sin6->sin6_addr.s6_addr;

	if (memcmp(ip, addr_mapped_prefix, sizeof addr_mapped_prefix) == 0) {
		addr_set_v4(a, ip + 12, sin6->sin6_port);
		return;
	}
	memset(a, 0, sizeof *a);
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = sin6->sin6_port;
	a->v6.sin6_addr = sin6->sin6_addr;
	a->v6.sin6_scope_id = sin6->sin6_scope_id;
	a->len = sizeof a->v6;
}

void addr_from_sockaddr(struct addr *a, const struct sockaddr *sa, socklen_t len)
{
	struct addr in;

	memset(a, 0, sizeof *a);
	if (sa == NULL || len < sizeof(sa_family_t))
		return;
	memset(&in, 0, sizeof in);
	memcpy(&in.sa, sa, MIN(len, sizeof in.v6));
	if (in.sa.sa_family == AF_INET && len >= sizeof in.v4)
		addr_set_v4(a, &in.v4.sin_addr, in.v4.sin_port);
	else if (in.sa.sa_family == AF_INET6 && len >= sizeof in.v6)
		addr_set_v6(a, &in.v6);
}

/* Interface number of a scope: "2" or "eth0"; 0 when there is none of that name. */
static uint32_t addr_scope(const char *scope)
{
	uint64_t number;

	if (str_to_u64(scope, 1, UINT32_MAX, &number) == 0)
		return (uint32_t)number;
	return strlen(scope) < IF_NAMESIZE ? if_nametoindex(scope) : 0;
}

static int addr_parse_v6(struct addr *a, const char *ip, uint16_t port)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const char *percent = strchr(ip, '%');
	char bare[INET6_ADDRSTRLEN];

	if (percent == NULL) {
		if (inet_pton(AF_INET6, ip, &sin6.sin6_addr) != 1)
			return -1;
	} else {
		if (str_fmt(bare, sizeof bare, "%.*s", (int)MIN((size_t)(percent - ip), sizeof bare), ip) != 0)
			return -1;
		if (inet_pton(AF_INET6, bare, &sin6.sin6_addr) != 1 || !IN6_IS_ADDR_LINKLOCAL(&sin6.sin6_addr))
			return -1;
		sin6.sin6_scope_id = addr_scope(percent + 1);
		if (sin6.sin6_scope_id == 0)
			return -1;
	}
	addr_set_v6(a, &sin6);
	return 0;
}

int addr_parse_ip(struct addr *a, const char *ip, uint16_t port)
{
	struct in_addr v4;

	memset(a, 0, sizeof *a);
	if (strchr(ip, ':') != NULL)
		return addr_parse_v6(a, ip, port);
	if (inet_pton(AF_INET, ip, &v4) != 1)
		return -1;
	addr_set_v4(a, &v4, htons(port));
	return 0;
}

/* Splits "host:port" or "[host]:port" without looking at what the host is. */
static int addr_split(const char *s, char *host, size_t host_size, uint16_t *port, bool *bracketed)
{
	const char *end, *colon;
	uint64_t number;

	*bracketed = *s == '[';
	end = *bracketed ? strchr(s, ']') : strchr(s, ':');
	if (end == NULL)
		return -1;
	colon = end + *bracketed;
	s += *bracketed;
	if (*colon != ':' || str_to_u64(colon + 1, 0, UINT16_MAX, &number) != 0)
		return -1;
	if ((size_t)(end - s) >= host_size)
		return -1;
	memcpy(host, s, (size_t)(end - s));
	host[end - s] = '\0';
	*port = (uint16_t)number;
	return 0;
}

int addr_parse(struct addr *a, const char *s)
{
	char host[ADDR_STRLEN];
	uint16_t port;
	bool bracketed;

	memset(a, 0, sizeof *a);
	if (addr_split(s, host, sizeof host, &port, &bracketed) != 0)
		return -1;
	if (bracketed != (strchr(host, ':') != NULL))
		return -1;
	return addr_parse_ip(a, host, port);
}

int addr_split_host(const char *s, char *host, size_t host_size, uint16_t *port)
{
	uint16_t number;
	bool bracketed;

	if (addr_split(s, host, host_size, &number, &bracketed) != 0)
		return -1;
	if (bracketed != (strchr(host, ':') != NULL) || !addr_is_host(host))
		return -1;
	*port = number;
	return 0;
}

static char *addr_put_octet(char *p, unsigned v)
{
	if (v >= 100)
		*p++ = (char)('0' + v / 100);
	if (v >= 10)
		*p++ = (char)('0' + v / 10 % 10);
	*p++ = (char)('0' + v % 10);
	return p;
}

/* By hand, as it is done for each request: inet_ntop() goes through printf. */
static void addr_print_v4(const struct in_addr *ip, char dst[ADDR_STRLEN])
{
	const uint8_t *b = (const uint8_t *)ip;

	for (int i = 0; i < 4; i++) {
		dst = addr_put_octet(dst, b[i]);
		*dst++ = i < 3 ? '.' : '\0';
	}
}

void addr_print_ip(const struct addr *a, char dst[ADDR_STRLEN])
{
	size_t n;

	if (a->len != 0 && a->sa.sa_family == AF_INET) {
		addr_print_v4(&a->v4.sin_addr, dst);
		return;
	}
	str_copy(dst, ADDR_STRLEN, "-");
	if (a->len == 0)
		return;
	inet_ntop(AF_INET6, &a->v6.sin6_addr, dst, ADDR_STRLEN);
	n = strlen(dst);
	if (a->v6.sin6_scope_id != 0)
		str_fmt(dst + n, ADDR_STRLEN - n, "%%%u", (unsigned)a->v6.sin6_scope_id);
}

void addr_print_site(const struct addr *a, char dst[ADDR_STRLEN])
{
	struct addr site = *a;

	if (a->len != 0 && a->sa.sa_family == AF_INET6)
		memset(site.v6.sin6_addr.s6_addr + 8, 0, 8);
	addr_print_ip(&site, dst);
}

void addr_print(const struct addr *a, char dst[ADDR_STRLEN])
{
	char ip[ADDR_STRLEN];

	addr_print_ip(a, ip);
	if (a->len == 0)
		str_copy(dst, ADDR_STRLEN, ip);
	else
		str_fmt(dst, ADDR_STRLEN, a->sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
			(unsigned)addr_port(a));
}

uint16_t addr_port(const struct addr *a)
{
	if (a->len == 0)
		return 0;
	return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->len == 0)
		return;
	if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
	else
		a->v4.sin_port = htons(port);
}

bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) && a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_equal_ip(a, b) && addr_port(a) == addr_port(b);
}

/* A label of RFC 1123: 1 to 63 letters, digits and hyphens, no hyphen at either end. Answers its length or 0. */
static size_t addr_label_len(const char *s)
{
	const size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");

	return n > 0 && n <= 63 && s[0] != '-' && s[n - 1] != '-' ? n : 0;
}

/* What inet_aton(3), and so the resolver, would read as a number: "127", "0x7f". No name may end in one. */
static bool addr_label_is_number(const char *s, size_t n)
{
	if (n >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
		return strspn(s + 2, "0123456789abcdefABCDEF") == n - 2;
	return strspn(s, "0123456789") == n;
}

bool addr_is_host(const char *s)
{
	const char *label = s;
	struct addr a;
	size_t n;

	if (addr_parse_ip(&a, s, 0) == 0)
		return true;
	if (strlen(s) > 253)
		return false;
	for (;; label += n + 1) {
		n = addr_label_len(label);
		if (n == 0 || (label[n] != '.' && label[n] != '\0'))
			return false;
		if (label[n] == '\0')
			return !addr_label_is_number(label, n);
	}
}
