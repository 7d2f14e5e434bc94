#include "controld/identity/session.h"

#include "controld/identity/tenant.h"
#include "controld/identity/user.h"
#include "tests/unit/lib/test_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint8_t key[SHA256_SIZE] = "a key of thirty-two bytes......";

/* ---- refresh tokens ---------------------------------------------------------------------------------------------- */

static void what_a_generation_means(void **state)
{
	static const struct {
		const char *what;
		int64_t used, presented;
		enum session_verdict want;
	} cases[] = {
		{ "first refresh", -1, 0, SESSION_NEW },
		{ "first token again", 0, 0, SESSION_AGAIN },
		{ "second refresh", 0, 1, SESSION_NEW },
		{ "first token after the second was used", 1, 0, SESSION_REUSED },
		{ "much older", 9, 2, SESSION_REUSED },
		{ "never given out", 0, 2, SESSION_UNKNOWN },
		{ "never given out, fresh session", -1, 1, SESSION_UNKNOWN },
		{ "no generation, fresh session", -1, -1, SESSION_UNKNOWN },
		{ "no generation", 3, -1, SESSION_UNKNOWN },
	};
	size_t failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (session_judge(cases[i].used, cases[i].presented) != cases[i].want) {
			print_error("%s\n", cases[i].what);
			failed++;
		}
	assert_int_equal(failed, 0);
}

static void tokens_round_trip(void **state)
{
	static const int64_t generations[] = { 0, 1, 42, INT64_MAX - 1 };
	char token[SESSION_TOKEN_SIZE], id[RAND_ID_SIZE];
	int64_t generation;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(generations); i++) {
		session_token_print(token, key, "ses_0123456789abcdefghij", generations[i]);
		assert_int_equal(session_token_parse(token, key, id, &generation), 0);
		assert_string_equal(id, "ses_0123456789abcdefghij");
		assert_int_equal(generation, generations[i]);
	}
}

