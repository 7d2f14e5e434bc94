#include "controld/db_command.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/keys.h"
#include "controld/options.h"
#include "controld/rotate.h"
#include "controld/store/chain.h"
#include "controld/store/migrate.h"
#include "controld/store/store.h"
#include "controld/store/upkeep.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

/* What a command works on. */
struct target {
	const struct options *options;
	const char *file; /* argument of backup and restore */
	char url[PATH_MAX + 16];
	char samples_url[PATH_MAX + 16];
	const char *from, *to;    /* of a copy */
	struct upkeep_lock *lock; /* of a command that wants to be alone */
};

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static int open_store(const struct target *t, bool existing, struct store **out, struct err *e)
{
	const struct store_conf conf = { .url = t->url, .readers = 1, .existing = existing, .alone = t->lock != NULL };

	return store_open(out, &conf, e);
}

static int migrate(struct target *t, bool existing, struct err *e)
{
	struct store *s;
	unsigned applied;
	int rc;

	if (open_store(t, existing, &s, e) != 0)
		return -1;
	if ((rc = migrate_main(s, &applied, e)) == 0)
		printf("%u migration%s applied\n", applied, applied == 1 ? "" : "s");
	store_close(s);
	return rc;
}

static int run_init(struct target *t, struct err *e)
{
	return migrate(t, false, e);
}

/* Migrations build on each other, so the one that is wanted brings all before it; it only has to be known. */
static int run_migrate(struct target *t, struct err *e)
{
	const char *schema = t->options->schema;

	for (size_t i = 0; schema != NULL && i < migrations_main.n; i++)
		if (str_starts(schema, migrations_main.rows[i].name))
			schema = NULL;
	if (schema != NULL)
		return err_set(
			e, ERR_NOT_FOUND, NULL, "-schema: there is no migration %s ('controld db list')", schema);
	return migrate(t, true, e);
}

static void print_migration(const struct migration *m, int64_t applied_ms, void *arg)
{
	char when[CLOCK_RFC3339_SIZE] = "not applied";

	(void)arg;
	if (applied_ms != 0)
		clock_rfc3339(when, applied_ms);
	printf("%-24s %-26s %.12s\n", m->name, when, m->checksum);
}

/* What there is to apply is known without a database. */
static int list_without(const struct err *e)
{
	fprintf(stderr, "controld db list: %s yet; controld db init makes one\n", e->msg);
	for (size_t i = 0; i < migrations_main.n; i++)
		print_migration(&migrations_main.rows[i], 0, NULL);
	return 0;
}

static int run_list(struct target *t, struct err *e)
{
	struct store *s;
	int rc;

	if (open_store(t, true, &s, e) != 0)
		return e->code == ERR_NOT_FOUND ? list_without(e) : -1;
	rc = migrate_list(s, &migrations_main, print_migration, NULL, e);
	store_close(s);
	return rc;
}

static int show_progress(uint64_t done, uint64_t total, void *arg)
{
	if (*(bool *)arg)
		fprintf(stderr, "\r%3u %%%s", total ? (unsigned)(done * 100 / total) : 100, done == total ? "\n" : "");
	return 0;
}

static int run_backup(struct target *t, struct err *e)
{
	bool terminal = isatty(STDERR_FILENO);

	if (!t->options->force && access(t->file, F_OK) == 0)
		return err_set(e, ERR_ALREADY_EXISTS, NULL, "%s is there already; --force writes over it", t->file);
	if (upkeep_backup(t->url, t->file, show_progress, &terminal, e) != 0)
		return -1;
	printf("written to %s; keep master.key with it, in another place\n", t->file);
	return 0;
}

static int run_restore(struct target *t, struct err *e)
{
	bool terminal = isatty(STDERR_FILENO);

	if (upkeep_restore(t->url, t->file, show_progress, &terminal, e) != 0)
		return -1;
	printf("restored from %s; relays take a fresh snapshot when controld starts\n", t->file);
	return 0;
}

