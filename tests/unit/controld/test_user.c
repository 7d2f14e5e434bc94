#include "controld/identity/user.h"

#include "tests/unit/controld/identity_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static void who_manages_whom(void **state)
{
	static const struct {
		const char *what;
		struct identity who;
		enum role role;
		bool system_admin, want;
	} cases[] = {
		{ "owner, owner", { .role = ROLE_OWNER }, ROLE_OWNER, false, true },
		{ "admin, owner", { .role = ROLE_ADMIN }, ROLE_OWNER, false, false },
		{ "admin, admin", { .role = ROLE_ADMIN }, ROLE_ADMIN, false, true },
		{ "operator, viewer", { .role = ROLE_OPERATOR }, ROLE_VIEWER, false, false },
		{ "owner, system_admin", { .role = ROLE_OWNER }, ROLE_VIEWER, true, false },
		{ "system_admin, system_admin", { .role = ROLE_NONE, .system_admin = true }, ROLE_OWNER, true, true },
	};
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (user_may_manage(&cases[i].who, cases[i].role, cases[i].system_admin) != cases[i].want) {
			print_error("%s\n", cases[i].what);
			failed++;
		}
	assert_int_equal(failed, 0);
}

static void apply_takes_only_what_was_sent(void **state)
{
	struct user u;
	char fields[128];
	json_t *body = json_pack("{s:s, s:n, s:s}", "email", "new@red.example", "first_name", "role", "admin");

	(void)state;
	user_init(&u, "ten_1", 1000);
	(void)str_copy(u.username, sizeof u.username, "anna");
	(void)str_copy(u.first_name, sizeof u.first_name, "Anna");
	(void)str_copy(u.last_name, sizeof u.last_name, "Red");
	user_apply(&u, body, fields, sizeof fields);
	assert_string_equal(fields, "email,first_name,role");
	assert_string_equal(u.first_name, "");
	assert_string_equal(u.last_name, "Red");
	assert_int_equal(u.role, ROLE_ADMIN);
	user_apply(&u, body, fields, sizeof fields);
	assert_string_equal(fields, "");
	json_decref(body);
}

static void an_account_without_username_has_its_email(void **state)
{
	struct user u;
	char fields[128];
	json_t *body = json_pack("{s:s}", "email", "x@y.z");

	(void)state;
	user_init(&u, "ten_1", 1000);
	user_apply(&u, body, fields, sizeof fields);
	assert_string_equal(u.username, "x@y.z");
	json_decref(body);
}

