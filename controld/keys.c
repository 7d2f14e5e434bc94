#include "controld/keys.h"

#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/settings.h"
#include "controld/store/secrets.h"
#include "controld/store/store.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static int path_of(char path[PATH_MAX], const struct settings *s, const char *name, struct err *e)
{
	if (str_fmt(path, PATH_MAX, "%s/%s", s->data_dir, name) != 0)
		return err_set(e, ERR_VALIDATION, "data_dir", "data_dir: name too long");
	return 0;
}

static int main_path(char path[PATH_MAX], const struct settings *s, struct err *e)
{
	return path_of(path, s, "master.key", e);
}

static int old_path(char path[PATH_MAX], const struct settings *s, struct err *e)
{
	return path_of(path, s, "master.key.old", e);
}

bool keys_in_file(const struct settings *settings)
{
	return *settings->master_key == '\0';
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

/* A key that is made now opens nothing that was sealed before: rather than making one, say that it is missing. */
static int file_wanted(struct store *s, const char *path, struct err *e)
{
	struct db *db;
	bool any;
	int rc;

	if (access(path, F_OK) == 0)
		return 0;
	if (store_read_begin(s, &db, e) != 0)
		return -1;
	rc = secrets_any(db, &any, e);
	store_read_end(db);
	if (rc == 0 && any)
		rc = err_set(e, ERR_CRYPTO, "master_key",
			"the database is sealed with a master key that this controld has not: set CONTROLD_MASTER_KEY, "
			"or copy master.key from another controld to %s",
			path);
	return rc;
}

static int load_file(struct store *s, const struct settings *settings, struct err *e)
{
	uint8_t key[SEAL_KEY_SIZE];
	char path[PATH_MAX];
	int rc;

	if (main_path(path, settings, e) != 0 || file_wanted(s, path, e) != 0)
		return -1;
	if ((rc = seal_key_file(path, key, e)) == 0)
		store_set_master_key(s, key);
	if (rc == 0 && (rc = old_path(path, settings, e)) == 0 && access(path, F_OK) == 0 &&
		(rc = seal_key_file(path, key, e)) == 0)
		rc = store_add_master_key(s, key);
	seal_wipe(key, sizeof key);
	return rc;
}

/* The settings were checked. */
static int load_also(struct store *s, const char *list, struct err *e)
{
	uint8_t key[SEAL_KEY_SIZE];
	int rc = 0;

	while (rc == 0 && *list != '\0') {
		const size_t n = strcspn(list, ", ");
		char hex[2 * SEAL_KEY_SIZE + 1];

		(void)str_fmt(hex, sizeof hex, "%.*s", (int)n, list);
		if (n > 0 && str_unhex(key, sizeof key, hex) == (int)sizeof key)
			rc = store_add_master_key(s, key);
		seal_wipe(hex, sizeof hex);
		list += n + (list[n] != '\0');
	}
	seal_wipe(key, sizeof key);
	return rc == 0 ? 0 : err_set(e, ERR_VALIDATION, "master_keys_also", "master_keys_also: too many keys");
}

int keys_load(struct store *s, const struct settings *settings, struct err *e)
{
	uint8_t key[SEAL_KEY_SIZE];

	if (keys_in_file(settings)) {
		if (load_file(s, settings, e) != 0)
			return -1;
	} else {
		(void)str_unhex(key, sizeof key, settings->master_key); /* was checked */
		store_set_master_key(s, key);
		seal_wipe(key, sizeof key);
	}
	return load_also(s, settings->master_keys_also, e);
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

static int renew(const char *main, const char *old, struct err *e)
{
	uint8_t now[SEAL_KEY_SIZE], before[SEAL_KEY_SIZE];
	int rc;

	if (access(main, F_OK) != 0)
		return err_set_sys(e, ERR_NOT_FOUND, errno, "%s", main);
	if ((rc = seal_key_file(main, now, e)) == 0 && access(old, F_OK) != 0)
		rc = file_write_atomic(old, now, sizeof now, 0600, e);
	if (rc == 0 && (rc = seal_key_file(old, before, e)) == 0 && memcmp(now, before, sizeof now) == 0) {
		rand_bytes(now, sizeof now);
		rc = file_write_atomic(main, now, sizeof now, 0600, e);
	}
	seal_wipe(now, sizeof now);
	seal_wipe(before, sizeof before);
	return rc;
}

int keys_renew(const struct settings *settings, struct err *e)
{
	char main[PATH_MAX], old[PATH_MAX];

	if (main_path(main, settings, e) != 0 || old_path(old, settings, e) != 0)
		return -1;
	return renew(main, old, e);
}

int keys_forget_old(const struct settings *settings, struct err *e)
{
	char old[PATH_MAX];

	if (old_path(old, settings, e) != 0)
		return -1;
	if (unlink(old) != 0 && errno != ENOENT)
		return err_set_sys(e, ERR_IO, errno, "%s", old);
	return 0;
}
