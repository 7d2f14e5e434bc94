#define _GNU_SOURCE
#include "relayd/port/port_socket.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "proto/mapping_conf.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG    4096
#define UDP_BUFFER (4 * 1024 * 1024)

static const struct {
	int errnum;
	enum err_code code;
	const char *words;
} reasons[] = {
	{ EADDRINUSE, ERR_ADDR_IN_USE, "address already in use" },
	{ EACCES, ERR_PERMISSION, "permission denied" },
	{ EPERM, ERR_PERMISSION, "permission denied" },
	{ EADDRNOTAVAIL, ERR_UNAVAILABLE, "this relay does not have the address" },
	{ EMFILE, ERR_NO_DESCRIPTORS, "no descriptor left" },
	{ ENFILE, ERR_NO_DESCRIPTORS, "no descriptor left on this machine" },
	{ ENOBUFS, ERR_NOMEM, "out of memory" },
	{ ENOMEM, ERR_NOMEM, "out of memory" },
};

static int set_reason(struct err *e, int errnum, const struct addr *a)
{
	char where[ADDR_STRLEN];

	addr_print(a, where);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].errnum == errnum)
			return err_set(e, reasons[i].code, "source_port", "%s: %s", reasons[i].words, where);
	return err_set_sys(e, ERR_IO, errnum, "cannot open %s", where);
}

static int on(int fd, int level, int option)
{
	int one = 1;

	return setsockopt(fd, level, option, &one, sizeof one);
}

/* Accepted sockets inherit TCP_NODELAY, so it costs a connection nothing. */
static int prepare_tcp(int fd)
{
	return on(fd, SOL_SOCKET, SO_REUSEADDR) | on(fd, IPPROTO_TCP, TCP_NODELAY);
}

/* No SO_REUSEADDR: on UDP it would let two sockets share the port. Larger buffers are a wish. */
static int prepare_udp(int fd)
{
	int size = UDP_BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return 0;
}

static int open_at(int *out, const struct port_socket *s, const struct addr *a, bool any)
{
	bool tcp = s->protocol != MAPPING_UDP;
	int fd = socket(a->sa.sa_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int v6only = any ? 0 : 1, saved;

	if (fd < 0)
		return -1;
	if (a->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) != 0)
		goto fail;
	if (s->group && on(fd, SOL_SOCKET, SO_REUSEPORT) != 0)
		goto fail;
	if ((tcp ? prepare_tcp(fd) : prepare_udp(fd)) != 0)
		goto fail;
	if (bind(fd, &a->sa, a->len) != 0 || (tcp && listen(fd, BACKLOG) != 0))
		goto fail;
	*out = fd;
	return 0;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* One socket of both families keeps a port at one descriptor; a machine without IPv6 has IPv4 only. */
int port_socket_open(int *fd, const struct port_socket *s, struct err *e)
{
	bool any = s->bind[0] == '\0';
	struct addr a;

	if (addr_parse_ip(&a, any ? "::" : s->bind, s->port) != 0)
		return err_set(e, ERR_VALIDATION, "bind", "bind: '%s' is not an IP address", s->bind);
	if (open_at(fd, s, &a, any) == 0)
		return 0;
	if (any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		if (addr_parse_ip(&a, "0.0.0.0", s->port) == 0 && open_at(fd, s, &a, false) == 0)
			return 0;
	}
	return set_reason(e, errno, &a);
}

void port_socket_await_bytes(int fd)
{
	int seconds = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
}

/*
 * The member is a hash of the source port (M[0]) and of the source address, folded to 32 bits (A). A packet begins behind
 * its UDP header here, so everything is read from the network header on. Behind IPv6 extension headers the port is not
 * looked for: the address alone decides then.
 */
#define NET(at)      ((uint32_t)SKF_NET_OFF + (at))
#define LOAD(at)     BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NET(at))
#define FOLD(at)     BPF_STMT(BPF_MISC | BPF_TAX, 0), LOAD(at), BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0)
#define SPREAD_BY    UINT32_C(2654435761)
#define VERSION_6    6
#define V6_NEXT      6
#define V6_PAYLOAD   40
#define SKIP_TO_HASH 16

void port_socket_steer(int fd, unsigned n)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET(0)),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, VERSION_6, 5, 0),
		/* IPv4 */
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, NET(0)), /* X = the header's length */
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, NET(0)),
		BPF_STMT(BPF_ST, 0),
		LOAD(12),
		BPF_STMT(BPF_JMP | BPF_JA, SKIP_TO_HASH),
		/* IPv6 */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET(V6_NEXT)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 2),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, NET(V6_PAYLOAD)),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		BPF_STMT(BPF_LD | BPF_IMM, 0),
		BPF_STMT(BPF_ST, 0),
		LOAD(8),
		FOLD(12),
		FOLD(16),
		FOLD(20),
		/* both */
		BPF_STMT(BPF_LDX | BPF_MEM, 0),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, SPREAD_BY),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	const struct sock_fprog program = { .len = ARRAY_LEN(code), .filter = code };

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

void port_socket_key(char dst[PORT_SOCKET_KEY], const char *kind, const struct port_socket *s, unsigned n)
{
	str_fmt(dst, PORT_SOCKET_KEY, "%s/%s/%u/%u", kind, s->bind, (unsigned)s->port, n);
}
