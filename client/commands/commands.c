#include "client/commands/command.h"

#include "client/commands/command_options.h"
#include "client/commands/help.h"
#include "client/commands/quick_options.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <string.h>

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static const char *const webhook_words[] = { "ls", "show", "test", "log", NULL };
static const char *const job_words[] = { "ls", "show", "wait", "logs", "retry", "cancel", NULL };
static const char *const ca_words[] = { "show", "rotate", "retire", NULL };
static const char *const client_words[] = { "ls", "show", "rotate", "end-secret", NULL };
static const char *const config_words[] = { "get", "set", "watch", NULL };
static const char *const quota_words[] = { "show", "set", NULL };
static const char *const agent_words[] = { "reload", "status", NULL };
static const char *const service_words[] = { "install", "print", "uninstall", NULL };
static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", NULL };
static const char *const connection_words[] = { "ls", "cut", NULL };
static const char *const shells[] = { "bash", "zsh", "fish", NULL };

const struct command commands_table[] = {
	{ .name = "agent",
		.args = "[status|reload]",
		.summary = "keep this machine's tunnels up, show how they are, or reload",
		.details = "Runs in the foreground: keeps links to the relays, and connects what they ask for to "
			   "targets that "
			   "its allow list has. Settings come from --config, PORTWAY_AGENT_... and --set; see "
			   "portway-agent(8). It tries again for ever, and ends with 3 when every relay refuses its "
			   "credentials. TERM lets connections finish; HUP reads the settings again.",
		.example = "PORTWAY_AGENT_TOKEN=... portway agent --set relays=edge-1.example:7500 --set "
			   "allow=localhost:22",
		.options = command_options_agent,
		.run = command_agent,
		.words = WORDS_LIST,
		.list = agent_words,
		.words_max = 1 },
	{ .name = "api",
		.args = "METHOD PATH [FIELD=VALUE ...]",
		.summary = "any call of the API, for what has no command of its own",
		.details = "Of GET and DELETE the words are the query, of the others the body, written as in create. "
			   "The answer is "
			   "printed as JSON, or YAML.",
		.example = "portway api GET /api/v1/stats/traffic time_range=24h",
		.options = command_options_api,
		.run = command_api,
		.words = WORDS_LIST,
		.list = methods,
		.words_min = 2,
		.words_max = -1 },
	{ .name = "ca",
		.args = "show|rotate|retire",
		.summary = "the certificate authority that relays and controlds trust, and another one in its place",
		.details =
			"rotate makes a new one, which signs from now on; relays are given new certificates, and "
			"when all have them, and all controlds show it, the one before is retired by itself. retire "
			"does that now, and is refused while some have not. No connection ends, and tokens that name "
			"the one before stay good.",
		.example = "portway ca rotate --wait",
		.options = command_options_ca,
		.run = command_ca,
		.words = WORDS_LIST,
		.list = ca_words,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "client",
		.args = "ls|show|rotate|end-secret [CLIENT [SECRET]|FILTER=VALUE ...]",
		.summary = "agents' accounts: what there is, and their secrets",
		.details = "ls lists, show prints one with all its members, rotate makes a new secret and shows it "
			   "this once, end-secret ends one at once. After rotate the secrets before it work on for "
			   "--overlap, so agents can be given the new one before. CLIENT is an id or a name.",
		.example = "portway client rotate office --overlap 2h",
		.options = command_options_client,
		.run = command_client,
		.words = WORDS_LIST,
		.list = client_words,
		.words_min = 1,
		.words_max = -1 },
	{ .name = "completion",
		.args = "bash|zsh|fish",
		.summary = "print the completion script of a shell",
		.example = "portway completion bash >/etc/bash_completion.d/portway",
		.run = command_completion,
		.words = WORDS_LIST,
		.list = shells,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "config",
		.args = "[get [KEY ...]|set KEY=VALUE ...|watch [KEY ...]]",
		.summary = "settings of controld that change while it runs",
		.details = "get shows them, set changes those that are written, on every controld and at once, and "
			   "null takes what the settings file says again. watch tells of each change.",
		.example = "portway config set tunnels.mappings_max=5000",
		.options = command_options_config,
		.run = command_config,
		.words = WORDS_LIST,
		.list = config_words,
		.words_max = -1 },
	{ .name = "connections",
		.args = "[ls [FILTER=VALUE ...] | cut ID ...]",
		.summary = "list what is connected now, or cut it",
		.details =
			"The relays are asked, so what is shown is how it is. Filters are mapping_id, group and node.",
		.example = "portway connections ls mapping_id=map_01m80r1djz1f2b3c81mv",
		.options = command_options_list,
		.run = command_connections,
		.words = WORDS_LIST,
		.list = connection_words,
		.words_max = -1 },
	{ .name = "create",
		.args = "RESOURCE [FIELD=VALUE ...]",
		.summary = "make an object",
		.details = "FIELD=VALUE takes the value as the field's type wants it: numbers also with K, M, G, lists "
			   "by commas; "
			   "limits.bandwidth_in=1M reaches into an object, FIELD:=JSON is JSON, FIELD=@FILE the "
			   "content of a file. "
			   "Secrets are asked for, or come from a file. What is wrong is told all at once, a line "
			   "each. A file "
			   "may hold a list of objects.",
		.example = "portway create mapping protocol=tcp source_port=20379 target_host=127.0.0.1 "
			   "target_port=6379 --wait",
		.options = command_options_create,
		.run = command_create,
		.words = WORDS_RESOURCE,
		.words_min = 1,
		.words_max = -1 },
	{ .name = "delete",
		.args = "RESOURCE ID|NAME ...",
		.summary = "delete objects",
		.details = "A name must be that of one object alone: of several, all are listed and none is deleted. "
			   "Each is tried, whatever becomes of the others. Deleting a connection cuts it.",
		.example = "portway delete mapping $(portway list mapping q=test -o name)",
		.options = command_options_delete,
		.run = command_delete,
		.words = WORDS_RESOURCE,
		.words_min = 2,
		.words_max = -1 },
	{ .name = "explain",
		.args = "RESOURCE",
		.summary = "what may be written and filtered, as controld says",
		.example = "portway explain mapping",
		.run = command_explain,
		.words = WORDS_RESOURCE,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "get",
		.args = "RESOURCE ID|NAME",
		.summary = "show an object, whole",
		.details = "A name must be that of one object alone; of several their ids are listed. Watched, it is "
			   "told until it is gone.",
		.example = "portway get mapping map_01m80r1djz1f2b3c81mv -o yaml",
		.options = command_options_get,
		.run = command_get,
		.words = WORDS_RESOURCE,
		.words_min = 2,
		.words_max = 2 },
	{ .name = "help",
		.args = "[COMMAND]",
		.summary = "explain a command",
		.run = command_help,
		.words = WORDS_COMMAND,
		.words_max = 1 },
	{ .name = "http",
		.args = "PORT|HOST:PORT",
		.summary = "make a web server of this machine reachable",
		.details =
			"As portway tcp, and prints the address as a URL. Where the relays have a port for host names, "
			"it is "
			"http://NAME.DOMAIN, and with an account the name stays the same for the same target; else, "
			"and with --port, "
			"it has a port of its own.",
		.example = "portway http 3000 --host blog",
		.options = quick_options_by_host,
		.run = command_http,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "job",
		.args = "ls|show|wait|logs|retry|cancel [ID|FILTER=VALUE ...]",
		.summary = "long work: what there is, how far it is, what it says",
		.details =
			"ls lists (kind, queue, state, schedule_id are filters), show prints one with all its members, "
			"wait follows one to its end and fails if it does, logs prints its lines, retry queues it at "
			"once, cancel stops it at its next step. portway create job kind=KIND starts one.",
		.example = "portway job ls state=dead",
		.options = command_options_job,
		.run = command_job,
		.words = WORDS_LIST,
		.list = job_words,
		.words_min = 1,
		.words_max = -1 },
	{ .name = "list",
		.args = "RESOURCE [FILTER=VALUE ...]",
		.summary = "list objects",
		.details = "Pages are followed to the end. portway explain RESOURCE lists the filters.",
		.example = "portway list mapping status=error --columns id,name,error",
		.options = command_options_list,
		.run = command_list,
		.words = WORDS_RESOURCE,
		.words_min = 1,
		.words_max = -1 },
	{ .name = "login",
		.args = "",
		.summary = "log in and keep the login",
		.details = "The password is asked for on the terminal; without one it is read from the standard input, "
			   "or from "
			   "PORTWAY_PASSWORD. The tokens are kept under $XDG_CONFIG_HOME/portway (mode 0600) and renew "
			   "themselves; "
			   "--profile keeps several logins apart. A login is used at its own address only.",
		.example = "portway login --url https://controld.example:8443 --email anna@example.com",
		.options = command_options_login,
		.run = command_login },
	{ .name = "logout", .args = "", .summary = "end the login and forget it", .run = command_logout },
	{ .name = "logs",
		.args = "[FILTER=VALUE ...]",
		.summary = "who did what: the newest entries of the audit log",
		.details = "Filters are kind, op, subject, actor, since, until and more: portway explain audit. JSON "
			   "is one object "
			   "a line.",
		.example = "portway logs kind=mapping --follow",
		.options = command_options_logs,
		.run = command_logs,
		.words_max = -1 },
	{ .name = "ls",
		.args = "[FILTER=VALUE ...]",
		.summary = "list the mappings with their status and traffic",
		.example = "portway ls status=active --watch",
		.options = command_options_list,
		.run = command_ls,
		.words_max = -1 },
	{ .name = "quota",
		.args = "[show [USER]|set USER FIELD=VALUE ...]",
		.summary = "what a user may pass in a month, and what is left",
		.details = "USER is an id, an email or a username; without one show is of whoever asks. set takes "
			   "monthly_bytes (null: no limit), reset_day and time_zone.",
		.example = "portway quota set anna@example.com monthly_bytes=500G reset_day=15",
		.options = command_options_quota,
		.run = command_quota,
		.words = WORDS_LIST,
		.list = quota_words,
		.words_max = -1 },
	{ .name = "redeem",
		.args = "[CODE]",
		.summary = "use a connection code: a port for this machine's address",
		.details = "It opens the one target that the code was made for, once, and needs no account. Without "
			   "CODE it is asked for, or read from the standard input.",
		.example = "portway redeem ABCD-EFGH-JKMN",
		.run = command_redeem,
		.words_max = 1 },
	{ .name = "service",
		.args = "install|uninstall|print",
		.summary = "run the agent as a service of systemd",
		.details = "Writes a sandboxed unit, portway-agent.service, enables and starts it. Settings are in "
			   "/etc/portway/agent.yaml, the token in /etc/portway/agent.env; with --user under "
			   "~/.config/portway.",
		.example = "portway service install --user",
		.options = command_options_service,
		.run = command_service,
		.words = WORDS_LIST,
		.list = service_words,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "socks",
		.args = "",
		.summary = "open a SOCKS5 port into the network of this machine",
		.details = "On the relays, for whoever has the login that it prints, which is another each time; names "
			   "are "
			   "resolved here. Ends with the command, as portway tcp does. It needs an account.",
		.example = "portway socks --allow-to 10.1.0.0/16,db.internal:5432 --allow 198.51.100.0/24",
		.options = quick_options_socks,
		.run = command_socks },
	{ .name = "status",
		.args = "",
		.summary = "how controld, its relays and the tunnels are",
		.details =
			"With credentials the relays as well, and the revision each one runs; and the tunnels: their "
			"state and that of the client they lead to, how long it took to reach the target (the mean of "
			"all connections), how often it was not reached. What is wrong stands first.",
		.example = "portway status --json",
		.run = command_status },
	{ .name = "tcp",
		.args = "PORT|HOST:PORT",
		.summary = "make a TCP service of this machine reachable",
		.details = "Makes a mapping, runs an agent for it in the foreground, says where the service can be "
			   "reached, and "
			   "takes the mapping away at the end. Nothing but this target can be reached through it. The "
			   "client "
			   "that it runs as is made once for a profile and remembered, with the port. Who is not "
			   "logged in "
			   "comes without an account, where controld allows that: for a limited time, at a limited "
			   "rate, on a port that "
			   "is picked.",
		.example = "portway tcp 22",
		.options = quick_options_by_port,
		.run = command_tcp,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "tls",
		.args = "PORT|HOST:PORT",
		.summary = "make a TLS service of this machine reachable",
		.details = "By the server name that clients ask for (SNI), on a port that such services share; what it "
			   "says stays "
			   "encrypted to the service itself.",
		.example = "portway tls 443 --host mail.example.com",
		.options = quick_options_by_host,
		.run = command_tls,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "top",
		.args = "[FILTER=VALUE ...]",
		.summary = "what passes now, the busiest tunnels first",
		.details = "On a terminal a page that is drawn anew until q or ctrl-c; elsewhere lines, for what has "
			   "connections or "
			   "passes bytes, and their sum. JSON is one object for each look. Relays report once a "
			   "second. At most "
			   "5000 tunnels are looked at; filters, as in ls, say which.",
		.example = "portway top group=frankfurt --interval 1s",
		.options = command_options_top,
		.run = command_top,
		.words_max = -1 },
	{ .name = "udp",
		.args = "PORT|HOST:PORT",
		.summary = "make a UDP service of this machine reachable",
		.details = "As portway tcp, for datagrams.",
		.example = "portway udp 53",
		.options = quick_options_by_port,
		.run = command_udp,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "update",
		.args = "RESOURCE ID|NAME [FIELD=VALUE ...]",
		.summary = "change an object",
		.details = "Only what is written changes; FIELD=null sets a field back to its default. Fields are "
			   "written as in "
			   "create.",
		.example = "portway update mapping map_01m80r1djz1f2b3c81mv limits.max_connections=100 --if-match 3",
		.options = command_options_update,
		.run = command_update,
		.words = WORDS_RESOURCE,
		.words_min = 2,
		.words_max = -1 },
	{ .name = "version", .args = "", .summary = "print the version", .run = command_version },
	{ .name = "visit",
		.args = "MAPPING|CLIENT:PORT|CLIENT:HOST:PORT",
		.summary = "reach what a client has, on a port of this machine alone",
		.details =
			"Listens here, until Ctrl-C, and leads to what MAPPING (id or name) leads to, or to a PORT of "
			"CLIENT (id or name), or to a HOST beside it, as far as that client's agent lets it. No port "
			"of a relay is opened. It runs as a client of its own, from which a private mapping leads "
			"there "
			"with the limits of MAPPING; those that list or end mappings see it. It needs an account.",
		.example = "portway visit office:22 --port 2222",
		.options = quick_options_visit,
		.run = command_visit,
		.words_min = 1,
		.words_max = 1 },
	{ .name = "webhook",
		.args = "ls|show|test|log [ID|FILTER=VALUE ...]",
		.summary = "who is told of changes, and what came of it",
		.details = "ls lists, show prints one with all its members, test sends a test now and fails if it is "
			   "not taken, log "
			   "lists what was sent, the newest first. portway create webhook url=URL events=mapping.* "
			   "makes one.",
		.example = "portway webhook test whk_01m8h7kfa85r1afcd2w6",
		.options = command_options_webhook,
		.run = command_webhook,
		.words = WORDS_LIST,
		.list = webhook_words,
		.words_min = 1,
		.words_max = -1 },
	{ .name = "whoami", .args = "", .summary = "who is logged in, and where", .run = command_whoami },
	{ .name = NULL },
};

