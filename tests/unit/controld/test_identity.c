#include "controld/identity/service.h"

#include "common/base/file.h"
#include "tests/unit/lib/fake_rest.c"
#include "tests/unit/lib/test_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ADMIN        "admin@example.com"
#define ADMIN_WORD   "an admin's password"
#define USER_WORD    "a user's password"
#define SETTINGS_KEY "a-key-from-the-settings"

struct house {
	struct test_store store;
	struct identity_conf conf;
	struct identity_service *identity;
	char token[4096]; /* of the administrator */
};

/* ---- the house --------------------------------------------------------------------------------------------------- */

static void house_open(struct house *h)
{
	struct err e = { 0 };

	h->conf.issuer = "portway";
	h->conf.access_ms = 3600 * 1000;
	h->conf.refresh_ms = UINT64_C(7) * 86400 * 1000;
	h->conf.api_keys_max = 3;
	h->conf.data_dir = h->store.folder;
	TEST_STORE_MUST(identity_new(&h->identity, &h->conf, h->store.store, &e), e);
}

/* Calls and answers the status; *text (may be NULL) gets a copy of a member of the answer. */
static int call_member(struct house *h, struct fake_call c, const char *member, char *text, size_t size)
{
	const char *value;

	fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
	if (text != NULL) {
		value = json_string_value(json_object_get(c.answer, member));
		(void)str_copy(text, size, value != NULL ? value : "");
	}
	fake_call_fini(&c);
	return c.status;
}

static int call(struct house *h, struct fake_call c)
{
	return call_member(h, c, NULL, NULL, 0);
}

static json_t *credentials(const char *email, const char *password)
{
	return json_pack("{s:s, s:s}", "email", email, "password", password);
}

static int login(struct house *h, const char *email, const char *password, char token[4096])
{
	return call_member(h,
		(struct fake_call){ .method = "POST", .path = "/auth/login", .body = credentials(email, password) },
		"token", token, 4096);
}

static int setup(void **state)
{
	struct house *h = calloc(1, sizeof *h);
	struct err e = { 0 };

	test_store_open(&h->store);
	h->conf.admin_email = ADMIN;
	h->conf.admin_password = ADMIN_WORD;
	h->conf.api_key = SETTINGS_KEY;
	house_open(h);
	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	assert_int_equal(login(h, ADMIN, ADMIN_WORD, h->token), 200);
	*state = h;
	return 0;
}

static int setup_empty(void **state)
{
	struct house *h = calloc(1, sizeof *h);

	test_store_open(&h->store);
	house_open(h);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct house *h = *state;

	identity_free(h->identity);
	test_store_close(&h->store);
	free(h);
	return 0;
}

/* A user of the administrator's tenant (or of another), logged in. */
static void make_user(
	struct house *h, const char *name, const char *role, const char *tenant, char id[64], char token[4096])
{
	char email[64];
	json_t *body;

	snprintf(email, sizeof email, "%s@example.com", name);
	body = json_pack("{s:s, s:s, s:s, s:s}", "email", email, "username", name, "password", USER_WORD, "role", role);
	if (tenant != NULL)
		json_object_set_new(body, "tenant_id", json_string(tenant));
	assert_int_equal(call_member(h,
				 (struct fake_call){
					 .method = "POST", .path = "/api/v1/users", .bearer = h->token, .body = body },
				 "id", id, 64),
		201);
	assert_int_equal(login(h, email, USER_WORD, token), 200);
}

static int on_user(
	struct house *h, const char *method, const char *id, const char *tail, const char *bearer, json_t *body)
{
	char path[128];

	snprintf(path, sizeof path, "/api/v1/users/%s%s", id, tail);
	return call(h, (struct fake_call){ .method = method, .path = path, .bearer = bearer, .body = body });
}

static int me(struct house *h, const char *bearer)
{
	return call(h, (struct fake_call){ .method = "GET", .path = "/auth/me", .bearer = bearer });
}

/* ---- first start ------------------------------------------------------------------------------------------------- */

