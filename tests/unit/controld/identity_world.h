/*
 * identity_world - two tenants with a user each, in a database of its own, for the tests of identity.
 */
#ifndef PORTWAY_TESTS_IDENTITY_WORLD_H
#define PORTWAY_TESTS_IDENTITY_WORLD_H

#include "controld/identity/tenant.h"
#include "controld/identity/user.h"
#include "tests/unit/lib/test_store.h"

struct identity_world {
	struct test_store store;
	struct tenant red, blue;
	struct user anna, ben; /* owner of red, operator of blue */
};

static inline UNUSED void world_user(
	struct user *u, const struct tenant *t, const char *email, const char *username, enum role role)
{
	user_init(u, t->id, 1000);
	(void)str_copy(u->email, sizeof u->email, email);
	(void)str_copy(u->username, sizeof u->username, username);
	(void)str_copy(u->password_hash, sizeof u->password_hash, "$argon2id$none");
	u->role = role;
}

static inline UNUSED int work_world(struct db *tx, void *arg, struct err *e)
{
	struct identity_world *w = arg;

	if (tenant_insert(tx, &w->red, e) != 0 || tenant_insert(tx, &w->blue, e) != 0)
		return -1;
	return user_insert(tx, &w->anna, e) != 0 ? -1 : user_insert(tx, &w->ben, e);
}

/* A setup for cmocka: *state becomes the world. */
static inline UNUSED int world_setup(void **state)
{
	struct identity_world *w = calloc(1, sizeof *w);
	struct err e = { 0 };

	test_store_open(&w->store);
	tenant_init(&w->red, "red", 1000);
	tenant_init(&w->blue, "blue", 1000);
	world_user(&w->anna, &w->red, "Anna@Red.example", "anna", ROLE_OWNER);
	world_user(&w->ben, &w->blue, "ben@blue.example", "ben", ROLE_OPERATOR);
	TEST_STORE_MUST(store_write(w->store.store, STORE_OPERATIONAL, work_world, w, &e), e);
	*state = w;
	return 0;
}

static inline UNUSED int world_teardown(void **state)
{
	struct identity_world *w = *state;

	test_store_close(&w->store);
	free(w);
	return 0;
}

/* Runs fn in a transaction and answers the error's code, 0 when it went well. */
static inline UNUSED int world_write(struct identity_world *w, store_fn fn, void *arg)
{
	struct err e = { .code = ERR_NONE };

	return store_write(w->store.store, STORE_LOGGED, fn, arg, &e) == 0 ? 0 : (int)e.code;
}

#endif
