/*
 * tcp, udp, http, tls - a tunnel without set-up: a client (remembered), a mapping, the agent in the foreground, and the mapping is
 * gone again at the end. Who is not logged in comes through the anonymous door, and speaks as that client with its token.
 */
#define _GNU_SOURCE
#include "client/agent/process.h"
#include "client/api/api.h"
#include "client/commands/command.h"
#include "client/commands/quick_client.h"
#include "client/out/text.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAIN    "drain_timeout=3s" /* at the end; whoever cannot wait presses Ctrl-C again */
#define HOST_MAX 254

struct quick {
	struct invocation *in;
	const char *protocol; /* of the mapping: tcp, udp, http, tls */
	const char *scheme;   /* "http://", or "" */
	char host[HOST_MAX];
	uint16_t port;
	struct api *api;
	bool anonymous;
	char *token; /* of the anonymous client */
	struct quick_client client;
	struct quick_client *opened; /* NULL: not yet */
	char mapping[40];            /* id; "": none yet */
	uint16_t source_port;
	char host_name[254];  /* "": it is reached by its port */
	char reached_at[300]; /* by host name: its URL */
	char expires_at[40];  /* "": it does not end by itself */
	json_t *relays;       /* the answer: ca_fingerprint, items */
	struct failure f;
};

/* ---- what is asked for -------------------------------------------------------------------------------------------- */

/* "22", "db.internal:5432" */
static int take_target(struct quick *q, const char *word)
{
	uint64_t port;

	if (str_to_u64(word, 1, 65535, &port) == 0) {
		q->port = (uint16_t)port;
		return str_copy(q->host, sizeof q->host, "127.0.0.1");
	}
	return addr_split_host(word, q->host, sizeof q->host, &q->port) == 0 && q->port != 0 ? 0 : -1;
}

static void print_target(const struct quick *q, char dst[HOST_MAX + 16])
{
	(void)str_fmt(dst, HOST_MAX + 16, strchr(q->host, ':') != NULL ? "[%s]:%u" : "%s:%u", q->host, q->port);
}

/* ---- calls to controld -------------------------------------------------------------------------------------------- */

static int call(struct quick *q, const char *method, const json_t *body, json_t **out, const char *fmt, ...)
	PRINTF(5, 6);
static int call(struct quick *q, const char *method, const json_t *body, json_t **out, const char *fmt, ...)
{
	struct http_answer answer = { .body = NULL };
	char path[256];
	const struct api_request rq = { .method = method, .path = path, .body = body, .keyed = str_eq(method, "POST") };
	va_list ap;
	int r;

	va_start(ap, fmt);
	(void)vsnprintf(path, sizeof path, fmt, ap);
	va_end(ap);
	r = api_call(q->api, &rq, &answer, &q->f);
	if (r == 0 && out != NULL)
		*out = json_incref(answer.body);
	http_answer_fini(&answer);
	return r;
}

static int failed(struct quick *q, const struct err *e)
{
	return failure_from_err(&q->f, EXIT_BAD_NEWS, e);
}

static int save(struct quick *q)
{
	struct err e;

	return quick_client_save(&q->client, &e) == 0 ? 0 : failed(q, &e);
}

static void client_name(char name[128])
{
	char host[100] = "";

	(void)gethostname(host, sizeof host - 1);
	(void)str_fmt(name, 128, "quick@%s", host);
	str_make_utf8(name);
}

static int take_client(struct quick *q, const json_t *id, const json_t *secret)
{
	q->client.id = json_integer_value(id);
	(void)str_copy(
		q->client.secret, sizeof q->client.secret, json_is_string(secret) ? json_string_value(secret) : "");
	q->client.mapping[0] = '\0';
	return save(q);
}

static int make_client(struct quick *q)
{
	json_t *body, *made = NULL;
	char name[128];
	int r;

	client_name(name);
	body = json_pack("{s:s}", "name", name);
	r = call(q, "POST", body, &made, "/api/v1/clients");
	json_decref(body);
	if (r == 0)
		r = take_client(q, json_object_get(made, "id"), json_object_get(made, "secret_key"));
	json_decref(made);
	return r;
}

/* ---- without an account ------------------------------------------------------------------------------------------- */

static void forget_token(struct quick *q)
{
	if (q->token != NULL)
		explicit_bzero(q->token, strlen(q->token));
	free(q->token);
	q->token = NULL;
}