static void the_first_start_makes_one_administrator(void **state)
{
	struct house *h = *state;
	struct err e = { 0 };
	char token[4096];

	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	identity_free(h->identity);
	h->conf.admin_password = "another password";
	house_open(h);
	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	assert_int_equal(login(h, ADMIN, "another password", token), 401);
	assert_int_equal(login(h, ADMIN, ADMIN_WORD, token), 200);
	assert_int_equal(me(h, h->token), 200); /* keys outlive the process */
}

static void a_generated_password_is_kept_in_a_file(void **state)
{
	struct house *h = *state;
	char path[128], token[4096], *text, *password, *end;
	struct err e = { 0 };
	struct stat st;
	size_t n;
	int saved = dup(2), null = open("/dev/null", O_WRONLY);

	dup2(null, 2); /* no terminal */
	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	dup2(saved, 2);
	close(saved);
	close(null);
	snprintf(path, sizeof path, "%s/initial-admin", h->store.folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_read(path, 1000, (uint8_t **)&text, &n, NULL), 0);
	password = strstr(text, "password: ");
	assert_non_null(password);
	password += strlen("password: ");
	end = strchr(password, '\n');
	*end = '\0';
	assert_int_equal(login(h, "admin@localhost", password, token), 200);
	free(text);
}

static void a_killed_first_start_is_run_again(void **state)
{
	struct house *h = *state;
	char path[128], token[4096];
	struct err e = { 0 };

	/* killed after the note, before the account */
	snprintf(path, sizeof path, "%s/initial-admin", h->store.folder);
	assert_int_equal(file_write_atomic(path, "email: admin@localhost\npassword: lost\n", 38, 0600, NULL), 0);
	h->conf.admin_password = ADMIN_WORD;
	identity_free(h->identity);
	house_open(h);
	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	assert_int_equal(login(h, "admin@localhost", ADMIN_WORD, token), 200);
}

static void settings_that_cannot_be(void **state)
{
	static const struct {
		const char *email, *password, *field;
	} cases[] = {
		{ ADMIN, "short", "admin.password" },
		{ "no-at", ADMIN_WORD, "admin.email" },
		{ "@host", ADMIN_WORD, "admin.email" },
		{ "name@", ADMIN_WORD, "admin.email" },
	};
	struct house *h = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { 0 };

		identity_free(h->identity);
		h->conf.admin_email = cases[i].email;
		h->conf.admin_password = cases[i].password;
		house_open(h);
		assert_int_equal(identity_bootstrap(h->identity, &e), -1);
		assert_string_equal(e.field, cases[i].field);
		assert_null(strstr(e.msg, "short"));
	}
}

static void the_settings_key_follows_the_settings(void **state)
{
	struct house *h = *state;
	struct fake_call list = { .method = "GET", .path = "/api/v1/tenants", .api_key = SETTINGS_KEY };
	struct err e = { 0 };

	assert_int_equal(call(h, list), 200);
	identity_free(h->identity);
	h->conf.api_key = "another-key";
	house_open(h);
	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	assert_int_equal(call(h, list), 401);
	list.api_key = "another-key";
	assert_int_equal(call(h, list), 200);
	identity_free(h->identity);
	h->conf.api_key = "";
	house_open(h);
	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	assert_int_equal(call(h, list), 401);
}

/* ---- login ------------------------------------------------------------------------------------------------------- */

static void the_answer_to_a_login(void **state)
{
	static const char *const members[] = { "token", "refresh_token", "expires_in", "user", "data", "message" };
	static const char *const of_user[] = { "user_id", "id", "email", "username", "tenant_id", "role", "roles",
		"first_name", "last_name", "created_at", "last_login" };
	struct house *h = *state;
	struct fake_call c = {
		.method = "POST", .path = "/auth/login", .body = credentials("ADMIN@example.com", ADMIN_WORD)
	};
	const json_t *data;

	fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
	assert_int_equal(c.status, 200);
	assert_true(json_is_true(json_object_get(c.answer, "success")));
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		assert_non_null(json_object_get(c.answer, members[i]));
	for (size_t i = 0; i < ARRAY_LEN(of_user); i++)
		assert_non_null(json_object_get(json_object_get(c.answer, "user"), of_user[i]));
	data = json_object_get(c.answer, "data");
	assert_true(json_equal(json_object_get(data, "access_token"), json_object_get(c.answer, "token")));
	assert_true(json_equal(json_object_get(data, "refresh_token"), json_object_get(c.answer, "refresh_token")));
	assert_int_equal(json_integer_value(json_object_get(c.answer, "expires_in")), 3600);
	fake_call_fini(&c);
}

