#include "client/agent/relay/relay_url.h"

#include "common/base/str.h"
#include "common/net/addr.h"

#include <string.h>
#include <strings.h>

#define PORT_WS  80
#define PORT_WSS 443

/* What may stand in a request line as it is. */
static bool is_path(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '#' || *s == '\\')
			return false;
	return true;
}

/* A port that is not said: "host", "[::1]". */
static bool has_port(const char *authority)
{
	const char *colon = strrchr(authority, ':'), *bracket = strrchr(authority, ']');

	return colon != NULL && (bracket == NULL || colon > bracket);
}

static int parse_web(struct relay_url *u, const char *rest)
{
	size_t n = strcspn(rest, "/?");
	char where[sizeof u->authority];

	if (str_fmt(u->authority, sizeof u->authority, "%.*s", (int)MIN(n, sizeof u->authority), rest) != 0 ||
		str_fmt(u->path, sizeof u->path, "%s%s", rest[n] == '/' ? "" : "/", rest + n) != 0 ||
		!is_path(u->path) || str_copy(where, sizeof where, u->authority) != 0)
		return -1;
	if (!has_port(where) && str_fmt(where, sizeof where, "%s:%d", u->authority, u->tls ? PORT_WSS : PORT_WS) != 0)
		return -1;
	return addr_split_host(where, u->host, sizeof u->host, &u->port) == 0 && u->port != 0 ? 0 : -1;
}

int relay_url_parse(struct relay_url *out, const char *text)
{
	struct relay_url u = { .port = 0 };

	u.tls = strncasecmp(text, "wss://", 6) == 0;
	u.web = u.tls || strncasecmp(text, "ws://", 5) == 0;
	if (u.web ? parse_web(&u, text + (u.tls ? 6 : 5)) != 0
		  : addr_split_host(text, u.host, sizeof u.host, &u.port) != 0 || u.port == 0)
		return -1;
	*out = u;
	return 0;
}