/* Calls are made as the client from now on. */
static int use_token(struct quick *q, const json_t *grant)
{
	const char *token = json_string_value(json_object_get(grant, "token"));

	forget_token(q);
	q->token = strdup(token != NULL ? token : "");
	if (q->token == NULL)
		return failure_set(&q->f, EXIT_BAD_NEWS, "out of memory");
	api_use_token(q->api, q->token);
	return 0;
}

/* Its tokens live for minutes, the secret as long as the client. */
static int log_in_as_client(struct quick *q)
{
	json_t *body = json_pack("{s:I, s:s}", "client_id", (json_int_t)q->client.id, "secret_key", q->client.secret);
	json_t *grant = NULL;
	int r;

	r = call(q, "POST", body, &grant, "/api/v1/client-tokens");
	json_decref(body);
	if (r == 0)
		r = use_token(q, grant);
	json_decref(grant);
	return r;
}

static int come_through_the_door(struct quick *q)
{
	json_t *body, *came = NULL;
	char name[128], why[sizeof q->f.message];
	int r;

	client_name(name);
	body = json_pack("{s:s}", "name", name);
	r = call(q, "POST", body, &came, "/api/v1/anonymous/clients");
	json_decref(body);
	if (r == 0)
		r = use_token(q, came);
	else if (q->f.exit == EXIT_CREDENTIALS) {
		(void)str_copy(why, sizeof why, q->f.message);
		(void)failure_set(&q->f, EXIT_CREDENTIALS,
			"nobody is logged in at %s (portway login), and without an account: %s", api_url(q->api), why);
	}
	if (r == 0)
		r = take_client(q, json_object_get(came, "client_id"), json_object_get(came, "secret_key"));
	json_decref(came);
	return r;
}

/* ---- the client and its mapping ----------------------------------------------------------------------------------- */

/* Whether controld still has the remembered client; 1: it has not. */
static int look_for_client(struct quick *q)
{
	int r;

	if (q->anonymous)
		r = log_in_as_client(q);
	else
		r = call(q, "GET", NULL, NULL, "/api/v1/clients/%" PRId64, q->client.id);
	return r == 0 ? 0 : q->f.exit == EXIT_NOT_FOUND || (q->anonymous && q->f.exit == EXIT_CREDENTIALS) ? 1 : -1;
}

static int delete_mapping(struct quick *q, const char *id)
{
	const char *list = q->anonymous ? "/api/v1/self/mappings" : "/api/v1/mappings";

	return call(q, "DELETE", NULL, NULL, "%s/%s", list, id) == 0 || q->f.exit == EXIT_NOT_FOUND ? 0 : -1;
}

/* The remembered one; what a killed command left there goes first. */
static int find_client(struct quick *q)
{
	struct err e;
	int r = 1;

	if (quick_client_open(&q->client, q->anonymous ? "anonymous" : api_profile_name(q->api), api_url(q->api), &e) !=
		0)
		return failed(q, &e);
	q->opened = &q->client;
	if (q->client.id != 0)
		r = look_for_client(q);
	if (r == 1)
		return q->anonymous ? come_through_the_door(q) : make_client(q);
	if (r == 0 && q->client.mapping[0] != '\0')
		r = delete_mapping(q, q->client.mapping);
	q->client.mapping[0] = '\0';
	return r;
}

static bool by_host(const struct quick *q)
{
	return str_eq(q->protocol, "http") || str_eq(q->protocol, "tls");
}

/* "blog" is below the domain of the relays, "blog.example.com" as it is. */
static json_t *wanted_host(const struct quick *q, const char *name)
{
	const char *domain = json_string_value(json_object_get(q->relays, "domain"));

	if (strchr(name, '.') == NULL && domain != NULL && domain[0] != '\0')
		return json_pack("[s++]", name, ".", domain);
	return json_pack("[s]", name);
}

/* Where it is to be reached; who has no account gets a port, or a name, that is picked. */
struct place {
	uint16_t port;    /* 0: any */
	const char *host; /* "": any */
};

