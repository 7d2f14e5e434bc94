#include "controld/settings.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static int load(struct settings **out, const char *const *env, const char *const *set, struct err_list *errs)
{
	const struct conf_source src = { .env = env, .set = set };

	memset(errs, 0, sizeof *errs);
	*out = NULL;
	return settings_load(out, &src, errs);
}

static void test_defaults(void **state)
{
	static struct err_list errs;
	struct settings *s;
	char url[256];

	(void)state;
	assert_int_equal(load(&s, NULL, NULL, &errs), 0);
	assert_string_equal(s->http.listen, "127.0.0.1:8080");
	assert_string_equal(s->fleet.listen, "127.0.0.1:7400");
	assert_string_equal(s->data_dir, "/var/lib/portway/controld");
	assert_int_equal(settings_database_url(s, url, sizeof url), 0);
	assert_string_equal(url, "sqlite:/var/lib/portway/controld/portway.db");
	assert_int_equal(s->tunnels.port_min, 10000);
	assert_int_equal(s->tunnels.port_max, 32767);
	assert_int_equal(s->tunnels.create_wait_ms, 500);
	assert_int_equal(s->tokens.access_ms, 3600 * 1000);
	settings_free(s);
}

/* Environment names of other programs: what the API's address becomes. */
static const struct {
	const char *what;
	const char *env[4];
	const char *listen; /* NULL: refused */
	const char *field;
} listens[] = {
	{ "our own", { "CONTROLD_HTTP_LISTEN=0.0.0.0:1" }, "0.0.0.0:1", NULL },
	{ "a port alone", { "BACKEND_PORT=9000" }, "127.0.0.1:9000", NULL },
	{ "host and port", { "SERVER_PORT=9001", "SERVER_HOST=0.0.0.0" }, "0.0.0.0:9001", NULL },
	{ "a host alone", { "SERVER_HOST=::1" }, "[::1]:8080", NULL },
	{ "our own wins", { "BACKEND_PORT=9000", "CONTROLD_HTTP_LISTEN=127.0.0.1:2" }, "127.0.0.1:2", NULL },
	{ "no address", { "SERVER_HOST=example.com" }, NULL, "http.host" },
	{ "no port", { "BACKEND_PORT=70000" }, NULL, "http.port" },
};

static void test_listen(void **state)
{
	static struct err_list errs;
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(listens); i++) {
		struct settings *s;
		int rc = load(&s, listens[i].env, NULL, &errs);
		bool good = listens[i].listen != NULL ? rc == 0 && str_eq(s->http.listen, listens[i].listen)
		                                      : rc != 0 && str_eq(errs.items[0].field, listens[i].field);

		if (!good) {
			print_error("%s: %d %s %s\n", listens[i].what, rc, rc ? "" : s->http.listen, errs.items[0].msg);
			failed++;
		}
		settings_free(s);
	}
	assert_int_equal(failed, 0);
}

static const struct {
	const char *what;
	const char *set[4];
	const char *field; /* of the first error; NULL: good */
} rules[] = {
	{ "a master key", { "master_key=" KEY_HEX }, NULL },
	{ "a master key too short", { "master_key=00" }, "master_key" },
	{ "a master key of other letters", { "master_key=x" KEY_HEX }, "master_key" },
	{ "an administrator without a host", { "admin.email=root" }, "admin.email" },
	{ "an administrator's short password", { "admin.password=1234567" }, "admin.password" },
	{ "an administrator", { "admin.email=root@here", "admin.password=12345678" }, NULL },
	{ "certificate without key", { "http.tls_cert=a.pem" }, "http.tls_key" },
	{ "certificate and key", { "http.tls_cert=a.pem", "http.tls_key=b.pem" }, NULL },
	{ "ports the wrong way round", { "tunnels.port_min=2000", "tunnels.port_max=1000" }, "tunnels.port_min" },
	{ "one port", { "tunnels.port_min=2000", "tunnels.port_max=2000" }, NULL },
	{ "no such key", { "http.lisen=1" }, "http.lisen" },
	{ "a stop longer than the promise", { "http.stop_timeout=20s" }, "http.stop_timeout" },
};

static void test_rules(void **state)
{
	static struct err_list errs;
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		struct settings *s;
		int rc = load(&s, NULL, rules[i].set, &errs);

		if (rules[i].field == NULL ? rc != 0 : rc == 0 || !str_eq(errs.items[0].field, rules[i].field)) {
			print_error("%s: %d %s\n", rules[i].what, rc, errs.items[0].msg);
			failed++;
		}
		settings_free(s);
	}
	assert_int_equal(failed, 0);
}

static void test_other_programs_names(void **state)
{
	static const char *const env[] = { "LOG_LEVEL=debug", "DATABASE_URL=sqlite:/x/y.db", "ENCRYPTION_KEY=" KEY_HEX,
		"CORS_ORIGINS=https://a.example", "KAFKA_BROKERS=k:9092", "REDIS_URL=redis://r",
		"BACKEND_API_KEY=topsecret", NULL };
	static struct err_list errs;
	struct settings *s;

	(void)state;
	assert_int_equal(load(&s, env, NULL, &errs), 0);
	assert_int_equal(s->log.level, LOG_LEVEL_DEBUG);
	assert_string_equal(s->database.url, "sqlite:/x/y.db");
	assert_string_equal(s->master_key, KEY_HEX);
	assert_string_equal(s->http.cors_origins, "https://a.example");
	assert_string_equal(s->admin.api_key, "topsecret");
	settings_free(s);
}

/* The table itself: sorted, explained, reachable from the environment unless it is only an alias of something. */
static void test_the_table(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < settings_table.n; i++) {
		const struct conf_key *k = &settings_table.keys[i];
		bool unused = (k->flags & CONF_ALIAS_UNUSED) != 0;
		bool good = unused || (k->help[0] != '\0' && (k->env != NULL || k->aliases != NULL));

		if (i > 0 && strcmp(settings_table.keys[i - 1].key, k->key) >= 0)
			good = false;
		if (!good) {
			print_error("%s\n", k->key);
			failed++;
		}
	}
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_other_programs_names),
		cmocka_unit_test(test_the_table),
	};

	log_init("test_settings", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, open("/dev/null", O_WRONLY));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
