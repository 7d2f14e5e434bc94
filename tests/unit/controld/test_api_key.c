#include "controld/identity/api_key.h"

#include "tests/unit/controld/identity_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct one_key {
	struct identity_world *w;
	struct api_key key;
	char text[API_KEY_TEXT_SIZE];
	const char *scope, *owner;
	struct identity id;
	int64_t now_ms;
};

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	return api_key_insert(tx, &((struct one_key *)arg)->key, e);
}

static int work_identity(struct db *tx, void *arg, struct err *e)
{
	struct one_key *k = arg;

	return api_key_identity(tx, k->text, k->now_ms, &k->id, e);
}

static int work_get(struct db *tx, void *arg, struct err *e)
{
	struct one_key *k = arg;
	struct api_key got;

	return api_key_get(tx, k->scope, k->owner, k->key.id, &got, e);
}

static int work_update_user(struct db *tx, void *arg, struct err *e)
{
	return user_update(tx, arg, 2000, e);
}

/* A key of a user of red, stored. */
static void make_key(struct one_key *k, struct identity_world *w, const char *user_id, enum role role)
{
	*k = (struct one_key){ .w = w, .now_ms = 1500, .scope = "", .owner = "" };
	api_key_make(&k->key, k->text, 1000);
	(void)str_copy(k->key.tenant_id, sizeof k->key.tenant_id, w->red.id);
	(void)str_copy(k->key.user_id, sizeof k->key.user_id, user_id);
	k->key.role = role;
}

static void it_acts_with_its_own_role(void **state)
{
	struct identity_world *w = *state;
	struct one_key k;

	make_key(&k, w, w->anna.id, ROLE_VIEWER);
	assert_int_equal(world_write(w, work_insert, &k), 0);
	assert_int_equal(world_write(w, work_identity, &k), 0);
	assert_int_equal(k.id.role, ROLE_VIEWER);
	assert_true(k.id.api_key);
	assert_string_equal(k.id.user_id, w->anna.id);
	assert_string_equal(k.id.tenant_id, w->red.id);
	assert_int_equal(strncmp(k.id.actor, "key:key_", 8), 0);
	k.text[5] ^= 1;
	assert_int_equal(world_write(w, work_identity, &k), ERR_AUTHENTICATION_FAILED);
}

static void it_never_has_more_than_its_user(void **state)
{
	struct identity_world *w = *state;
	struct one_key k;

	make_key(&k, w, w->anna.id, ROLE_OWNER);
	k.key.system_admin = true;
	assert_int_equal(world_write(w, work_insert, &k), 0);
	w->anna.role = ROLE_OPERATOR;
	assert_int_equal(world_write(w, work_update_user, &w->anna), 0);
	assert_int_equal(world_write(w, work_identity, &k), 0);
	assert_int_equal(k.id.role, ROLE_OPERATOR);
	assert_false(k.id.system_admin);
	(void)str_copy(w->anna.status, sizeof w->anna.status, "suspended");
	assert_int_equal(world_write(w, work_update_user, &w->anna), 0);
	assert_int_equal(world_write(w, work_identity, &k), ERR_AUTHENTICATION_FAILED);
}

static void a_key_of_no_user_has_what_it_was_given(void **state)
{
	struct identity_world *w = *state;
	struct one_key k;

	make_key(&k, w, "", ROLE_OWNER);
	k.key.system_admin = true;
	assert_int_equal(world_write(w, work_insert, &k), 0);
	assert_int_equal(world_write(w, work_identity, &k), 0);
	assert_true(k.id.system_admin);
	assert_string_equal(k.id.user_id, "");
}

static void a_user_of_another_tenant_gives_it_nothing(void **state)
{
	struct identity_world *w = *state;
	struct one_key k;

	make_key(&k, w, w->ben.id, ROLE_VIEWER);
	assert_int_equal(world_write(w, work_insert, &k), 0);
	assert_int_equal(world_write(w, work_identity, &k), ERR_AUTHENTICATION_FAILED);
}

static void it_ends(void **state)
{
	struct identity_world *w = *state;
	struct one_key k;

	make_key(&k, w, w->anna.id, ROLE_VIEWER);
	k.key.expires_ms = 1501;
	assert_int_equal(world_write(w, work_insert, &k), 0);
	assert_int_equal(world_write(w, work_identity, &k), 0);
	k.now_ms = 1501;
	assert_int_equal(world_write(w, work_identity, &k), ERR_TOKEN_EXPIRED);
}

static void who_sees_it(void **state)
{
	struct identity_world *w = *state;
	struct one_key k;

	make_key(&k, w, w->anna.id, ROLE_VIEWER);
	assert_int_equal(world_write(w, work_insert, &k), 0);
	k.scope = w->red.id;
	assert_int_equal(world_write(w, work_get, &k), 0);
	k.owner = w->ben.id;
	assert_int_equal(world_write(w, work_get, &k), ERR_API_KEY_NOT_FOUND);
	k.owner = "";
	k.scope = w->blue.id;
	assert_int_equal(world_write(w, work_get, &k), ERR_API_KEY_NOT_FOUND);
}

static void the_text_is_nowhere(void **state)
{
	struct one_key k;
	json_t *object;
	char *text;

	(void)state;
	api_key_make(&k.key, k.text, 1000);
	assert_int_equal(strlen(k.text), 46);
	object = api_key_json(&k.key);
	text = json_dumps(object, 0);
	assert_null(strstr(text, k.text));
	assert_null(strstr(text, k.key.hash));
	free(text);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_acts_with_its_own_role, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(it_never_has_more_than_its_user, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_key_of_no_user_has_what_it_was_given, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_user_of_another_tenant_gives_it_nothing, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(it_ends, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(who_sees_it, world_setup, world_teardown),
		cmocka_unit_test(the_text_is_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