static void wrong_passwords_are_slowed_down(void **state)
{
	struct house *h = *state;
	struct fake_call c = { .method = "POST", .path = "/auth/login" };
	struct identity_stats stats;
	unsigned failed = 0;
	char token[4096];

	for (; failed < 5; failed++)
		assert_int_equal(login(h, "nobody@example.com", "wrong password", token), 401);
	for (;; failed++) { /* a wait that was over before the next try is followed by one twice as long */
		c.body = credentials("nobody@example.com", "wrong password");
		fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
		if (c.status != 401)
			break;
		fake_call_fini(&c);
		assert_true(failed < 12);
	}
	assert_int_equal(c.status, 429);
	assert_string_not_equal(c.retry_after, "");
	c.body = credentials("nobody@example.com", "wrong password");
	c.peer = "192.0.2.2";
	fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
	assert_int_equal(c.status, 401);
	assert_int_equal(login(h, ADMIN, ADMIN_WORD, token), 200);
	identity_stats(h->identity, &stats);
	assert_int_equal(stats.logins_throttled, 1);
	assert_int_equal(stats.logins_failed, failed + 1);
	assert_int_equal(stats.logins, 2);
}

static void a_login_needs_a_name(void **state)
{
	struct house *h = *state;
	json_t *body = json_pack("{s:s}", "password", "x");

	assert_int_equal(call(h, (struct fake_call){ .method = "POST", .path = "/auth/login", .body = body }), 400);
	body = json_pack("{s:s, s:s}", "username", ADMIN, "password", ADMIN_WORD);
	assert_int_equal(call(h, (struct fake_call){ .method = "POST", .path = "/auth/login", .body = body }), 200);
	body = json_pack("{s:s, s:s, s:s}", "username", ADMIN, "password", ADMIN_WORD, "tenant_id", "ten_other");
	assert_int_equal(call(h, (struct fake_call){ .method = "POST", .path = "/auth/login", .body = body }), 403);
}

/* ---- refresh, logout --------------------------------------------------------------------------------------------- */

struct pair {
	char access[4096], refresh[256];
};

static int grant(struct house *h, struct fake_call c, struct pair *p)
{
	const char *access, *refresh;

	fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
	access = json_string_value(json_object_get(c.answer, "token"));
	refresh = json_string_value(json_object_get(c.answer, "refresh_token"));
	(void)str_copy(p->access, sizeof p->access, access != NULL ? access : "");
	(void)str_copy(p->refresh, sizeof p->refresh, refresh != NULL ? refresh : "");
	fake_call_fini(&c);
	return c.status;
}

static int refresh(struct house *h, const struct pair *from, struct pair *to)
{
	return grant(h,
		(struct fake_call){ .method = "POST",
			.path = "/auth/refresh",
			.body = json_pack("{s:s}", "refresh_token", from->refresh) },
		to);
}

static struct fake_call admin_login(void)
{
	return (struct fake_call){ .method = "POST", .path = "/auth/login", .body = credentials(ADMIN, ADMIN_WORD) };
}

static void a_family_of_refresh_tokens(void **state)
{
	struct house *h = *state;
	struct pair first, second, again, third, none;

	assert_int_equal(grant(h, admin_login(), &first), 200);
	assert_int_equal(refresh(h, &first, &second), 200);
	assert_string_not_equal(first.refresh, second.refresh);
	assert_int_equal(refresh(h, &first, &again), 200); /* the answer was lost */
	assert_string_equal(again.refresh, second.refresh);
	assert_int_equal(me(h, again.access), 200);
	assert_int_equal(refresh(h, &second, &third), 200);
	assert_int_equal(me(h, third.access), 200);
	assert_int_equal(refresh(h, &first, &none), 401); /* a copy: the family ends */
	assert_int_equal(refresh(h, &third, &none), 401);
	assert_int_equal(me(h, first.access), 401);
	assert_int_equal(me(h, third.access), 401);
	assert_int_equal(me(h, h->token), 200); /* another login of the same user */
}

