#include "controld/identity/resolver.h"

#include "common/base/clock.h"
#include "controld/identity/api_key.h"
#include "controld/identity/session.h"
#include "controld/identity/signing_key.h"
#include "controld/identity/token.h"
#include "tests/unit/controld/identity_world.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

struct desk {
	struct identity_world *w;
	struct signing_keys *keys;
	struct resolver *resolver;
	struct session session;
	struct api_key key;
	char key_text[API_KEY_TEXT_SIZE];
	char bearer[4096];
};

static int work_desk(struct db *tx, void *arg, struct err *e)
{
	struct desk *d = arg;

	return session_insert(tx, &d->session, e) != 0 ? -1 : api_key_insert(tx, &d->key, e);
}

/* A token of anna's session that was signed at now_ms. */
static void sign(struct desk *d, int64_t now_ms)
{
	struct token t = { .role = ROLE_OWNER, .issued_s = now_ms / 1000, .expires_s = now_ms / 1000 + 3600 };
	char *claims, *token;

	(void)str_copy(t.user_id, sizeof t.user_id, d->w->anna.id);
	(void)str_copy(t.tenant_id, sizeof t.tenant_id, d->w->red.id);
	(void)str_copy(t.username, sizeof t.username, d->w->anna.username);
	token_jti(t.jti, d->session.id);
	claims = token_print(&t, "portway");
	token = signing_keys_sign(d->keys, claims, clock_wall_ms(), NULL);
	snprintf(d->bearer, sizeof d->bearer, "Bearer %s", token);
	free(claims);
	free(token);
}

static int setup(void **state)
{
	struct desk *d = calloc(1, sizeof *d);
	int64_t now_ms = clock_wall_ms();

	world_setup((void **)&d->w);
	assert_int_equal(signing_keys_new(&d->keys, d->w->store.store, 3600000, NULL), 0);
	assert_int_equal(signing_keys_rotate(d->keys, now_ms, NULL), 0);
	assert_int_equal(resolver_new(&d->resolver, d->w->store.store, d->keys, "portway", NULL), 0);
	d->session = (struct session){ .id = "ses_1", .used = -1, .created_ms = now_ms, .expires_ms = now_ms + 600000 };
	(void)str_copy(d->session.tenant_id, sizeof d->session.tenant_id, d->w->red.id);
	(void)str_copy(d->session.user_id, sizeof d->session.user_id, d->w->anna.id);
	api_key_make(&d->key, d->key_text, now_ms);
	(void)str_copy(d->key.tenant_id, sizeof d->key.tenant_id, d->w->red.id);
	(void)str_copy(d->key.user_id, sizeof d->key.user_id, d->w->anna.id);
	assert_int_equal(world_write(d->w, work_desk, d), 0);
	sign(d, now_ms);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct desk *d = *state;

	resolver_free(d->resolver);
	signing_keys_free(d->keys);
	world_teardown((void **)&d->w);
	free(d);
	return 0;
}

static int resolve(struct desk *d, const char *authorization, const char *key, struct identity *id)
{
	struct err e = { .code = ERR_NONE };

	return resolver_resolve(d->resolver, authorization, key, id, &e) == 0 ? 0 : (int)e.code;
}

static int work_end(struct db *tx, void *arg, struct err *e)
{
	struct desk *d = arg;

	return session_end(tx, d->w->red.id, "ses_1", e) == 1 && api_key_delete(tx, d->w->red.id, d->key.id, e) == 1
	               ? 0
	               : -1;
}

static void a_token_and_a_key(void **state)
{
	struct desk *d = *state;
	struct identity id;

	assert_int_equal(resolve(d, d->bearer, NULL, &id), 0);
	assert_string_equal(id.user_id, d->w->anna.id);
	assert_int_equal(id.role, ROLE_OWNER);
	assert_false(id.api_key);
	assert_int_equal(strncmp(id.token_id, "ses_1.", 6), 0);
	assert_int_equal(resolve(d, NULL, d->key_text, &id), 0);
	assert_true(id.api_key);
	assert_int_equal(id.role, ROLE_VIEWER);
	assert_string_equal(id.token_id, d->key.id);
}

