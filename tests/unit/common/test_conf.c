/* conf: the four sources and their order, every error at once, what is printed from the table. */
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "common/conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct settings {
	char *listen;
	char *password;
	bool https;
	uint64_t body_max;
	uint64_t timeout_ms;
	uint64_t workers;
	int level;
	char *name;
};

#define AT(member) offsetof(struct settings, member)
static const char *const levels[] = { "debug", "info", "warn", NULL };

static const struct conf_key keys[] = {
	{ .key = "admin.password",
		.env = "T_PASSWORD",
		.type = CONF_STR,
		.offset = AT(password),
		.def = "",
		.flags = CONF_SECRET,
		.max = 20,
		.help = "First password." },
	{ .key = "http.body_max",
		.type = CONF_SIZE,
		.offset = AT(body_max),
		.def = "64KiB",
		.min = 1024,
		.max = 1 << 30,
		.unit = "bytes",
		.help = "Longest body." },
	{ .key = "http.https",
		.env = "T_HTTPS",
		.type = CONF_BOOL,
		.offset = AT(https),
		.def = "false",
		.help = "TLS or not." },
	{ .key = "http.listen",
		.env = "T_LISTEN",
		.aliases = "BACKEND_LISTEN http.listenAddr",
		.type = CONF_LISTEN,
		.offset = AT(listen),
		.def = "127.0.0.1:8080",
		.min = 1,
		.help = "Where to listen." },
	{ .key = "http.timeout.read",
		.type = CONF_DURATION,
		.offset = AT(timeout_ms),
		.def = "30s",
		.min = 100,
		.max = 3600000,
		.flags = CONF_RELOAD,
		.help = "Longest wait." },
	{ .key = "log.level",
		.env = "T_LOG_LEVEL",
		.aliases = "LOG_LEVEL",
		.type = CONF_ENUM,
		.offset = AT(level),
		.def = "info",
		.choices = levels,
		.flags = CONF_RELOAD,
		.help = "Least level." },
	{ .key = "name", .env = "T_NAME", .type = CONF_STR, .offset = AT(name), .def = "relay-1", .help = "A name." },
	{ .key = "old.thing", .env = "T_OLD", .type = CONF_STR, .flags = CONF_ALIAS_UNUSED, .help = "Unused." },
	{ .key = "workers",
		.env = "T_WORKERS",
		.type = CONF_U64,
		.offset = AT(workers),
		.def = "0",
		.max = 256,
		.unit = "threads",
		.help = "Threads." },
};
static const struct conf_table table = { .program = "testd", .keys = keys, .n = ARRAY_LEN(keys) };

struct fixture {
	char path[64];
	struct settings s;
	struct err_list errs;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	int fd;

	assert_non_null(f);
	str_copy(f->path, sizeof f->path, "/tmp/test_conf-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	conf_free(&table, &f->s);
	unlink(f->path);
	free(f);
	return 0;
}

static int load(struct fixture *f, const char *yaml, const char *const *env, const char *const *set)
{
	const struct conf_source src = {
		.file = yaml != NULL ? f->path : NULL, .file_must_exist = true, .env = env, .set = set
	};
	FILE *out;

	if (yaml != NULL) {
		out = fopen(f->path, "w");
		assert_non_null(out);
		fputs(yaml, out);
		fclose(out);
	}
	conf_free(&table, &f->s);
	memset(&f->s, 0, sizeof f->s);
	memset(&f->errs, 0, sizeof f->errs);
	return conf_load(&table, &f->s, &src, &f->errs);
}

/* What fn prints, to be freed. */
static char *printed(void (*fn)(const struct conf_table *t, FILE *out))
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	fn(&table, out);
	fclose(out);
	return text;
}

static char *printed_values(const struct settings *s)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	conf_print(&table, s, out);
	fclose(out);
	return text;
}

static void test_defaults(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, NULL, NULL, NULL), 0);
	assert_string_equal(f->s.listen, "127.0.0.1:8080");
	assert_string_equal(f->s.password, "");
	assert_string_equal(f->s.name, "relay-1");
	assert_int_equal(f->s.body_max, 65536);
	assert_int_equal(f->s.timeout_ms, 30000);
	assert_int_equal(f->s.workers, 0);
	assert_int_equal(f->s.level, 1);
	assert_false(f->s.https);
}