static void where_a_refresh_token_may_stand(void **state)
{
	struct house *h = *state;
	struct pair first, second;

	assert_int_equal(grant(h, admin_login(), &first), 200);
	assert_int_equal(
		grant(h, (struct fake_call){ .method = "POST", .path = "/auth/refresh", .bearer = first.refresh },
			&second),
		200);
	assert_int_equal(
		grant(h, (struct fake_call){ .method = "POST", .path = "/auth/refresh", .bearer = first.access },
			&second),
		401);
	assert_int_equal(grant(h, (struct fake_call){ .method = "POST", .path = "/auth/refresh" }, &second), 400);
	assert_int_equal(me(h, first.refresh), 401);
}

static void logout_holds_at_once(void **state)
{
	struct house *h = *state;
	struct pair p, none;

	assert_int_equal(grant(h, admin_login(), &p), 200);
	assert_int_equal(me(h, p.access), 200);
	assert_int_equal(
		call(h, (struct fake_call){ .method = "POST", .path = "/auth/logout", .bearer = p.access }), 200);
	assert_int_equal(me(h, p.access), 401);
	assert_int_equal(refresh(h, &p, &none), 401);
	assert_int_equal(
		call(h, (struct fake_call){ .method = "POST", .path = "/auth/logout", .api_key = SETTINGS_KEY }), 400);
}

static void the_key_set_is_public(void **state)
{
	struct house *h = *state;
	struct fake_call c = { .method = "GET", .path = "/.well-known/jwks.json" };
	const json_t *key;

	fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
	assert_int_equal(c.status, 200);
	key = json_array_get(json_object_get(c.answer, "keys"), 0);
	assert_string_equal(json_string_value(json_object_get(key, "crv")), "Ed25519");
	assert_string_equal(json_string_value(json_object_get(key, "alg")), "EdDSA");
	assert_int_equal(strlen(json_string_value(json_object_get(key, "x"))), 43);
	assert_null(json_object_get(key, "d"));
	fake_call_fini(&c);
}

static json_t *new_password(const char *current, const char *next)
{
	return json_pack("{s:s, s:s}", "current_password", current, "new_password", next);
}

static void changing_the_own_password_ends_other_sessions(void **state)
{
	struct house *h = *state;
	struct fake_call c = { .method = "POST", .path = "/auth/password", .bearer = h->token };
	char other[4096], none[4096];

	assert_int_equal(login(h, ADMIN, ADMIN_WORD, other), 200);
	c.body = new_password("wrong", "a new password");
	assert_int_equal(call(h, c), 422);
	c.body = new_password(ADMIN_WORD, "a new password");
	assert_int_equal(call(h, c), 200);
	assert_int_equal(me(h, h->token), 200);
	assert_int_equal(me(h, other), 401);
	assert_int_equal(login(h, ADMIN, ADMIN_WORD, none), 401);
	assert_int_equal(login(h, ADMIN, "a new password", none), 200);
}

/* A request that checks a password while somebody else's transaction is under way. */
struct race {
	struct house *h;
	struct fake_call c;
	const char *statement;
	pthread_t thread;
};

static void *work_race(void *arg)
{
	struct race *r = arg;

	fake_call(&r->c, identity_routes(r->h->identity), identity_authenticator(r->h->identity));
	return NULL;
}

/* Lets the request come as far as the writer, then changes the account under it. */
static int work_change_under_it(struct db *tx, void *arg, struct err *e)
{
	struct race *r = arg;
	struct store_stats now = { .queue = 0 };

	if (pthread_create(&r->thread, NULL, work_race, r) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "no thread");
	while (now.queue == 0) {
		usleep(1000);
		store_stats(r->h->store.store, &now);
	}
	return db_exec(tx, r->statement, e) < 0 ? -1 : 0;
}

static int work_activate(struct db *tx, void *arg, struct err *e)
{
	(void)arg;
	return db_exec(tx, "UPDATE users SET status = 'active'", e) < 0 ? -1 : 0;
}

