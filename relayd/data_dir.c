#include "relayd/data_dir.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

static int make_paths(struct data_dir *d, const char *path, char key[PATH_MAX], struct err *e)
{
	if (str_fmt(d->identity, PATH_MAX, "%s/identity.sealed", path) != 0 ||
		str_fmt(d->snapshot, PATH_MAX, "%s/snapshot.sealed", path) != 0 ||
		str_fmt(d->meter, PATH_MAX, "%s/meter", path) != 0 ||
		str_fmt(d->lock, PATH_MAX, "%s/lock", path) != 0 || str_fmt(key, PATH_MAX, "%s/relay.key", path) != 0)
		return err_set(e, ERR_VALIDATION, "data_dir", "data_dir (RELAYD_DATA_DIR): the path is too long");
	return 0;
}

static int take_lock(struct data_dir *d, struct err *e)
{
	if ((d->lock_fd = open(d->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
		return err_set_sys(e, errno == ENOSPC ? ERR_DISK_FULL : ERR_IO, errno, "open %s", d->lock);
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(e, ERR_LOCKED, "data_dir",
			"%s is held by another relayd: each needs a data_dir of its own", d->lock);
	return err_set_sys(e, ERR_IO, errno, "lock %s", d->lock);
}

int data_dir_open(struct data_dir *d, const char *path, bool lock, struct err *e)
{
	char key[PATH_MAX];

	d->lock_fd = -1;
	if (make_paths(d, path, key, e) != 0 || file_mkdirs(path, 0700, e) != 0)
		return -1;
	if (lock && take_lock(d, e) != 0)
		return -1;
	if (file_mkdirs(d->meter, 0700, e) != 0)
		return -1;
	return seal_key_file(key, d->key, e);
}

void data_dir_close(struct data_dir *d)
{
	seal_wipe(d->key, sizeof d->key);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	d->lock_fd = -1;
}
