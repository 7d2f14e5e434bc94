#include "common/base/file.h"

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file_err(struct err *e, const char *verb, const char *path)
{
	const int errnum = errno;
	enum err_code code = ERR_IO;

	if (errnum == ENOSPC || errnum == EDQUOT)
		code = ERR_DISK_FULL;
	else if (errnum == ENOENT)
		code = ERR_NOT_FOUND;
	else if (errnum == EACCES || errnum == EPERM)
		code = ERR_PERMISSION;
	return err_set_sys(e, code, errnum, "%s %s", verb, path);
}

/* Bytes read, at most n; fewer only at the end of the file. -1 with errno. */
static ssize_t file_read_full(int fd, uint8_t *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, p + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static int file_write_full(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

/* Reads an open file whole. Its size is a guess only: it may grow meanwhile, and /proc says 0. */
static int file_slurp(int fd, const char *path, size_t max, uint8_t **out, size_t *len, struct err *e)
{
	size_t cap = 4096, n = 0;
	uint8_t *data = NULL;

	for (;;) {
		uint8_t *more = realloc(data, cap + 1);
		ssize_t got;

		if (more == NULL) {
			err_set(e, ERR_NOMEM, NULL, "read %s: out of memory", path);
			goto fail;
		}
		data = more;
		got = file_read_full(fd, data + n, cap - n);
		if (got < 0) {
			file_err(e, "read", path);
			goto fail;
		}
		n += (size_t)got;
		if (n > max) {
			err_set(e, ERR_TOO_LARGE, NULL, "read %s: longer than %zu bytes", path, max);
			goto fail;
		}
		if (n < cap)
			break;
		cap *= 2;
	}
	data[n] = '\0';
	*out = data;
	*len = n;
	return 0;
fail:
	free(data);
	return -1;
}

int file_read(const char *path, size_t max, uint8_t **out, size_t *len, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int rc;

	if (fd < 0)
		return file_err(e, "open", path);
	rc = file_slurp(fd, path, max, out, len, e);
	close(fd);
	return rc;
}

/* A rename is on disk only when the folder is. */
static int file_sync_folder(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int fd, rc;

	if (slash == NULL)
		str_copy(folder, sizeof folder, ".");
	else if (str_fmt(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path) != 0)
		return err_set(e, ERR_IO, NULL, "write %s: path too long", path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return file_err(e, "open", folder);
	rc = fsync(fd) == 0 ? 0 : file_err(e, "sync", folder);
	close(fd);
	return rc;
}

/* Writes and syncs an open new file, and closes it in any case. */
static int file_fill(int fd, const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
	int rc = 0;

	/* open() took the umask off the mode; the caller's mode is meant as it stands. */
	if (fchmod(fd, mode) != 0 || file_write_full(fd, p, n) != 0 || fsync(fd) != 0)
		rc = file_err(e, "write", path);
	if (close(fd) != 0 && rc == 0)
		rc = file_err(e, "close", path);
	return rc;
}

int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
	char tmp[PATH_MAX];
	int fd;

	if (str_fmt(tmp, sizeof tmp, "%s.tmp-%016llx", path, (unsigned long long)rand_u64()) != 0)
		return err_set(e, ERR_IO, NULL, "write %s: path too long", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return file_err(e, "create", tmp);
	if (file_fill(fd, tmp, p, n, mode, e) != 0)
		goto fail;
	if (rename(tmp, path) != 0) {
		file_err(e, "rename to", path);
		goto fail;
	}
	return file_sync_folder(path, e);
fail:
	unlink(tmp);
	return -1;
}

static int file_mkdir(const char *path, mode_t mode, struct err *e)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return file_err(e, "create folder", path);
	if (stat(path, &st) != 0)
		return file_err(e, "create folder", path);
	if (!S_ISDIR(st.st_mode))
		return err_set_sys(e, ERR_IO, ENOTDIR, "create folder %s", path);
	return 0;
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];
	size_t n;

	if (str_copy(part, sizeof part, path) != 0)
		return err_set(e, ERR_IO, NULL, "create folder %s: path too long", path);
	for (n = strlen(part); n > 1 && part[n - 1] == '/'; n--)
		part[n - 1] = '\0';
	for (size_t i = 1; i < n; i++) {
		if (part[i] != '/')
			continue;
		part[i] = '\0';
		if (file_mkdir(part, 0755, e) != 0)
			return -1;
		part[i] = '/';
	}
	return file_mkdir(part, mode, e);
}