static int race_status(struct house *h, struct fake_call c, const char *statement)
{
	struct race r = { .h = h, .c = c, .statement = statement };
	struct err e = { 0 };

	TEST_STORE_MUST(store_write(h->store.store, STORE_OPERATIONAL, work_change_under_it, &r, &e), e);
	pthread_join(r.thread, NULL);
	fake_call_fini(&r.c);
	return r.c.status;
}

static void an_account_that_changes_while_its_password_is_checked(void **state)
{
	struct house *h = *state;
	struct fake_call in = { .method = "POST", .path = "/auth/login" };
	struct fake_call word = { .method = "POST", .path = "/auth/password", .bearer = h->token };
	struct err e = { 0 };

	in.body = credentials(ADMIN, ADMIN_WORD);
	assert_int_equal(race_status(h, in, "UPDATE users SET first_name = 'Ada'"), 200);
	word.body = new_password(ADMIN_WORD, "a new password");
	assert_int_equal(race_status(h, word, "UPDATE users SET status = 'suspended'"), 401);
	TEST_STORE_MUST(store_write(h->store.store, STORE_OPERATIONAL, work_activate, NULL, &e), e);
	in.body = credentials(ADMIN, ADMIN_WORD);
	assert_int_equal(race_status(h, in, "UPDATE users SET password_hash = password_hash || 'x'"), 401);
}

/* ---- users ------------------------------------------------------------------------------------------------------- */

static void suspending_ends_everything_at_once(void **state)
{
	struct house *h = *state;
	char id[64], token[4096], none[4096];

	make_user(h, "olga", "operator", NULL, id, token);
	assert_int_equal(me(h, token), 200);
	assert_int_equal(on_user(h, "POST", id, "/suspend", h->token, NULL), 200);
	assert_int_equal(me(h, token), 401);
	assert_int_equal(login(h, "olga@example.com", USER_WORD, none), 403);
	assert_int_equal(on_user(h, "POST", id, "/activate", h->token, NULL), 200);
	assert_int_equal(me(h, token), 401); /* its session is gone */
	assert_int_equal(login(h, "olga@example.com", USER_WORD, token), 200);
	assert_int_equal(on_user(h, "PUT", id, "", h->token, json_pack("{s:s}", "status", "inactive")), 200);
	assert_int_equal(me(h, token), 401);
}

static void a_role_holds_from_its_change_on(void **state)
{
	struct house *h = *state;
	char id[64], token[4096];
	struct fake_call list = { .method = "GET", .path = "/api/v1/users", .bearer = token };

	make_user(h, "adam", "admin", NULL, id, token);
	assert_int_equal(call(h, list), 200);
	assert_int_equal(on_user(h, "PUT", id, "", h->token, json_pack("{s:s}", "role", "viewer")), 200);
	assert_int_equal(call(h, list), 403);
}

static void nobody_rises_above_himself(void **state)
{
	struct house *h = *state;
	char admin[64], owner[64], token[4096], unused[4096];

	make_user(h, "adam", "admin", NULL, admin, token);
	make_user(h, "olga", "owner", NULL, owner, unused);
	assert_int_equal(on_user(h, "PUT", admin, "", token, json_pack("{s:s}", "role", "owner")), 403);
	assert_int_equal(on_user(h, "PUT", admin, "", token, json_pack("{s:b}", "system_admin", 1)), 403);
	assert_int_equal(on_user(h, "PUT", owner, "", token, json_pack("{s:s}", "password", "taken over")), 403);
	assert_int_equal(on_user(h, "POST", owner, "/suspend", token, NULL), 403);
	assert_int_equal(on_user(h, "DELETE", owner, "", token, NULL), 403);
	assert_int_equal(on_user(h, "PUT", admin, "", token, json_pack("{s:s}", "first_name", "A")), 200);
}