static void credentials_that_are_none(void **state)
{
	struct desk *d = *state;
	struct identity id;
	char huge[10000];

	memset(huge, 'a', sizeof huge);
	memcpy(huge, "Bearer ", 7);
	huge[sizeof huge - 1] = '\0';
	assert_int_equal(resolve(d, NULL, NULL, &id), ERR_AUTHENTICATION_FAILED);
	assert_int_equal(resolve(d, "", "", &id), ERR_AUTHENTICATION_FAILED);
	assert_int_equal(resolve(d, "Basic eDp5", NULL, &id), ERR_AUTHENTICATION_FAILED);
	assert_int_equal(resolve(d, "Bearer ", NULL, &id), ERR_AUTHENTICATION_FAILED);
	assert_int_equal(resolve(d, "Bearer x", NULL, &id), ERR_INVALID_TOKEN);
	assert_int_equal(resolve(d, "Bearer a.b.c", NULL, &id), ERR_INVALID_TOKEN);
	assert_int_equal(resolve(d, huge, NULL, &id), ERR_INVALID_TOKEN);
	assert_int_equal(resolve(d, NULL, huge, &id), ERR_INVALID_TOKEN);
	assert_int_equal(resolve(d, NULL, "pw_nothing", &id), ERR_AUTHENTICATION_FAILED);
}

static void an_old_token_has_expired(void **state)
{
	struct desk *d = *state;
	struct identity id;

	sign(d, clock_wall_ms() - 3601000);
	assert_int_equal(resolve(d, d->bearer, NULL, &id), ERR_TOKEN_EXPIRED);
}

static void answers_are_kept_until_forgotten(void **state)
{
	struct desk *d = *state;
	struct resolver_stats stats;
	struct identity id;
	uint64_t began;
	int bearer, key;

	began = clock_mono_ms();
	assert_int_equal(resolve(d, d->bearer, NULL, &id), 0);
	assert_int_equal(resolve(d, NULL, d->key_text, &id), 0);
	assert_int_equal(world_write(d->w, work_end, d), 0);
	bearer = resolve(d, d->bearer, NULL, &id);
	key = resolve(d, NULL, d->key_text, &id);
	resolver_stats(d->resolver, &stats);
	if (clock_mono_ms() - began < RESOLVER_KEEP_MS) { /* a test that was slower may have found them gone */
		assert_int_equal(bearer, 0);              /* nobody said anything yet */
		assert_int_equal(key, 0);
		assert_int_equal(stats.hits, 2);
		assert_int_equal(stats.misses, 2);
	}
	resolver_forget(d->resolver);
	assert_int_equal(resolve(d, d->bearer, NULL, &id), ERR_INVALID_TOKEN);
	assert_int_equal(resolve(d, NULL, d->key_text, &id), ERR_AUTHENTICATION_FAILED);
}

static atomic_bool stop;

static void *work_resolve(void *arg)
{
	struct desk *d = arg;
	struct identity id;

	while (!stop)
		(void)(resolve(d, d->bearer, NULL, &id) + resolve(d, NULL, d->key_text, &id));
	return NULL;
}

/* Readers that began before the end and finish after it must not bring the old answer back. */
static void nothing_is_kept_across_a_change(void **state)
{
	struct desk *d = *state;
	pthread_t threads[3];
	struct identity id;

	stop = false;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work_resolve, d), 0);
	for (int i = 0; i < 50; i++)
		resolver_forget(d->resolver);
	assert_int_equal(world_write(d->w, work_end, d), 0);
	resolver_forget(d->resolver);
	for (int i = 0; i < 50; i++)
		assert_int_equal(resolve(d, d->bearer, NULL, &id), ERR_INVALID_TOKEN);
	stop = true;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_and_a_key, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(an_old_token_has_expired, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_are_kept_until_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_kept_across_a_change, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
