#include "common/net/proxy_protocol.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "common/base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PROXY_V2_HEAD    16 /* signature, version and command, family and protocol, length */
#define PROXY_V2_IP4_LEN 12
#define PROXY_V2_IP6_LEN 36

static const uint8_t proxy_v1_signature[6] = { 'P', 'R', 'O', 'X', 'Y', ' ' };
static const uint8_t proxy_v2_signature[12] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

enum { PROXY_LOCAL = 0, PROXY_PROXY = 1 };                                  /* low half of byte 12 */
enum { PROXY_UNSPEC = 0, PROXY_INET = 1, PROXY_INET6 = 2, PROXY_UNIX = 3 }; /* high half of byte 13 */
enum { PROXY_STREAM = 1, PROXY_DGRAM = 2 };                                 /* low half of byte 13 */

static void proxy_set_local(struct proxy_header *h)
{
	memset(h, 0, sizeof *h);
	h->local = true;
}

static void proxy_set_addr(struct addr *a, int family, const void *ip, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (family == AF_INET) {
		memcpy(&v4.sin_addr, ip, 4);
		addr_from_sockaddr(a, (const struct sockaddr *)&v4, sizeof v4);
	} else {
		memcpy(&v6.sin6_addr, ip, 16);
		addr_from_sockaddr(a, (const struct sockaddr *)&v6, sizeof v6);
	}
}

/* ---- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n" ---- */

/* Cuts the next word off *rest; words are parted by exactly one blank. NULL when there is none. */
static char *proxy_word(char **rest)
{
	char *word = *rest, *blank;

	if (word == NULL || *word == '\0')
		return NULL;
	blank = strchr(word, ' ');
	*rest = blank != NULL ? blank + 1 : NULL;
	if (blank != NULL)
		*blank = '\0';
	return *word != '\0' ? word : NULL;
}

static int proxy_v1_addr(struct addr *a, int family, const char *ip, const char *port)
{
	uint8_t bytes[16];
	uint64_t number;

	if (ip == NULL || port == NULL || inet_pton(family, ip, bytes) != 1)
		return -1;
	if ((port[0] == '0' && port[1] != '\0') || str_to_u64(port, 0, UINT16_MAX, &number) != 0)
		return -1;
	proxy_set_addr(a, family, bytes, (uint16_t)number);
	return 0;
}

/* line: what stands between "PROXY " and CRLF. */
static int proxy_v1_fields(struct proxy_header *h, char *line)
{
	char *family = proxy_word(&line), *src, *dst, *src_port, *dst_port;
	int af;

	if (family == NULL)
		return -1;
	if (strcmp(family, "UNKNOWN") == 0) { /* whatever follows is to be ignored */
		proxy_set_local(h);
		return 0;
	}
	if (strcmp(family, "TCP4") == 0)
		af = AF_INET;
	else if (strcmp(family, "TCP6") == 0)
		af = AF_INET6;
	else
		return -1;
	src = proxy_word(&line);
	dst = proxy_word(&line);
	src_port = proxy_word(&line);
	dst_port = proxy_word(&line);
	if (line != NULL || proxy_v1_addr(&h->src, af, src, src_port) != 0)
		return -1;
	return proxy_v1_addr(&h->dst, af, dst, dst_port);
}

static int proxy_parse_v1(struct proxy_header *h, const uint8_t *p, size_t n)
{
	const uint8_t *cr = memchr(p, '\r', MIN(n, PROXY_V1_MAX));
	char line[PROXY_V1_MAX];
	size_t len;

	if (cr == NULL)
		return n < PROXY_V1_MAX ? 0 : -1;
	len = (size_t)(cr - p);
	if (len + 2 > PROXY_V1_MAX)
		return -1;
	if (len + 1 == n)
		return 0;
	if (cr[1] != '\n' || memchr(p, '\0', len) != NULL)
		return -1;
	memcpy(line, p, len);
	line[len] = '\0';
	return proxy_v1_fields(h, line + sizeof proxy_v1_signature) == 0 ? (int)len + 2 : -1;
}

/* ---- version 2: signature, u8 version+command, u8 family+protocol, u16 length, addresses, TLVs ---- */

/* The TLVs are not used, but they must be whole, or the header's length cannot be trusted. */
static int proxy_v2_skip_tlvs(struct cursor *c)
{
	while (c->left > 0) {
		cursor_u8(c);
		cursor_bytes(c, cursor_u16(c));
	}
	return cursor_done(c);
}

static int proxy_v2_addrs(struct proxy_header *h, int family, struct cursor *c)
{
	const size_t ip_len = family == AF_INET ? 4 : 16;
	const uint8_t *src = cursor_bytes(c, ip_len), *dst = cursor_bytes(c, ip_len);
	const uint16_t src_port = cursor_u16(c), dst_port = cursor_u16(c);

	if (c->failed)
		return -1;
	proxy_set_addr(&h->src, family, src, src_port);
	proxy_set_addr(&h->dst, family, dst, dst_port);
	return proxy_v2_skip_tlvs(c);
}

static int proxy_v2_body(struct proxy_header *h, uint8_t command, uint8_t transport, struct cursor *c)
{
	const uint8_t family = transport >> 4, protocol = transport & 15;

	if (command > PROXY_PROXY || family > PROXY_UNIX || protocol > PROXY_DGRAM)
		return -1;
	/* LOCAL is a health check of the proxy itself; the other two carry no address that we could use. */
	if (command == PROXY_LOCAL || family == PROXY_UNSPEC || family == PROXY_UNIX || protocol == 0) {
		proxy_set_local(h);
		return 0;
	}
	h->dgram = protocol == PROXY_DGRAM;
	return proxy_v2_addrs(h, family == PROXY_INET ? AF_INET : AF_INET6, c);
}

