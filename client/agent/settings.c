#include "client/agent/settings.h"

#include "client/agent/credential.h"
#include "client/agent/instance.h"
#include "client/agent/relay/http_proxy.h"
#include "common/base/err.h"
#include "common/base/file.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/net/allow.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(member)     offsetof(struct settings, member)
#define TOKEN_FILE_MAX 1024
#define PEM_FILE_MAX   65536

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const log_formats[] = { "text", "json", NULL };

/* Sorted by key. */
static const struct conf_key keys[] = {
	{ .key = "allow",
		.env = "PORTWAY_AGENT_ALLOW",
		.type = CONF_STR,
		.offset = AT(allow),
		.def = ALLOW_DEFAULT,
		.flags = CONF_RELOAD,
		.unit = "host[:port[-port]] or range[:port[-port]]",
		.help = "What this agent may be made to dial, several by comma; any for everything that it can "
			"reach." },
	{ .key = "ca_fingerprint",
		.env = "PORTWAY_AGENT_CA_FINGERPRINT",
		.type = CONF_STR,
		.offset = AT(ca_fingerprint),
		.def = "",
		.flags = CONF_RELOAD,
		.unit = "",
		.help = "SHA-256 of controld's certificate authority, by which relays are known; with client_id." },
	{ .key = "client_id",
		.env = "PORTWAY_AGENT_CLIENT_ID",
		.type = CONF_STR,
		.offset = AT(client_id),
		.def = "",
		.flags = CONF_RELOAD,
		.unit = "",
		.help = "The client's number; with ca_fingerprint, and secret or tls_cert, instead of a token." },
	{ .key = "controld",
		.env = "PORTWAY_AGENT_CONTROLD",
		.type = CONF_STR,
		.offset = AT(controld),
		.def = "",
		.flags = CONF_RELOAD,
		.unit = "https://host[:port]",
		.help = "Who is asked which relays there are, now and again, in the place of relays; empty: they stay "
			"as they are set." },
	{ .key = "controld_ca",
		.env = "PORTWAY_AGENT_CONTROLD_CA",
		.type = CONF_STR,
		.offset = AT(controld_ca),
		.def = "",
		.flags = CONF_RELOAD,
		.unit = "path",
		.help = "A file with the certificates by which controld is known; empty for the system's." },
	{ .key = "controld_interval",
		.env = "PORTWAY_AGENT_CONTROLD_INTERVAL",
		.type = CONF_DURATION,
		.offset = AT(follow_interval_ms),
		.def = "5m",
		.min = 1000,
		.max = 86400000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "How often controld is asked, within a quarter more or less; and soon after a link was lost." },
	{ .key = "dial_timeout",
		.env = "PORTWAY_AGENT_DIAL_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(dial_timeout_ms),
		.def = "10s",
		.min = 100,
		.max = 300000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "For resolving a target's name and connecting to one of its addresses." },
	{ .key = "drain_timeout",
		.env = "PORTWAY_AGENT_DRAIN_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(drain_timeout_ms),
		.def = "30s",
		.min = 0,
		.max = 86400000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "How long connections may go on after SIGTERM, or on links to a relay that is listed no "
			"more." },
	{ .key = "instance",
		.env = "PORTWAY_AGENT_INSTANCE",
		.type = CONF_STR,
		.offset = AT(instance),
		.def = "",
		.unit = "",
		.help = "Which agent of the client this is: a later start under the same name takes over; empty for "
			"one "
			"that is kept in state_dir." },
	{ .key = "limits.streams",
		.env = "PORTWAY_AGENT_LIMITS_STREAMS",
		.type = CONF_U64,
		.offset = AT(max_streams),
		.def = "8192",
		.min = 1,
		.max = 1000000,
		.flags = CONF_RELOAD,
		.unit = "connections",
		.help = "TCP connections at once; further ones are refused." },
	{ .key = "limits.udp_sessions",
		.env = "PORTWAY_AGENT_LIMITS_UDP_SESSIONS",
		.type = CONF_U64,
		.offset = AT(max_udp_sessions),
		.def = "4096",
		.min = 1,
		.max = 1000000,
		.flags = CONF_RELOAD,
		.unit = "sessions",
		.help = "UDP sessions at once; a new one replaces the one that has been silent longest." },
	{ .key = "listen",
		.env = "PORTWAY_AGENT_LISTEN",
		.type = CONF_STR,
		.offset = AT(listen),
		.def = SETTINGS_LISTEN,
		.flags = CONF_RELOAD,
		.unit = "range[:port[-port]]",
		.help = "Where this agent may listen for private mappings of which its client is the source, several "
			"by comma; off for nowhere." },
	{ .key = "log.format",
		.env = "PORTWAY_AGENT_LOG_FORMAT",
		.type = CONF_ENUM,
		.offset = AT(log_format),
		.def = "text",
		.choices = log_formats,
		.unit = "",
		.help = "Shape of a log line." },
	{ .key = "log.level",
		.env = "PORTWAY_AGENT_LOG_LEVEL",
		.aliases = "LOG_LEVEL",
		.type = CONF_ENUM,
		.offset = AT(log_level),
		.def = "info",
		.choices = log_levels,
		.flags = CONF_RELOAD,
		.unit = "",
		.help = "The least important lines that are written." },
	{ .key = "proxy",
		.env = "PORTWAY_AGENT_PROXY",
		.type = CONF_STR,
		.offset = AT(proxy),
		.def = "",
		.flags = CONF_RELOAD | CONF_SECRET,
		.unit = "http://[user:password@]host:port",
		.help = "HTTP proxy to reach the relays through (CONNECT); empty for https_proxy of the environment, "
			"off "
			"for none." },
	{ .key = "relays",
		.env = "PORTWAY_AGENT_RELAYS",
		.type = CONF_STR,
		.offset = AT(relays),
		.def = "",
		.max = (uint64_t)SETTINGS_RELAYS_MAX * SETTINGS_RELAY_SIZE,
		.flags = CONF_RELOAD,
		.unit = "host:port",
		.help = "Where relays take agents, several by comma; links are kept to all of them; where only web "
			"traffic gets out: wss://host[:port]/path of a web server that passes WebSockets on to a "
			"relay's "
			"agents.listen, or ws:// without its TLS." },
	{ .key = "runtime_dir",
		.env = "PORTWAY_AGENT_RUNTIME_DIR",
		.aliases = "RUNTIME_DIRECTORY",
		.type = CONF_STR,
		.offset = AT(runtime_dir),
		.def = "",
		.unit = "path",
		.help = "Folder for the status socket; empty for /run/portway-agent or $XDG_RUNTIME_DIR/portway." },
	{ .key = "secret",
		.env = "PORTWAY_AGENT_SECRET",
		.type = CONF_STR,
		.offset = AT(secret),
		.def = "",
		.flags = CONF_RELOAD | CONF_SECRET,
		.unit = "",
		.help = "The client's secret (pws_...)." },
	{ .key = "state_dir",
		.env = "PORTWAY_AGENT_STATE_DIR",
		.aliases = "STATE_DIRECTORY",
		.type = CONF_STR,
		.offset = AT(state_dir),
		.def = "",
		.unit = "path",
		.help = "Folder for the instance's name and epoch; empty for /var/lib/portway-agent or "
			"$XDG_STATE_HOME/portway." },
	{ .key = "tls_cert",
		.env = "PORTWAY_AGENT_TLS_CERT",
		.type = CONF_STR,
		.offset = AT(tls_cert),
		.def = "",
		.flags = CONF_RELOAD,
		.unit = "path",
		.help = "A file with a certificate (PEM, Ed25519) that is registered for the client; with tls_key, "
			"client_id and ca_fingerprint, instead of a secret." },
	{ .key = "tls_key",
		.env = "PORTWAY_AGENT_TLS_KEY",
		.type = CONF_STR,
		.offset = AT(tls_key),
		.def = "",
		.flags = CONF_RELOAD,
		.unit = "path",
		.help = "A file with the private key of tls_cert (PEM, not encrypted)." },
	{ .key = "token",
		.env = "PORTWAY_AGENT_TOKEN",
		.type = CONF_STR,
		.offset = AT(token),
		.def = "",
		.flags = CONF_RELOAD | CONF_SECRET,
		.unit = "",
		.help = "The client's token: <client id>.<secret_key>.<ca_fingerprint>." },
	{ .key = "token_file",
		.env = "PORTWAY_AGENT_TOKEN_FILE",
		.type = CONF_STR,
		.offset = AT(token_file),
		.def = "",
		.flags = CONF_RELOAD,
		.unit = "path",
		.help = "A file that holds the token, instead of token." },
	{ .key = "udp_idle_timeout",
		.env = "PORTWAY_AGENT_UDP_IDLE_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(udp_idle_ms),
		.def = "5m",
		.min = 1000,
		.max = 86400000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "A UDP session without a datagram either way ends, should its relay not have ended it "
			"before." },
	{ .key = "unknown_timeout",
		.env = "PORTWAY_AGENT_UNKNOWN_TIMEOUT",
		.type = CONF_DURATION,
		.offset = AT(unknown_ms),
		.def = "1m",
		.min = 1000,
		.max = 86400000,
		.flags = CONF_RELOAD,
		.unit = "duration",
		.help = "When every relay has said for so long that it knows no such client, it is taken for deleted "
			"and "
			"the agent ends." },
};

