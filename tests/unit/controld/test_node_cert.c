/* node_cert: what is refused, and how many one node may have. */
#include "controld/fleet/node_cert.h"

#include "common/crypto/cert.h"
#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_store t;

struct step {
	const char *node;
	int n; /* certificates to add; -1: revoke all */
	int64_t now_ms, ca_step;
	int added;
	int number; /* of the last one ever */
};

static int work_step(struct db *tx, void *arg, struct err *e)
{
	struct step *s = arg;

	if (s->n < 0)
		return node_cert_revoke(tx, s->node, s->now_ms, e);
	for (s->added = 0; s->added < s->n; s->added++) {
		struct cert_info cert = { .not_after_ms = s->now_ms + 1000 };

		str_fmt(cert.serial, sizeof cert.serial, "%s-%d", s->node, s->number++);
		if (node_cert_add(tx, &(struct node_cert){ .node_id = s->node, .cert = &cert, .ca_step = s->ca_step },
			    s->now_ms, e) != 0)
			return e->code == ERR_RATE_LIMITED ? 0 : -1;
	}
	return 0;
}

static int count(const char *serial, void *arg)
{
	(void)serial;
	++*(int *)arg;
	return 0;
}

static int refused(const char *node)
{
	struct err e;
	struct db *db;
	int n = 0;

	TEST_STORE_MUST(store_read_begin(t.store, &db, &e), e);
	TEST_STORE_MUST(node_cert_refused(db, node, count, &n, &e), e);
	store_read_end(db);
	return n;
}

static void one_node_has_few(void **state)
{
	static const struct {
		const char *what, *node;
		int n;
		int64_t now_ms;
		int added, refused;
		int64_t ca_step;
	} cases[] = {
		{ "a few", "n1", 3, 0, 3, 0, 0 },
		{ "as many as it may", "n1", 100, 0, NODE_CERTS_MAX - 3, 0, 0 },
		{ "no more", "n1", 1, 999, 0, 0, 0 },
		{ "no more while its CA is trusted", "n1", 1, 999, 0, 0, 2 },
		{ "its CA is gone", "n1", 1, 999, 1, 0, 3 },
		{ "another node", "n2", 2, 999, 2, 0, 0 },
		{ "they ended", "n1", 100, 1001, NODE_CERTS_MAX - 1, 0, 0 },
		{ "revoked", "n1", -1, 1500, 0, NODE_CERTS_MAX, 0 },
		{ "bound again", "n1", 1, 1500, 1, NODE_CERTS_MAX, 0 },
		{ "revoked ones ended", "n1", 1, 2002, 1, 0, 0 },
	};
	struct step s = { .number = 0 };
	struct err e;

	(void)state;
	test_store_open(&t);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		print_message("%s\n", cases[i].what);
		s.node = cases[i].node;
		s.n = cases[i].n;
		s.now_ms = cases[i].now_ms;
		s.ca_step = cases[i].ca_step;
		s.added = 0;
		TEST_STORE_MUST(store_write(t.store, STORE_LOGGED, work_step, &s, &e), e);
		assert_int_equal(s.added, cases[i].added);
		assert_int_equal(refused(cases[i].node), cases[i].refused);
	}
	test_store_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_node_has_few) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