static void test_order_of_sources(void **state)
{
	static const char *const none[] = { NULL };
	static const char *const own[] = { "T_LOG_LEVEL=debug", "LOG_LEVEL=info", NULL };
	static const char *const alias[] = { "X=1", "LOG_LEVEL=debug", NULL };
	static const char *const empty[] = { "T_LOG_LEVEL=", "LOG_LEVEL=", NULL };
	static const char *const set[] = { "log.level=info", NULL };
	static const struct {
		const char *what, *yaml;
		const char *const *env, *const *set;
		int want;
	} cases[] = {
		{ "file over default", "log:\n  level: warn\n", none, none, 2 },
		{ "dotted key", "log.level: warn\n", none, none, 2 },
		{ "environment over file", "log:\n  level: warn\n", own, none, 0 },
		{ "alias", "log:\n  level: warn\n", alias, none, 0 },
		{ "empty environment is not set", "log:\n  level: warn\n", empty, none, 2 },
		{ "flag over environment", "log:\n  level: warn\n", own, set, 1 },
		{ "null is not set", "log:\n  level:\n", none, none, 1 },
		{ "empty section", "log:\nhttp: {}\n", none, none, 1 },
		{ "empty file", "", none, none, 1 },
		{ "comment only", "# nothing\n", none, none, 1 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (load(f, cases[i].yaml, cases[i].env, cases[i].set) != 0)
			fail_msg("%s: %s", cases[i].what, f->errs.items[0].msg);
		if (f->s.level != cases[i].want)
			fail_msg("%s: level %d, not %d", cases[i].what, f->s.level, cases[i].want);
	}
}

static void test_own_name_wins_over_alias(void **state)
{
	static const char *const env[] = { "BACKEND_LISTEN=127.0.0.1:1", "T_LISTEN=127.0.0.1:2", NULL };
	struct fixture *f = *state;

	assert_int_equal(load(f, "http: {listenAddr: '[::1]:3'}\n", NULL, NULL), 0);
	assert_string_equal(f->s.listen, "[::1]:3");
	assert_int_equal(load(f, NULL, env, NULL), 0);
	assert_string_equal(f->s.listen, "127.0.0.1:2");
}

static void test_errors(void **state)
{
	static const struct {
		const char *what, *yaml, *field, *constraint, *msg;
	} cases[] = {
		{ "near key", "log:\n  levle: info\n", "log.levle", "unknown",
			":2: log.levle: no such setting, did you mean log.level?" },
		{ "far key", "zzz: 1\n", "zzz", "unknown", ":1: zzz: no such setting" },
		{ "value for a section", "http: 1\n", "http", "unknown", "is a section" },
		{ "map for a value", "name: {a: 1}\n", "name.a", "unknown", "did you mean name?" },
		{ "unknown empty map", "zzz: {}\n", "zzz", "unknown", "no such setting" },
		{ "choice", "log: {level: loud}\n", "log.level", "enum", "'loud' is not one of debug, info, warn" },
		{ "not a number", "workers: many\n", "workers", "format", "'many' is not a number between 0 and 256" },
		{ "number too big", "workers: 257\n", "workers", "range", "'257' is not a number between 0 and 256" },
		{ "negative", "workers: -1\n", "workers", "format", "" },
		{ "size", "http: {body_max: 2GiB}\n", "http.body_max", "range", "between 1KiB and 1GiB" },
		{ "duration", "http: {timeout: {read: 5x}}\n", "http.timeout.read", "format", "between 100ms and 1h" },
		{ "bool", "http: {https: maybe}\n", "http.https", "format", "true or false" },
		{ "listen", "http: {listen: localhost}\n", "http.listen", "format", "127.0.0.1:8080" },
		{ "empty listen", "http: {listen: ''}\n", "http.listen", "length", "" },
		{ "list", "name: [a, b]\n", "name", "format", ":1: name: a list" },
		{ "alias", "name: *x\n", "name", "format", "alias" },
		{ "twice", "name: a\nname: b\n", "name", "unique", ":2: name: was set in line 1 already" },
		{ "twice by alias", "http: {listen: '1.1.1.1:1', listenAddr: '1.1.1.1:1'}", "http.listen", "unique",
			"" },
		{ "syntax", "name: b: c\n", "", "syntax", "not YAML" },
		{ "two documents", "name: a\n---\nname: b\n", "", "format", "one document" },
		{ "root list", "- a\n", "", "format", "key: value" },
		{ "root scalar", "hello\n", "", "format", "key: value" },
		{ "NUL", "name: \"a\\0b\"\n", "name", "format", "NUL" },
		{ "key is a map", "{a: b}: c\n", "", "format", "a key must be" },
		{ "too deep", "a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}\n", "a.a.a.a.a.a.a.a.a", "format",
			"deep" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct err *e = &f->errs.items[0];

		if (load(f, cases[i].yaml, NULL, NULL) == 0)
			fail_msg("%s: accepted", cases[i].what);
		if (f->errs.n == 0 || strcmp(e->field, cases[i].field) != 0 ||
			strcmp(e->constraint, cases[i].constraint) != 0)
			fail_msg("%s: field '%s' constraint '%s': %s", cases[i].what, e->field, e->constraint, e->msg);
		if (strstr(e->msg, cases[i].msg) == NULL)
			fail_msg("%s: %s", cases[i].what, e->msg);
	}
}

static void test_all_errors_at_once(void **state)
{
	static const char *const env[] = { "T_LISTEN=nonsense", NULL };
	static const char *const set[] = { "workers=x", "no equals", "nothing=1", NULL };
	struct fixture *f = *state;

	assert_int_equal(load(f, "log:\n  level: loud\nno_such: 1\nworkers: 999\n", env, set), -1);
	assert_int_equal(f->errs.n, 7);
	assert_non_null(strstr(f->errs.items[0].msg, f->path));
	assert_non_null(strstr(f->errs.items[3].msg, "environment T_LISTEN: http.listen: 'nonsense'"));
	assert_non_null(strstr(f->errs.items[4].msg, "--set: workers: 'x'"));
	assert_non_null(strstr(f->errs.items[5].msg, "--set: 'no equals' is not key=value"));
	assert_string_equal(f->s.listen, "127.0.0.1:8080"); /* what was wrong left the default */
}

static void test_missing_file(void **state)
{
	const struct conf_source must = { .file = "/nonexistent/x.yaml", .file_must_exist = true };
	const struct conf_source may = { .file = "/nonexistent/x.yaml" };
	struct fixture *f = *state;

	assert_int_equal(conf_load(&table, &f->s, &must, &f->errs), -1);
	assert_int_equal(f->errs.items[0].code, ERR_NOT_FOUND);
	assert_int_equal(conf_load(&table, &f->s, &may, &f->errs), 0);
}

static void test_secrets_stay_hidden(void **state)
{
	static const char *const good[] = { "T_PASSWORD=hunter2", NULL };
	static const char *const bad[] = { "T_PASSWORD=hunter2hunter2hunter2", NULL };
	struct fixture *f = *state;
	char *text;

	assert_int_equal(load(f, NULL, bad, NULL), -1);
	assert_string_equal(f->errs.items[0].value, "***");
	assert_null(strstr(f->errs.items[0].msg, "hunter2"));
	assert_int_equal(load(f, NULL, good, NULL), 0);
	assert_string_equal(f->s.password, "hunter2");
	text = printed_values(&f->s);
	assert_null(strstr(text, "hunter2"));
	assert_non_null(strstr(text, "password: \"***\""));
	assert_int_equal(load(f, text, good, NULL), 0);
	assert_string_equal(f->s.password, "hunter2");
	free(text);
}

static void test_printed_values_read_back(void **state)
{
	static const char *const env[] = { "T_NAME=a: \"b\" #\n\t\\ \xc3\xa9 \x7f", "T_HTTPS=yes", "T_WORKERS=7",
		NULL };
	struct fixture *f = *state;
	char *first, *second;

	assert_int_equal(load(f, "http: {timeout: {read: 90s}, body_max: 1536}\n", env, NULL), 0);
	first = printed_values(&f->s);
	assert_int_equal(load(f, first, NULL, NULL), 0);
	assert_string_equal(f->s.name, "a: \"b\" #\n\t\\ \xc3\xa9 \x7f");
	assert_int_equal(f->s.timeout_ms, 90000);
	assert_int_equal(f->s.body_max, 1536);
	assert_true(f->s.https);
	second = printed_values(&f->s);
	assert_string_equal(first, second);
	free(first);
	free(second);
}

static void test_printed_values_are_nested(void **state)
{
	static const char want[] = "admin:\n  password: \"\"\nhttp:\n  body_max: 64KiB\n  https: false\n"
				   "  listen: \"127.0.0.1:8080\"\n  timeout:\n    read: 30s\nlog:\n  level: info\n"
				   "name: \"relay-1\"\nworkers: 0\n";
	struct fixture *f = *state;
	char *text;

	assert_int_equal(load(f, NULL, NULL, NULL), 0);
	text = printed_values(&f->s);
	assert_string_equal(text, want);
	free(text);
}

/* Removes the '#' of every "#key: value", so that the example becomes a file that sets every key. */
static void uncomment(char *text)
{
	char *to = text;

	for (const char *p = text; *p != '\0'; p++)
		if (p[0] != '#' || p[1] == ' ')
			*to++ = *p;
	*to = '\0';
}

static void test_example_holds_the_defaults(void **state)
{
	struct fixture *f = *state;
	char *example = printed(conf_print_example), *before, *after;

	assert_int_equal(load(f, NULL, NULL, NULL), 0);
	before = printed_values(&f->s);
	assert_int_equal(load(f, example, NULL, NULL), 0);
	uncomment(example);
	if (load(f, example, NULL, NULL) != 0)
		fail_msg("%s\n%s", f->errs.items[0].msg, example);
	after = printed_values(&f->s);
	assert_string_equal(before, after);
	assert_non_null(strstr(example, "\n    # Longest wait.\n"));
	assert_non_null(strstr(example, "# A number between 0 and 256 (threads). Takes effect on restart.\n"));
	assert_non_null(strstr(example, "# Environment: T_WORKERS\nworkers: 0\n"));
	assert_null(strstr(example, "old"));
	free(example);
	free(before);
	free(after);
}

static void test_help_and_mdoc_name_every_key(void **state)
{
	char *help = printed(conf_print_help), *mdoc = printed(conf_print_mdoc);
	char item[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const bool listed = !(keys[i].flags & CONF_ALIAS_UNUSED);

		snprintf(item, sizeof item, ".It Cm %s\n", keys[i].key);
		assert_int_equal(strstr(help, keys[i].key) != NULL, listed);
		assert_int_equal(strstr(mdoc, item) != NULL, listed);
	}
	free(help);
	free(mdoc);
}

static void on_difference(const struct conf_key *k, bool reloadable, void *arg)
{
	struct buf *seen = arg;

	buf_printf(seen, "%s%s ", k->key, reloadable ? "+" : "-");
}

static void test_diff(void **state)
{
	static const char *const set[] = { "log.level=warn", "name=other", NULL };
	struct settings other = { 0 };
	const struct conf_source src = { .set = set };
	struct fixture *f = *state;
	struct buf seen;

	assert_int_equal(load(f, NULL, NULL, NULL), 0);
	assert_int_equal(conf_load(&table, &other, &src, &f->errs), 0);
	buf_init(&seen, 200);
	conf_diff(&table, &f->s, &f->s, on_difference, &seen);
	assert_string_equal(buf_cstr(&seen), "");
	conf_diff(&table, &f->s, &other, on_difference, &seen);
	assert_string_equal(buf_cstr(&seen), "log.level+ name- ");
	buf_free(&seen);
	conf_free(&table, &other);
}

static void test_required(void **state)
{
	static const struct conf_key required[] = {
		{ .key = "token", .env = "T_TOKEN", .type = CONF_STR, .offset = AT(name), .min = 3, .help = "Needed." },
	};
	static const struct conf_table t = { .program = "testd", .keys = required, .n = 1 };
	static const char *const too_short[] = { "T_TOKEN=ab", NULL };
	static const char *const good[] = { "T_TOKEN=abc", NULL };
	struct fixture *f = *state;

	assert_int_equal(conf_load(&t, &f->s, &(struct conf_source){ .env = NULL }, &f->errs), -1);
	assert_string_equal(f->errs.items[0].constraint, "required");
	assert_non_null(strstr(f->errs.items[0].msg, "T_TOKEN"));
	memset(&f->errs, 0, sizeof f->errs);
	assert_int_equal(conf_load(&t, &f->s, &(struct conf_source){ .env = too_short }, &f->errs), -1);
	assert_int_equal(f->errs.n, 1); /* not "required" as well */
	assert_string_equal(f->errs.items[0].constraint, "length");
	assert_int_equal(conf_load(&t, &f->s, &(struct conf_source){ .env = good }, &f->errs), 0);
	assert_string_equal(f->s.name, "abc");
}

/* What begins like our names and is none: warned about, with the nearest one. */
static void test_misspelt_environment(void **state)
{
	static const char *const env[] = { "T_LOG_LEVL=warn", "T_NAME=x", "T_OLD=x", "LOG_LEVEL=warn",
		"T_EMPTY_ONE=", "T_", "OTHER=1", "T_ABSOLUTELY_ELSEWHERE=1", NULL };
	struct fixture *f = *state;
	const struct conf_source src = { .env = env };
	char text[4096];
	FILE *log = tmpfile();
	size_t n;

	assert_non_null(log);
	log_init("t", LOG_LEVEL_WARN, LOG_FORMAT_TEXT, fileno(log));
	assert_int_equal(conf_load(&table, &f->s, &src, &f->errs), 0);
	log_init("t", LOG_LEVEL_WARN, LOG_FORMAT_TEXT, 2);
	rewind(log);
	n = fread(text, 1, sizeof text - 1, log);
	text[n] = '\0';
	fclose(log);
	assert_non_null(strstr(text, "name=T_LOG_LEVL nearest=T_LOG_LEVEL"));
	assert_non_null(strstr(text, "name=T_ABSOLUTELY_ELSEWHERE nearest=\"\""));
	assert_null(strstr(text, "T_EMPTY_ONE"));
	assert_null(strstr(text, "name=T_NAME"));
	assert_null(strstr(text, "OTHER"));
	assert_null(strstr(text, "name=T_OLD"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_misspelt_environment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_order_of_sources, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_own_name_wins_over_alias, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all_errors_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_secrets_stay_hidden, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_printed_values_read_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_printed_values_are_nested, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_example_holds_the_defaults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_help_and_mdoc_name_every_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_diff, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_required, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
