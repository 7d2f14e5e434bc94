#include "relayd/settings_check.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "proto/join.h"
#include "proto/report.h"
#include "relayd/http_setup.h"
#include "relayd/settings.h"
#include "relayd/vhost/front.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_controld(const char *list, struct err_list *errs)
{
	char one[300], host[256];
	uint16_t port;

	for (const char *p = list; p != NULL; p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL) {
		size_t n = strcspn(p, ",");

		if (str_fmt(one, sizeof one, "%.*s", (int)n, p) != 0 ||
			addr_split_host(one, host, sizeof host, &port) != 0 || port == 0)
			return err_list_add(errs, ERR_VALIDATION, "controld", "format", one,
				"controld: '%s' is not host:port (several by comma)", one);
	}
	return 0;
}

static int check_listen(const char *key, const char *env, const char *listen, struct err_list *errs)
{
	struct addr a;

	if (strcmp(listen, "off") == 0 || addr_parse(&a, listen) == 0)
		return 0;
	return err_list_add(errs, ERR_VALIDATION, key, "format", listen,
		"%s (%s): '%s' is not address:port, [address]:port or off", key, env, listen);
}

static int check_listens(const char *key, const char *listen, struct err_list *errs)
{
	struct addr at[FRONT_LISTEN_MAX];
	unsigned n;

	if (front_parse_listen(listen, at, &n) == 0)
		return 0;
	return err_list_add(errs, ERR_VALIDATION, key, "format", listen,
		"%s: '%s' is not address:port or [address]:port (at most %d by comma), or off", key, listen,
		FRONT_LISTEN_MAX);
}

static int check_ranges(const char *key, const char *list, struct err_list *errs)
{
	struct mapping_cidrs none = { .items = NULL };

	if (http_setup_ranges(&none, list) != 0)
		return err_list_add(errs, ERR_VALIDATION, key, "format", list,
			"%s: '%s' is not a list of at most %d address ranges by comma", key, list, MAPPING_CIDRS_MAX);
	mapping_cidrs_fini(&none);
	return 0;
}

static int check_advertise(const char *at, struct err_list *errs)
{
	char host[NODE_AGENTS_SIZE];
	uint16_t port;

	if (at[0] == '\0' ||
		(strlen(at) < NODE_AGENTS_SIZE && addr_split_host(at, host, sizeof host, &port) == 0 && port != 0))
		return 0;
	return err_list_add(errs, ERR_VALIDATION, "agents.advertise", "format", at,
		"agents.advertise (RELAYD_AGENTS_ADVERTISE): '%s' is not host:port", at);
}

static int check_token(const char *token, struct err_list *errs)
{
	struct join_token parsed;

	if (token[0] == '\0' || join_token_parse(&parsed, token) == 0)
		return 0;
	return err_list_add(errs, ERR_VALIDATION, "join.token", "format", "***",
		"join.token (RELAYD_JOIN_TOKEN) is not a join token: <id>.<secret>.<fingerprint>");
}

/* An empty name is the host's; a name must fit the wire and be printable. */
static int settle_name(struct settings *s, struct err_list *errs)
{
	char host[256] = "";

	if (s->name[0] == '\0' && gethostname(host, sizeof host - 1) == 0) {
		char *name = strdup(host);

		if (name == NULL)
			return err_list_add(errs, ERR_NOMEM, "name", NULL, NULL, "name: out of memory");
		free(s->name);
		s->name = name;
	}
	if (s->name[0] != '\0' && strlen(s->name) < PROTO_NAME_SIZE && str_is_utf8(s->name, strlen(s->name)))
		return 0;
	return err_list_add(errs, ERR_VALIDATION, "name", "length", s->name,
		"name (RELAYD_NAME): '%s' must have 1 to %d bytes of UTF-8", s->name, PROTO_NAME_SIZE - 1);
}

static int check_proxies(const char *text, struct err_list *errs)
{
	struct allow *allow;
	struct err e;

	if (allow_parse(&allow, "agents.proxies", text, &e) != 0)
		return err_list_add(errs, ERR_VALIDATION, "agents.proxies", "format", text,
			"agents.proxies (RELAYD_AGENTS_PROXIES): %s", e.msg);
	allow_unref(allow);
	return 0;
}

int settings_check(struct settings *s, struct err_list *errs)
{
	int r = 0;

	if (s->controld != NULL)
		r |= check_controld(s->controld, errs);
	if (s->metrics_listen != NULL)
		r |= check_listen("metrics.listen", "RELAYD_METRICS_LISTEN", s->metrics_listen, errs);
	if (s->agents_listen != NULL)
		r |= check_listen("agents.listen", "RELAYD_AGENTS_LISTEN", s->agents_listen, errs);
	if (s->agents_proxies != NULL && s->agents_proxies[0] != '\0')
		r |= check_proxies(s->agents_proxies, errs);
	if (s->http_listen != NULL)
		r |= check_listens("http.listen", s->http_listen, errs);
	if (s->tls_listen != NULL)
		r |= check_listens("tls.listen", s->tls_listen, errs);
	if (s->http_trusted_proxies != NULL)
		r |= check_ranges("http.trusted_proxies", s->http_trusted_proxies, errs);
	if (s->agents_advertise != NULL)
		r |= check_advertise(s->agents_advertise, errs);
	if (s->join_token != NULL)
		r |= check_token(s->join_token, errs);
	if (s->name != NULL)
		r |= settle_name(s, errs);
	return r;
}