static int proxy_parse_v2(struct proxy_header *h, const uint8_t *p, size_t n)
{
	struct cursor c;
	uint8_t version, transport;
	uint16_t len;

	if (n < PROXY_V2_HEAD)
		return 0;
	cursor_init(&c, p + sizeof proxy_v2_signature, PROXY_V2_HEAD - sizeof proxy_v2_signature);
	version = cursor_u8(&c);
	transport = cursor_u8(&c);
	len = cursor_u16(&c);
	if (version >> 4 != 2 || len > PROXY_V2_MAX - PROXY_V2_HEAD)
		return -1;
	if (n - PROXY_V2_HEAD < len)
		return 0;
	cursor_init(&c, p + PROXY_V2_HEAD, len);
	return proxy_v2_body(h, version & 15, transport, &c) == 0 ? PROXY_V2_HEAD + len : -1;
}

int proxy_parse(struct proxy_header *h, const uint8_t *p, size_t n)
{
	int rc = -1;

	memset(h, 0, sizeof *h);
	if (n == 0)
		return 0;
	if (memcmp(p, proxy_v1_signature, MIN(n, sizeof proxy_v1_signature)) == 0)
		rc = n < sizeof proxy_v1_signature ? 0 : proxy_parse_v1(h, p, n);
	else if (memcmp(p, proxy_v2_signature, MIN(n, sizeof proxy_v2_signature)) == 0)
		rc = proxy_parse_v2(h, p, n);
	if (rc <= 0)
		memset(h, 0, sizeof *h);
	return rc;
}

/* ---- writing ---- */

static bool proxy_is_ip4(const struct addr *src, const struct addr *to)
{
	return src->sa.sa_family == AF_INET && to->sa.sa_family == AF_INET;
}

/* The address as IPv6; an IPv4 one becomes IPv4-mapped. */
static void proxy_ip6(const struct addr *a, uint8_t ip[16])
{
	if (a->sa.sa_family == AF_INET6) {
		memcpy(ip, &a->v6.sin6_addr, 16);
		return;
	}
	memset(ip, 0, 10);
	memset(ip + 10, 0xff, 2);
	memcpy(ip + 12, &a->v4.sin_addr, 4);
}

static void proxy_print_ip(const struct addr *a, bool ip4, char dst[INET6_ADDRSTRLEN])
{
	uint8_t ip[16];

	if (ip4) {
		inet_ntop(AF_INET, &a->v4.sin_addr, dst, INET6_ADDRSTRLEN);
		return;
	}
	proxy_ip6(a, ip);
	inet_ntop(AF_INET6, ip, dst, INET6_ADDRSTRLEN);
}

size_t proxy_write_v1(uint8_t dst[PROXY_OUT_MAX], const struct addr *src, const struct addr *to)
{
	char *const line = (char *)dst;
	char from_ip[INET6_ADDRSTRLEN], to_ip[INET6_ADDRSTRLEN];
	bool ip4;

	if (src->len == 0 || to->len == 0) {
		str_copy(line, PROXY_OUT_MAX, "PROXY UNKNOWN\r\n");
		return strlen(line);
	}
	ip4 = proxy_is_ip4(src, to);
	proxy_print_ip(src, ip4, from_ip);
	proxy_print_ip(to, ip4, to_ip);
	str_fmt(line, PROXY_OUT_MAX, "PROXY %s %s %s %u %u\r\n", ip4 ? "TCP4" : "TCP6", from_ip, to_ip,
		(unsigned)addr_port(src), (unsigned)addr_port(to));
	return strlen(line);
}

static uint8_t *proxy_put_u16(uint8_t *dst, uint16_t v)
{
	dst[0] = (uint8_t)(v >> 8);
	dst[1] = (uint8_t)v;
	return dst + 2;
}

static uint8_t *proxy_put_ip(uint8_t *dst, const struct addr *a, bool ip4)
{
	if (ip4) {
		memcpy(dst, &a->v4.sin_addr, 4);
		return dst + 4;
	}
	proxy_ip6(a, dst);
	return dst + 16;
}

size_t proxy_write_v2(uint8_t dst[PROXY_OUT_MAX], const struct addr *src, const struct addr *to, bool dgram)
{
	const bool known = src->len != 0 && to->len != 0;
	const bool ip4 = known && proxy_is_ip4(src, to);
	uint8_t *p = dst + sizeof proxy_v2_signature;

	memcpy(dst, proxy_v2_signature, sizeof proxy_v2_signature);
	*p++ = 0x20 | (known ? PROXY_PROXY : PROXY_LOCAL);
	if (!known) {
		*p++ = PROXY_UNSPEC;
		return (size_t)(proxy_put_u16(p, 0) - dst);
	}
	*p++ = (uint8_t)((ip4 ? PROXY_INET : PROXY_INET6) << 4 | (dgram ? PROXY_DGRAM : PROXY_STREAM));
	p = proxy_put_u16(p, ip4 ? PROXY_V2_IP4_LEN : PROXY_V2_IP6_LEN);
	p = proxy_put_ip(p, src, ip4);
	p = proxy_put_ip(p, to, ip4);
	p = proxy_put_u16(p, addr_port(src));
	p = proxy_put_u16(p, addr_port(to));
	return (size_t)(p - dst);
}