static int create(struct quick *q, struct place at, json_t **made)
{
	const char *name = options_text(&q->in->options, "name", NULL);
	json_t *body = json_pack("{s:s, s:s, s:i, s:s*}", "protocol", q->protocol, "target_host", q->host,
		"target_port", (int)q->port, "name", name);
	int r;

	if (!q->anonymous) {
		(void)json_object_set_new(body, "target_client_id", json_integer(q->client.id));
		if (!by_host(q))
			(void)json_object_set_new(body, "source_port", json_integer(at.port));
		else if (at.host[0] != '\0')
			(void)json_object_set_new(body, "host_names", wanted_host(q, at.host));
	}
	r = call(q, "POST", body, made, q->anonymous ? "/api/v1/self/mappings" : "/api/v1/mappings");
	json_decref(body);
	return r;
}

static bool is_refused(const json_t *mapping)
{
	const char *status = json_string_value(json_object_get(mapping, "status"));

	return status != NULL && str_eq(status, "error");
}

static int create_again(struct quick *q, json_t **made)
{
	const struct place any = { 0, "" }, before = { q->client.port, q->client.host };
	const char *id;
	int r;

	if (create(q, before, made) != 0)
		return q->f.exit == EXIT_CONFLICT ? create(q, any, made) : -1;
	if (!is_refused(*made))
		return 0;
	id = json_string_value(json_object_get(*made, "id"));
	r = delete_mapping(q, id != NULL ? id : "");
	json_decref(*made);
	*made = NULL;
	return r == 0 ? create(q, any, made) : -1;
}

/* What the first of the relays says: {"edge-1": {"code": ..., "message": ...}} */
static int check_status(struct quick *q, const json_t *mapping)
{
	void *first = json_object_iter(json_object_get(mapping, "error"));
	const char *message = json_string_value(json_object_get(json_object_iter_value(first), "message"));
	char what[sizeof q->host_name + 32];

	if (!is_refused(mapping))
		return 0;
	if (by_host(q))
		(void)str_fmt(what, sizeof what, "the host name %s cannot be served", q->host_name);
	else
		(void)str_fmt(what, sizeof what, "the tunnel port %u cannot be opened", q->source_port);
	if (message == NULL)
		return failure_set(&q->f, EXIT_BAD_NEWS, "%s, and no relay says why", what);
	return failure_set(&q->f, EXIT_BAD_NEWS, "%s: %s on node %s", what, message, json_object_iter_key(first));
}

static void take_text(char *dst, size_t size, const json_t *value)
{
	const char *s = json_string_value(value);

	(void)str_copy(dst, size, s != NULL ? s : "");
}

static void take_made(struct quick *q, const json_t *made)
{
	take_text(q->mapping, sizeof q->mapping, json_object_get(made, "id"));
	take_text(q->expires_at, sizeof q->expires_at, json_object_get(made, "expires_at"));
	take_text(q->host_name, sizeof q->host_name, json_array_get(json_object_get(made, "host_names"), 0));
	take_text(q->reached_at, sizeof q->reached_at, json_object_get(made, "url"));
	q->source_port = (uint16_t)json_integer_value(json_object_get(made, "source_port"));
}

/* Where it was reachable the last time, if that is still free and nothing else is asked for. */
static int make_mapping(struct quick *q)
{
	const struct place asked = { (uint16_t)options_number(&q->in->options, "port", 0),
		options_text(&q->in->options, "host", "") };
	char target[HOST_MAX + 16], what[sizeof q->client.target];
	json_t *made = NULL;
	int r;

	print_target(q, target);
	(void)str_fmt(what, sizeof what, "%s %s", q->protocol, target);
	if (asked.port == 0 && asked.host[0] == '\0' && !q->anonymous && str_eq(what, q->client.target) &&
		(q->client.port != 0 || q->client.host[0] != '\0'))
		r = create_again(q, &made);
	else
		r = create(q, asked, &made);
	if (r != 0)
		return -1;
	take_made(q, made);
	(void)str_copy(
		q->client.mapping, sizeof q->client.mapping, options_has(&q->in->options, "keep") ? "" : q->mapping);
	(void)str_copy(q->client.target, sizeof q->client.target, what);
	(void)str_copy(q->client.host, sizeof q->client.host, q->host_name);
	q->client.port = q->source_port;
	r = check_status(q, made);
	json_decref(made);
	return r == 0 ? save(q) : -1;
}

