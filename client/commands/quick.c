#define _GNU_SOURCE
#include "client/commands/quick.h"

#include "client/agent/agent.h"
#include "client/agent/process.h"
#include "client/commands/quick_account.h"
#include "client/commands/quick_mapping.h"
#include "client/commands/quick_news.h"
#include "client/commands/quick_watch.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN "drain_timeout=3s" /* at the end; whoever cannot wait presses Ctrl-C again */

/* ---- for kinds ---------------------------------------------------------------------------------------------------- */

void quick_print_target(const struct quick *q, char dst[QUICK_TEXT_MAX])
{
	(void)str_fmt(dst, QUICK_TEXT_MAX, strchr(q->host, ':') != NULL ? "[%s]:%u" : "%s:%u", q->host, q->port);
}

bool quick_is_by_host(const struct quick *q)
{
	return str_eq(q->protocol, "http") || str_eq(q->protocol, "tls");
}

int quick_find_relays(struct quick *q)
{
	char path[64] = "/api/v1/self/relays";

	if (!q->anonymous)
		(void)str_fmt(path, sizeof path, "/api/v1/clients/%" PRId64 "/relays", q->client.id);
	if (quick_account_call(q, "GET", NULL, &q->relays, "%s", path) != 0)
		return -1;
	if (json_array_size(json_object_get(q->relays, "items")) > 0)
		return 0;
	return failure_set(&q->f, EXIT_NO_ANSWER,
		"no relay takes agents now: one must be online, and have agents.listen set (relayd(8))");
}

json_t *quick_addresses(const struct quick *q, const char *login)
{
	json_t *list = json_array(), *relay;
	size_t i;

	if (quick_is_by_host(q)) {
		(void)json_array_append_new(list, json_string(q->reached_at[0] != '\0' ? q->reached_at : q->host_name));
		return list;
	}
	json_array_foreach(json_object_get(q->relays, "items"), i, relay)
	{
		const char *at = json_string_value(json_object_get(relay, "address"));
		char host[QUICK_HOST_MAX], text[2 * QUICK_HOST_MAX];
		uint16_t port;

		if (at == NULL || addr_split_host(at, host, sizeof host, &port) != 0)
			continue;
		(void)str_fmt(text, sizeof text, strchr(host, ':') != NULL ? "%s%s[%s]:%u" : "%s%s%s:%u",
			q->kind->scheme, login, host, q->source_port);
		(void)json_array_append_new(list, json_string(text));
	}
	return list;
}

json_t *quick_list_of(const char *text)
{
	static const char blanks[] = ", \t";
	json_t *list = json_array();

	for (text += strspn(text, blanks); *text != '\0'; text += strspn(text, blanks)) {
		size_t n = strcspn(text, blanks);

		(void)json_array_append_new(list, json_stringn(text, n));
		text += n;
	}
	return list;
}

/* ---- the agent ---------------------------------------------------------------------------------------------------- */

static int relay_list(const struct quick *q, struct buf *out)
{
	json_t *relay;
	size_t i;

	buf_printf(out, "relays=");
	json_array_foreach(json_object_get(q->relays, "items"), i, relay)
		buf_printf(out, "%s%s", i > 0 ? "," : "", json_string_value(json_object_get(relay, "address")));
	return out->failed ? -1 : 0;
}

static int make_settings(struct quick *q, struct settings *out)
{
	const char *ca = json_string_value(json_object_get(q->relays, "ca_fingerprint"));
	char token[256], allow[QUICK_ALLOW_MAX + 16], listen[QUICK_TEXT_MAX + 16], state[PATH_MAX + 16];
	const char *set[] = { token, allow, listen, state, NULL, DRAIN, "instance=quick", NULL };
	const char *const none[] = { NULL };
	const struct conf_source src = { .env = none, .set = set };
	struct err_list *errs = calloc(1, sizeof *errs);
	struct buf relays;
	int r = -1;

	buf_init(&relays, SETTINGS_RELAYS_MAX * SETTINGS_RELAY_SIZE);
	(void)str_fmt(
		token, sizeof token, "token=%" PRId64 ".%s.%s", q->client.id, q->client.secret, ca != NULL ? ca : "");
	(void)str_fmt(allow, sizeof allow, "allow=%s", q->allow);
	(void)str_fmt(listen, sizeof listen, "listen=%s", q->listen);
	(void)str_fmt(state, sizeof state, "state_dir=%s", q->client.dir);
	if (errs != NULL && relay_list(q, &relays) == 0) {
		set[4] = buf_cstr(&relays);
		r = settings_load(out, &src, errs);
	}
	if (r != 0)
		(void)failure_set(&q->f, EXIT_BAD_NEWS, "controld's answer is of no use to an agent: %s",
			errs != NULL && errs->n > 0 ? errs->items[0].msg : "out of memory");
	explicit_bzero(token, sizeof token);
	buf_free(&relays);
	free(errs);
	return r;
}