static void nobody_switches_himself_off(void **state)
{
	struct house *h = *state;
	char id[64], token[4096];

	make_user(h, "olga", "owner", NULL, id, token);
	assert_int_equal(on_user(h, "POST", id, "/suspend", token, NULL), 409);
	assert_int_equal(on_user(h, "DELETE", id, "", token, NULL), 409);
	assert_int_equal(on_user(h, "PUT", id, "", token, json_pack("{s:s}", "role", "viewer")), 409);
	assert_int_equal(me(h, token), 200);
}

static void a_deleted_user_is_gone(void **state)
{
	struct house *h = *state;
	char id[64], token[4096], none[4096];

	make_user(h, "olga", "operator", NULL, id, token);
	assert_int_equal(on_user(h, "DELETE", id, "", h->token, NULL), 204);
	assert_int_equal(me(h, token), 401);
	assert_int_equal(login(h, "olga@example.com", USER_WORD, none), 401);
	assert_int_equal(on_user(h, "GET", id, "", h->token, NULL), 404);
	assert_int_equal(on_user(h, "DELETE", id, "", h->token, NULL), 404);
	make_user(h, "olga", "operator", NULL, id, token);
}

static void an_update_that_comes_late_is_refused(void **state)
{
	struct house *h = *state;
	char id[64], token[4096], path[96];
	struct fake_call c = { .method = "PUT", .path = path, .bearer = h->token, .if_match = "\"v1\"" };

	make_user(h, "olga", "operator", NULL, id, token);
	snprintf(path, sizeof path, "/api/v1/users/%s", id);
	c.body = json_pack("{s:s}", "first_name", "One");
	assert_int_equal(call(h, c), 200);
	c.body = json_pack("{s:s}", "first_name", "Two");
	assert_int_equal(call(h, c), 412);
}

/* ---- tenants, API keys, audit ------------------------------------------------------------------------------------ */

static void make_tenant(struct house *h, const char *name, char id[64])
{
	assert_int_equal(call_member(h,
				 (struct fake_call){ .method = "POST",
					 .path = "/api/v1/tenants",
					 .bearer = h->token,
					 .body = json_pack("{s:s, s:[s]}", "name", name, "dial_allow", "127.0.0.0/8") },
				 "id", id, 64),
		201);
}

static void the_wall(void **state)
{
	struct house *h = *state;
	char red[64], blue[64], rita[64], bob[64], token[4096], unused[4096], path[96];

	make_tenant(h, "red", red);
	make_tenant(h, "blue", blue);
	make_user(h, "rita", "owner", red, rita, token);
	make_user(h, "bob", "owner", blue, bob, unused);
	assert_int_equal(on_user(h, "GET", rita, "", token, NULL), 200);
	assert_int_equal(on_user(h, "GET", bob, "", token, NULL), 404);
	assert_int_equal(on_user(h, "PUT", bob, "", token, json_pack("{s:s}", "first_name", "x")), 404);
	assert_int_equal(on_user(h, "DELETE", bob, "", token, NULL), 404);
	assert_int_equal(on_user(h, "POST", bob, "/suspend", token, NULL), 404);
	snprintf(path, sizeof path, "/api/v1/tenants/%s", blue);
	assert_int_equal(call(h, (struct fake_call){ .method = "GET", .path = path, .bearer = token }), 403);
	assert_int_equal(call(h, (struct fake_call){ .method = "POST",
					 .path = "/api/v1/users",
					 .bearer = token,
					 .body = json_pack("{s:s, s:s, s:s}", "email", "x@y.z", "password", USER_WORD,
						 "tenant_id", blue) }),
		404);
	assert_int_equal(on_user(h, "GET", bob, "", h->token, NULL), 200); /* the platform sees all */
}

static void a_suspended_tenant_is_off(void **state)
{
	struct house *h = *state;
	char red[64], rita[64], token[4096], none[4096], path[96];
	struct fake_call c = { .method = "PUT", .path = path, .bearer = h->token };

	make_tenant(h, "red", red);
	make_user(h, "rita", "owner", red, rita, token);
	snprintf(path, sizeof path, "/api/v1/tenants/%s", red);
	c.body = json_pack("{s:s}", "status", "suspended");
	assert_int_equal(call(h, c), 200);
	assert_int_equal(me(h, token), 401);
	assert_int_equal(login(h, "rita@example.com", USER_WORD, none), 403);
	c.body = json_pack("{s:s}", "status", "active");
	assert_int_equal(call(h, c), 200);
	assert_int_equal(login(h, "rita@example.com", USER_WORD, none), 200);
	c.body = NULL;
	c.method = "DELETE";
	assert_int_equal(call(h, c), 204);
	assert_int_equal(me(h, none), 401);
	c.method = "GET";
	assert_int_equal(call(h, c), 404);
}

