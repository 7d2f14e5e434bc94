/*
 * agent - keeps this machine's tunnels up: runs the agent here, or asks the one that runs how it is.
 */
#define _GNU_SOURCE
#include "client/agent/process.h"
#include "client/agent/status_socket.h"
#include "client/api/failure.h"
#include "client/commands/command.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RELOAD_LOOK_NS 50000000 /* between two looks whether the agent has read its settings */
#define RELOAD_LOOKS   200

/* ---- settings ----------------------------------------------------------------------------------------------------- */

static int load(const struct invocation *in, struct settings *out, struct err *e)
{
	const char *set[OPTIONS_MAX + 1] = { NULL };
	const struct conf_source src = { .file = options_text(&in->options, "config", NULL),
		.file_must_exist = true,
		.env = (const char *const *)environ,
		.set = set };
	struct err_list *errs = calloc(1, sizeof *errs);
	size_t n = 0;
	int r;

	if (errs == NULL)
		return err_set(e, ERR_NOMEM, NULL, "out of memory");
	for (size_t i = 0; i < in->options.n; i++)
		if (str_eq(in->options.given[i].row->name, "set"))
			set[n++] = in->options.given[i].text;
	r = settings_load(out, &src, errs);
	for (size_t i = 0; i < errs->n; i++) {
		text_printf(stderr, "%s: %s", in->who, errs->items[i].msg);
		(void)fputc('\n', stderr);
	}
	if (r != 0)
		err_set(e, ERR_VALIDATION, NULL, "%s%s", errs->n > 0 ? errs->items[0].msg : "they are wrong",
			errs->n > 1 ? ", and more (the agent's log has all)" : "");
	free(errs);
	return r;
}