/* The database's name, as a person calls it: the last part of its URL, without what follows a question mark. */
static void name_of(const char *url, char *dst, size_t size)
{
	const size_t end = str_starts(url, "sqlite:") ? strlen(url) : strcspn(url, "?");
	size_t at = end;

	while (at > 0 && url[at - 1] != '/' && url[at - 1] != ':')
		at--;
	(void)str_fmt(dst, size, "%.*s", (int)(end - at), url + at);
}

static int confirm(const struct target *t, struct err *e)
{
	char name[256], answer[256] = "";

	name_of(t->url, name, sizeof name);
	if (t->options->yes != NULL) {
		(void)str_copy(answer, sizeof answer, t->options->yes);
	} else if (isatty(STDIN_FILENO)) {
		fprintf(stderr, "This erases everything in the database %s.\nType its name to go on: ", name);
		if (fgets(answer, sizeof answer, stdin) != NULL)
			answer[strcspn(answer, "\n")] = '\0';
	} else {
		return err_set(e, ERR_BAD_REQUEST, NULL, "no terminal to ask on; say --yes %s", name);
	}
	return str_eq(answer, name) ? 0 : err_set(e, ERR_BAD_REQUEST, NULL, "not confirmed, nothing was changed");
}

static int run_reset(struct target *t, struct err *e)
{
	if (confirm(t, e) != 0 || upkeep_erase(t->url, false, e) != 0)
		return -1;
	/* samples belong to the database of the settings, not to one that was named */
	if (t->options->database == NULL && upkeep_erase(t->samples_url, true, e) != 0)
		return -1;
	return migrate(t, false, e);
}

static void print_table(const char *name, uint64_t rows, const char *digest, void *arg)
{
	(void)arg;
	printf("%-24s %12" PRIu64 " rows  %.16s\n", name, rows, digest);
}

/* Where the samples of a database are: in it, or in the file beside it; those of the settings may be elsewhere. */
static int samples_of(const struct target *t, const char *url, char *dst, size_t size)
{
	const char *slash = strrchr(url, '/');

	if (str_eq(url, t->url))
		return str_copy(dst, size, t->samples_url);
	if (!str_starts(url, "sqlite:"))
		return str_copy(dst, size, url);
	if (slash == NULL)
		return str_copy(dst, size, "sqlite:samples.db");
	return str_fmt(dst, size, "%.*s/samples.db", (int)(slash - url), url);
}

/* Nobody may be at work on either: what is written meanwhile would be left behind. */
static int run_copy(struct target *t, struct err *e)
{
	char from_samples[PATH_MAX + 16], to_samples[PATH_MAX + 16];
	bool terminal = isatty(STDERR_FILENO);
	const struct upkeep_copy copy = { .from = t->from,
		.from_samples = from_samples,
		.to = t->to,
		.to_samples = to_samples,
		.replace = t->options->replace,
		.progress = show_progress,
		.table = print_table,
		.arg = &terminal };
	struct upkeep_lock *from = NULL, *to = NULL;
	int rc = -1;

	if (upkeep_same(t->from, t->to))
		return err_set(e, ERR_BAD_REQUEST, NULL, "FROM and TO are the same database%s",
			t->from == t->to ? ": - is that of the settings" : "");
	if (samples_of(t, t->from, from_samples, sizeof from_samples) != 0 ||
		samples_of(t, t->to, to_samples, sizeof to_samples) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "name of a database too long");
	if (upkeep_lock(&from, t->from, true, e) == 0 && upkeep_lock(&to, t->to, true, e) == 0)
		rc = upkeep_copy(&copy, e);
	upkeep_unlock(to);
	upkeep_unlock(from);
	if (rc == 0)
		printf("copied and compared; keep master.key, the copy is of no use without it\n");
	return rc;
}

/* ---- the master key ---------------------------------------------------------------------------------------------- */

