#define _GNU_SOURCE
#include "common/net/allow.h"

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/net/cidr.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RULE_SIZE 300 /* of one as text */

struct rule {
	char *name; /* NULL: a range; "*.x" is every name below x */
	struct cidr range;
	uint16_t first, last; /* ports */
};

struct allow {
	unsigned refs, n;
	bool any;
	struct rule rules[ALLOW_RULES_MAX];
};

/* ---- parsing ------------------------------------------------------------------------------------------------------ */

static int parse_ports(struct rule *r, char *text)
{
	char *dash = strchr(text, '-');
	uint64_t first, last;

	if (dash != NULL)
		*dash++ = '\0';
	if (str_to_u64(text, 1, 65535, &first) != 0)
		return -1;
	last = first;
	if (dash != NULL && str_to_u64(dash, first, 65535, &last) != 0)
		return -1;
	r->first = (uint16_t)first;
	r->last = (uint16_t)last;
	return 0;
}

/* Cuts "host:ports", "[range]:ports", "host", "2001:db8::/32" into host and ports (NULL: none). -1: neither. */
static int split(char *text, char **host, char **ports)
{
	char *colon = strchr(text, ':');

	*host = text;
	*ports = NULL;
	if (text[0] == '[') {
		char *end = strchr(text, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return -1;
		*host = text + 1;
		*ports = end[1] == ':' ? end + 2 : NULL;
		*end = '\0';
		return 0;
	}
	if (colon == NULL || strchr(colon + 1, ':') != NULL) /* none, or an IPv6 range without ports */
		return 0;
	*colon = '\0';
	*ports = colon + 1;
	return 0;
}

static bool is_name(const char *s)
{
	struct addr a;

	if (str_starts(s, "*."))
		s += 2;
	return addr_is_host(s) && addr_parse_ip(&a, s, 0) != 0;
}

static int add_range(struct allow *a, const struct rule *ports, const char *range)
{
	struct rule *r = &a->rules[a->n];

	if (a->n == ALLOW_RULES_MAX)
		return -1;
	*r = *ports;
	if (cidr_parse(&r->range, range) != 0)
		return -1;
	a->n++;
	return 0;
}

static int add_name(struct allow *a, const struct rule *ports, const char *name)
{
	struct rule *r = &a->rules[a->n];

	if (a->n == ALLOW_RULES_MAX || !is_name(name))
		return -1;
	*r = *ports;
	r->name = strdup(name);
	if (r->name == NULL)
		return -1;
	a->n++;
	return 0;
}

static int add_rule(struct allow *a, char *text)
{
	struct rule ports = { .first = 1, .last = 65535 };
	char *host, *ports_text;

	if (strcasecmp(text, "any") == 0) {
		a->any = true;
		return 0;
	}
	if (split(text, &host, &ports_text) != 0 || (ports_text != NULL && parse_ports(&ports, ports_text) != 0))
		return -1;
	if (strcasecmp(host, "localhost") == 0)
		return add_range(a, &ports, "127.0.0.0/8") | add_range(a, &ports, "::1");
	return add_range(a, &ports, host) == 0 ? 0 : add_name(a, &ports, host);
}

int allow_parse(struct allow **out, const char *field, const char *text, struct err *e)
{
	static const char blanks[] = ", \t\n";
	struct allow *a = calloc(1, sizeof *a);

	if (a == NULL)
		return err_set(e, ERR_NOMEM, field, "%s: out of memory", field);
	a->refs = 1;
	for (const char *p = text + strspn(text, blanks); *p != '\0'; p += strspn(p, blanks)) {
		size_t n = strcspn(p, blanks);
		char one[RULE_SIZE];

		if (str_fmt(one, sizeof one, "%.*s", (int)MIN(n, sizeof one), p) != 0 || add_rule(a, one) != 0) {
			err_set(e, ERR_VALIDATION, field,
				"%s: '%.*s' is not host[:port[-port]], range[:port[-port]] or any, or there are "
				"more than %d of them",
				field, (int)MIN(n, 80), p, ALLOW_RULES_MAX);
			allow_unref(a);
			return -1;
		}
		p += n;
	}
	*out = a;
	return 0;
}

struct allow *allow_ref(struct allow *a)
{
	a->refs++;
	return a;
}

void allow_unref(struct allow *a)
{
	if (a == NULL || --a->refs > 0)
		return;
	for (unsigned i = 0; i < a->n; i++)
		free(a->rules[i].name);
	free(a);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static bool name_matches(const char *pattern, const char *host)
{
	size_t n = strlen(host), tail;

	if (n > 0 && host[n - 1] == '.') /* the root may be written or not */
		n--;
	if (pattern[0] != '*')
		return strlen(pattern) == n && strncasecmp(pattern, host, n) == 0;
	tail = strlen(pattern) - 1;
	return n > tail && strncasecmp(pattern + 1, host + n - tail, tail) == 0;
}

static bool port_matches(const struct rule *r, uint16_t port)
{
	return port >= r->first && port <= r->last;
}

bool allow_has_name(const struct allow *a, const char *host, uint16_t port)
{
	if (a->any)
		return true;
	for (unsigned i = 0; i < a->n; i++) {
		const struct rule *r = &a->rules[i];

		if (r->name != NULL && port_matches(r, port) && name_matches(r->name, host))
			return true;
	}
	return false;
}

bool allow_has_addr(const struct allow *a, const struct addr *addr)
{
	if (a->any)
		return true;
	for (unsigned i = 0; i < a->n; i++) {
		const struct rule *r = &a->rules[i];

		if (r->name == NULL && port_matches(r, addr_port(addr)) && cidr_match(&r->range, addr))
			return true;
	}
	return false;
}
