#include "relayd/inheritance.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "relayd/conf/last_good.h"
#include "relayd/conf/snapshot.h"
#include "relayd/services.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAKE_MS 20000 /* for one message of the predecessor */

static void keep_fd(int *dst, int fd)
{
	if (*dst >= 0)
		close(*dst);
	*dst = fd;
}

/* A memory file with the configuration as the last-good file has it, unsealed. */
static void read_snapshot(struct inheritance *in, int fd)
{
	struct err e = { .code = ERR_NONE };
	struct stat st;
	int64_t confirmed_ms;
	void *p;

	if (fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > LAST_GOOD_MAX)
		return;
	if ((p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		return;
	if (in->snapshot == NULL && last_good_decode(p, (size_t)st.st_size, &in->snapshot, &confirmed_ms, &e) != 0)
		log_error("inherited_snapshot_unreadable", log_err(&e));
	munmap(p, (size_t)st.st_size);
}

static void on_goods(const char *owner, const struct handover_socket *s, void *arg)
{
	struct inheritance *in = arg;

	if (strcmp(owner, GOODS_LOCK) == 0) {
		keep_fd(&in->lock_fd, s->fd);
	} else if (strcmp(owner, GOODS_ADMIN) == 0) {
		keep_fd(&in->admin_fd, s->fd);
	} else if (strcmp(owner, GOODS_SNAPSHOT) == 0) {
		read_snapshot(in, s->fd);
		close(s->fd);
	} else {
		services_adopt(in->services, owner, s);
	}
}

int inheritance_take(struct inheritance *in, int fd, struct services *services, struct err *e)
{
	*in = (struct inheritance){ .services = services, .lock_fd = -1, .admin_fd = -1 };
	if (successor_take(&in->from, fd, TAKE_MS, on_goods, in, e) != 0)
		return -1;
	if (in->lock_fd < 0)
		return err_set(e, ERR_PROTOCOL, NULL, "handover: the data directory's lock did not come");
	return 0;
}

void inheritance_fini(struct inheritance *in)
{
	if (in->services == NULL)
		return;
	successor_free(in->from);
	keep_fd(&in->lock_fd, -1);
	keep_fd(&in->admin_fd, -1);
	snapshot_unref(in->snapshot);
	*in = (struct inheritance){ .services = NULL };
}