const struct command *commands_find(const char *name)
{
	for (const struct command *c = commands_table; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

/* The command's name: the first word, past options and the values that they take. */
static const struct command *name_in(int argc, char **argv, int *at)
{
	const struct option_row *const lists[] = { commands_global, NULL };

	for (int i = 0; i < argc; i++) {
		char *alone[] = { argv[i], NULL };
		struct options o;
		struct err e;

		if (argv[i][0] != '-') {
			*at = i;
			return commands_find(argv[i]);
		}
		if (options_parse(&o, lists, 1, alone, &e) < 0)
			i++; /* alone it is incomplete: the next word is its value */
	}
	*at = argc;
	return NULL;
}

static int run_command(const struct command *c, int argc, char **argv, FILE *out)
{
	const struct option_row *const lists[] = { commands_global, c->options, NULL };
	struct invocation in = { .command = c, .argv = argv, .out = out };
	struct err e;

	(void)str_fmt(in.who, sizeof in.who, "portway %s", c->name);
	if ((in.argc = options_parse(&in.options, lists, argc, argv, &e)) < 0)
		return invocation_usage(&in, "%s", e.msg);
	if (options_has(&in.options, "help")) {
		help_command(out, c);
		return EXIT_DONE;
	}
	if (in.argc < c->words_min)
		return invocation_usage(&in, "it takes %s", c->args);
	if (c->words_max >= 0 && in.argc > c->words_max)
		return invocation_usage(&in, "unexpected '%s'", argv[c->words_max]);
	return c->run(&in);
}

/* No command: --help, --version, or a mistake. */
static int run_none(int argc, char **argv, FILE *out)
{
	const struct option_row *const lists[] = { commands_global, NULL };
	const struct invocation in = { .out = out, .who = "portway" };
	struct options o;
	struct err e;
	int left = options_parse(&o, lists, argc, argv, &e);

	if (left < 0)
		return invocation_usage(&in, "%s", e.msg);
	if (options_has(&o, "version"))
		return run_command(commands_find("version"), 0, argv + left, out);
	if (options_has(&o, "help")) {
		help_all(out);
		return EXIT_DONE;
	}
	if (left == 0) {
		help_all(stderr);
		return EXIT_USAGE;
	}
	return invocation_usage(&in, "there is no command '%s'", argv[0]);
}

int commands_run(int argc, char **argv, FILE *out)
{
	int at = 0;
	const struct command *c = name_in(argc, argv, &at);

	if (c == NULL)
		return run_none(argc, argv, out);
	memmove(&argv[at], &argv[at + 1], (size_t)(argc - at) * sizeof argv[0]); /* with the NULL at the end */
	return run_command(c, argc - 1, argv, out);
}