static int make_key(struct house *h, const char *bearer, const char *role, char key[96], char id[64])
{
	struct fake_call c = { .method = "POST",
		.path = "/api/v1/api-keys",
		.bearer = bearer,
		.body = json_pack("{s:s, s:s}", "name", "k", "role", role) };
	const char *s;

	fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
	s = json_string_value(json_object_get(c.answer, "key"));
	(void)str_copy(key, 96, s != NULL ? s : "");
	s = json_string_value(json_object_get(c.answer, "id"));
	(void)str_copy(id, 64, s != NULL ? s : "");
	fake_call_fini(&c);
	return c.status;
}

static void the_life_of_an_api_key(void **state)
{
	struct house *h = *state;
	char user[64], token[4096], key[96], id[64], path[96];
	struct fake_call list = { .method = "GET", .path = "/api/v1/api-keys", .api_key = key };

	make_user(h, "olga", "operator", NULL, user, token);
	assert_int_equal(make_key(h, token, "admin", key, id), 403);
	assert_int_equal(make_key(h, token, "viewer", key, id), 201);
	assert_int_equal(call(h, list), 200);
	assert_int_equal(call(h, (struct fake_call){ .method = "POST",
					 .path = "/api/v1/api-keys",
					 .api_key = key,
					 .body = json_pack("{s:s, s:s}", "name", "k", "role", "viewer") }),
		403); /* keys do not breed */
	snprintf(path, sizeof path, "/api/v1/api-keys/%s", id);
	assert_int_equal(call(h, (struct fake_call){ .method = "DELETE", .path = path, .bearer = token }), 204);
	assert_int_equal(call(h, list), 401);
	assert_int_equal(make_key(h, token, "viewer", key, id), 201);
	assert_int_equal(make_key(h, token, "viewer", key, id), 201);
	assert_int_equal(make_key(h, token, "viewer", key, id), 409); /* the limit, with the one of the settings */
	assert_int_equal(on_user(h, "POST", user, "/suspend", h->token, NULL), 200);
	assert_int_equal(call(h, list), 401);
}

static json_t *audit(struct house *h, const char *bearer, const char *query)
{
	char path[160];
	struct fake_call c = { .method = "GET", .path = path, .bearer = bearer };
	json_t *items;

	snprintf(path, sizeof path, "/api/v1/audit%s", query);
	fake_call(&c, identity_routes(h->identity), identity_authenticator(h->identity));
	assert_int_equal(c.status, 200);
	items = json_incref(json_object_get(c.answer, "items"));
	fake_call_fini(&c);
	return items;
}

static void the_log_tells_who_did_what(void **state)
{
	struct house *h = *state;
	char red[64], rita[64], token[4096], none[4096], query[96];
	json_t *items, *row;
	char *text;

	make_tenant(h, "red", red);
	make_user(h, "rita", "owner", red, rita, token);
	assert_int_equal(on_user(h, "PUT", rita, "", h->token,
				 json_pack("{s:s, s:s}", "first_name", "R", "password", USER_WORD)),
		200);
	assert_int_equal(login(h, "rita@example.com", "wrong password", none), 401);
	assert_int_equal(login(h, "rita@example.com", USER_WORD, token), 200);
	snprintf(query, sizeof query, "?subject=%s&kind=user", rita);
	items = audit(h, h->token, query);
	assert_int_equal(json_array_size(items), 2);
	row = json_array_get(items, 0); /* newest first */
	assert_string_equal(json_string_value(json_object_get(row, "op")), "update");
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "fields"), 0)), "first_name");
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "fields"), 1)), "password");
	assert_string_equal(json_string_value(json_object_get(row, "tenant_id")), red);
	assert_string_equal(json_string_value(json_object_get(row, "request_id")), "req-1");
	json_decref(items);

	items = audit(h, token, "");
	text = json_dumps(items, 0);
	assert_null(strstr(text, ADMIN));
	assert_null(strstr(text, USER_WORD));
	assert_null(strstr(text, "argon2"));
	assert_non_null(strstr(text, "login_failed"));
	free(text);
	json_decref(items);
	items = audit(h, token, "?tenant_id=&limit=2");
	assert_int_equal(json_array_size(items), 2);
	json_decref(items);
}