static const struct conf_table table = { .program = "portway agent", .keys = keys, .n = ARRAY_LEN(keys) };

const struct conf_table *settings_table(void)
{
	return &table;
}

/* ---- what no row can check ---------------------------------------------------------------------------------------- */

int settings_each_relay(const char *relays, void (*fn)(const char *relay, void *arg), void *arg, struct err *e)
{
	static const char blanks[] = ", \t\n";
	unsigned n_relays = 0;

	for (const char *p = relays + strspn(relays, blanks); *p != '\0'; p += strspn(p, blanks)) {
		size_t n = strcspn(p, blanks);
		char one[SETTINGS_RELAY_SIZE];
		struct relay_url url;

		if (str_fmt(one, sizeof one, "%.*s", (int)MIN(n, sizeof one), p) != 0 ||
			relay_url_parse(&url, one) != 0)
			return err_set(e, ERR_VALIDATION, "relays",
				"relays: '%.*s' is not host:port or wss://host/path (several by comma)",
				(int)MIN(n, 80), p);
		if (++n_relays > SETTINGS_RELAYS_MAX)
			return err_set(e, ERR_VALIDATION, "relays", "relays: more than %d", SETTINGS_RELAYS_MAX);
		if (fn != NULL)
			fn(one, arg);
		p += n;
	}
	if (n_relays == 0)
		return err_set(
			e, ERR_VALIDATION, "relays", "relays (PORTWAY_AGENT_RELAYS) is missing: host:port of a relay");
	return 0;
}

