/*
 * tcp, udp, http, tls - a service of this machine (or near it) made reachable.
 */
#define _GNU_SOURCE
#include "client/commands/quick.h"
#include "client/out/text.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <inttypes.h>
#include <string.h>

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

static int take(struct quick *q)
{
	char target[QUICK_TEXT_MAX];

	if (take_target(q, q->in->argv[0]) != 0)
		return failure_set(&q->f, EXIT_USAGE, "'%s' is not PORT or HOST:PORT", q->in->argv[0]);
	quick_print_target(q, target);
	(void)str_copy(q->allow, sizeof q->allow, target);
	return 0;
}

/* ---- the mapping -------------------------------------------------------------------------------------------------- */

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

	if (!quick_is_by_host(q) || (shared && nameable && !options_has(&q->in->options, "port")))
		return 0;
	if (!tls && !named) {
		q->protocol = "tcp";
		return 0;
	}
	if (!shared)
		return failure_set(&q->f, EXIT_BAD_NEWS,
			"no relay has a port for %s by host name: one must have %s.listen set (relayd(8))", q->protocol,
			q->protocol);
	return failure_set(&q->f, EXIT_BAD_NEWS,
		"--host is needed, as the group of the relays has no domain to make up a name in");
}

static int prepare(struct quick *q)
{
	char target[QUICK_TEXT_MAX];

	if (quick_find_relays(q) != 0 || choose_protocol(q) != 0)
		return -1;
	quick_print_target(q, target);
	(void)str_fmt(q->purpose, sizeof q->purpose, "%s %s", q->protocol, target);
	return 0;
}

/* "blog" is below the domain of the relays, "blog.example.com" as it is. */
static json_t *wanted_host(const struct quick *q, const char *name)
{
	const char *domain = json_string_value(json_object_get(q->relays, "domain"));

	if (strchr(name, '.') == NULL && domain != NULL && domain[0] != '\0')
		return json_pack("[s++]", name, ".", domain);
	return json_pack("[s]", name);
}

static int describe(struct quick *q, json_t *body, const struct quick_place *at)
{
	(void)json_object_set_new(body, "target_host", json_string(q->host));
	(void)json_object_set_new(body, "target_port", json_integer(q->port));
	if (q->anonymous)
		return 0;
	(void)json_object_set_new(body, "target_client_id", json_integer(q->client.id));
	if (!quick_is_by_host(q))
		(void)json_object_set_new(body, "source_port", json_integer(at->port));
	else if (at->host[0] != '\0')
		(void)json_object_set_new(body, "host_names", wanted_host(q, at->host));
	return 0;
}

/* ---- where it can be reached -------------------------------------------------------------------------------------- */

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
		if (q->bandwidth > 0)
			(void)fprintf(
				q->in->out, " No more than %" PRId64 " KiB/s pass.", (q->bandwidth + 1023) / 1024);
		(void)fputc('\n', q->in->out);
	}
	(void)fputs(options_has(&q->in->options, "keep") ? "Ctrl-C ends it; the mapping stays.\n" : "Ctrl-C ends it.\n",
		q->in->out);
}

static void print(struct quick *q)
{
	json_t *list = quick_addresses(q, "");
	char target[QUICK_TEXT_MAX];

	quick_print_target(q, target);
	if (invocation_format(q->in) == PRINT_JSON) {
		const char *ends = q->expires_at[0] != '\0' ? q->expires_at : NULL;
		const char *host = q->host_name[0] != '\0' ? q->host_name : NULL;
		json_t *all = json_pack("{s:O, s:s, s:s, s:s, s:s?, s:i, s:I, s:b, s:s?, s:I}", "addresses", list,
			"protocol", q->protocol, "target", target, "mapping", q->mapping, "host", host, "port",
			(int)q->source_port, "client", (json_int_t)q->client.id, "anonymous", (int)q->anonymous,
			"expires_at", ends, "bandwidth_limit", (json_int_t)q->bandwidth);

		(void)!print_json_line(q->in->out, all);
		json_decref(all);
	} else {
		print_ready(q, list, target);
	}
	json_decref(list);
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

#define KIND(p, s)                                                                                                  \
	{                                                                                                           \
		.protocol = p, .scheme = s, .target = true, .take = take, .prepare = prepare, .describe = describe, \
		.print = print                                                                                      \
	}

int command_tcp(struct invocation *in)
{
	static const struct quick_kind kind = KIND("tcp", "");

	return quick_run(in, &kind, NULL);
}

int command_udp(struct invocation *in)
{
	static const struct quick_kind kind = KIND("udp", "");

	return quick_run(in, &kind, NULL);
}

int command_http(struct invocation *in)
{
	static const struct quick_kind kind = KIND("http", "http://");

	return quick_run(in, &kind, NULL);
}

int command_tls(struct invocation *in)
{
	static const struct quick_kind kind = KIND("tls", "");

	return quick_run(in, &kind, NULL);
}
