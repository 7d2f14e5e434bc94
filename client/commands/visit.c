/*
 * visit - what another client's agent reaches, on a port of this machine: a private mapping whose source is a client of this
 * command's own. Secrets of clients are shown once, so it could not be that of a mapping which is there already; and an
 * agent that runs with one is left alone.
 */
#define _GNU_SOURCE
#include "client/agent/agent.h"
#include "client/api/path.h"
#include "client/commands/quick.h"
#include "client/commands/quick_account.h"
#include "client/out/text.h"
#include "client/resource/named.h"
#include "client/resource/resource.h"
#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096

struct visit_to {
	json_t *like; /* members of the mapping that is visited, or of a client's service */
	char label[QUICK_TEXT_MAX + 128];
	char address[ADDR_STRLEN]; /* where it is listened on here */
	bool ready;
};

/* ---- what is asked for -------------------------------------------------------------------------------------------- */

/* By id, or by a name that one alone has. */
static int find(struct quick *q, const char *resource, const char *word, json_t **out)
{
	const struct resource *r = resource_find(resource);
	char id[NAMED_ID_SIZE];
	struct buf path;
	int rc = named_find(q->api, r, word, id, &q->f);

	if (rc != 0)
		return rc;
	buf_init(&path, PATH_BYTES_MAX);
	buf_printf(&path, "%s", r->path);
	path_segment(&path, id);
	rc = quick_account_call(q, "GET", NULL, out, "%s", buf_cstr(&path));
	buf_free(&path);
	return rc;
}

/* "office:22", "17:db.internal:5432" */
static int find_service(struct quick *q, const char *word)
{
	struct visit_to *v = q->own;
	const char *colon = strchr(word, ':');
	json_t *client = NULL;
	char name[128];

	(void)str_fmt(name, sizeof name, "%.*s", (int)(colon - word), word);
	if (find(q, "client", name, &client) != 0)
		return -1;
	v->like = json_pack("{s:O, s:s, s:i}", "target_client_id", json_object_get(client, "id"), "target_host",
		q->host, "target_port", (int)q->port);
	json_decref(client);
	return v->like != NULL ? 0 : failure_set(&q->f, EXIT_BAD_NEWS, "out of memory");
}

/* What its users may expect of it holds here as well, limits above all. */
static json_t *members_of(const json_t *mapping)
{
	static const char *const names[] = { "target_client_id", "target_host", "target_port", "socks_allow", "group",
		"node", "limits", "timeouts", "keepalive", "transport", "compression", "proxy_protocol",
		"proxy_every_datagram", "udp_amplification_limit" };
	json_t *like = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *value = json_object_get(mapping, names[i]);

		if (value != NULL && !json_is_null(value))
			(void)json_object_set(like, names[i], value);
	}
	return like;
}

static int find_mapping(struct quick *q, const char *word)
{
	struct visit_to *v = q->own;
	json_t *mapping = NULL;
	const char *protocol;
	int r = 0;

	if (find(q, "mapping", word, &mapping) != 0)
		return -1;
	protocol = json_string_value(json_object_get(mapping, "protocol"));
	if (str_eq(protocol, "udp") || str_eq(protocol, "socks5"))
		q->protocol = str_eq(protocol, "udp") ? "udp" : "socks5";
	if (!json_is_integer(json_object_get(mapping, "target_client_id")))
		r = failure_set(&q->f, EXIT_BAD_NEWS,
			"%s leads to no client: a relay dials its target, and its port is there", word);
	else if (json_is_integer(json_object_get(mapping, "source_port_end")))
		r = failure_set(&q->f, EXIT_BAD_NEWS, "%s has a range of ports: say one as CLIENT:PORT", word);
	else
		v->like = members_of(mapping);
	json_decref(mapping);
	return r;
}

static int prepare(struct quick *q)
{
	const char *word = q->in->argv[0];

	return strchr(word, ':') != NULL ? find_service(q, word) : find_mapping(q, word);
}

/* ---- the port here ------------------------------------------------------------------------------------------------ */

/* Whether it is free at this moment; 0 becomes one that is. */
static bool is_free(const struct quick *q, uint16_t *port)
{
	const struct visit_to *v = q->own;
	struct sockaddr_storage got;
	socklen_t len = sizeof got;
	struct addr at;
	int fd, one = 1;
	bool ok = false;

	if (addr_parse_ip(&at, v->address, *port) != 0)
		return false;
	fd = socket(at.sa.sa_family, (str_eq(q->protocol, "udp") ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (!str_eq(q->protocol, "udp"))
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, &at.sa, at.len) == 0 && getsockname(fd, (struct sockaddr *)&got, &len) == 0) {
		addr_from_sockaddr(&at, (struct sockaddr *)&got, len);
		*port = addr_port(&at);
		ok = true;
	}
	close(fd);
	return ok;
}

