#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/identity/api_key.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"
#include "controld/identity/tenant.h"
#include "controld/identity/user.h"
#include "controld/store/secrets.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOOTSTRAP_EMAIL       "admin@localhost"
#define BOOTSTRAP_KEY_NAME    "settings"
#define BOOTSTRAP_REFRESH_KEY "refresh-key"

enum { BOOTSTRAP_PASSWORD_BYTES = 15 }; /* 20 characters */

struct bootstrap {
	struct identity_service *s;
	struct tenant tenant;
	struct user user;
	bool generated, late; /* late: another controld made the first tenant meanwhile */
	char password[PASSWORD_MAX + 1];
};

/* ---- the first administrator ------------------------------------------------------------------------------------- */

static int bootstrap_password(struct bootstrap *b, const char *given, struct err *e)
{
	uint8_t random[BOOTSTRAP_PASSWORD_BYTES];

	b->generated = given == NULL || *given == '\0';
	if (b->generated) {
		rand_bytes(random, sizeof random);
		str_b64url(b->password, random, sizeof random);
		return 0;
	}
	if (strlen(given) >= PASSWORD_MIN && str_copy(b->password, sizeof b->password, given) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, "admin.password", "admin.password: must have %d to %d characters", PASSWORD_MIN,
		PASSWORD_MAX);
	return err_detail(e, "length", "***");
}

static int bootstrap_email(struct bootstrap *b, const char *given, struct err *e)
{
	const char *email = given != NULL && *given != '\0' ? given : BOOTSTRAP_EMAIL;
	const char *at = strchr(email, '@');

	if (at != NULL && at != email && at[1] != '\0' && str_is_utf8(email, strlen(email)) &&
		str_copy(b->user.email, sizeof b->user.email, email) == 0 &&
		str_copy(b->user.username, sizeof b->user.username, email) == 0)
		return 0;
	err_set(e, ERR_VALIDATION, "admin.email", "admin.email: '%s' must be name@host of at most %d characters", email,
		USER_EMAIL_MAX);
	return err_detail(e, "format", email);
}

/*
 * A generated password goes to its file before the account exists: a process that is killed in between leaves a file
 * that the next start overwrites, never an account that nobody can enter.
 */
static int bootstrap_note(const struct bootstrap *b, char path[PATH_MAX], struct err *e)
{
	char text[USER_EMAIL_MAX + PASSWORD_MAX + 64];

	(void)str_fmt(path, PATH_MAX, "%s/initial-admin", b->s->conf.data_dir);
	(void)str_fmt(text, sizeof text, "email: %s\npassword: %s\n", b->user.email, b->password);
	return file_write_atomic(path, text, strlen(text), 0600, e);
}

static void bootstrap_tell(const struct bootstrap *b, const char *path)
{
	log_info("first_start", log_s("tenant", b->tenant.name), log_s("admin", b->user.email));
	if (!b->generated)
		return;
	if (!isatty(STDERR_FILENO)) {
		log_info("initial_password_kept", log_s("file", path));
		return;
	}
	fprintf(stderr, "\n  The first administrator, shown this once:\n    email     %s\n    password  %s\n\n",
		b->user.email, b->password);
	unlink(path);
}

static int work_first_start(struct db *tx, void *arg, struct err *e)
{
	struct bootstrap *b = arg;
	struct change c = { .tenant = b->tenant.id, .op = "create" };
	int any = tenant_any(tx, e);

	b->late = any > 0;
	if (any != 0)
		return any < 0 ? -1 : 0;
	if (tenant_insert(tx, &b->tenant, e) != 0 || user_insert(tx, &b->user, e) != 0)
		return -1;
	c.kind = "tenant";
	c.subject = b->tenant.id;
	if (audit_append(tx, NULL, c, tenant_json(&b->tenant), e) != 0)
		return -1;
	c.kind = "user";
	c.subject = b->user.id;
	return audit_append(tx, NULL, c, user_json(&b->user), e);
}

