#include "controld/identity/tenant.h"

#include "tests/unit/controld/identity_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct lookup {
	const char *scope, *id, *name;
	int found;
	struct tenant tenant;
	struct cidr ranges[4];
	size_t n;
};

static int work_get(struct db *tx, void *arg, struct err *e)
{
	struct lookup *l = arg;

	return tenant_get(tx, l->scope, l->id, &l->tenant, e);
}

static int work_find(struct db *tx, void *arg, struct err *e)
{
	struct lookup *l = arg;

	l->found = tenant_find(tx, l->name, &l->tenant, e);
	return l->found < 0 ? -1 : 0;
}

static int work_insert(struct db *tx, void *arg, struct err *e)
{
	return tenant_insert(tx, arg, e);
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	return tenant_update(tx, arg, 2000, e);
}

static int work_ranges(struct db *tx, void *arg, struct err *e)
{
	struct lookup *l = arg;

	return tenant_dial_allow(tx, l->id, l->ranges, ARRAY_LEN(l->ranges), &l->n, e);
}

static void a_foreign_tenant_is_not_there(void **state)
{
	struct identity_world *w = *state;
	struct lookup l = { .scope = w->blue.id, .id = w->red.id };

	assert_int_equal(world_write(w, work_get, &l), ERR_TENANT_NOT_FOUND);
	l.scope = w->red.id;
	assert_int_equal(world_write(w, work_get, &l), 0);
	assert_string_equal(l.tenant.name, "red");
	assert_string_equal(l.tenant.dial_allow, "[]");
}

static void names_are_unique(void **state)
{
	struct identity_world *w = *state;
	struct tenant t;

	tenant_init(&t, "RED", 1000);
	assert_int_equal(world_write(w, work_insert, &t), ERR_ALREADY_EXISTS);
	(void)str_copy(w->red.status, sizeof w->red.status, "deleting");
	assert_int_equal(world_write(w, work_update, &w->red), 0);
	assert_int_equal(world_write(w, work_insert, &t), 0);
}

static void a_deleted_tenant_is_gone(void **state)
{
	struct identity_world *w = *state;
	struct lookup l = { .scope = "", .id = w->red.id, .name = "red" };

	assert_int_equal(world_write(w, work_find, &l), 0);
	assert_int_equal(l.found, 1);
	(void)str_copy(w->red.status, sizeof w->red.status, "deleting");
	assert_int_equal(world_write(w, work_update, &w->red), 0);
	assert_int_equal(world_write(w, work_get, &l), ERR_TENANT_NOT_FOUND);
	assert_int_equal(world_write(w, work_find, &l), 0);
	assert_int_equal(l.found, 0);
}

static void granted_ranges(void **state)
{
	struct identity_world *w = *state;
	struct lookup l = { .id = w->red.id };
	json_t *body = json_pack("{s:[s,s]}", "dial_allow", "127.0.0.0/8", "2001:db8::/32");
	json_t *reset = json_pack("{s:n}", "dial_allow");
	char fields[64], text[CIDR_STRLEN];

	assert_int_equal(world_write(w, work_ranges, &l), 0);
	assert_int_equal(l.n, 0);
	assert_int_equal(tenant_apply(&w->red, body, fields, sizeof fields, NULL), 0);
	assert_string_equal(fields, "dial_allow");
	assert_int_equal(world_write(w, work_update, &w->red), 0);
	assert_int_equal(world_write(w, work_ranges, &l), 0);
	assert_int_equal(l.n, 2);
	cidr_print(&l.ranges[0], text);
	assert_string_equal(text, "127.0.0.0/8");
	cidr_print(&l.ranges[1], text);
	assert_string_equal(text, "2001:db8::/32");
	assert_int_equal(tenant_apply(&w->red, reset, fields, sizeof fields, NULL), 0);
	assert_string_equal(w->red.dial_allow, "[]");
	json_decref(body);
	json_decref(reset);
}

static void the_longest_list_of_ranges_fits(void **state)
{
	struct tenant t;
	json_t *list = json_array(), *body = json_pack("{s:o}", "dial_allow", list);
	char fields[64];

	(void)state;
	tenant_init(&t, "x", 1);
	for (int i = 0; i < TENANT_DIAL_ALLOW_MAX; i++)
		json_array_append_new(list, json_string("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"));
	assert_int_equal(tenant_apply(&t, body, fields, sizeof fields, NULL), 0);
	json_decref(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_foreign_tenant_is_not_there, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(names_are_unique, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_deleted_tenant_is_gone, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(granted_ranges, world_setup, world_teardown),
		cmocka_unit_test(the_longest_list_of_ranges_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
