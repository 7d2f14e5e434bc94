/* Who asks, and with which token of the service. */
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/device_login/room.h"
#include "controld/identity/audit.h"
#include "controld/identity/identity.h"

#include <string.h>
#include <strings.h>

#define KIND      "device_login"
#define ENDING_MS 60000 /* a token that ends so soon is not used any more */

static int begin(struct device_login *d, struct caller *c, const struct request *rq, struct err *e)
{
	memset(c, 0, sizeof *c);
	c->rq = rq;
	c->who = request_identity(rq);
	c->call = (struct service_call){ .outbound = d->conf.outbound, .service = &c->service };
	if (c->who != NULL && !identity_allows(c->who, PERM_WRITE))
		return err_set(e, ERR_FORBIDDEN, NULL, "the role of this key does not allow device logins");
	return device_login_service(d, &c->service, e);
}

static int no_credentials(struct err *e)
{
	return err_set(e, ERR_AUTHENTICATION_FAILED, NULL,
		"send account_id with X-API-Key, or the service's token as Authorization: Bearer");
}

int caller_open(struct device_login *d, struct caller *c, const struct request *rq, struct err *e)
{
	if (begin(d, c, rq, e) != 0)
		return -1;
	if (c->who == NULL && !d->conf.open)
		return err_set(e, ERR_AUTHENTICATION_FAILED, NULL, "an API key is needed: X-API-Key");
	return 0;
}

int caller_bearer(struct caller *c, struct err *e)
{
	const char *header = request_header(c->rq, "Authorization");

	if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0)
		return no_credentials(e);
	header += 7;
	header += strspn(header, " ");
	if (!service_token_ok(header))
		return err_set(e, ERR_INVALID_TOKEN, NULL, "Authorization: Bearer has no token");
	return str_copy(c->token, sizeof c->token, header);
}

int caller_same_service(const struct caller *c, struct err *e)
{
	if (str_eq(c->account.environment, c->service.name))
		return 0;
	return err_set(e, ERR_CONFLICT, "account_id",
		"the account logged in at the service of %s, and this is %s now: it must log in again",
		c->account.environment, c->service.name);
}

static int read_account(struct device_login *d, struct caller *c, const char *account_id, struct err *e)
{
	struct db *db;
	int rc;

	if (store_read_begin(d->conf.store, &db, e) != 0)
		return -1;
	rc = account_of_tenant(db, c->who->tenant_id, account_id, &c->account, e);
	store_read_end(db);
	return rc == 0 ? caller_same_service(c, e) : -1;
}

int caller_account(struct device_login *d, struct caller *c, struct err *e)
{
	const char *account_id = json_string_value(json_object_get(request_body(c->rq), "account_id"));

	if (account_id == NULL)
		return 0;
	if (c->who == NULL)
		return no_credentials(e);
	c->kept = true;
	return read_account(d, c, account_id, e);
}

int caller_token(struct device_login *d, struct caller *c, const struct request *rq, struct err *e)
{
	if (begin(d, c, rq, e) != 0 || caller_account(d, c, e) != 0)
		return -1;
	if (!c->kept)
		return caller_bearer(c, e);
	if (c->account.access_expires_ms < clock_wall_ms() + ENDING_MS &&
		refresher_refresh(d, &c->call, &c->account, c->who->actor, e) != 0)
		return -1;
	return str_copy(c->token, sizeof c->token, c->account.access);
}

void caller_fini(struct caller *c)
{
	account_wipe(&c->account);
	seal_wipe(c->token, sizeof c->token);
}

const char *caller_tenant(const struct caller *c)
{
	return c->who != NULL ? c->who->tenant_id : "";
}

/* ---- the audit log ----------------------------------------------------------------------------------------------- */

int caller_note_in(struct db *tx, const struct caller *c, const char *op, json_t *object, struct err *e)
{
	const struct change change = { .tenant = caller_tenant(c),
		.actor = c->who != NULL ? c->who->actor : "anonymous",
		.kind = KIND,
		.op = op,
		.subject = c->account.account_id };

	if (object != NULL)
		(void)json_object_set_new(object, "environment", json_string(c->service.name));
	return audit_append(tx, c->rq, change, object, e);
}

struct noting {
	const struct caller *caller;
	const char *op;
	json_t *object;
};

/* May run twice. */
static int work_note(struct db *tx, void *arg, struct err *e)
{
	const struct noting *n = arg;

	return caller_note_in(tx, n->caller, n->op, json_incref(n->object), e);
}

int caller_note(struct device_login *d, const struct caller *c, const char *op, json_t *object, struct err *e)
{
	struct noting n = { c, op, object != NULL ? object : json_object() };
	int rc = store_write(d->conf.store, STORE_LOGGED, work_note, &n, e);

	json_decref(n.object);
	return rc;
}

/* ---- what the service says --------------------------------------------------------------------------------------- */

static const char *words_of(const struct service_answer *a)
{
	static const char *const names[] = { "error_description", "message", "error" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (*service_text(a, names[i]) != '\0')
			return service_text(a, names[i]);
	return "no reason given";
}

int caller_refused(const struct device_login *d, const struct service_answer *a, struct err *e)
{
	const char *words = words_of(a);

	switch (a->status) {
	case 400:
		return err_set(e, ERR_BAD_REQUEST, NULL, "the account service does not take this: %.120s", words);
	case 401:
		return err_set(
			e, ERR_INVALID_TOKEN, NULL, "the account service does not take the token: %.120s", words);
	case 403:
		return err_set(e, ERR_QUOTA_EXCEEDED, NULL,
			"the account service refuses (%.80s): the account is not entitled to this, or has all the game "
			"sessions "
			"it may have, which are %llu: end one, or wait until one has run out",
			words, (unsigned long long)d->conf.sessions_max);
	case 404:
		return err_set(
			e, ERR_NOT_FOUND, "profile_uuid", "the account service knows no such profile: %.120s", words);
	case 429:
		return err_set(e, ERR_OVERLOADED, NULL, "the account service is asked too often; try again later");
	default:
		return err_set(e, ERR_UNAVAILABLE, NULL, "the account service answered %d", a->status);
	}
}
