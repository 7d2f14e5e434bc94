/*
 * service - the agent as a service of systemd: writes its unit and starts it, or takes it away again.
 */
#include "client/agent/unit.h"
#include "client/api/failure.h"
#include "client/commands/command.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ; /* POSIX has no header for it */

#define PATH_SIZE   1024
#define UNIT_MAX    8192
#define CONFIG_FILE "%E/portway/agent.yaml" /* /etc, or the user's ~/.config */

struct service {
	struct unit unit;
	char program[PATH_SIZE];
	char folder[PATH_SIZE];
	char path[PATH_SIZE]; /* of the unit */
};

static int find_folder(struct service *s)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (!s->unit.user)
		return str_copy(s->folder, sizeof s->folder, "/etc/systemd/system");
	if (config != NULL && config[0] == '/')
		return str_fmt(s->folder, sizeof s->folder, "%s/systemd/user", config);
	return home != NULL ? str_fmt(s->folder, sizeof s->folder, "%s/.config/systemd/user", home) : -1;
}

static int prepare(const struct invocation *in, struct service *s, struct err *e)
{
	const char *program = options_text(&in->options, "program", NULL);
	ssize_t n = readlink("/proc/self/exe", s->program, sizeof s->program - 1);

	s->program[MAX(n, 0)] = '\0';
	s->unit = (struct unit){ .program = program != NULL ? program : s->program,
		.config = options_text(&in->options, "config", CONFIG_FILE),
		.user = options_has(&in->options, "user") };
	if (s->unit.config[0] != '/' && s->unit.config[0] != '%')
		return err_set(
			e, ERR_VALIDATION, "config", "--config must be an absolute path, not '%s'", s->unit.config);
	if (find_folder(s) != 0 || str_fmt(s->path, sizeof s->path, "%s/" UNIT_NAME, s->folder) != 0)
		return err_set(e, ERR_VALIDATION, NULL, "no folder for the unit: HOME is not set");
	return 0;
}

/* Without a shell; its own messages go to our standard error. */
static int systemctl(const struct service *s, const char *verb, const char *word, const char *unit)
{
	char *const argv[] = { "systemctl", s->unit.user ? "--user" : "--system", (char *)verb,
		(char *)(word != NULL ? word : unit), (char *)(word != NULL ? unit : NULL), NULL };
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, "systemctl", NULL, NULL, argv, environ) != 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int fail(const struct invocation *in, const struct err *e)
{
	struct failure f;

	failure_from_err(&f, e->code == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_BAD_NEWS, e);
	return invocation_fail(in, &f);
}

static void say(FILE *out, const char *what, const char *path)
{
	text_printf(out, "%s %s", what, path);
	(void)fputc('\n', out);
}

static int install(const struct invocation *in, const struct service *s)
{
	struct buf text;
	struct err e = { .code = ERR_NONE };
	int r;

	buf_init(&text, UNIT_MAX);
	unit_print(&s->unit, &text);
	r = text.failed ? err_set(&e, ERR_NOMEM, NULL, "out of memory") : file_mkdirs(s->folder, 0755, &e);
	if (r == 0)
		r = file_write_atomic(s->path, text.data, text.len, 0644, &e);
	buf_free(&text);
	if (r != 0)
		return fail(in, &e);
	say(in->out, "Wrote", s->path);
	if (options_has(&in->options, "no-start"))
		return EXIT_DONE;
	if (systemctl(s, "daemon-reload", NULL, NULL) == 0 && systemctl(s, "enable", "--now", UNIT_NAME) == 0) {
		say(in->out, "Started", UNIT_NAME);
		return EXIT_DONE;
	}
	err_set(&e, ERR_UNAVAILABLE, NULL,
		"systemctl could not start it: see above and 'systemctl %sstatus " UNIT_NAME "'; settings are in "
		"%s, the token in agent.env beside it",
		s->unit.user ? "--user " : "",
		s->unit.user ? "~/.config/portway/agent.yaml" : "/etc/portway/agent.yaml");
	return fail(in, &e);
}

static int uninstall(const struct invocation *in, const struct service *s)
{
	struct err e = { .code = ERR_NONE };

	if (access(s->path, F_OK) != 0) {
		err_set(&e, ERR_NOT_FOUND, NULL, "there is no %s", s->path);
		return fail(in, &e);
	}
	if (!options_has(&in->options, "no-start") && systemctl(s, "disable", "--now", UNIT_NAME) != 0)
		(void)fprintf(stderr, "%s: systemctl could not stop it\n", in->who);
	if (unlink(s->path) != 0) {
		err_set_sys(&e, ERR_IO, errno, "%s", s->path);
		return fail(in, &e);
	}
	if (!options_has(&in->options, "no-start"))
		(void)systemctl(s, "daemon-reload", NULL, NULL);
	say(in->out, "Removed", s->path);
	return EXIT_DONE;
}

static int print(const struct invocation *in, const struct service *s)
{
	struct buf text;
	int r;

	buf_init(&text, UNIT_MAX);
	unit_print(&s->unit, &text);
	r = !text.failed && fwrite(text.data, 1, text.len, in->out) == text.len ? EXIT_DONE : EXIT_BAD_NEWS;
	buf_free(&text);
	return r;
}

int command_service(struct invocation *in)
{
	static const struct {
		const char *word;
		int (*run)(const struct invocation *in, const struct service *s);
	} words[] = { { "install", install }, { "print", print }, { "uninstall", uninstall } };
	struct service s = { .unit = { .program = NULL } };
	struct err e = { .code = ERR_NONE };

	if (prepare(in, &s, &e) != 0)
		return invocation_usage(in, "%s", e.msg);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(words[i].word, in->argv[0]))
			return words[i].run(in, &s);
	return invocation_usage(in, "it takes install, uninstall or print, not '%s'", in->argv[0]);
}
