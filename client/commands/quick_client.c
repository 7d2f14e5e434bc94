#define _GNU_SOURCE
#include "client/commands/quick_client.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define AT_ONCE_MAX 64
#define FILE_BYTES  4096

static int folder_of(char dir[PATH_MAX], const char *profile, unsigned n, struct err *e)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int r = -1;

	if (xdg != NULL && xdg[0] == '/')
		r = str_fmt(dir, PATH_MAX, "%s/portway/quick/%s-%u", xdg, profile, n);
	else if (home != NULL)
		r = str_fmt(dir, PATH_MAX, "%s/.local/state/portway/quick/%s-%u", home, profile, n);
	return r == 0 ? 0
	              : err_set(e, ERR_IO, NULL, "neither XDG_STATE_HOME nor HOME leads to a folder for the client");
}

static int path_in(char path[PATH_MAX], const char *dir, const char *file, struct err *e)
{
	return str_fmt(path, PATH_MAX, "%s/%s", dir, file) == 0 ? 0 : err_set(e, ERR_IO, NULL, "%s: too long", dir);
}

/* 0: it is ours; 1: another command has it. */
static int lock(struct quick_client *q, struct err *e)
{
	char path[PATH_MAX];

	if (file_mkdirs(q->dir, 0700, e) != 0 || path_in(path, q->dir, "quick.lock", e) != 0)
		return -1;
	q->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (q->lock_fd < 0)
		return err_set_sys(e, ERR_IO, errno, "%s", path);
	if (flock(q->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	quick_client_close(q);
	return 1;
}

static void take(char *dst, size_t size, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	(void)str_copy(dst, size, s != NULL ? s : "");
}

/* A damaged file is as good as none: another client is made. */
static int load(struct quick_client *q, const char *url, struct err *e)
{
	char path[PATH_MAX];
	uint8_t *text;
	size_t n;
	json_t *o;

	(void)str_copy(q->url, sizeof q->url, url);
	if (path_in(path, q->dir, "client.json", e) != 0)
		return -1;
	if (file_read(path, FILE_BYTES, &text, &n, e) != 0)
		return e->code == ERR_NOT_FOUND ? 0 : -1;
	o = json_loadb((char *)text, n, 0, NULL);
	explicit_bzero(text, n);
	free(text);
	if (json_is_object(o) && str_eq(json_string_value(json_object_get(o, "url")), url)) {
		q->id = json_integer_value(json_object_get(o, "id"));
		q->port = (uint16_t)json_integer_value(json_object_get(o, "port"));
		take(q->secret, sizeof q->secret, o, "secret");
		take(q->mapping, sizeof q->mapping, o, "mapping");
		take(q->target, sizeof q->target, o, "target");
		take(q->host, sizeof q->host, o, "host");
	}
	json_decref(o);
	return 0;
}

int quick_client_open(struct quick_client *out, const char *profile, const char *url, struct err *e)
{
	struct quick_client q;
	int r = 1;

	for (unsigned n = 1; r == 1 && n <= AT_ONCE_MAX; n++) {
		q = (struct quick_client){ .lock_fd = -1 };
		if (folder_of(q.dir, profile, n, e) != 0)
			return -1;
		r = lock(&q, e);
	}
	if (r == 1)
		return err_set(e, ERR_CONFLICT, NULL, "%d such commands run at once already", AT_ONCE_MAX);
	if (r == 0 && (r = load(&q, url, e)) == 0)
		*out = q;
	else
		quick_client_close(&q);
	return r;
}

int quick_client_save(const struct quick_client *q, struct err *e)
{
	json_t *o = json_pack("{s:s, s:I, s:s, s:s, s:s, s:i, s:s}", "url", q->url, "id", (json_int_t)q->id, "secret",
		q->secret, "mapping", q->mapping, "target", q->target, "port", (int)q->port, "host", q->host);
	char *text = o != NULL ? json_dumps(o, JSON_INDENT(2)) : NULL, path[PATH_MAX];
	int r = -1;

	if (text == NULL)
		err_set(e, ERR_NOMEM, NULL, "out of memory");
	else if (path_in(path, q->dir, "client.json", e) == 0)
		r = file_write_atomic(path, text, strlen(text), 0600, e);
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
	json_decref(o);
	return r;
}

void quick_client_close(struct quick_client *q)
{
	if (q->lock_fd >= 0)
		close(q->lock_fd);
	q->lock_fd = -1;
}
