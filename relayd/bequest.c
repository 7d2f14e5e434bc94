#define _GNU_SOURCE
#include "relayd/bequest.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "relayd/conf/last_good.h"
#include "relayd/handover/handover.h"
#include "relayd/inheritance.h"
#include "relayd/options.h"
#include "relayd/running.h"
#include "relayd/services.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct bequest {
	struct handover *handover;
	struct bequest_goods goods;
	struct bequest_events events;
	void *arg;
};

/* The sockets on their way into the parcel. */
struct packing {
	struct parcel *parcel;
	struct err *e;
};

static int on_socket(const char *service, const struct handover_socket *s, void *arg)
{
	struct packing *p = arg;

	return parcel_put(p->parcel, service, s, p->e);
}

static int put_fd(struct parcel *parcel, const char *owner, int fd, struct err *e)
{
	struct handover_socket s = { .fd = fd };

	str_copy(s.key, sizeof s.key, owner);
	return parcel_put(parcel, owner, &s, e);
}

static int write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno != EINTR)
			return -1;
		if (put > 0) {
			p += put;
			n -= (size_t)put;
		}
	}
	return 0;
}

/* In a memory file: a full disk must not stop an upgrade. */
static int make_snapshot_file(const struct snapshot *s, struct err *e)
{
	struct buf b;
	int fd;

	if ((fd = memfd_create("snapshot", MFD_CLOEXEC)) < 0)
		return err_set_sys(e, ERR_IO, errno, "handover: memory file");
	buf_init(&b, LAST_GOOD_MAX);
	last_good_encode(&b, s, clock_wall_ms());
	if (b.failed || write_all(fd, b.data, b.len) != 0) {
		err_set(e, ERR_NOMEM, NULL, "handover: out of memory for the configuration");
		close(fd);
		fd = -1;
	}
	buf_free(&b);
	return fd;
}

static int collect(struct bequest *b, struct parcel *p, int snapshot_fd, struct err *e)
{
	struct packing packing = { p, e };

	if (put_fd(p, GOODS_LOCK, b->goods.lock_fd, e) != 0)
		return -1;
	if (b->goods.admin_fd >= 0 && put_fd(p, GOODS_ADMIN, b->goods.admin_fd, e) != 0)
		return -1;
	if (snapshot_fd >= 0 && put_fd(p, GOODS_SNAPSHOT, snapshot_fd, e) != 0)
		return -1;
	if (services_hand_over(b->goods.services, on_socket, &packing) != 0)
		return -1;
	return parcel_end(p, e); /* while the memory file is open */
}

static int on_collect(void *arg, struct parcel *p, struct err *e)
{
	struct bequest *b = arg;
	int fd = -1, r;

	if (running_has_snapshot(b->goods.running) &&
		(fd = make_snapshot_file(running_snapshot(b->goods.running), e)) < 0)
		return -1;
	r = collect(b, p, fd, e);
	if (fd >= 0)
		close(fd);
	return r;
}

static void on_ready(void *arg)
{
	struct bequest *b = arg;

	b->events.on_ready(b->arg);
}

static void on_failed(void *arg, const char *why)
{
	struct bequest *b = arg;

	b->events.on_failed(b->arg, why);
}

/* The command line of now with the word for a successor; malloc'ed, its strings are borrowed. */
static char **successor_argv(const struct options *o)
{
	char **argv = calloc((size_t)o->argc + 2, sizeof *argv);
	int n = 0;

	if (argv == NULL)
		return NULL;
	for (int i = 0; i < o->argc; i++)
		if (i == 0 || !str_eq(o->argv[i], OPTIONS_SUCCESSOR_WORD))
			argv[n++] = o->argv[i];
	argv[n] = (char *)(uintptr_t)OPTIONS_SUCCESSOR_WORD;
	return argv;
}

int bequest_start(struct bequest **out, uv_loop_t *loop, const char *program, const struct options *options,
	uint64_t timeout_ms, const struct bequest_goods *goods, const struct bequest_events *events, void *arg,
	struct err *e)
{
	static const struct handover_events handover_events = { on_collect, on_ready, on_failed };
	struct bequest *b = calloc(1, sizeof *b);
	char **argv = successor_argv(options);
	int r;

	if (b == NULL || argv == NULL) {
		free(b);
		free(argv);
		return err_set(e, ERR_NOMEM, NULL, "handover: out of memory");
	}
	b->goods = *goods;
	b->events = *events;
	b->arg = arg;
	r = handover_start(&b->handover, loop, program, argv, timeout_ms, &handover_events, b, e);
	free(argv);
	if (r != 0) {
		free(b);
		return -1;
	}
	*out = b;
	return 0;
}

int bequest_go(struct bequest *b, struct err *e)
{
	return handover_go(b->handover, e);
}

void bequest_free(struct bequest *b)
{
	if (b == NULL)
		return;
	handover_free(b->handover);
	free(b);
}
