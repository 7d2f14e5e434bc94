#include "controld/acme/acme_reply.h"

#include "common/base/civil.h"
#include "common/base/err.h"
#include "common/base/str.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define ERROR_PREFIX   "urn:ietf:params:acme:error:"
#define RETRY_MAX_MS   UINT64_C(86400000)
#define CHALLENGES_MAX 20 /* that are looked at */

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_PROTOCOL, NULL, "the CA's answer is no %s as RFC 8555 has it", what);
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

static bool is_printable(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

bool acme_reply_is_url(const char *s)
{
	static const char scheme[] = "https://";
	const size_t n = sizeof scheme - 1;

	return str_starts(s, scheme) && s[n] != '\0' && s[n] != '/' && strlen(s) < ACME_URL_SIZE && is_printable(s);
}

static int take_url(char dst[ACME_URL_SIZE], const json_t *o, const char *name)
{
	const char *s = text_of(o, name);

	return acme_reply_is_url(s) ? str_copy(dst, ACME_URL_SIZE, s) : -1;
}

static enum acme_status status_of(const json_t *o)
{
	static const struct {
		const char *name;
		enum acme_status status;
	} all[] = {
		{ "pending", ACME_PENDING },
		{ "ready", ACME_READY },
		{ "processing", ACME_PROCESSING },
		{ "valid", ACME_VALID },
		{ "invalid", ACME_INVALID },
		{ "deactivated", ACME_INVALID },
		{ "expired", ACME_INVALID },
		{ "revoked", ACME_INVALID },
	};
	const char *s = text_of(o, "status");

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eq(all[i].name, s))
			return all[i].status;
	return ACME_UNKNOWN;
}

static void take_detail(char dst[ACME_TEXT_SIZE], const char *s)
{
	(void)str_copy(dst, ACME_TEXT_SIZE, s);
	for (char *p = dst; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	str_make_utf8(dst); /* it may have been cut within a character */
}

/* What is wrong with one name stands in subproblems, and says more than the whole. */
static void take_problem(struct acme_problem *out, const json_t *o)
{
	const json_t *first = json_array_get(json_object_get(o, "subproblems"), 0);
	const char *type = text_of(o, "type");
	const char *detail = text_of(json_is_object(first) ? first : o, "detail");

	memset(out, 0, sizeof *out);
	if (str_starts(type, ERROR_PREFIX) && is_printable(type))
		(void)str_copy(out->type, sizeof out->type, type + sizeof ERROR_PREFIX - 1);
	take_detail(out->detail, *detail != '\0' ? detail : text_of(o, "detail"));
}

static json_t *parse(const char *text, size_t n)
{
	json_t *o = n <= ACME_REPLY_MAX ? json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

int acme_reply_directory(struct acme_directory *out, const char *text, size_t n, struct err *e)
{
	json_t *o = parse(text, n);
	int rc = 0;

	memset(out, 0, sizeof *out);
	if (take_url(out->new_nonce, o, "newNonce") != 0 || take_url(out->new_account, o, "newAccount") != 0 ||
		take_url(out->new_order, o, "newOrder") != 0)
		rc = bad(e, "directory");
	out->binding_required = json_is_true(json_object_get(json_object_get(o, "meta"), "externalAccountRequired"));
	json_decref(o);
	return rc;
}

static int take_authorizations(struct acme_order *out, const json_t *list)
{
	const size_t n = json_array_size(list);

	if (n == 0 || n > ACME_ORDER_NAMES)
		return -1;
	for (out->n = 0; out->n < n; out->n++) {
		const char *s = json_string_value(json_array_get(list, out->n));

		if (s == NULL || !acme_reply_is_url(s))
			return -1;
		(void)str_copy(out->authorizations[out->n], ACME_URL_SIZE, s);
	}
	return 0;
}

int acme_reply_order(struct acme_order *out, const char *text, size_t n, struct err *e)
{
	json_t *o = parse(text, n);
	int rc = 0;

	memset(out, 0, sizeof *out);
	out->status = status_of(o);
	take_problem(&out->problem, json_object_get(o, "error"));
	if (out->status == ACME_UNKNOWN || take_url(out->finalize, o, "finalize") != 0 ||
		take_authorizations(out, json_object_get(o, "authorizations")) != 0)
		rc = bad(e, "order");
	else if (json_object_get(o, "certificate") != NULL && take_url(out->certificate, o, "certificate") != 0)
		rc = bad(e, "order");
	json_decref(o);
	return rc;
}

/* A token goes into a path as it is, so its alphabet is checked here (RFC 8555 section 8.3). */
static bool is_token(const char *s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const size_t n = strspn(s, letters);

	return n > 0 && n < sizeof((struct acme_challenge *)0)->token && s[n] == '\0';
}

static int take_challenge(struct acme_challenge *out, const json_t *o)
{
	if (out->offered || !is_token(text_of(o, "token")) || take_url(out->url, o, "url") != 0)
		return -1;
	out->offered = true;
	out->status = status_of(o);
	(void)str_copy(out->token, sizeof out->token, text_of(o, "token"));
	take_problem(&out->problem, json_object_get(o, "error"));
	return 0;
}

static int take_challenges(struct acme_authorization *out, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list) > CHALLENGES_MAX)
		return -1;
	json_array_foreach(list, i, one)
	{
		const char *type = text_of(one, "type");

		if (str_eq(type, "http-01") && take_challenge(&out->http, one) != 0)
			return -1;
		if (str_eq(type, "tls-alpn-01") && take_challenge(&out->tls, one) != 0)
			return -1;
	}
	return 0;
}

