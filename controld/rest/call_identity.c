#include "controld/rest/call_identity.h"

#include "common/base/err.h"
#include "controld/rest/call.h"
#include "controld/rest/rest_metrics.h"

/* bearer: of the Authorization header, or NULL where that is not for us. */
static int resolve(
	const struct call_identity *who, struct call *c, const char *bearer, const char *api_key, struct err *e)
{
	const struct authenticator *auth = who->auth;
	int rc = auth->resolve(auth->self, bearer, api_key, &c->rq.identity, e);

	if (rc != 0 && call_lost_its_session(e)) {
		err_clear(e);
		rc = auth->resolve(auth->self, bearer, api_key, &c->rq.identity, e);
	}
	return rc;
}

/* What a key may do beside what its role may. */
static int check_scope(const struct call_identity *who, struct call *c, struct err *e)
{
	const struct authenticator *auth = who->auth;
	char wanted[IDENTITY_SCOPE_SIZE];

	if (!c->rq.identity.api_key)
		return 0;
	if (auth->used != NULL)
		auth->used(auth->used_self, &c->rq.identity, &c->rq.peer);
	if (identity_in_scope(&c->rq.identity, c->entry->route))
		return 0;
	rest_metrics_refused(who->metrics, "scope");
	identity_scope_of(wanted, c->entry->route);
	err_set(e, ERR_FORBIDDEN, "scope", "this API key has not the scope %s that %s %s needs", wanted,
		c->entry->route->method, c->entry->route->path);
	return err_detail(e, "scope", wanted);
}

static int forbid(const struct call *c, struct err *e)
{
	const struct route *r = c->entry->route;
	const char *need = permission_role_name(r->permission);

	return err_set(e, ERR_FORBIDDEN, NULL, "your role does not allow %s %s%s%s", r->method, r->path,
		need[0] != '\0' ? ", which needs " : "", need);
}

int call_identity_find(const struct call_identity *who, struct call *c, struct err *e)
{
	const char *api_key = request_header(&c->rq, "X-API-Key");
	const bool foreign = (c->entry->route->flags & ROUTE_FOREIGN_BEARER) != 0;

	if (c->entry->route->permission == PERM_PUBLIC && !foreign)
		return 0;
	if (api_key == NULL)
		api_key = request_query(&c->rq, "api_key");
	if (foreign && api_key == NULL)
		return 0;
	if (resolve(who, c, foreign ? NULL : request_header(&c->rq, "Authorization"), api_key, e) != 0)
		return -1;
	c->rq.has_identity = true;
	if (!identity_allows(&c->rq.identity, c->entry->route->permission))
		return forbid(c, e);
	return check_scope(who, c, e);
}