static int bootstrap_first_start(struct identity_service *s, struct err *e)
{
	struct bootstrap b = { .s = s };
	char path[PATH_MAX] = "";
	int rc = -1;

	tenant_init(&b.tenant, TENANT_DEFAULT, clock_wall_ms());
	user_init(&b.user, b.tenant.id, b.tenant.created_ms);
	b.user.role = ROLE_OWNER;
	b.user.system_admin = true;
	if (bootstrap_email(&b, s->conf.admin_email, e) == 0 &&
		bootstrap_password(&b, s->conf.admin_password, e) == 0 &&
		password_hash(b.user.password_hash, b.password, e) == 0 &&
		(!b.generated || bootstrap_note(&b, path, e) == 0) &&
		store_write(s->store, STORE_LOGGED, work_first_start, &b, e) == 0) {
		if (!b.late)
			bootstrap_tell(&b, path);
		else if (b.generated)
			unlink(path); /* of an account that is not there */
		rc = 0;
	}
	seal_wipe(b.password, sizeof b.password);
	return rc;
}

static int bootstrap_is_first(struct identity_service *s, bool *first, struct err *e)
{
	struct db *db;
	int any;

	if (store_read_begin(s->store, &db, e) != 0)
		return -1;
	any = tenant_any(db, e);
	store_read_end(db);
	*first = any == 0;
	return any < 0 ? -1 : 0;
}

/* ---- every start ------------------------------------------------------------------------------------------------- */

/* The key that makes refresh tokens: read, or made once; one controld after the other, so that all have the same. */
static int work_refresh_key(struct db *tx, void *arg, struct err *e)
{
	struct identity_service *s = arg;
	struct err why = { .code = ERR_NONE };
	struct buf key;
	int rc;

	buf_init(&key, SHA256_SIZE + SEAL_OVERHEAD);
	rc = secrets_get(tx, BOOTSTRAP_REFRESH_KEY, &key, &why);
	if (rc == 0 && key.len == SHA256_SIZE) {
		memcpy(s->refresh_key, key.data, SHA256_SIZE);
	} else if (rc != 0 && why.code == ERR_NOT_FOUND) {
		rand_bytes(s->refresh_key, SHA256_SIZE);
		rc = secrets_put(tx, BOOTSTRAP_REFRESH_KEY, s->refresh_key, SHA256_SIZE, e);
	} else {
		rc = err_set(e, ERR_CRYPTO, NULL, "refresh key: %s", rc != 0 ? why.msg : "has a wrong length");
	}
	if (key.data != NULL)
		seal_wipe(key.data, key.len);
	buf_free(&key);
	return rc;
}

static int settings_key_insert(struct db *tx, const struct tenant *t, struct api_key *k, struct err *e)
{
	const struct change c = { .tenant = t->id, .kind = "api_key", .op = "create", .subject = k->id };
	int there = api_key_has_hash(tx, k->hash, e);

	if (there != 0)
		return there < 0 ? -1 : 0;
	(void)str_copy(k->tenant_id, sizeof k->tenant_id, t->id);
	(void)str_copy(k->name, sizeof k->name, BOOTSTRAP_KEY_NAME);
	k->role = ROLE_OWNER;
	k->system_admin = true;
	if (api_key_insert(tx, k, e) != 0)
		return -1;
	return audit_append(tx, NULL, c, api_key_json(k), e);
}

/* The settings' API key replaces the one that the settings had before; none there ends it. */
static int work_settings_key(struct db *tx, void *arg, struct err *e)
{
	const struct identity_service *s = arg;
	bool wanted = s->conf.api_key != NULL && *s->conf.api_key != '\0';
	char unused[API_KEY_TEXT_SIZE];
	struct api_key k;
	struct tenant t;
	int rc = tenant_find(tx, TENANT_DEFAULT, &t, e);

	if (rc <= 0)
		return rc;
	api_key_make(&k, unused, clock_wall_ms());
	if (wanted)
		api_key_set_text(&k, s->conf.api_key);
	if (api_key_delete_named(tx, t.id, BOOTSTRAP_KEY_NAME, k.hash, e) < 0)
		return -1;
	return wanted ? settings_key_insert(tx, &t, &k, e) : 0;
}

int identity_bootstrap(struct identity_service *s, struct err *e)
{
	bool first;

	if (bootstrap_is_first(s, &first, e) != 0 || (first && bootstrap_first_start(s, e) != 0))
		return -1;
	if (store_write(s->store, STORE_LOGGED, work_refresh_key, s, e) != 0 ||
		signing_keys_rotate(s->keys, clock_wall_ms(), e) != 0)
		return -1;
	return store_write(s->store, STORE_LOGGED, work_settings_key, s, e);
}