static bool is_told(const struct err_list *errs, const char *field)
{
	for (size_t i = 0; field[0] != '\0' && i < errs->n; i++)
		if (str_eq(errs->items[i].field, field))
			return true;
	return false;
}

static int add(struct err_list *errs, const struct err *e)
{
	if (is_told(errs, e->field)) /* what was given for it was refused already, and is not missing */
		return -1;
	return err_list_add(errs, e->code, e->field, e->constraint, e->value, "%s", e->msg);
}

const char *settings_listen(const struct settings *s)
{
	return str_eq(s->listen, "off") ? "" : s->listen;
}

static int certificate(const struct settings *s, struct credential *out, struct err *e)
{
	uint8_t *cert, *key;
	size_t n_cert, n_key;
	int r;

	if (s->token[0] != '\0' || s->token_file[0] != '\0' || s->secret[0] != '\0')
		return err_set(
			e, ERR_VALIDATION, "tls_cert", "tls_cert: either a certificate or a token or secret, not both");
	if (s->tls_cert[0] == '\0' || s->tls_key[0] == '\0')
		return err_set(e, ERR_VALIDATION, "tls_cert", "tls_cert and tls_key need each other");
	if (file_read(s->tls_cert, PEM_FILE_MAX, &cert, &n_cert, e) != 0)
		return -1;
	r = file_read(s->tls_key, PEM_FILE_MAX, &key, &n_key, e);
	if (r == 0) {
		const struct credential_pem pem = { (char *)cert, (char *)key };

		r = credential_from_certificate(out, s->client_id, &pem, s->ca_fingerprint, e);
		explicit_bzero(key, n_key);
		free(key);
	}
	free(cert);
	return r;
}

