#include "controld/out/guard.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

static int add_range(struct guard *g, const char *text, struct err *e)
{
	if (g->n == GUARD_ALLOW_MAX)
		return err_set(
			e, ERR_VALIDATION, "outbound.allow", "outbound.allow: more than %d ranges", GUARD_ALLOW_MAX);
	if (cidr_parse(&g->allow[g->n], text) != 0) {
		err_set(e, ERR_VALIDATION, "outbound.allow", "outbound.allow: '%.60s' is no range such as 10.0.0.0/8",
			text);
		return err_detail(e, "format", text);
	}
	g->n++;
	return 0;
}

int guard_init(struct guard *g, const char *allow, struct err *e)
{
	char range[CIDR_STRLEN + 8];

	memset(g, 0, sizeof *g);
	while (*(allow += strspn(allow, ", \t")) != '\0') {
		const size_t n = strcspn(allow, ", \t");

		if (str_fmt(range, sizeof range, "%.*s", (int)MIN(n, sizeof range), allow) != 0 ||
			add_range(g, range, e) != 0)
			return err_set(e, ERR_VALIDATION, "outbound.allow",
				"outbound.allow: '%.60s' is no list of ranges such as 10.0.0.0/8", allow);
		allow += n;
	}
	return 0;
}

bool guard_allows(const struct guard *g, const struct addr *a)
{
	return !addr_is_special(a) || (a->len != 0 && cidr_match_any(g->allow, g->n, a));
}

static int refuse(struct err *e, const char *field, const char *url, const char *why)
{
	err_set(e, ERR_VALIDATION, field, "%s: %s", field, why);
	return err_detail(e, "format", url);
}

static bool has_part(CURLU *u, CURLUPart part)
{
	char *text = NULL;
	const bool there = curl_url_get(u, part, &text, 0) == CURLUE_OK;

	curl_free(text);
	return there;
}

static int check_scheme(CURLU *u, const char *field, const char *url, struct err *e)
{
	char *scheme = NULL;
	bool ok;

	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
		return refuse(e, field, url, "must begin with http:// or https://");
	ok = str_eq(scheme, "http") || str_eq(scheme, "https");
	curl_free(scheme);
	if (!ok)
		return refuse(e, field, url, "must begin with http:// or https://");
	if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
		return refuse(e, field, "***", "must not hold a user or a password");
	return 0;
}

/* As it is dialled: curl has understood 0x7f.1 and 2130706433 by now. */
static int check_host(const struct guard *g, CURLU *u, const char *field, const char *url, struct err *e)
{
	char *host = NULL;
	char bare[300];
	size_t n;
	struct addr a;
	int rc = 0;

	if (curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK || *host == '\0') {
		curl_free(host);
		return refuse(e, field, url, "must name a host");
	}
	(void)str_copy(bare, sizeof bare, host[0] == '[' ? host + 1 : host);
	n = strlen(bare);
	if (n > 0 && bare[n - 1] == ']')
		bare[n - 1] = '\0';
	if (addr_parse_ip(&a, bare, 0) == 0 && !guard_allows(g, &a)) {
		err_set(e, ERR_DENIED_TARGET, field, "%s: calls to %.60s are closed; outbound.allow can open them",
			field, host);
		rc = err_detail(e, "denied", url);
	}
	curl_free(host);
	return rc;
}

static int check_parts(const struct guard *g, CURLU *u, const char *field, const char *url, struct err *e)
{
	if (check_scheme(u, field, url, e) != 0)
		return -1;
	return check_host(g, u, field, url, e);
}

int guard_check_url(const struct guard *g, const char *field, const char *url, struct err *e)
{
	CURLU *u;
	int rc;

	if (strlen(url) > GUARD_URL_MAX)
		return refuse(e, field, "", "longer than 2048 bytes");
	for (const char *p = url; *p != '\0'; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p == 0x7f)
			return refuse(e, field, url, "must not hold blanks or control characters");
	if ((u = curl_url()) == NULL)
		return err_set(e, ERR_NOMEM, field, "%s: out of memory", field);
	if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
		rc = refuse(e, field, url, "is no URL");
	else
		rc = check_parts(g, u, field, url, e);
	curl_url_cleanup(u);
	return rc;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	const bool same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	                  curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(x, y) == 0;

	curl_free(x);
	curl_free(y);
	return same;
}

bool guard_same_place(const char *url, const char *other)
{
	CURLU *a = curl_url(), *b = curl_url();
	const bool same = a != NULL && b != NULL && curl_url_set(a, CURLUPART_URL, url, 0) == CURLUE_OK &&
	                  curl_url_set(b, CURLUPART_URL, other, 0) == CURLUE_OK && same_part(a, b, CURLUPART_SCHEME) &&
	                  same_part(a, b, CURLUPART_HOST) && same_part(a, b, CURLUPART_PORT);

	curl_url_cleanup(a);
	curl_url_cleanup(b);
	return same;
}
