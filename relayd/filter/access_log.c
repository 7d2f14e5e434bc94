#define _GNU_SOURCE 1
#include "relayd/filter/access_log.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATHER_MS 20
#define LOOK_MS   1000 /* how often it is looked whether the file is still there */

_Static_assert((ACCESS_LOG_RING & (ACCESS_LOG_RING - 1)) == 0, "places in a ring are a mask");

/* One worker writes `to`, the writer `from`; both only grow. */
struct ring {
	uint64_t to __attribute__((aligned(64)));
	uint64_t lines, dropped;
	uint64_t from __attribute__((aligned(64)));
	char bytes[ACCESS_LOG_RING];
};

struct access_log {
	char path[512];
	int fd, wake;
	bool idle;     /* atomic: the writer waits, and has to be woken */
	bool stopping; /* atomic */
	bool complained;
	uint64_t failed; /* atomic */
	pthread_t thread;
	bool started;
	unsigned n;
	struct ring *rings;
};

/* ---- workers ---- */

static void wake(struct access_log *l)
{
	const uint64_t one = 1;

	if (__atomic_load_n(&l->idle, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&l->idle, false, __ATOMIC_SEQ_CST))
		while (write(l->wake, &one, sizeof one) < 0 && errno == EINTR) {
		}
}

void access_log_put(struct access_log *l, unsigned worker, const void *line, size_t n)
{
	struct ring *r = &l->rings[worker];
	const size_t at = r->to & (ACCESS_LOG_RING - 1), first = MIN(n, ACCESS_LOG_RING - at);

	if (n > ACCESS_LOG_RING - (r->to - __atomic_load_n(&r->from, __ATOMIC_ACQUIRE))) {
		__atomic_store_n(&r->dropped, r->dropped + 1, __ATOMIC_RELAXED);
		return;
	}
	memcpy(r->bytes + at, line, first);
	memcpy(r->bytes, (const char *)line + first, n - first);
	__atomic_store_n(&r->lines, r->lines + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&r->to, r->to + n, __ATOMIC_SEQ_CST);
	wake(l);
}

void access_log_counts(const struct access_log *l, struct access_log_counts *out)
{
	*out = (struct access_log_counts){ .failed = __atomic_load_n(&l->failed, __ATOMIC_RELAXED) };
	for (unsigned i = 0; i < l->n; i++) {
		out->lines += __atomic_load_n(&l->rings[i].lines, __ATOMIC_RELAXED);
		out->dropped += __atomic_load_n(&l->rings[i].dropped, __ATOMIC_RELAXED);
	}
}

/* ---- the writer ---- */

static int open_file(const char *path)
{
	if (strcmp(path, "stdout") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

/* A line that is begun goes on in the same file: rings are emptied whole, or up to what the file takes. */
static void look_for_file(struct access_log *l)
{
	struct stat now, ours;
	int fd;

	if (strcmp(l->path, "stdout") == 0 || (fstat(l->fd, &ours) == 0 && stat(l->path, &now) == 0 &&
						      now.st_ino == ours.st_ino && now.st_dev == ours.st_dev))
		return;
	fd = open_file(l->path);
	if (fd < 0)
		return;
	close(l->fd);
	l->fd = fd;
}

static void complain(struct access_log *l, int errnum)
{
	if (!l->complained)
		log_error("access_log_not_written", log_s("path", l->path), log_errno(errnum));
	l->complained = true;
}

/* All or nothing of what is given counts as written: a disk that is full must not stop the rings. */
static void write_all(struct access_log *l, const char *p, size_t n)
{
	while (n > 0) {
		const ssize_t done = write(l->fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			complain(l, errno);
			__atomic_fetch_add(&l->failed, n, __ATOMIC_RELAXED);
			return;
		}
		l->complained = false;
		p += done;
		n -= (size_t)done;
	}
}

static bool empty_ring(struct access_log *l, struct ring *r)
{
	const uint64_t to = __atomic_load_n(&r->to, __ATOMIC_SEQ_CST);
	const size_t n = to - r->from, at = r->from & (ACCESS_LOG_RING - 1), first = MIN(n, ACCESS_LOG_RING - at);

	if (n == 0)
		return false;
	write_all(l, r->bytes + at, first);
	write_all(l, r->bytes, n - first);
	__atomic_store_n(&r->from, to, __ATOMIC_RELEASE);
	return true;
}

static bool empty_rings(struct access_log *l)
{
	bool any = false;

	for (unsigned i = 0; i < l->n; i++)
		any = empty_ring(l, &l->rings[i]) || any;
	return any;
}

static void wait_for_lines(struct access_log *l)
{
	struct pollfd p = { .fd = l->wake, .events = POLLIN };
	uint64_t count;

	__atomic_store_n(&l->idle, true, __ATOMIC_SEQ_CST);
	if (empty_rings(l)) /* came between the last look and that we said we wait */
		__atomic_store_n(&l->idle, false, __ATOMIC_SEQ_CST);
	else
		poll(&p, 1, LOOK_MS);
	__atomic_store_n(&l->idle, false, __ATOMIC_SEQ_CST);
	while (read(l->wake, &count, sizeof count) < 0 && errno == EINTR) {
	}
}

static void *work_write(void *arg)
{
	struct access_log *l = arg;

	pthread_setname_np(pthread_self(), "access_log");
	while (!__atomic_load_n(&l->stopping, __ATOMIC_ACQUIRE)) {
		wait_for_lines(l);
		if (!__atomic_load_n(&l->stopping, __ATOMIC_ACQUIRE))
			poll(NULL, 0, GATHER_MS);
		look_for_file(l);
		empty_rings(l);
	}
	empty_rings(l);
	return NULL;
}

/* ---- life ---- */

int access_log_new(struct access_log **out, const char *path, unsigned workers, struct err *e)
{
	struct access_log *l = calloc(1, sizeof *l);

	if (l == NULL)
		return err_set(e, ERR_NOMEM, NULL, "access log: out of memory");
	l->fd = l->wake = -1;
	if (str_copy(l->path, sizeof l->path, path) != 0) {
		err_set(e, ERR_VALIDATION, "access_log", "access_log: the path is too long");
		goto fail;
	}
	l->fd = open_file(path);
	l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->fd < 0 || l->wake < 0) {
		err_set_sys(e, ERR_IO, errno, "access log %s", path);
		goto fail;
	}
	l->rings = aligned_alloc(64, sizeof *l->rings * workers);
	if (l->rings == NULL) {
		err_set(e, ERR_NOMEM, NULL, "access log: out of memory");
		goto fail;
	}
	l->n = workers;
	for (unsigned i = 0; i < workers; i++) /* the bytes are touched when lines come */
		l->rings[i].to = l->rings[i].from = l->rings[i].lines = l->rings[i].dropped = 0;
	if (pthread_create(&l->thread, NULL, work_write, l) != 0) {
		err_set(e, ERR_NOMEM, NULL, "access log: no thread");
		goto fail;
	}
	l->started = true;
	*out = l;
	return 0;
fail:
	access_log_free(l);
	return -1;
}

void access_log_free(struct access_log *l)
{
	const uint64_t one = 1;

	if (l == NULL)
		return;
	if (l->started) {
		__atomic_store_n(&l->stopping, true, __ATOMIC_RELEASE);
		while (write(l->wake, &one, sizeof one) < 0 && errno == EINTR) {
		}
		pthread_join(l->thread, NULL);
	}
	if (l->fd >= 0)
		close(l->fd);
	if (l->wake >= 0)
		close(l->wake);
	free(l->rings);
	free(l);
}
