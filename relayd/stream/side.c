#include "relayd/stream/side.h"

#include "common/net/addr.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#define PROBES          4
#define PROBE_EVERY_MAX 32767 /* seconds; the kernel's own limit */

void side_reset_on_close(int fd)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void side_probe(const struct side *s, unsigned interval_s)
{
	int on = 1, every = (int)MIN(interval_s, PROBE_EVERY_MAX), probes = PROBES;

	setsockopt(s->io.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(s->io.fd, IPPROTO_TCP, TCP_KEEPIDLE, &every, sizeof every);
	setsockopt(s->io.fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
	setsockopt(s->io.fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

int side_local(const struct side *s, struct addr *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;

	if (getsockname(s->io.fd, (struct sockaddr *)&ss, &len) != 0)
		return -1;
	addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
	return 0;
}

int side_remote(const struct side *s, struct addr *out)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;

	if (getpeername(s->io.fd, (struct sockaddr *)&ss, &len) != 0)
		return -1;
	addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
	return 0;
}
