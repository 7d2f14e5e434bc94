#define _GNU_SOURCE
#include "relayd/stream/dial.h"

#include "common/net/addr.h"
#include "proto/dial_rule.h"
#include "relayd/port/target.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void dial_init(struct dial *d, uint16_t port, uint32_t timeout_ms, uint64_t now_ns)
{
	uint64_t ends = timeout_ms != 0 ? now_ns + timeout_ms * UINT64_C(1000000) : UINT64_MAX;

	*d = (struct dial){ .port = port, .ends_ns = ends, .due_ns = ends };
}

void dial_fini(struct dial *d)
{
	targets_unref(d->targets);
	d->targets = NULL;
}

/* Connecting is under way: a connection that is there at once (loopback) reports itself writable all the same. */
static int start(const struct addr *to)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, &to->sa, to->len) == 0 || errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* What is left of the time is shared by the addresses that are left, so that one that does not answer leaves some. */
int dial_next(struct dial *d, const struct mapping_conf *conf, uint64_t now_ns)
{
	while (d->next < d->targets->n && now_ns < d->ends_ns) {
		unsigned left = d->targets->n - d->next;
		struct addr to = d->targets->at[d->next++];
		int fd;

		addr_set_port(&to, d->port);
		if (!dial_rule_allows(conf, &to))
			continue;
		fd = start(&to);
		if (fd < 0)
			continue;
		d->due_ns = d->ends_ns == UINT64_MAX ? UINT64_MAX : now_ns + (d->ends_ns - now_ns) / left;
		return fd;
	}
	return -1;
}