static int find_relays(struct quick *q)
{
	char path[64] = "/api/v1/self/relays";

	if (!q->anonymous)
		(void)str_fmt(path, sizeof path, "/api/v1/clients/%" PRId64 "/relays", q->client.id);
	if (call(q, "GET", NULL, &q->relays, "%s", path) != 0)
		return -1;
	if (json_array_size(json_object_get(q->relays, "items")) > 0)
		return 0;
	return failure_set(&q->f, EXIT_NO_ANSWER,
		"no relay takes agents now: one must be online, and have agents.listen set (relayd(8))");
}

/* Whether a relay has a port for host names. */
static bool has_shared_port(const struct quick *q, const char *which)
{
	const json_t *relay;
	size_t i;

	json_array_foreach(json_object_get(q->relays, "items"), i, relay)
	{
		if (json_integer_value(json_object_get(relay, which)) != 0)
			return true;
	}
	return false;
}

/* By host name where the relays have a port for that; `portway http` goes by a port of its own else. */
static int choose_protocol(struct quick *q)
{
	const bool tls = str_eq(q->protocol, "tls"), named = options_has(&q->in->options, "host");
	const char *domain = json_string_value(json_object_get(q->relays, "domain"));
	const bool shared = has_shared_port(q, tls ? "tls_port" : "http_port");
	const bool nameable = named || (domain != NULL && domain[0] != '\0');

	if (!by_host(q) || (shared && nameable && !options_has(&q->in->options, "port")))
		return 0;
	if (!tls && !named) {
		q->protocol = "tcp";
		return 0;
	}
	if (!shared)
		return failure_set(&q->f, EXIT_BAD_NEWS,
			"no relay has a port for host names: one must have %s.listen set (relayd(8))", q->protocol);
	return failure_set(&q->f, EXIT_BAD_NEWS,
		"--host is needed, as the group of the relays has no domain to make up a name in");
}

/* A mapping that is to stay is kept for the next `portway agent` of this client. */
static void remove_mapping(struct quick *q)
{
	struct err e;

	if (q->mapping[0] == '\0' || options_has(&q->in->options, "keep"))
		return;
	if ((q->anonymous && log_in_as_client(q) != 0) || delete_mapping(q, q->mapping) != 0) {
		(void)invocation_fail(q->in, &q->f);
		text_printf(stderr, "%s: the mapping %s is still there; the next such command removes it", q->in->who,
			q->mapping);
		(void)fputc('\n', stderr);
		return;
	}
	q->client.mapping[0] = '\0';
	(void)!quick_client_save(&q->client, &e);
}

/* ---- where it can be reached -------------------------------------------------------------------------------------- */

/* Of each relay: the host where agents meet it, with the tunnel port. */
static json_t *addresses(const struct quick *q)
{
	json_t *list = json_array(), *relay;
	size_t i;

	if (by_host(q)) {
		(void)json_array_append_new(list, json_string(q->reached_at[0] != '\0' ? q->reached_at : q->host_name));
		return list;
	}
	json_array_foreach(json_object_get(q->relays, "items"), i, relay)
	{
		const char *at = json_string_value(json_object_get(relay, "address"));
		char host[HOST_MAX], text[HOST_MAX + 32];
		uint16_t port;

		if (at == NULL || addr_split_host(at, host, sizeof host, &port) != 0)
			continue;
		(void)str_fmt(text, sizeof text, strchr(host, ':') != NULL ? "%s[%s]:%u" : "%s%s:%u", q->scheme, host,
			q->source_port);
		(void)json_array_append_new(list, json_string(text));
	}
	return list;
}

static void print_ready(struct quick *q, const json_t *list, const char *target)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		text_printf(q->in->out, "%s %s %s", target, i == 0 ? "is reachable at" : "            and",
			json_string_value(one));
		(void)fputc('\n', q->in->out);
	}
	if (q->expires_at[0] != '\0') {
		text_printf(q->in->out, "Without an account it ends by itself at %s.", q->expires_at);
		(void)fputc('\n', q->in->out);
	}
	(void)fputs(options_has(&q->in->options, "keep") ? "Ctrl-C ends it; the mapping stays.\n" : "Ctrl-C ends it.\n",
		q->in->out);
}