static int rotate(const struct target *t, const struct settings *s, struct err *e)
{
	struct store *store;
	uint64_t n = 0;
	int rc = -1;

	if (open_store(t, true, &store, e) != 0)
		return -1;
	if (migrate_main(store, NULL, e) == 0 && keys_load(store, s, e) == 0 && (rc = rotate_all(store, &n, e)) == 0)
		printf("%" PRIu64 " value%s sealed with the new key\n", n, n == 1 ? "" : "s");
	store_close(store);
	return rc;
}

/* With a key file the old one is at work in a controld that runs, which would not know the new one. */
static int rotate_file(struct target *t, const struct settings *s, struct err *e)
{
	if (upkeep_lock(&t->lock, t->url, true, e) != 0 || keys_renew(s, e) != 0 || rotate(t, s, e) != 0 ||
		keys_forget_old(s, e) != 0)
		return -1;
	printf("%s/master.key is a new one: keep a copy of it; backups from before need the one before\n", s->data_dir);
	return 0;
}

static int run_rotate_key(struct target *t, struct err *e)
{
	struct settings *s;
	int rc;

	if (options_settings_or_say(t->options, &s) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "the settings are not good");
	rc = keys_in_file(s) ? rotate_file(t, s, e) : rotate(t, s, e);
	settings_free(s);
	return rc;
}

/* ---- the change log ---------------------------------------------------------------------------------------------- */

static int print_report(const struct chain_report *r, struct err *e)
{
	if (r->broken_at != 0)
		return err_set(e, ERR_STORAGE, NULL, "the change log is not as it was written: row %" PRId64 ": %s",
			r->broken_at, r->why);
	printf("%" PRIu64 " rows, %" PRId64 " to %" PRId64 ", are as they were written\n", r->rows, r->first, r->last);
	if (r->unchained > 0)
		printf("%" PRIu64 " of them are from before there was a chain\n", r->unchained);
	if (r->erased > 0)
		printf("of %" PRIu64 " the object was erased\n", r->erased);
	printf("head %s\n", r->head[0] != '\0' ? r->head : "-");
	return 0;
}