int settings_credential(const struct settings *s, struct credential *out, struct err *e)
{
	uint8_t *text;
	size_t n;
	int r;

	if (s->tls_cert[0] != '\0' || s->tls_key[0] != '\0')
		return certificate(s, out, e);
	if (s->token[0] != '\0')
		return credential_from_token(out, s->token, e);
	if (s->token_file[0] == '\0' && s->client_id[0] == '\0')
		return err_set(e, ERR_VALIDATION, "token",
			"no credentials: set token (PORTWAY_AGENT_TOKEN), token_file, or client_id, ca_fingerprint and "
			"secret or tls_cert");
	if (s->token_file[0] == '\0')
		return credential_from_parts(out, s->client_id, s->secret, s->ca_fingerprint, e);
	if (file_read(s->token_file, TOKEN_FILE_MAX, &text, &n, e) != 0)
		return -1;
	r = credential_from_token(out, (char *)text, e);
	explicit_bzero(text, n);
	free(text);
	return r;
}

static int check_credential(const struct settings *s, struct err_list *errs)
{
	struct credential c;
	struct err e;

	if (settings_credential(s, &c, &e) != 0)
		return add(errs, &e);
	credential_fini(&c);
	return 0;
}

static int check_allow(const char *field, const char *text, struct err_list *errs)
{
	struct allow *a;
	struct err e;

	if (allow_parse(&a, field, text, &e) != 0)
		return add(errs, &e);
	allow_unref(a);
	return 0;
}

static int check_rest(const struct settings *s, struct err_list *errs)
{
	struct http_proxy proxy;
	struct err e;
	int r = 0;

	if ((s->relays[0] != '\0' || s->controld[0] == '\0') && settings_each_relay(s->relays, NULL, NULL, &e) != 0)
		r = add(errs, &e);
	if (s->controld[0] != '\0' && !str_starts(s->controld, "https://") && !str_starts(s->controld, "http://"))
		r = err_list_add(errs, ERR_VALIDATION, "controld", "format", s->controld,
			"controld: '%s' is not https://host[:port]", s->controld);
	if (http_proxy_parse(&proxy, s->proxy, &e) != 0)
		r = add(errs, &e);
	if (s->instance[0] != '\0' && !instance_is_name(s->instance))
		r = err_list_add(errs, ERR_VALIDATION, "instance", "format", s->instance,
			"instance: '%s' must have 1 to %d letters, digits, '.', '_' or '-'", s->instance,
			FRAME_ID_SIZE - 1);
	return r;
}

/* ---- folders ------------------------------------------------------------------------------------------------------ */

/* "" becomes the system's folder for root, the user's own for anybody else. */
static int settle_dir(char **dir, const char *system, const char *xdg, const char *under_home, struct err_list *errs)
{
	const char *base = getenv(xdg), *home = getenv("HOME");
	char path[1024];
	int r;

	if ((*dir)[0] != '\0')
		return 0;
	if (geteuid() == 0)
		r = str_copy(path, sizeof path, system);
	else if (base != NULL && base[0] == '/')
		r = str_fmt(path, sizeof path, "%s/portway", base);
	else
		r = str_fmt(path, sizeof path, "%s/%s/portway", home != NULL ? home : "", under_home);
	if (r == 0) {
		char *settled = strdup(path);

		if (settled != NULL) {
			free(*dir);
			*dir = settled;
			return 0;
		}
	}
	return err_list_add(
		errs, ERR_VALIDATION, "state_dir", NULL, NULL, "state_dir, runtime_dir: no folder for %s", xdg);
}

int settings_load(struct settings *out, const struct conf_source *src, struct err_list *errs)
{
	struct settings s = { 0 };
	int r = conf_load(&table, &s, src, errs);

	if (r == 0 || !conf_is_partial(errs)) { /* in the place of what was refused stands its default */
		r |= check_credential(&s, errs);
		r |= check_allow("allow", s.allow, errs) | check_allow("listen", settings_listen(&s), errs);
		r |= check_rest(&s, errs);
		r |= settle_dir(&s.state_dir, "/var/lib/portway-agent", "XDG_STATE_HOME", ".local/state", errs);
		r |= settle_dir(&s.runtime_dir, "/run/portway-agent", "XDG_RUNTIME_DIR", ".cache", errs);
	}
	if (r != 0) {
		settings_free(&s);
		return -1;
	}
	*out = s;
	return 0;
}

static void wipe(char *secret)
{
	if (secret != NULL)
		explicit_bzero(secret, strlen(secret));
}

void settings_free(struct settings *s)
{
	wipe(s->token);
	wipe(s->secret);
	conf_free(&table, s);
}
