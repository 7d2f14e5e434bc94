#define _GNU_SOURCE
#include "common/uv/accept.h"

#include "common/net/addr.h"

#include <errno.h>
#include <sys/socket.h>

static bool is_shortage(int errnum)
{
	return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

unsigned accept_some(int fd, unsigned max, accept_fn fn, void *arg, bool *shortage)
{
	unsigned n;

	*shortage = false;
	for (n = 0; n < max; n++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof ss;
		int conn = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct addr from;

		if (conn < 0) {
			*shortage = is_shortage(errno);
			break;
		}
		addr_from_sockaddr(&from, (struct sockaddr *)&ss, len);
		fn(arg, conn, &from);
	}
	return n;
}