static int run_verify(struct target *t, struct err *e)
{
	struct chain_report report;
	struct store *store;
	struct db *db;
	int rc = -1;

	if (open_store(t, true, &store, e) != 0)
		return -1;
	if (store_read_begin(store, &db, e) == 0) {
		rc = chain_verify(db, &report, e);
		store_read_end(db);
	}
	store_close(store);
	return rc == 0 ? print_report(&report, e) : -1;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct command {
	const char *name;
	const char *arg; /* NULL: none */
	size_t n_args;
	bool alone; /* not while a controld runs on it */
	int (*run)(struct target *t, struct err *e);
	const char *help;
} commands[] = {
	{ "init", NULL, 0, false, run_init, "make a new database" },
	{ "migrate", NULL, 0, false, run_migrate, "bring it to this program's version (a start does the same)" },
	{ "list", NULL, 0, false, run_list, "list the migrations and when they were applied" },
	{ "backup", "FILE", 1, false, run_backup, "write a consistent copy; controld may be running" },
	{ "restore", "FILE", 1, true, run_restore, "replace it by a copy" },
	{ "reset", NULL, 0, true, run_reset, "erase everything; asks for the database's name" },
	{ "copy", "FROM TO", 2, false, run_copy,
		"move an installation from one database to another (URLs, or - for the settings')" },
	{ "verify", NULL, 0, false, run_verify, "see whether the change log is as it was written" },
	{ "rotate-key", NULL, 0, false, run_rotate_key, "seal everything with another master key; may be run again" },
};

static void print_help(FILE *out)
{
	fputs("usage: controld db COMMAND [FLAG...]\n\ncommands:\n", out);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(out, "  %-10s %-7s %s\n", commands[i].name, commands[i].arg ? commands[i].arg : "",
			commands[i].help);
	fputs("  help               print this\n"
	      "\nflags:\n"
	      "  -database URL  the database, instead of database.url of the settings\n"
	      "  -schema NAME   migrate: the migration that is wanted\n"
	      "  --yes NAME     reset: do not ask\n"
	      "  --replace      copy: erase what is in the target\n"
	      "  --force        backup: write over a file that is there\n"
	      "  --config FILE, --set KEY=VALUE as for controld\n",
		out);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_eq(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* On a terminal a command that was not named is picked by number. */
static const struct command *command_pick(void)
{
	char answer[16];
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].arg == NULL)
			fprintf(stderr, "  %zu  %-8s %s\n", i + 1, commands[i].name, commands[i].help);
	fputs("Which one? ", stderr);
	if (fgets(answer, sizeof answer, stdin) == NULL)
		return NULL;
	answer[strcspn(answer, "\n")] = '\0';
	if (str_to_u64(answer, 1, ARRAY_LEN(commands), &n) != 0 || commands[n - 1].arg != NULL)
		return NULL;
	return &commands[n - 1];
}

/* ---- finding the target ------------------------------------------------------------------------------------------ */

static int target_from_settings(struct target *t)
{
	struct settings *s;
	struct err e = { 0 };
	int rc;

	if (options_settings_or_say(t->options, &s) != 0)
		return -1;
	rc = settings_database_url(s, t->url, sizeof t->url);
	if (t->options->database != NULL)
		rc = str_copy(t->url, sizeof t->url, t->options->database);
	if (rc == 0)
		rc = settings_samples_url(s, t->samples_url, sizeof t->samples_url);
	if (rc == 0 && t->options->database == NULL && (rc = file_mkdirs(s->data_dir, 0700, &e)) != 0)
		fprintf(stderr, "controld db: %s\n", e.msg);
	settings_free(s);
	return rc;
}

static int command_run(const struct command *c, struct target *t)
{
	struct err e = { 0 };
	int rc;

	if (target_from_settings(t) != 0)
		return EXIT_FAILED;
	t->from = str_eq(t->from, "-") ? t->url : t->from;
	t->to = str_eq(t->to, "-") ? t->url : t->to;
	if (c->alone && upkeep_lock(&t->lock, t->url, true, &e) != 0)
		rc = -1;
	else
		rc = c->run(t, &e);
	upkeep_unlock(t->lock);
	if (rc != 0)
		fprintf(stderr, "controld db %s: %s\n", c->name, e.msg);
	return rc == 0 ? EXIT_OK : EXIT_FAILED;
}

int db_command(int argc, char **argv)
{
	struct options o;
	struct target t = { .options = &o };
	const struct command *c;
	struct err e = { 0 };

	log_init("controld", LOG_LEVEL_WARN, LOG_FORMAT_TEXT, STDERR_FILENO);
	umask(077);
	if (options_parse(&o, argc, argv, true, &e) != 0) {
		fprintf(stderr, "controld db: %s\n", e.msg);
		return EXIT_USAGE;
	}
	if (o.action == OPTIONS_HELP || (o.n_args > 0 && str_eq(o.args[0], "help"))) {
		print_help(stdout);
		return EXIT_OK;
	}
	if (o.n_args == 0 && isatty(STDIN_FILENO) && isatty(STDERR_FILENO))
		c = command_pick();
	else
		c = o.n_args > 0 ? command_find(o.args[0]) : NULL;
	if (c == NULL || (o.n_args > 0 && o.n_args != 1 + c->n_args)) {
		if (o.n_args > 0)
			fprintf(stderr,
				c == NULL ? "controld db: there is no command %s\n"
					  : "controld db %s: wrong number of arguments\n",
				o.args[0]);
		print_help(stderr);
		return EXIT_USAGE;
	}
	t.file = t.from = o.args[1];
	t.to = o.args[2];
	return command_run(c, &t);
}
