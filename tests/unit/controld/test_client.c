/* What a client is made of: its secrets, its config, its id, what a caller may write about it. */
#include "common/base/str.h"
#include "common/crypto/key.h"
#include "controld/clients/client.h"
#include "controld/clients/client_config.h"
#include "controld/clients/client_input.h"
#include "controld/clients/client_secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1000000
#define DAY INT64_C(86400000)

static void add(struct client *c, char text[CLIENT_SECRET_SIZE], int64_t overlap_ms, int64_t now_ms)
{
	assert_int_equal(client_secret_add(c, text, overlap_ms, now_ms, NULL), 0);
}

/* ---- secrets ------------------------------------------------------------------------------------------------------ */

static void a_secret_is_the_seed_of_the_key(void **state)
{
	char text[CLIENT_SECRET_SIZE], code[CLIENT_AUTH_CODE_SIZE];
	uint8_t seed[KEY_SEED_SIZE], public_key[KEY_PUBLIC_SIZE];
	struct client c;
	struct key *k;

	(void)state;
	client_init(&c, NOW);
	client_auth_code(&c, code);
	assert_string_equal(code, "");
	add(&c, text, 0, NOW);
	assert_int_equal(strlen(text), CLIENT_SECRET_SIZE - 1);
	assert_true(str_starts(text, "pws_"));
	assert_int_equal(str_unb64url(seed, sizeof seed, text + 4, strlen(text + 4)), KEY_SEED_SIZE);
	assert_int_equal(key_from_seed(&k, seed, NULL), 0);
	key_public(k, public_key);
	key_free(k);
	assert_memory_equal(c.conf.keys[0].public_key, public_key, sizeof public_key);
	client_auth_code(&c, code);
	assert_true(str_starts(code, "pwa_") && strlen(code) == 20);
}

static void an_old_secret_works_on_for_the_overlap(void **state)
{
	char one[CLIENT_SECRET_SIZE], two[CLIENT_SECRET_SIZE], three[CLIENT_SECRET_SIZE];
	struct client c;

	(void)state;
	client_init(&c, NOW);
	add(&c, one, 0, NOW);
	assert_true(client_secret_matches(&c, one, NOW + 365 * DAY));
	add(&c, two, DAY, NOW);
	assert_int_equal(c.conf.n_keys, 2);
	assert_true(client_secret_matches(&c, one, NOW + DAY - 1));
	assert_false(client_secret_matches(&c, one, NOW + DAY));
	assert_true(client_secret_matches(&c, two, NOW + 365 * DAY));
	add(&c, three, 10 * DAY, NOW + 1); /* does not lengthen what ends sooner */
	assert_false(client_secret_matches(&c, one, NOW + DAY));
	assert_true(client_secret_matches(&c, two, NOW + 10 * DAY));
	client_secret_prune(&c, NOW + DAY);
	assert_int_equal(c.conf.n_keys, 2);
	add(&c, one, 0, NOW + DAY); /* at once */
	assert_int_equal(c.conf.n_keys, 1);
	assert_false(client_secret_matches(&c, three, NOW + DAY));
}

static void the_one_that_ends_first_makes_room(void **state)
{
	char text[6][CLIENT_SECRET_SIZE];
	struct client c;

	(void)state;
	client_init(&c, NOW);
	for (int i = 0; i < 6; i++)
		add(&c, text[i], DAY, NOW + i);
	assert_int_equal(c.conf.n_keys, CLIENT_KEYS_MAX);
	for (int i = 0; i < 6; i++)
		assert_int_equal(client_secret_matches(&c, text[i], NOW + 6), i >= 2);
}

static void one_secret_ends_by_its_id(void **state)
{
	char one[CLIENT_SECRET_SIZE], two[CLIENT_SECRET_SIZE];
	struct client c;

	(void)state;
	client_init(&c, NOW);
	add(&c, one, 0, NOW);
	add(&c, two, DAY, NOW);
	assert_int_equal(client_secret_remove(&c, "sec_none"), -1);
	assert_int_equal(client_secret_remove(&c, c.secrets[1].id), 0);
	assert_false(client_secret_matches(&c, one, NOW));
	assert_true(client_secret_matches(&c, two, NOW));
}