static void on_ready(void *arg)
{
	struct quick *q = arg;
	json_t *list = addresses(q);
	char target[HOST_MAX + 16];

	print_target(q, target);
	if (invocation_format(q->in) == PRINT_JSON) {
		const char *ends = q->expires_at[0] != '\0' ? q->expires_at : NULL;
		const char *host = q->host_name[0] != '\0' ? q->host_name : NULL;
		json_t *all = json_pack("{s:O, s:s, s:s, s:s, s:s?, s:i, s:I, s:b, s:s?}", "addresses", list,
			"protocol", q->protocol, "target", target, "mapping", q->mapping, "host", host, "port",
			(int)q->source_port, "client", (json_int_t)q->client.id, "anonymous", (int)q->anonymous,
			"expires_at", ends);

		(void)!print_json_line(q->in->out, all);
		json_decref(all);
	} else {
		print_ready(q, list, target);
	}
	(void)fflush(q->in->out);
	json_decref(list);
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
	char token[256], allow[HOST_MAX + 32], state[PATH_MAX + 16], target[HOST_MAX + 16];
	const char *set[] = { token, allow, state, NULL, DRAIN, "instance=quick", NULL };
	const char *const none[] = { NULL };
	const struct conf_source src = { .env = none, .set = set };
	struct err_list *errs = calloc(1, sizeof *errs);
	struct buf relays;
	int r = -1;

	buf_init(&relays, SETTINGS_RELAYS_MAX * SETTINGS_RELAY_SIZE);
	print_target(q, target);
	(void)str_fmt(
		token, sizeof token, "token=%" PRId64 ".%s.%s", q->client.id, q->client.secret, ca != NULL ? ca : "");
	(void)str_fmt(allow, sizeof allow, "allow=%s", target);
	(void)str_fmt(state, sizeof state, "state_dir=%s", q->client.dir);
	if (errs != NULL && relay_list(q, &relays) == 0) {
		set[3] = buf_cstr(&relays);
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

static int run_agent(struct quick *q)
{
	struct settings s;
	const struct process_conf conf = { .settings = &s, .on_ready = on_ready, .arg = q };
	struct err e = { .code = ERR_NONE };
	enum command_exit code;

	if (make_settings(q, &s) != 0)
		return -1;
	log_init("portway", options_has(&q->in->options, "verbose") ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, LOG_FORMAT_TEXT,
		2);
	code = process_run(&conf, &e);
	return code == EXIT_DONE ? 0 : failure_from_err(&q->f, code, &e);
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

/* Until the agent hears signals they wait: a mapping that was made must be removed again. */
static void hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int set_up(struct quick *q)
{
	q->anonymous = options_has(&q->in->options, "anonymous") || !api_has_credentials(q->api);
	if (q->anonymous && options_has(&q->in->options, "port"))
		return failure_set(
			&q->f, EXIT_USAGE, "--port needs an account: log in at %s (portway login)", api_url(q->api));
	if (q->anonymous && options_has(&q->in->options, "host"))
		return failure_set(
			&q->f, EXIT_USAGE, "--host needs an account: log in at %s (portway login)", api_url(q->api));
	hold_signals();
	return find_client(q) != 0 || find_relays(q) != 0 || choose_protocol(q) != 0 || make_mapping(q) != 0 ? -1 : 0;
}

static int quick(struct invocation *in, const char *protocol, const char *scheme)
{
	struct quick *q = calloc(1, sizeof *q);
	int rc = EXIT_BAD_NEWS;

	if (q == NULL)
		return EXIT_BAD_NEWS;
	q->in = in;
	q->protocol = protocol;
	q->scheme = scheme;
	if (take_target(q, in->argv[0]) != 0) {
		rc = invocation_usage(in, "'%s' is not PORT or HOST:PORT", in->argv[0]);
	} else if ((rc = invocation_api(in, &q->api)) == 0) {
		rc = set_up(q) == 0 && run_agent(q) == 0 ? EXIT_DONE : invocation_fail(in, &q->f);
		remove_mapping(q);
		api_close(q->api);
	}
	if (q->opened != NULL)
		quick_client_close(q->opened);
	forget_token(q);
	json_decref(q->relays);
	explicit_bzero(&q->client, sizeof q->client);
	free(q);
	return rc;
}

int command_tcp(struct invocation *in)
{
	return quick(in, "tcp", "");
}

int command_udp(struct invocation *in)
{
	return quick(in, "udp", "");
}

int command_http(struct invocation *in)
{
	return quick(in, "http", "http://");
}

int command_tls(struct invocation *in)
{
	return quick(in, "tls", "");
}