static int take_word(struct quick *q)
{
	const char *colon = strchr(q->in->argv[0], ':');
	uint64_t port;

	if (colon == NULL)
		return 0;
	if (colon != q->in->argv[0] && str_to_u64(colon + 1, 1, 65535, &port) == 0) {
		q->port = (uint16_t)port;
		return str_copy(q->host, sizeof q->host, "127.0.0.1");
	}
	return colon != q->in->argv[0] && addr_split_host(colon + 1, q->host, sizeof q->host, &q->port) == 0 &&
	                       q->port != 0
	               ? 0
	               : -1;
}

static int take(struct quick *q)
{
	struct visit_to *v = q->own;
	struct addr at;

	if (take_word(q) != 0)
		return failure_set(
			&q->f, EXIT_USAGE, "'%s' is not MAPPING, CLIENT:PORT or CLIENT:HOST:PORT", q->in->argv[0]);
	if (addr_parse_ip(&at, options_text(&q->in->options, "bind", "127.0.0.1"), 0) != 0)
		return failure_set(&q->f, EXIT_USAGE, "--bind: '%s' is not an IP address",
			options_text(&q->in->options, "bind", ""));
	addr_print_ip(&at, v->address);
	if (options_has(&q->in->options, "udp"))
		q->protocol = "udp";
	(void)str_copy(v->label, sizeof v->label, q->in->argv[0]);
	(void)str_fmt(q->purpose, sizeof q->purpose, "visit %s", v->label);
	return 0;
}

/* The one that was asked for, or that of the last time, or any; the agent listens there and nowhere else. */
static int choose_port(struct quick *q, const struct quick_place *at, uint16_t *port)
{
	const struct visit_to *v = q->own;
	const bool asked = options_has(&q->in->options, "port");

	*port = at->port;
	if (!is_free(q, port)) {
		if (asked)
			return failure_set(&q->f, EXIT_CONFLICT,
				"port %u of %s is taken, or not to be had by this user", *port, v->address);
		*port = 0;
		if (!is_free(q, port))
			return failure_set(&q->f, EXIT_BAD_NEWS, "no port of %s can be listened on", v->address);
	}
	return str_fmt(
		q->listen, sizeof q->listen, strchr(v->address, ':') != NULL ? "[%s]:%u" : "%s:%u", v->address, *port);
}

static int describe(struct quick *q, json_t *body, const struct quick_place *at)
{
	const struct visit_to *v = q->own;
	uint16_t port;

	if (choose_port(q, at, &port) != 0)
		return -1;
	(void)json_object_update(body, v->like);
	(void)json_object_set_new(body, "source_client_id", json_integer(q->client.id));
	(void)json_object_set_new(body, "bind_address", json_string(v->address));
	(void)json_object_set_new(body, "source_port", json_integer(port));
	return 0;
}

/* ---- it is there -------------------------------------------------------------------------------------------------- */

static void print(struct quick *q)
{
	const struct visit_to *v = q->own;

	if (invocation_format(q->in) == PRINT_JSON) {
		json_t *all = json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:O}", "address", q->listen, "protocol",
			q->protocol, "port", (int)q->source_port, "target", v->label, "mapping", q->mapping, "client",
			(json_int_t)q->client.id, "target_client", json_object_get(v->like, "target_client_id"));

		(void)!print_json_line(q->in->out, all);
		json_decref(all);
		return;
	}
	text_printf(q->in->out, "%s leads to %s", q->listen, v->label);
	(void)fputs("\nCtrl-C ends it.\n", q->in->out);
}

/* What it cannot listen on is told by the agent's own warning. */
static void on_visit(void *arg, const struct agent_visit *news)
{
	struct quick *q = arg;
	struct visit_to *v = q->own;

	if (!str_eq(news->mapping, q->mapping))
		return;
	if (news->listening && !v->ready) {
		v->ready = true;
		print(q);
		(void)fflush(q->in->out);
	} else if (v->ready) {
		text_printf(stderr, "%s: %s %s", q->in->who, q->listen,
			news->listening ? "is there again" : "is not there now:");
		if (!news->listening)
			text_printf(stderr, " %s", news->why);
		(void)fputc('\n', stderr);
	}
}

int command_visit(struct invocation *in)
{
	static const struct quick_kind kind = { .protocol = "tcp",
		.scheme = "",
		.account = true,
		.take = take,
		.prepare = prepare,
		.describe = describe,
		.print = print,
		.on_visit = on_visit };
	struct visit_to v = { .like = NULL };
	int rc = quick_run(in, &kind, &v);

	json_decref(v.like);
	return rc;
}
