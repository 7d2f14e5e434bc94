#define _GNU_SOURCE
#include "client/agent/process.h"

#include "client/agent/agent.h"
#include "client/agent/status_socket.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/sd_notify.h"
#include "common/base/str.h"
#include "common/uv/fd_budget.h"
#include "common/uv/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

static const int signal_numbers[] = { SIGTERM, SIGINT, SIGHUP };

struct process {
	const struct process_conf *conf;
	struct fd_budget fds;
	struct worker worker;
	uv_signal_t signals[ARRAY_LEN(signal_numbers)];
	struct agent *agent;
	struct status_socket *status;
	bool leaving;
	enum command_exit code;
	struct err *why;
};

/* ---- what the agent tells ----------------------------------------------------------------------------------------- */

static void on_ready(void *arg)
{
	struct process *p = arg;

	sd_notify_send("STATUS=connected");
	if (p->conf->on_ready != NULL)
		p->conf->on_ready(p->conf->arg);
}

static void on_visit(void *arg, const struct agent_visit *v)
{
	struct process *p = arg;

	if (p->conf->on_visit != NULL)
		p->conf->on_visit(p->conf->arg, v);
}

static void on_target(void *arg, const struct agent_target *t)
{
	struct process *p = arg;

	if (p->conf->on_target != NULL)
		p->conf->on_target(p->conf->arg, t);
}

static void on_over(void *arg, enum command_exit code, const char *why)
{
	struct process *p = arg;

	p->code = code;
	if (code != EXIT_DONE)
		err_set(p->why, code == EXIT_CONFLICT ? ERR_CONFLICT : ERR_AUTHENTICATION_FAILED, NULL,
			code == EXIT_BAD_NEWS ? "its links are lost, and the client's auto_reconnect is off: %s"
					      : "no relay takes this agent, and none will: %s",
			why);
	worker_stop(&p->worker);
}

static void print_status(void *arg, struct buf *out)
{
	struct process *p = arg;

	agent_print(p->agent, out);
}

/* ---- signals ------------------------------------------------------------------------------------------------------ */

static void process_reload(struct process *p)
{
	struct settings next;
	struct err e = { .code = ERR_NONE };

	if (p->conf->load == NULL || p->leaving)
		return;
	sd_notify_reloading();
	if (p->conf->load(p->conf->arg, &next, &e) != 0) {
		char why[sizeof e.msg + 32];

		log_error("settings_not_reloaded", log_s("what_to_do", "correct them; the old ones hold"));
		(void)str_fmt(why, sizeof why, "the old ones hold: %s", e.msg);
		agent_note_reload(p->agent, why);
	} else {
		log_set_level((enum log_level)next.log_level);
		if (agent_reload(p->agent, &next, &e) != 0)
			log_error("settings_not_reloaded", log_err(&e));
		else
			log_info("settings_reloaded");
		agent_note_reload(p->agent, e.code != ERR_NONE ? e.msg : "");
	}
	sd_notify_send("READY=1");
}

static void on_signal(uv_signal_t *h, int number)
{
	struct process *p = h->data;

	log_info("signal", log_i("number", number));
	if (number == SIGHUP) {
		process_reload(p);
	} else if (p->leaving) {
		agent_stop(p->agent);
	} else {
		p->leaving = true;
		sd_notify_send("STOPPING=1");
		agent_drain(p->agent);
	}
}

/* libuv's loop is run by the worker when one of its descriptors is ready: it has to know them before. */
static void open_signals(struct process *p)
{
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < ARRAY_LEN(signal_numbers); i++) {
		uv_signal_init(&p->worker.uv, &p->signals[i]);
		p->signals[i].data = p;
		uv_signal_start(&p->signals[i], on_signal, signal_numbers[i]);
		sigaddset(&held, signal_numbers[i]);
	}
	pthread_sigmask(SIG_UNBLOCK, &held, NULL); /* one that came before is heard now */
	uv_run(&p->worker.uv, UV_RUN_NOWAIT);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static uint32_t raise_descriptors(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return 1024;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return 1024;
	return (uint32_t)MIN(l.rlim_cur, 1u << 20);
}

static void on_wake(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

static int process_start(struct process *p, struct settings *s, struct err *e)
{
	static const struct agent_events events = { on_ready, on_over, on_visit, on_target };

	if (p->conf->answers && status_socket_open(&p->status, &p->worker, s->runtime_dir, print_status, p, e) != 0) {
		settings_free(s);
		return -1;
	}
	if (agent_open(&p->agent, &p->worker, s, &events, p, e) != 0)
		return -1;
	if (p->conf->target != NULL)
		agent_try_target(p->agent, p->conf->target, p->conf->target_port);
	return 0;
}

enum command_exit process_run(const struct process_conf *conf, struct err *e)
{
	struct process *p = calloc(1, sizeof *p);
	enum command_exit code = EXIT_BAD_NEWS;

	if (p == NULL) {
		settings_free(conf->settings);
		err_set(e, ERR_NOMEM, NULL, "out of memory");
		return EXIT_BAD_NEWS;
	}
	p->conf = conf;
	p->why = e;
	(void)signal(SIGPIPE, SIG_IGN);
	fd_budget_init(&p->fds, raise_descriptors());
	if (worker_init(&p->worker, 0, &p->fds, on_wake, NULL, e) != 0) {
		settings_free(conf->settings);
		free(p);
		return EXIT_BAD_NEWS;
	}
	open_signals(p);
	if (process_start(p, conf->settings, e) == 0) {
		sd_notify_send(
			"READY=1\nSTATUS=connecting"); /* a relay that is away must not hold up the machine's start */
		worker_run(&p->worker);
		code = p->code;
	} else if (e->code == ERR_CONFLICT) {
		code = EXIT_CONFLICT;
	}
	status_socket_close(p->status);
	if (p->agent != NULL)
		agent_free(p->agent);
	worker_fini(&p->worker);
	free(p);
	return code;
}