static void tell_target(const struct quick *q)
{
	const bool away = q->away[0] != '\0';
	char target[QUICK_TEXT_MAX], text[sizeof q->away + QUICK_TEXT_MAX + 40];
	const char *why = q->away;
	const struct quick_news news = { .event = away ? "target_down" : "target_up",
		.message = text,
		.what_to_do = away ? "start it: whoever connects is turned away until then" : NULL };

	quick_print_target(q, target);
	if (str_starts(why, target) && str_starts(why + strlen(target), ": "))
		why += strlen(target) + 2;
	if (away)
		(void)str_fmt(text, sizeof text, "nothing answers at %s: %s", target, why);
	else
		(void)str_fmt(text, sizeof text, "%s answers now", target);
	quick_news_tell(q->in, &news);
}

static void on_ready(void *arg)
{
	struct quick *q = arg;

	if (q->kind->on_visit != NULL)
		return;
	q->kind->print(q);
	(void)fflush(q->in->out);
	q->ready = true;
	if (q->away[0] != '\0')
		tell_target(q);
}

/* Before it is said where it can be reached it is only noted. */
static void on_target(void *arg, const struct agent_target *t)
{
	struct quick *q = arg;
	const bool was_away = q->away[0] != '\0';

	(void)str_copy(q->away, sizeof q->away, t->why != NULL ? t->why : "");
	if (q->ready && was_away != (q->away[0] != '\0'))
		tell_target(q);
}

/* Until the agent hears signals, and after it, they wait: a mapping that was made must be removed again. */
static void hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int run_agent(struct quick *q)
{
	struct settings s;
	const struct process_conf conf = { .settings = &s,
		.on_ready = on_ready,
		.on_visit = q->kind->on_visit,
		.on_target = q->kind->target && !str_eq(q->protocol, "udp") ? on_target : NULL,
		.target = q->kind->target && !str_eq(q->protocol, "udp") ? q->host : NULL,
		.target_port = q->port,
		.arg = q };
	struct quick_watch *watch = NULL;
	struct err e = { .code = ERR_NONE };
	enum command_exit code;
	int r;

	if (make_settings(q, &s) != 0)
		return -1;
	if (quick_watch_start(&watch, q) != 0) {
		settings_free(&s);
		return -1;
	}
	log_init("portway", options_has(&q->in->options, "verbose") ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, LOG_FORMAT_TEXT,
		2);
	code = process_run(&conf, &e);
	hold_signals();
	q->unwanted = code == EXIT_CREDENTIALS;
	if (q->unwanted)
		r = failure_set(&q->f, code, "%s; run it again, as another client", e.msg);
	else
		r = code == EXIT_DONE ? 0 : failure_from_err(&q->f, code, &e);
	return quick_watch_stop(watch, &q->f) != 0 ? -1 : r;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static int check_account(struct quick *q)
{
	static const char *const of_accounts[] = { "port", "host" };

	q->anonymous = options_has(&q->in->options, "anonymous") || !api_has_credentials(q->api);
	if (q->anonymous && q->kind->account)
		return failure_set(&q->f, EXIT_CREDENTIALS,
			"it needs an account, and nobody is logged in: portway login --url %s", api_url(q->api));
	for (size_t i = 0; q->anonymous && i < ARRAY_LEN(of_accounts); i++)
		if (options_has(&q->in->options, of_accounts[i]))
			return failure_set(&q->f,
				options_has(&q->in->options, "anonymous") ? EXIT_USAGE : EXIT_CREDENTIALS,
				"--%s needs an account: log in at %s (portway login)", of_accounts[i], api_url(q->api));
	return 0;
}

/* The relays are those of the mapping's group, which may be known only now. */
static int set_up(struct quick *q)
{
	if (check_account(q) != 0)
		return -1;
	hold_signals();
	if (quick_account_open(q) != 0 || (q->kind->prepare != NULL && q->kind->prepare(q) != 0) ||
		quick_mapping_make(q) != 0)
		return -1;
	return q->relays != NULL ? 0 : quick_find_relays(q);
}

int quick_run(struct invocation *in, const struct quick_kind *kind, void *own)
{
	struct quick *q = calloc(1, sizeof *q);
	int rc = EXIT_BAD_NEWS;

	if (q == NULL)
		return EXIT_BAD_NEWS;
	q->in = in;
	q->kind = kind;
	q->own = own;
	q->protocol = kind->protocol;
	(void)str_copy(q->listen, sizeof q->listen, "off");
	if (kind->take(q) != 0) {
		rc = q->f.exit == EXIT_USAGE ? invocation_usage(in, "%s", q->f.message) : invocation_fail(in, &q->f);
	} else if ((rc = invocation_api(in, &q->api)) == 0) {
		rc = set_up(q) == 0 && run_agent(q) == 0 ? EXIT_DONE
		     : q->f.message[0] != '\0'           ? invocation_fail(in, &q->f)
		                                         : (int)q->f.exit; /* it was said */
		quick_mapping_end(q);
		if (q->unwanted)
			quick_account_disown(q);
		api_close(q->api);
	}
	quick_account_close(q);
	json_decref(q->relays);
	free(q);
	return rc;
}
