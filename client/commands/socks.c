/*
 * socks - the network around this machine, on a SOCKS5 port of the relays: whoever has the login that is made here says where to.
 */
#define _GNU_SOURCE
#include "client/commands/quick.h"
#include "client/out/text.h"
#include "common/base/rand.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>

#define USER_BYTES     4
#define PASSWORD_BYTES 24 /* 32 letters */

struct socks {
	char user[2 * USER_BYTES + 2];
	char password[2 * PASSWORD_BYTES];
};

/* Made anew for each run: nothing that was printed once opens anything later. */
static void make_login(struct socks *s)
{
	uint8_t raw[PASSWORD_BYTES];

	rand_bytes(raw, sizeof raw);
	s->user[0] = 'u';
	str_hex(s->user + 1, raw, USER_BYTES);
	rand_bytes(raw, sizeof raw);
	str_b64url(s->password, raw, sizeof raw);
	explicit_bzero(raw, sizeof raw);
}

static int take(struct quick *q)
{
	const char *to = options_text(&q->in->options, "allow-to", "any");

	make_login(q->own);
	(void)str_copy(q->purpose, sizeof q->purpose, "socks5");
	return str_copy(q->allow, sizeof q->allow, to) == 0 ? 0
	                                                    : failure_set(&q->f, EXIT_USAGE, "--allow-to is too long");
}

static int describe(struct quick *q, json_t *body, const struct quick_place *at)
{
	const struct socks *s = q->own;
	const char *from = options_text(&q->in->options, "allow", NULL);

	(void)json_object_set_new(body, "target_client_id", json_integer(q->client.id));
	(void)json_object_set_new(body, "source_port", json_integer(at->port));
	(void)json_object_set_new(body, "socks_user", json_string(s->user));
	(void)json_object_set_new(body, "socks_password", json_string(s->password));
	if (options_has(&q->in->options, "allow-to"))
		(void)json_object_set_new(body, "socks_allow", json_string(q->allow));
	if (from != NULL)
		(void)json_object_set_new(body, "allow", quick_list_of(from));
	return 0;
}

static void print_text(struct quick *q, const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		text_printf(q->in->out, "%s", json_string_value(one));
		(void)fputc('\n', q->in->out);
	}
	text_printf(q->in->out, "It leads to %s from here. Ctrl-C ends it.",
		str_eq(q->allow, "any") ? "all that can be reached" : q->allow);
	(void)fputc('\n', q->in->out);
}

static void print(struct quick *q)
{
	const struct socks *s = q->own;
	char login[sizeof s->user + sizeof s->password + 2];
	json_t *list, *all;

	(void)str_fmt(login, sizeof login, "%s:%s@", s->user, s->password);
	list = quick_addresses(q, login);
	if (invocation_format(q->in) == PRINT_JSON) {
		all = json_pack("{s:O, s:s, s:s, s:i, s:s, s:s, s:I}", "addresses", list, "user", s->user, "password",
			s->password, "port", (int)q->source_port, "allow_to", q->allow, "mapping", q->mapping, "client",
			(json_int_t)q->client.id);
		(void)!print_json_line(q->in->out, all);
		json_decref(all);
	} else {
		print_text(q, list);
	}
	json_decref(list);
	explicit_bzero(login, sizeof login);
}

int command_socks(struct invocation *in)
{
	static const struct quick_kind kind = { .protocol = "socks5",
		.scheme = "socks5h://",
		.account = true,
		.take = take,
		.prepare = quick_find_relays,
		.describe = describe,
		.print = print };
	struct socks s;
	int rc = quick_run(in, &kind, &s);

	explicit_bzero(&s, sizeof s);
	return rc;
}