static void forged_tokens(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a.b", "a.0.", "ses_1.0.AAAA", "ses_1.0.0.0" };
	uint8_t other[SHA256_SIZE];
	char token[SESSION_TOKEN_SIZE], id[RAND_ID_SIZE];
	int64_t generation;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(session_token_parse(bad[i], key, id, &generation), -1);
	session_token_print(token, key, "ses_1", 3);
	for (size_t i = 0; token[i] != '\0'; i++) {
		char old = token[i];

		token[i] = old == '7' ? '8' : '7';
		assert_int_equal(session_token_parse(token, key, id, &generation), -1);
		token[i] = old;
	}
	memcpy(other, key, sizeof other);
	other[5] ^= 1;
	assert_int_equal(session_token_parse(token, other, id, &generation), -1);
	assert_int_equal(session_token_parse(token, key, id, &generation), 0);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

struct world {
	struct test_store store;
	struct tenant tenant;
	struct user user;
	struct session session;
};

static int work_make(struct db *tx, void *arg, struct err *e)
{
	struct world *w = arg;

	if (tenant_insert(tx, &w->tenant, e) != 0 || user_insert(tx, &w->user, e) != 0)
		return -1;
	return session_insert(tx, &w->session, e);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct err e = { 0 };

	test_store_open(&w->store);
	tenant_init(&w->tenant, "red", 1000);
	user_init(&w->user, w->tenant.id, 1000);
	(void)str_copy(w->user.email, sizeof w->user.email, "a@b.c");
	(void)str_copy(w->user.username, sizeof w->user.username, "anna");
	w->user.role = ROLE_OPERATOR;
	w->session = (struct session){ .id = "ses_1", .used = -1, .created_ms = 1000, .expires_ms = 5000 };
	(void)str_copy(w->session.tenant_id, sizeof w->session.tenant_id, w->tenant.id);
	(void)str_copy(w->session.user_id, sizeof w->session.user_id, w->user.id);
	TEST_STORE_MUST(store_write(w->store.store, STORE_OPERATIONAL, work_make, w, &e), e);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	test_store_close(&w->store);
	free(w);
	return 0;
}

/* Who the session stands for at a time: 0 and *id, or the error's code. */
static int identity_at(struct world *w, const char *tenant_id, int64_t now_ms, struct identity *id)
{
	struct err e = { .code = ERR_NONE };
	struct db *db;
	int rc;

	assert_int_equal(store_read_begin(w->store.store, &db, &e), 0);
	rc = session_identity(db, "ses_1", tenant_id, now_ms, id, &e);
	store_read_end(db);
	return rc == 0 ? 0 : (int)e.code;
}

static void it_stands_for_its_user(void **state)
{
	struct world *w = *state;
	struct identity id;

	assert_int_equal(identity_at(w, w->tenant.id, 4999, &id), 0);
	assert_string_equal(id.user_id, w->user.id);
	assert_string_equal(id.actor, w->user.id);
	assert_string_equal(id.tenant_id, w->tenant.id);
	assert_int_equal(id.role, ROLE_OPERATOR);
	assert_false(id.system_admin);
	assert_int_equal(identity_at(w, w->tenant.id, 5000, &id), ERR_INVALID_TOKEN);
	assert_int_equal(identity_at(w, "ten_other", 4999, &id), ERR_INVALID_TOKEN);
}

static int work_suspend_user(struct db *tx, void *arg, struct err *e)
{
	struct world *w = arg;

	(void)str_copy(w->user.status, sizeof w->user.status, "suspended");
	return user_update(tx, &w->user, 2000, e);
}

static void a_suspended_user_has_no_identity(void **state)
{
	struct world *w = *state;
	struct identity id;

	assert_int_equal(store_write(w->store.store, STORE_OPERATIONAL, work_suspend_user, w, NULL), 0);
	assert_int_equal(identity_at(w, w->tenant.id, 2000, &id), ERR_INVALID_TOKEN);
}

static int work_suspend_tenant(struct db *tx, void *arg, struct err *e)
{
	struct world *w = arg;

	(void)str_copy(w->tenant.status, sizeof w->tenant.status, "suspended");
	return tenant_update(tx, &w->tenant, 2000, e);
}

static void nor_has_a_user_of_a_suspended_tenant(void **state)
{
	struct world *w = *state;
	struct identity id;

	assert_int_equal(store_write(w->store.store, STORE_OPERATIONAL, work_suspend_tenant, w, NULL), 0);
	assert_int_equal(identity_at(w, w->tenant.id, 2000, &id), ERR_INVALID_TOKEN);
}

static int work_advance(struct db *tx, void *arg, struct err *e)
{
	struct world *w = arg;
	struct session got;

	if (session_find(tx, "ses_1", 4999, &got, e) != 1 || got.used != -1)
		return -1;
	got.used = 0;
	got.expires_ms = 9000;
	if (session_advance(tx, &got, e) != 0 || session_find(tx, "ses_1", 8999, &got, e) != 1 || got.used != 0)
		return -1;
	return session_find(tx, "ses_1", 9000, &w->session, e);
}

static void advancing_moves_the_end(void **state)
{
	assert_int_equal(
		store_write(((struct world *)*state)->store.store, STORE_OPERATIONAL, work_advance, *state, NULL), 0);
}

static int work_end(struct db *tx, void *arg, struct err *e)
{
	struct world *w = arg;
	struct session more = w->session;

	(void)str_copy(more.id, sizeof more.id, "ses_2");
	if (session_insert(tx, &more, e) != 0 || session_end(tx, "ten_other", "ses_1", e) != 0)
		return -1;
	if (session_end_user(tx, w->user.id, "ses_2", e) != 1 || session_end_user(tx, w->user.id, "", e) != 1)
		return -1;
	more.expires_ms = 3000;
	if (session_insert(tx, &more, e) != 0 || session_delete_expired(tx, 2999, 10, e) != 0)
		return -1;
	return session_delete_expired(tx, 3000, 10, e) == 1 ? 0 : -1;
}

static void ways_to_end(void **state)
{
	assert_int_equal(
		store_write(((struct world *)*state)->store.store, STORE_OPERATIONAL, work_end, *state, NULL), 0);
}

static int work_crowd(struct db *tx, void *arg, struct err *e)
{
	struct world *w = arg;
	struct session more = w->session;
	char user_id[RAND_ID_SIZE] = "", got[RAND_ID_SIZE] = "";

	for (char c = '2'; c <= '5'; c++) { /* with ses_1: five */
		more.id[4] = c;
		if (session_insert(tx, &more, e) != 0)
			return -1;
	}
	if (session_crowd(tx, 5, user_id, e) != 0 || session_crowd(tx, 4, got, e) != 1 || strcmp(got, w->user.id) != 0)
		return -1;
	if (session_trim(tx, got, 2, e) != 3 || session_find(tx, "ses_3", 2000, &more, e) != 0)
		return -1;
	return session_find(tx, "ses_4", 2000, &more, e) == 1 && session_crowd(tx, 2, got, e) == 0 ? 0 : -1;
}

static void the_oldest_make_room(void **state)
{
	assert_int_equal(
		store_write(((struct world *)*state)->store.store, STORE_OPERATIONAL, work_crowd, *state, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_generation_means),
		cmocka_unit_test(tokens_round_trip),
		cmocka_unit_test(forged_tokens),
		cmocka_unit_test_setup_teardown(it_stands_for_its_user, setup, teardown),
		cmocka_unit_test_setup_teardown(a_suspended_user_has_no_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(nor_has_a_user_of_a_suspended_tenant, setup, teardown),
		cmocka_unit_test_setup_teardown(advancing_moves_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(ways_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(the_oldest_make_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
