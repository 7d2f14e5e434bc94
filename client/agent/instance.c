#define _GNU_SOURCE
#include "client/agent/instance.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/rand.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PATH_SIZE 1024

bool instance_is_name(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t n = strspn(name, good);

	return n > 0 && n < FRAME_ID_SIZE && name[n] == '\0';
}

static int path_of(char path[PATH_SIZE], const char *dir, const char *file, struct err *e)
{
	if (str_fmt(path, PATH_SIZE, "%s/%s", dir, file) != 0)
		return err_set(e, ERR_VALIDATION, "state_dir", "state_dir: '%s' is too long", dir);
	return 0;
}

/* One line of a small file; "" when there is no such file. */
static int read_line(const char *path, char line[FRAME_ID_SIZE], struct err *e)
{
	uint8_t *text;
	size_t n;
	struct err why;

	line[0] = '\0';
	if (file_read(path, FRAME_ID_SIZE, &text, &n, &why) != 0) {
		if (why.code == ERR_NOT_FOUND)
			return 0;
		if (e != NULL)
			*e = why;
		return -1;
	}
	text[strcspn((char *)text, "\n")] = '\0';
	str_copy(line, FRAME_ID_SIZE, (char *)text);
	free(text);
	return 0;
}

static int write_line(const char *path, const char *line, struct err *e)
{
	char text[FRAME_ID_SIZE + 1];

	str_fmt(text, sizeof text, "%s\n", line);
	return file_write_atomic(path, text, strlen(text), 0600, e);
}

static int take_name(struct instance *i, const char *dir, struct err *e)
{
	char path[PATH_SIZE], made[RAND_ID_SIZE];

	if (path_of(path, dir, "instance", e) != 0 || read_line(path, i->name, e) != 0)
		return -1;
	if (instance_is_name(i->name))
		return 0;
	rand_id(made, "agt");
	str_copy(i->name, sizeof i->name, made);
	return write_line(path, i->name, e);
}

/* A clock that was set back does not make this run look older than the last one. */
static int take_epoch(struct instance *i, const char *dir, int64_t now_ms, struct err *e)
{
	char path[PATH_SIZE], line[FRAME_ID_SIZE];
	uint64_t last = 0;

	if (path_of(path, dir, "epoch", e) != 0 || read_line(path, line, e) != 0)
		return -1;
	if (str_to_u64(line, 0, INT64_MAX - 1, &last) != 0)
		last = 0;
	i->epoch = MAX((uint64_t)MAX(now_ms, 1), last + 1);
	str_fmt(line, sizeof line, "%" PRIu64, i->epoch);
	return write_line(path, line, e);
}

static int take_lock(struct instance *i, const char *dir, struct err *e)
{
	char path[PATH_SIZE];

	if (path_of(path, dir, "lock", e) != 0)
		return -1;
	i->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (i->lock_fd < 0)
		return err_set_sys(e, ERR_IO, errno, "state_dir: %s", path);
	if (flock(i->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return err_set(e, ERR_CONFLICT, "state_dir", "state_dir: another agent runs with %s", dir);
	return 0;
}

void instance_close(struct instance *i)
{
	if (i->lock_fd >= 0)
		close(i->lock_fd);
	i->lock_fd = -1;
}

int instance_open(struct instance *out, const char *state_dir, const char *name, int64_t now_ms, struct err *e)
{
	struct instance i = { .lock_fd = -1 };

	if (file_mkdirs(state_dir, 0700, e) != 0)
		return -1;
	str_copy(i.name, sizeof i.name, name);
	if (take_lock(&i, state_dir, e) != 0 || (name[0] == '\0' && take_name(&i, state_dir, e) != 0) ||
		take_epoch(&i, state_dir, now_ms, e) != 0) {
		instance_close(&i);
		return -1;
	}
	*out = i;
	return 0;
}
