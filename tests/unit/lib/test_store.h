/*
 * test_store - a migrated database in a folder of its own under /tmp, for unit tests of controld's rooms; with
 * PORTWAY_TEST_DATABASE=postgresql the folder is empty and the database is on a PostgreSQL (test_postgres.h).
 *
 *	struct test_store t;
 *	test_store_open(&t);      asserts; t.store is ready, with a master key
 *	test_store_close(&t);     closes it and removes the folder
 */
#ifndef PORTWAY_TESTS_TEST_STORE_H
#define PORTWAY_TESTS_TEST_STORE_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/store/migrate.h"
#include "controld/store/store.h"
#include "tests/unit/lib/test_postgres.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct test_store {
	struct store *store;
	char folder[64];
	char url[TEST_POSTGRES_URL_SIZE];
};

#define TEST_STORE_MUST(call, e)                                                                \
	do {                                                                                    \
		if ((call) != 0) {                                                              \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, (e).msg); \
			abort();                                                                \
		}                                                                               \
	} while (0)

static inline UNUSED bool test_store_on_postgres(void)
{
	const char *database = getenv("PORTWAY_TEST_DATABASE");

	return database != NULL && str_eq(database, "postgresql");
}

static inline UNUSED void test_store_folder(struct test_store *t)
{
	memset(t, 0, sizeof *t);
	strncpy(t->folder, "/tmp/portway-unit-XXXXXX", sizeof t->folder - 1);
	if (mkdtemp(t->folder) == NULL)
		abort();
	if (test_store_on_postgres())
		test_postgres_make(t->url, sizeof t->url);
	else
		(void)str_fmt(t->url, sizeof t->url, "sqlite:%s/controld.db", t->folder);
}

/* Opens (again) what is in the folder, and migrates it. */
static inline UNUSED void test_store_reopen(struct test_store *t)
{
	static const uint8_t key[SEAL_KEY_SIZE] = { 7, 7, 7 };
	struct store_conf conf = { .url = t->url, .readers = 4, .group_max = 64, .wait_ms = 30000 };
	struct err e = { 0 };

	TEST_STORE_MUST(store_open(&t->store, &conf, &e), e);
	TEST_STORE_MUST(migrate_main(t->store, NULL, &e), e);
	store_set_master_key(t->store, key);
}

static inline UNUSED void test_store_open(struct test_store *t)
{
	test_store_folder(t);
	test_store_reopen(t);
}

static inline UNUSED void test_store_close(struct test_store *t)
{
	struct dirent *entry;
	DIR *dir;

	store_close(t->store);
	t->store = NULL;
	if (test_store_on_postgres())
		test_postgres_drop(t->url);
	if ((dir = opendir(t->folder)) == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(t->folder);
}

#endif
