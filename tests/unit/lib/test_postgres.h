/*
 * test_postgres - databases on a real PostgreSQL, for unit tests. The server is the one in PORTWAY_TEST_POSTGRES, or
 * tests/lib/postgres.py starts one when it is first asked for, and ends it when this process is gone.
 *
 *	test_postgres_make(url, sizeof url);   asserts; an empty database
 *	test_postgres_drop(url);
 *	test_postgres_run(url, sql);
 */
#ifndef PORTWAY_TESTS_TEST_POSTGRES_H
#define PORTWAY_TESTS_TEST_POSTGRES_H

#include "common/base/macros.h"
#include "common/base/str.h"

#include <fcntl.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEST_POSTGRES_URL_SIZE 512

/* Its standard input stays open for as long as we live, and it prints the URL once it is up. */
static inline UNUSED void test_postgres_start(char *url, size_t size)
{
	int in[2], out[2];
	FILE *said;

	if (pipe(in) != 0 || pipe(out) != 0 || fcntl(in[1], F_SETFD, FD_CLOEXEC) != 0)
		abort();
	if (fork() == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl("/usr/bin/python3", "python3", "tests/lib/postgres.py", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	if ((said = fdopen(out[0], "r")) == NULL || fgets(url, (int)size, said) == NULL) {
		fputs("no PostgreSQL: run from the top of the tree, after 'make deps'\n", stderr);
		abort();
	}
	url[strcspn(url, "\n")] = '\0';
	fclose(said);
}

static inline UNUSED const char *test_postgres_server(void)
{
	static char url[TEST_POSTGRES_URL_SIZE];
	const char *given = getenv("PORTWAY_TEST_POSTGRES");

	if (given != NULL)
		return given;
	if (*url == '\0')
		test_postgres_start(url, sizeof url);
	return url;
}

static inline void test_postgres_quiet(void *arg, const char *notice)
{
	(void)arg;
	(void)notice;
}

static inline UNUSED void test_postgres_run(const char *url, const char *sql)
{
	PGconn *pg = PQconnectdb(url);
	PGresult *r;

	PQsetNoticeProcessor(pg, test_postgres_quiet, NULL);
	r = PQexec(pg, sql);

	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s: %s\n", sql, PQerrorMessage(pg));
		abort();
	}
	PQclear(r);
	PQfinish(pg);
}

/* The server's URL ends in "/postgres" or "/postgres?parameters". */
static inline UNUSED void test_postgres_url(const char *name, char *url, size_t size)
{
	const char *server = test_postgres_server();
	const char *end = strstr(server, "/postgres");

	if (end == NULL ||
		str_fmt(url, size, "%.*s/%s%s", (int)(end - server), server, name, end + strlen("/postgres")) != 0)
		abort();
}

/* Making and dropping a database takes longer than most tests: one that was given back is emptied and used again. */
struct test_postgres_free {
	char name[16][40];
	unsigned n, made;
};

static inline UNUSED struct test_postgres_free *test_postgres_free(void)
{
	static struct test_postgres_free free_ones;

	return &free_ones;
}

static inline UNUSED void test_postgres_make(char *url, size_t size)
{
	struct test_postgres_free *f = test_postgres_free();
	char name[40], sql[100];

	if (f->n > 0) {
		test_postgres_url(f->name[--f->n], url, size);
		return;
	}
	(void)str_fmt(name, sizeof name, "u%d_%u", (int)getpid(), ++f->made);
	(void)str_fmt(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE template0", name);
	test_postgres_run(test_postgres_server(), sql);
	test_postgres_url(name, url, size);
}

static inline UNUSED void test_postgres_drop(const char *url)
{
	struct test_postgres_free *f = test_postgres_free();
	const char *at = strrchr(url, '@');
	const char *name = at != NULL ? strchr(at, '/') : NULL;

	if (name == NULL)
		abort();
	test_postgres_run(url,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
		"AND pid <> pg_backend_pid(); "
		"DROP SCHEMA IF EXISTS portway_samples, public CASCADE; CREATE SCHEMA public");
	if (f->n < ARRAY_LEN(f->name))
		(void)str_fmt(f->name[f->n++], sizeof f->name[0], "%.*s", (int)strcspn(name + 1, "?"), name + 1);
}

#endif
