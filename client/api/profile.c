#include "client/api/profile.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROFILE_FILE_MAX 65536

int profile_check_name(const char *name, struct err *e)
{
	const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (n > 0 && n <= PROFILE_NAME_MAX && name[n] == '\0' && name[0] != '.')
		return 0;
	return err_set(e, ERR_VALIDATION, "profile",
		"profile '%s': a name of at most %d letters, digits, '.', '_' and '-', and not first a '.'", name,
		PROFILE_NAME_MAX);
}

static int folder_of(char *dst, size_t size, struct err *e)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (xdg != NULL && xdg[0] == '/') /* a relative one is to be ignored, says its specification */
		return str_fmt(dst, size, "%s/portway", xdg) == 0 ? 0 : err_set(e, ERR_IO, NULL, "path too long");
	if (home == NULL || home[0] == '\0')
		return err_set(e, ERR_IO, NULL, "neither XDG_CONFIG_HOME nor HOME is set: nowhere to keep a login");
	return str_fmt(dst, size, "%s/.config/portway", home) == 0 ? 0 : err_set(e, ERR_IO, NULL, "path too long");
}

static int path_of(char *dst, size_t size, const char *name, const char *ending, struct err *e)
{
	char folder[PATH_MAX];

	if (profile_check_name(name, e) != 0 || folder_of(folder, sizeof folder, e) != 0)
		return -1;
	return str_fmt(dst, size, "%s/%s.%s", folder, name, ending) == 0 ? 0
	                                                                 : err_set(e, ERR_IO, NULL, "path too long");
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* 0 also when there is none: reading says so. */
static int check_mode(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return 0;
	if ((st.st_mode & 077) != 0)
		return err_set(e, ERR_PERMISSION, NULL, "%s may be read by others (mode %03o): chmod 600 it", path,
			(unsigned)st.st_mode & 0777);
	if (st.st_uid != geteuid() && geteuid() != 0)
		return err_set(e, ERR_PERMISSION, NULL, "%s belongs to another user", path);
	return 0;
}

static int take(char *dst, size_t size, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return str_copy(dst, size, s != NULL ? s : "");
}
#define TAKE(member, o, key) take(member, sizeof(member), o, key)

static int parse(struct profile *p, const uint8_t *text, size_t n)
{
	json_t *o = json_loadb((const char *)text, n, 0, NULL);
	int rc = json_is_object(o) ? 0 : -1;

	if (rc == 0)
		rc = TAKE(p->url, o, "url") | TAKE(p->ca, o, "ca") | TAKE(p->email, o, "email") |
		     TAKE(p->access, o, "access_token") | TAKE(p->refresh, o, "refresh_token");
	p->expires_ms = json_integer_value(json_object_get(o, "expires_ms"));
	json_decref(o);
	return rc;
}

int profile_load(struct profile *out, const char *name, struct err *e)
{
	struct profile p = { 0 };
	char path[PATH_MAX];
	uint8_t *text = NULL;
	size_t n = 0;
	int rc;

	if (path_of(path, sizeof path, name, "json", e) != 0 || check_mode(path, e) != 0 ||
		file_read(path, PROFILE_FILE_MAX, &text, &n, e) != 0)
		return -1;
	rc = parse(&p, text, n);
	explicit_bzero(text, n);
	free(text);
	if (rc != 0)
		return err_set(e, ERR_IO, NULL, "%s is damaged: log in again", path);
	(void)str_copy(p.name, sizeof p.name, name);
	*out = p;
	return 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

int profile_save(const struct profile *p, struct err *e)
{
	char path[PATH_MAX], folder[PATH_MAX];
	char *text;
	json_t *o;
	int rc;

	if (path_of(path, sizeof path, p->name, "json", e) != 0 || folder_of(folder, sizeof folder, e) != 0 ||
		file_mkdirs(folder, 0700, e) != 0)
		return -1;
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "url", p->url, "ca", p->ca, "email", p->email, "access_token",
		p->access, "refresh_token", p->refresh, "expires_ms", (json_int_t)p->expires_ms);
	text = o == NULL ? NULL : json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (text == NULL)
		return err_set(e, ERR_NOMEM, NULL, "%s: out of memory", path);
	rc = file_write_atomic(path, text, strlen(text), 0600, e);
	explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}

int profile_remove(const char *name, struct err *e)
{
	char path[PATH_MAX];

	if (path_of(path, sizeof path, name, "json", e) != 0)
		return -1;
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return err_set_sys(e, ERR_IO, errno, "remove %s", path);
}

int profile_lock(const char *name, int *fd, struct err *e)
{
	char path[PATH_MAX], folder[PATH_MAX];
	int f;

	if (path_of(path, sizeof path, name, "lock", e) != 0 || folder_of(folder, sizeof folder, e) != 0 ||
		file_mkdirs(folder, 0700, e) != 0)
		return -1;
	if ((f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
		return err_set_sys(e, ERR_IO, errno, "open %s", path);
	while (flock(f, LOCK_EX) != 0) {
		if (errno == EINTR)
			continue;
		err_set_sys(e, ERR_IO, errno, "lock %s", path);
		(void)close(f);
		return -1;
	}
	*fd = f;
	return 0;
}

void profile_unlock(int fd)
{
	(void)close(fd);
}