static int on_reload(void *arg, struct settings *out, struct err *e)
{
	return load(arg, out, e);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static int run(struct invocation *in)
{
	struct settings s;
	const struct process_conf conf = { .settings = &s, .answers = true, .load = on_reload, .arg = in };
	struct err e = { .code = ERR_NONE };
	enum command_exit code;

	umask(077);
	if (load(in, &s, &e) != 0)
		return EXIT_USAGE;
	if (options_has(&in->options, "check-config") || options_has(&in->options, "print-config")) {
		if (options_has(&in->options, "print-config"))
			conf_print(settings_table(), &s, in->out);
		settings_free(&s);
		return EXIT_DONE;
	}
	log_init("portway-agent", (enum log_level)s.log_level, (enum log_format)s.log_format, 2);
	log_info("start", log_s("version", PORTWAY_VERSION), log_i("pid", getpid()), log_s("relays", s.relays));
	code = process_run(&conf, &e);
	if (code != EXIT_DONE)
		log_error("end", log_i("status", code), log_err(&e));
	else
		log_info("end", log_i("status", code));
	return (int)code;
}

/* ---- how it is ---------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s != NULL ? s : "-";
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void line(FILE *out, const char *fmt, ...) PRINTF(2, 3);
static void line(FILE *out, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	text_put(out, text);
	(void)fputc('\n', out);
}

static void print_link(FILE *out, const json_t *link)
{
	if (json_object_get(link, "rtt_us") != NULL)
		line(out, "    %-10s %-22s since %s  rtt %.1f ms  %lld streams  %lld bytes in, %lld out",
			text_of(link, "state"), text_of(link, "address"), text_of(link, "since"),
			(double)number_of(link, "rtt_us") / 1000, number_of(link, "streams"),
			number_of(link, "bytes_in"), number_of(link, "bytes_out"));
	else if (json_object_get(link, "dials_in_ms") != NULL)
		line(out, "    %-10s next try in %.1f s", text_of(link, "state"),
			(double)number_of(link, "dials_in_ms") / 1000);
	else
		line(out, "    %-10s %s", text_of(link, "state"), text_of(link, "address"));
}

static void print_relay(FILE *out, const json_t *relay)
{
	const json_t *link;
	size_t i;

	line(out, "  %s (%s): %s", text_of(relay, "relay"), text_of(relay, "node"), text_of(relay, "state"));
	if (json_is_string(json_object_get(relay, "last_error")))
		line(out, "    last error %s: %s", text_of(relay, "last_error_at"), text_of(relay, "last_error"));
	json_array_foreach(json_object_get(relay, "links"), i, link) print_link(out, link);
}

static void print_away(FILE *out, const json_t *target)
{
	line(out, "  %s:%lld cannot be reached since %s, by %lld connections: %s", text_of(target, "host"),
		number_of(target, "port"), text_of(target, "since"), number_of(target, "failures"),
		text_of(target, "reason"));
}

static void print_table(FILE *out, const json_t *status)
{
	const json_t *counters = json_object_get(status, "counters"), *relay, *target;
	const char *name;
	json_t *value;
	size_t i;

	line(out, "agent %s of client %s: %s, pid %lld, since %s", text_of(status, "version"),
		text_of(status, "client"), text_of(status, "state"), number_of(status, "pid"),
		text_of(status, "started_at"));
	line(out, "  instance %s, may dial %s", text_of(status, "instance"), text_of(status, "allow"));
	line(out, "  now %lld TCP connections, %lld UDP sessions", number_of(status, "tcp"), number_of(status, "udp"));
	json_object_foreach((json_t *)counters, name, value)
		line(out, "  %-24s %lld", name, (long long)json_integer_value(value));
	json_array_foreach(json_object_get(status, "targets_away"), i, target) print_away(out, target);
	(void)fputs("relays:\n", out);
	json_array_foreach(json_object_get(status, "relays"), i, relay) print_relay(out, relay);
	if (json_is_string(json_object_get(status, "settings_error")))
		line(out, "last reload failed: %s", text_of(status, "settings_error"));
}

static int print_status(const struct invocation *in, struct buf *answer)
{
	const enum print_format format = invocation_format(in);
	json_t *status = json_loads(buf_cstr(answer), 0, NULL);
	int rc = 0;

	if (status == NULL)
		return EXIT_BAD_NEWS;
	if (format == PRINT_JSON)
		rc = print_json_line(in->out, status);
	else if (format == PRINT_YAML)
		rc = print_yaml(in->out, status);
	else
		print_table(in->out, status);
	json_decref(status);
	return rc == 0 ? EXIT_DONE : EXIT_BAD_NEWS;
}

/* Where an agent may run: what is asked for, else this user's folder, else the system's. */
static int ask(const struct invocation *in, struct buf *out, struct err *e)
{
	const char *given = options_text(&in->options, "runtime-dir", getenv("PORTWAY_AGENT_RUNTIME_DIR"));
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	char own[512] = "";

	if (given != NULL)
		return status_socket_ask(given, out, e);
	if (geteuid() != 0 && runtime != NULL)
		(void)str_fmt(own, sizeof own, "%s/portway", runtime);
	else if (geteuid() != 0 && home != NULL)
		(void)str_fmt(own, sizeof own, "%s/.cache/portway", home);
	if (own[0] != '\0' && status_socket_ask(own, out, e) == 0)
		return 0;
	return status_socket_ask("/run/portway-agent", out, e);
}

static int status(const struct invocation *in)
{
	struct buf answer;
	struct failure f;
	struct err e;
	int rc;

	buf_init(&answer, STATUS_ANSWER_BYTES + 4096);
	if (ask(in, &answer, &e) == 0) {
		rc = print_status(in, &answer);
	} else {
		failure_from_err(&f, e.code == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_BAD_NEWS, &e);
		rc = invocation_fail(in, &f);
	}
	buf_free(&answer);
	return rc;
}

/* ---- reload ------------------------------------------------------------------------------------------------------- */

/* NULL: *e says why there is no answer. */
static json_t *ask_json(const struct invocation *in, struct err *e)
{
	struct buf answer;
	json_t *status = NULL;

	buf_init(&answer, STATUS_ANSWER_BYTES + 4096);
	if (ask(in, &answer, e) == 0 && (status = json_loads(buf_cstr(&answer), 0, NULL)) == NULL)
		err_set(e, ERR_PROTOCOL, NULL, "the agent's answer is not JSON");
	buf_free(&answer);
	return status;
}

/* 0: it has; -1 and *e, which says what is wrong with the settings, or that it did not answer in time. */
static int await_reload(const struct invocation *in, long long before, struct err *e)
{
	const struct timespec pause = { .tv_nsec = RELOAD_LOOK_NS };

	for (unsigned i = 0; i < RELOAD_LOOKS; i++) {
		json_t *status = ask_json(in, e);
		const char *wrong = json_string_value(json_object_get(status, "settings_error"));
		const bool done = status == NULL || number_of(status, "reloads") > before;

		if (done && status != NULL && wrong != NULL)
			err_set(e, ERR_VALIDATION, NULL, "settings: %s", wrong);
		json_decref(status);
		if (done)
			return status == NULL || wrong != NULL ? -1 : 0;
		(void)nanosleep(&pause, NULL);
	}
	return err_set(e, ERR_TIMEOUT, NULL, "the agent was told and has not done it yet");
}

static int reload(const struct invocation *in)
{
	struct failure f;
	struct err e = { .code = ERR_NONE };
	json_t *status = ask_json(in, &e);
	const long long before = number_of(status, "reloads"), pid = number_of(status, "pid");
	int rc = -1;

	json_decref(status);
	if (status != NULL && kill((pid_t)pid, SIGHUP) != 0)
		err_set_sys(&e, ERR_PERMISSION, errno, "the agent (pid %lld)", pid);
	else if (status != NULL)
		rc = await_reload(in, before, &e);
	if (rc == 0) {
		line(in->out, "The agent (pid %lld) has its settings anew.", pid);
		return EXIT_DONE;
	}
	failure_from_err(&f, e.code == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_BAD_NEWS, &e);
	return invocation_fail(in, &f);
}

int command_agent(struct invocation *in)
{
	if (options_has(&in->options, "print-example")) {
		conf_print_example(settings_table(), in->out);
		return EXIT_DONE;
	}
	if (options_has(&in->options, "print-mdoc")) {
		conf_print_mdoc(settings_table(), in->out);
		return EXIT_DONE;
	}
	if (in->argc == 0)
		return run(in);
	if (str_eq(in->argv[0], "status"))
		return status(in);
	if (str_eq(in->argv[0], "reload"))
		return reload(in);
	return invocation_usage(in, "it takes nothing, 'status' or 'reload', not '%s'", in->argv[0]);
}