static void what_is_no_secret(void **state)
{
	static const char *const bad[] = { "", "pws_", "pws_AAAA", "pwx_", "pws_\xff",
		"pws_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
	char text[CLIENT_SECRET_SIZE];
	struct client c;

	(void)state;
	client_init(&c, NOW);
	add(&c, text, 0, NOW);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(client_secret_matches(&c, bad[i], NOW));
	assert_true(client_secret_matches(&c, text, NOW));
	text[10] = text[10] == 'A' ? 'B' : 'A';
	assert_false(client_secret_matches(&c, text, NOW));
}

static void keys_are_kept_without_the_secret(void **state)
{
	char one[CLIENT_SECRET_SIZE], two[CLIENT_SECRET_SIZE];
	struct client c, again;
	struct buf b;

	(void)state;
	client_init(&c, NOW);
	client_init(&again, NOW);
	add(&c, one, 0, NOW);
	add(&c, two, DAY, NOW + 1);
	buf_init(&b, CLIENT_OBJECT_MAX);
	client_secrets_store(&c, &b);
	assert_null(strstr(buf_cstr(&b), one + 4));
	assert_int_equal(client_secrets_load(&again, buf_cstr(&b), NULL), 0);
	assert_int_equal(again.conf.n_keys, 2);
	assert_memory_equal(again.conf.keys, c.conf.keys, 2 * sizeof c.conf.keys[0]);
	assert_memory_equal(again.secrets, c.secrets, 2 * sizeof c.secrets[0]);
	buf_free(&b);
	assert_int_equal(client_secrets_load(&again, "{", NULL), -1);
	assert_int_equal(client_secrets_load(&again, "[{\"id\":\"x\",\"key\":\"00\"}]", NULL), -1);
}

/* ---- config ------------------------------------------------------------------------------------------------------- */

static json_t *parse(const char *text)
{
	json_t *v = json_loads(text, 0, NULL);

	assert_non_null(v);
	return v;
}

/* The config as it is afterwards; "" when something was refused, which errs says. */
static char *apply(struct client_conf *c, const char *text, struct err_list *errs)
{
	json_t *v = parse(text);
	struct buf b;
	char *out;

	errs->n = errs->dropped = 0;
	schema_check(&client_config_schema, v, true, errs);
	if (errs->n == 0)
		client_config_apply(c, v, "", errs);
	json_decref(v);
	buf_init(&b, CLIENT_OBJECT_MAX);
	client_config_print(c, NULL, &b);
	out = strdup(errs->n == 0 ? buf_cstr(&b) : "");
	buf_free(&b);
	return out;
}

static void a_config_is_taken_and_printed(void **state)
{
	struct client_conf c = { .enabled = true }, again = { .enabled = true };
	struct err_list errs;
	char *text;

	(void)state;
	client_config_default(&c);
	text = apply(&c, "{}", &errs);
	assert_string_equal(text,
		"{\"enable_compression\":false,\"bandwidth_limit\":0,\"max_connections\":0,\"allowed_ports\":[],"
		"\"blocked_ports\":[],\"auto_reconnect\":true,\"heartbeat_interval\":5}");
	free(text);
	text = apply(&c,
		"{\"enable_compression\":true,\"bandwidth_limit\":5000000000,\"max_connections\":7,\"allowed_ports\":["
		"22,"
		"\"8000-8010\",\"9-9\"],\"blocked_ports\":[80],\"auto_reconnect\":false,\"heartbeat_interval\":7}",
		&errs);
	assert_string_equal(text,
		"{\"enable_compression\":true,\"bandwidth_limit\":5000000000,\"max_connections\":7,\"allowed_ports\":["
		"22,"
		"\"8000-8010\",9],\"blocked_ports\":[80],\"auto_reconnect\":false,\"heartbeat_interval\":7}");
	assert_int_equal(c.rate_in, 5000000000);
	assert_int_equal(c.rate_out, 5000000000);
	assert_int_equal(client_config_load(&again, text, NULL), 0);
	assert_true(client_config_same(&c, &again));
	free(text);
	text = apply(&c, "{\"allowed_ports\":null,\"heartbeat_interval\":null,\"auto_reconnect\":null}", &errs);
	assert_non_null(strstr(text, "\"allowed_ports\":[]"));
	assert_non_null(strstr(text, "\"auto_reconnect\":true,\"heartbeat_interval\":5"));
	assert_non_null(strstr(text, "\"max_connections\":7"));
	assert_false(client_config_same(&c, &again));
	free(text);
}

static void a_config_is_refused(void **state)
{
	static const struct {
		const char *config, *field;
	} cases[] = {
		{ "{\"allowed_ports\":[0]}", "allowed_ports" },
		{ "{\"allowed_ports\":[65536]}", "allowed_ports" },
		{ "{\"allowed_ports\":[\"22\"]}", "allowed_ports" },
		{ "{\"allowed_ports\":[\"9-8\"]}", "allowed_ports" },
		{ "{\"blocked_ports\":[\"1-x\"]}", "blocked_ports" },
		{ "{\"blocked_ports\":[\"111111-2\"]}", "blocked_ports" },
		{ "{\"blocked_ports\":[{}]}", "blocked_ports" },
		{ "{\"heartbeat_interval\":4}", "heartbeat_interval" },
		{ "{\"max_connections\":-1}", "max_connections" },
		{ "{\"bandwidth_limit\":-1}", "bandwidth_limit" },
		{ "{\"speed\":1}", "speed" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client_conf c = { .enabled = true };
		struct err_list errs;

		client_config_default(&c);
		free(apply(&c, cases[i].config, &errs));
		print_message("%s\n", cases[i].config);
		assert_int_equal(errs.n, 1);
		assert_string_equal(errs.items[0].field, cases[i].field);
	}
}

static void as_many_ports_as_the_wire_takes(void **state)
{
	struct client_conf c = { .enabled = true };
	json_t *list = json_array(), *config = json_pack("{s:O}", "allowed_ports", list);
	struct err_list errs;

	(void)state;
	errs.n = errs.dropped = 0;
	for (int i = 0; i < CLIENT_PORTS_MAX; i++)
		json_array_append_new(list, json_integer(i + 1));
	client_config_apply(&c, config, "", &errs);
	assert_int_equal(errs.n, 0);
	assert_int_equal(c.allowed.n, CLIENT_PORTS_MAX);
	json_array_append_new(list, json_integer(100));
	client_config_apply(&c, config, "", &errs);
	assert_int_equal(errs.n, 1);
	json_decref(config);
	json_decref(list);
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

static void ids(void **state)
{
	static const struct {
		const char *text;
		int64_t id; /* 0: refused */
	} cases[] = { { "1", 1 }, { "9007199254740991", 9007199254740991 }, { "9007199254740992", 0 }, { "0", 0 },
		{ "01", 0 }, { "", 0 }, { "-1", 0 }, { "1x", 0 }, { "map_1", 0 } };
	char text[PROTO_ID_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t id = 0;
		const int rc = client_id_parse(cases[i].text, &id);

		if ((rc == 0) != (cases[i].id != 0) || (rc == 0 && id != cases[i].id))
			fail_msg("%s", cases[i].text);
	}
	client_id_print(text, 9007199254740991);
	assert_string_equal(text, "9007199254740991");
}

static void overlaps(void **state)
{
	static const struct {
		const char *body;
		int64_t ms; /* -1: refused */
	} cases[] = { { "{}", DAY }, { "{\"overlap\":null}", DAY }, { "{\"overlap\":\"0s\"}", 0 },
		{ "{\"overlap\":\"90s\"}", 90000 }, { "{\"overlap\":60}", 60000 },
		{ "{\"overlap\":\"30d\"}", 30 * DAY }, { "{\"overlap\":\"31d\"}", -1 },
		{ "{\"overlap\":\"soon\"}", -1 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *v = parse(cases[i].body);
		struct err_list errs;
		int64_t ms;

		errs.n = errs.dropped = 0;
		ms = client_overlap_ms(v, &errs);
		if ((errs.n > 0) != (cases[i].ms < 0) || (errs.n == 0 && ms != cases[i].ms))
			fail_msg("%s", cases[i].body);
		json_decref(v);
	}
}

static void members_of_a_client(void **state)
{
	struct err_list errs;
	struct client c;
	json_t *v = parse("{\"name\":\"n\",\"enabled\":false,\"single\":true,\"config\":{\"max_connections\":3}}");

	(void)state;
	errs.n = errs.dropped = 0;
	client_init(&c, NOW);
	client_apply(&c, v, NOW, &errs);
	json_decref(v);
	assert_int_equal(errs.n, 0);
	assert_string_equal(c.name, "n");
	assert_true(!c.active && c.conf.single && c.conf.max_connections == 3);
	v = parse("{\"name\":null,\"enabled\":null,\"config\":null,\"expires_at\":\"2001-01-01T00:00:00Z\"}");
	client_apply(&c, v, INT64_C(1700000000000), &errs);
	json_decref(v);
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.items[0].field, "expires_at");
	assert_string_equal(c.name, "");
	assert_true(c.active && c.conf.single && c.conf.max_connections == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_is_the_seed_of_the_key),
		cmocka_unit_test(an_old_secret_works_on_for_the_overlap),
		cmocka_unit_test(the_one_that_ends_first_makes_room),
		cmocka_unit_test(one_secret_ends_by_its_id),
		cmocka_unit_test(what_is_no_secret),
		cmocka_unit_test(keys_are_kept_without_the_secret),
		cmocka_unit_test(a_config_is_taken_and_printed),
		cmocka_unit_test(a_config_is_refused),
		cmocka_unit_test(as_many_ports_as_the_wire_takes),
		cmocka_unit_test(ids),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(members_of_a_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