int acme_reply_authorization(struct acme_authorization *out, const char *text, size_t n, struct err *e)
{
	json_t *o = parse(text, n);
	const json_t *id = json_object_get(o, "identifier");
	const char *host = text_of(id, "value");
	int rc = 0;

	memset(out, 0, sizeof *out);
	out->status = status_of(o);
	if (out->status == ACME_UNKNOWN || !str_eq(text_of(id, "type"), "dns") ||
		host_name_take(out->host, host, strlen(host)) != 0 ||
		take_challenges(out, json_object_get(o, "challenges")) != 0)
		rc = bad(e, "authorization");
	json_decref(o);
	return rc;
}

void acme_reply_problem(struct acme_problem *out, const char *text, size_t n)
{
	json_t *o = parse(text, n);

	take_problem(out, o);
	json_decref(o);
}

/* IMF-fixdate (RFC 9110 section 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT". */
static int parse_date(const char *s, int64_t *at_ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char month[4] = "";
	const char *at;
	int64_t days;
	int day, year, h, m, sec, used = 0;

	if (sscanf(s, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month, &year, &h, &m, &sec, &used) !=
			6 ||
		used == 0 || s[used] != '\0')
		return -1;
	at = strlen(month) == 3 ? strstr(months, month) : NULL;
	if (at == NULL || (at - months) % 3 != 0 || year < 1970 || day < 1 || day > 31 || h < 0 || m < 0 || sec < 0)
		return -1;
	days = civil_days(year, (int)(at - months) / 3 + 1, day);
	*at_ms = ((days * 24 + h) * 60 + m) * 60000 + (int64_t)sec * 1000;
	return 0;
}

uint64_t acme_reply_retry_after(const char *value, int64_t now_ms)
{
	int64_t at_ms;
	uint64_t s;

	if (str_to_u64(value, 0, UINT64_MAX, &s) == 0)
		return MIN(s, RETRY_MAX_MS / 1000) * 1000;
	if (parse_date(value, &at_ms) != 0 || at_ms <= now_ms)
		return 0;
	return MIN((uint64_t)(at_ms - now_ms), RETRY_MAX_MS);
}