static void registration_is_closed_unless_opened(void **state)
{
	struct house *h = *state;
	struct fake_call c = {
		.method = "POST", .path = "/auth/register", .body = credentials("new@example.com", USER_WORD)
	};
	struct pair p;
	struct err e = { 0 };

	assert_int_equal(call(h, c), 403);
	identity_free(h->identity);
	h->conf.registration = true;
	house_open(h);
	TEST_STORE_MUST(identity_bootstrap(h->identity, &e), e);
	c.body = credentials("new@example.com", USER_WORD);
	assert_int_equal(grant(h, c, &p), 201);
	assert_int_equal(me(h, p.access), 200);
	c.body = credentials("NEW@example.com", USER_WORD);
	assert_int_equal(call(h, c), 409);
	c.body = json_pack("{s:s, s:s, s:s}", "email", "b@example.com", "password", USER_WORD, "tenant_id", "ten_1");
	assert_int_equal(call(h, c), 403);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void every_statement_prepares(void **state)
{
	struct house *h = *state;
	struct err e = { 0 };
	struct db *db;

	TEST_STORE_MUST(store_read_begin(h->store.store, &db, &e), e);
	for (size_t t = 0; t < identity_sql_n; t++)
		for (size_t i = 0; i < identity_sql[t]->n; i++)
			if (db_prepare_only(db, identity_sql[t]->sql[i], &e) != 0)
				fail_msg("%s %zu: %s", identity_sql[t]->noun, i, e.msg);
	store_read_end(db);
}

static void cleaning_can_run_at_any_time(void **state)
{
	struct house *h = *state;

	assert_int_equal(identity_clean(h->identity, NULL), 0);
	assert_int_equal(me(h, h->token), 200);
}

#define HOUSE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOUSE_TEST(the_first_start_makes_one_administrator),
		cmocka_unit_test_setup_teardown(a_generated_password_is_kept_in_a_file, setup_empty, teardown),
		cmocka_unit_test_setup_teardown(a_killed_first_start_is_run_again, setup_empty, teardown),
		cmocka_unit_test_setup_teardown(settings_that_cannot_be, setup_empty, teardown),
		HOUSE_TEST(the_settings_key_follows_the_settings),
		HOUSE_TEST(the_answer_to_a_login),
		HOUSE_TEST(wrong_passwords_are_slowed_down),
		HOUSE_TEST(a_login_needs_a_name),
		HOUSE_TEST(a_family_of_refresh_tokens),
		HOUSE_TEST(where_a_refresh_token_may_stand),
		HOUSE_TEST(logout_holds_at_once),
		HOUSE_TEST(the_key_set_is_public),
		HOUSE_TEST(changing_the_own_password_ends_other_sessions),
		HOUSE_TEST(an_account_that_changes_while_its_password_is_checked),
		HOUSE_TEST(suspending_ends_everything_at_once),
		HOUSE_TEST(a_role_holds_from_its_change_on),
		HOUSE_TEST(nobody_rises_above_himself),
		HOUSE_TEST(nobody_switches_himself_off),
		HOUSE_TEST(a_deleted_user_is_gone),
		HOUSE_TEST(an_update_that_comes_late_is_refused),
		HOUSE_TEST(the_wall),
		HOUSE_TEST(a_suspended_tenant_is_off),
		HOUSE_TEST(the_life_of_an_api_key),
		HOUSE_TEST(the_log_tells_who_did_what),
		HOUSE_TEST(registration_is_closed_unless_opened),
		HOUSE_TEST(every_statement_prepares),
		HOUSE_TEST(cleaning_can_run_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