static void the_object_has_no_secret(void **state)
{
	struct user u;
	json_t *object;
	char *text;

	(void)state;
	user_init(&u, "ten_1", 1000);
	(void)str_copy(u.password_hash, sizeof u.password_hash, "$argon2id$secret");
	u.system_admin = true;
	object = user_json(&u);
	text = json_dumps(object, 0);
	assert_null(strstr(text, "secret"));
	assert_non_null(strstr(text, "\"roles\": [\"viewer\", \"system_admin\"]"));
	assert_true(json_is_null(json_object_get(object, "last_login")));
	free(text);
	json_decref(object);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

struct lookup {
	const char *scope, *id, *account;
	int found;
	struct user user;
};

static int work_get(struct db *tx, void *arg, struct err *e)
{
	struct lookup *l = arg;

	return user_get(tx, l->scope, l->id, &l->user, e);
}

static int work_find(struct db *tx, void *arg, struct err *e)
{
	struct lookup *l = arg;

	l->found = user_find(tx, l->account, &l->user, e);
	return l->found < 0 ? -1 : 0;
}

static void a_foreign_tenant_sees_nothing(void **state)
{
	struct identity_world *w = *state;
	struct lookup l = { .scope = w->red.id, .id = w->anna.id };

	assert_int_equal(world_write(w, work_get, &l), 0);
	assert_string_equal(l.user.email, "Anna@Red.example");
	assert_int_equal(l.user.role, ROLE_OWNER);
	l.scope = w->blue.id;
	assert_int_equal(world_write(w, work_get, &l), ERR_USER_NOT_FOUND);
	l.scope = "";
	assert_int_equal(world_write(w, work_get, &l), 0);
}

static void found_by_email_or_username_in_any_case(void **state)
{
	struct identity_world *w = *state;
	static const struct {
		const char *account;
		int found;
	} cases[] = { { "anna@red.example", 1 }, { "ANNA@RED.EXAMPLE", 1 }, { "Anna", 1 }, { "ann", 0 }, { "", 0 },
		{ "%", 0 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct lookup l = { .account = cases[i].account };

		assert_int_equal(world_write(w, work_find, &l), 0);
		assert_int_equal(l.found, cases[i].found);
	}
}

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	return user_insert(tx, arg, e);
}

static void names_are_unique_across_tenants_and_kinds(void **state)
{
	struct identity_world *w = *state;
	struct user u;

	world_user(&u, &w->blue, "ANNA@red.example", "other", ROLE_VIEWER);
	assert_int_equal(world_write(w, work_insert, &u), ERR_ALREADY_EXISTS);
	world_user(&u, &w->blue, "other@blue.example", "Anna", ROLE_VIEWER);
	assert_int_equal(world_write(w, work_insert, &u), ERR_ALREADY_EXISTS);
	world_user(&u, &w->blue, "other@blue.example", "anna@red.example",
		ROLE_VIEWER); /* a name that is another's email */
	assert_int_equal(world_write(w, work_insert, &u), ERR_ALREADY_EXISTS);
	world_user(&u, &w->blue, "other@blue.example", "other", ROLE_VIEWER);
	assert_int_equal(world_write(w, work_insert, &u), 0);
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct user *u = arg;

	(void)str_copy(u->status, sizeof u->status, "deleting");
	return user_update(tx, u, 2000, e);
}

static void a_deleted_account_is_gone_and_its_names_are_free(void **state)
{
	struct identity_world *w = *state;
	struct lookup l = { .scope = w->red.id, .id = w->anna.id, .account = "anna" };
	struct user u;

	assert_int_equal(world_write(w, work_delete, &w->anna), 0);
	assert_int_equal(world_write(w, work_get, &l), ERR_USER_NOT_FOUND);
	assert_int_equal(world_write(w, work_find, &l), 0);
	assert_int_equal(l.found, 0);
	world_user(&u, &w->blue, "anna@red.example", "anna", ROLE_VIEWER);
	assert_int_equal(world_write(w, work_insert, &u), 0);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	return user_update(tx, arg, 3000, e);
}

static void an_update_raises_the_version_and_keeps_the_role(void **state)
{
	struct identity_world *w = *state;
	struct lookup l = { .scope = w->red.id, .id = w->anna.id };

	(void)str_copy(w->anna.first_name, sizeof w->anna.first_name, "Änne");
	w->anna.role = ROLE_ADMIN;
	assert_int_equal(world_write(w, work_update, &w->anna), 0);
	assert_int_equal(world_write(w, work_get, &l), 0);
	assert_int_equal(l.user.version, 2);
	assert_int_equal(l.user.role, ROLE_ADMIN);
	assert_int_equal(l.user.updated_ms, 3000);
	assert_string_equal(l.user.first_name, "Änne");
}

struct listing {
	struct user_filter f;
	char seen[256]; /* usernames */
};

static int on_user(const struct user *u, void *arg)
{
	struct listing *l = arg;
	size_t used = strlen(l->seen);

	return str_fmt(l->seen + used, sizeof l->seen - used, "%s ", u->username);
}

static int work_list(struct db *tx, void *arg, struct err *e)
{
	struct listing *l = arg;

	l->seen[0] = '\0';
	return user_list(tx, &l->f, on_user, l, e);
}

static void lists_and_filters(void **state)
{
	struct identity_world *w = *state;
	const struct user_filter all = { "", "", "", "", "", "", "", "", 10 };
	struct listing l = { .f = all };

	assert_int_equal(world_write(w, work_list, &l), 0);
	assert_string_equal(l.seen, "anna ben ");
	l.f.scope = w->blue.id;
	assert_int_equal(world_write(w, work_list, &l), 0);
	assert_string_equal(l.seen, "ben ");
	l.f.tenant_id = w->red.id;
	assert_int_equal(world_write(w, work_list, &l), 0);
	assert_string_equal(l.seen, "");
	l.f = all;
	l.f.after = w->anna.id;
	assert_int_equal(world_write(w, work_list, &l), 0);
	assert_string_equal(l.seen, "ben ");
	l.f = all;
	l.f.search = "ANN";
	assert_int_equal(world_write(w, work_list, &l), 0);
	assert_string_equal(l.seen, "anna ");
	l.f.search = "%";
	assert_int_equal(world_write(w, work_list, &l), 0);
	assert_string_equal(l.seen, "");
	l.f = all;
	l.f.role = "operator";
	assert_int_equal(world_write(w, work_list, &l), 0);
	assert_string_equal(l.seen, "ben ");
}

static int work_enter(struct db *tx, void *arg, struct err *e)
{
	struct lookup *l = arg;

	return user_enter(tx, &l->user, l->scope, e);
}

static int work_second_membership(struct db *tx, void *arg, struct err *e)
{
	static const char sql[] =
		"INSERT INTO memberships (tenant_id, user_id, role, created_ms) VALUES (?1, ?2, 'viewer', 1)";
	const struct identity_world *w = arg;

	return db_exec(tx, sql, e, bind_s(w->blue.id), bind_s(w->anna.id)) < 0 ? -1 : 0;
}

static void the_tenant_of_a_login(void **state)
{
	struct identity_world *w = *state;
	struct lookup l = { .scope = "", .user = w->anna };

	assert_int_equal(world_write(w, work_enter, &l), 0);
	assert_string_equal(l.user.tenant_id, w->red.id);
	l.scope = w->blue.id;
	assert_int_equal(world_write(w, work_enter, &l), ERR_FORBIDDEN);
	assert_int_equal(world_write(w, work_second_membership, w), 0);
	assert_int_equal(world_write(w, work_enter, &l), 0);
	assert_string_equal(l.user.tenant_id, w->blue.id);
	assert_int_equal(l.user.role, ROLE_VIEWER);
	l.scope = "";
	assert_int_equal(world_write(w, work_enter, &l), ERR_VALIDATION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_manages_whom),
		cmocka_unit_test(apply_takes_only_what_was_sent),
		cmocka_unit_test(an_account_without_username_has_its_email),
		cmocka_unit_test(the_object_has_no_secret),
		cmocka_unit_test_setup_teardown(a_foreign_tenant_sees_nothing, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(found_by_email_or_username_in_any_case, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(names_are_unique_across_tenants_and_kinds, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
			a_deleted_account_is_gone_and_its_names_are_free, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(
			an_update_raises_the_version_and_keeps_the_role, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(lists_and_filters, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(the_tenant_of_a_login, world_setup, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
