#include "controld/identity/service.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/identity/api_key.h"
#include "controld/identity/audit.h"
#include "controld/identity/room.h"
#include "controld/identity/session.h"
#include "controld/identity/tenant.h"
#include "controld/identity/tenant_plan.h"
#include "controld/identity/user.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CLEAN_BATCH = 1000 };

/* ---- life -------------------------------------------------------------------------------------------------------- */

static const struct {
	const struct route *rows;
	const size_t *n;
} identity_tables[] = {
	{ login_routes, &login_routes_n },
	{ session_routes, &session_routes_n },
	{ register_routes, &register_routes_n },
	{ user_routes, &user_routes_n },
	{ tenant_routes, &tenant_routes_n },
	{ api_key_routes, &api_key_routes_n },
	{ audit_routes, &audit_routes_n },
};

static int identity_collect_routes(struct identity_service *s)
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(identity_tables); i++)
		n += *identity_tables[i].n;
	s->rows = calloc(n, sizeof *s->rows);
	if (s->rows == NULL)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(identity_tables); i++) {
		memcpy(s->rows + s->rows_n, identity_tables[i].rows, *identity_tables[i].n * sizeof *s->rows);
		s->rows_n += *identity_tables[i].n;
	}
	return 0;
}

int identity_new(struct identity_service **out, const struct identity_conf *conf, struct store *store, struct err *e)
{
	struct identity_service *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "identity: out of memory");
	s->conf = *conf;
	s->store = store;
	if (identity_collect_routes(s) != 0) {
		err_set(e, ERR_NOMEM, NULL, "identity: out of memory");
		goto fail;
	}
	if (signing_keys_new(&s->keys, store, (int64_t)conf->access_ms, e) != 0 ||
		throttle_new(&s->throttle, store, s->refresh_key, e) != 0 ||
		resolver_new(&s->resolver, store, s->keys, conf->issuer, e) != 0 ||
		key_uses_new(&s->uses, store, e) != 0 || tenant_plans_new(&s->plans, store, e) != 0)
		goto fail;
	*out = s;
	return 0;
fail:
	identity_free(s);
	return -1;
}

void identity_free(struct identity_service *s)
{
	if (s == NULL)
		return;
	tenant_plans_free(s->plans);
	key_uses_free(s->uses);
	resolver_free(s->resolver);
	throttle_free(s->throttle);
	signing_keys_free(s->keys);
	seal_wipe(s->refresh_key, sizeof s->refresh_key);
	free(s->rows);
	free(s);
}

struct route_table identity_routes(struct identity_service *s)
{
	return (struct route_table){ s->rows, s->rows_n, s };
}

struct authenticator identity_authenticator(struct identity_service *s)
{
	return (struct authenticator){ resolver_resolve, s->resolver, key_uses_note, s->uses };
}

void identity_stats(struct identity_service *s, struct identity_stats *out)
{
	struct resolver_stats r;

	resolver_stats(s->resolver, &r);
	*out = (struct identity_stats){
		.logins = s->logins,
		.logins_failed = s->logins_failed,
		.logins_throttled = throttle_refusals(s->throttle),
		.refreshes = s->refreshes,
		.token_reuses = s->token_reuses,
		.resolved_kept = r.hits,
		.resolved_read = r.misses,
		.resolve_refused = r.refused,
		.key_uses_dropped = key_uses_dropped(s->uses),
	};
}

const struct sql_table *const identity_sql[] = {
	&audit_sql,
	&tenant_sql,
	&user_sql,
	&session_sql,
	&api_key_sql,
	&key_use_sql,
	&signing_key_sql,
	&throttle_sql,
};
const size_t identity_sql_n = ARRAY_LEN(identity_sql);

/* ---- cleaning ---------------------------------------------------------------------------------------------------- */

static int work_clean(struct db *tx, void *arg, struct err *e)
{
	int *ended = arg;

	*ended = session_delete_expired(tx, clock_wall_ms(), CLEAN_BATCH, e);
	return *ended < 0 ? -1 : key_uses_clean(tx, e);
}

static int work_trim(struct db *tx, void *arg, struct err *e)
{
	return session_trim(tx, arg, SESSIONS_MAX, e) < 0 ? -1 : 0;
}

/*
 * A program that logs in for each of its requests must not fill the table. Looking costs a walk over an index, so it is
 * done here and not at each login.
 */
static int clean_crowds(struct identity_service *s, struct err *e)
{
	char user_id[RAND_ID_SIZE];
	struct db *db;
	int found;

	for (;;) {
		if (store_read_begin(s->store, &db, e) != 0)
			return -1;
		found = session_crowd(db, SESSIONS_MAX, user_id, e);
		store_read_end(db);
		if (found <= 0)
			return found;
		if (store_write(s->store, STORE_OPERATIONAL, work_trim, user_id, e) != 0)
			return -1;
		resolver_forget(s->resolver);
	}
}

void identity_set_clients(struct identity_service *s, identity_client_fn fn, void *self)
{
	resolver_set_clients(s->resolver, fn, self);
}

char *identity_sign(struct identity_service *s, const char *claims, struct err *e)
{
	return signing_keys_sign(s->keys, claims, clock_wall_ms(), e);
}

int identity_verify(struct identity_service *s, const char *token, char **claims, struct err *e)
{
	return signing_keys_verify(s->keys, token, clock_wall_ms(), claims, e);
}

const uint8_t *identity_refresh_key(const struct identity_service *s)
{
	return s->refresh_key;
}

const char *identity_issuer(const struct identity_service *s)
{
	return s->conf.issuer;
}

void identity_forget(struct identity_service *s)
{
	resolver_forget(s->resolver);
	tenant_plan_forget(s);
}

uint64_t identity_plan_per_hour(void *service, const char *tenant_id)
{
	struct identity_service *s = service;

	return tenant_plans_per_hour(s->plans, tenant_id);
}

void tenant_plan_forget(struct identity_service *s)
{
	tenant_plans_forget(s->plans);
}

void identity_set_usage(struct identity_service *s, const struct tenant_usage_source *source)
{
	s->usage = *source;
}

int identity_rotate(struct identity_service *s, struct err *e)
{
	return signing_keys_rotate(s->keys, clock_wall_ms(), e);
}

int identity_write_uses(struct identity_service *s, struct err *e)
{
	return key_uses_write(s->uses, e);
}

int identity_clean(struct identity_service *s, struct err *e)
{
	int ended;

	do {
		if (store_write(s->store, STORE_OPERATIONAL, work_clean, &ended, e) != 0)
			return -1;
	} while (ended == CLEAN_BATCH);
	return clean_crowds(s, e);
}

/* ---- the end of users and tenants -------------------------------------------------------------------------------- */

const struct erasure *const identity_erasures[] = {
	&session_erasure,
	&key_use_erasure,
	&api_key_erasure,
	&changes_erasure,
	&user_erasure,
	&tenant_erasure,
};
const size_t identity_erasures_n = ARRAY_LEN(identity_erasures);

struct leaving {
	identity_leaving_fn fn;
	void *arg;
};

static int on_user_leaving(const char *id, int64_t since_ms, void *arg)
{
	const struct leaving *l = arg;

	return l->fn(false, id, since_ms, l->arg);
}

static int on_tenant_leaving(const char *id, int64_t since_ms, void *arg)
{
	const struct leaving *l = arg;

	return l->fn(true, id, since_ms, l->arg);
}

int identity_leaving(struct db *db, unsigned limit, identity_leaving_fn fn, void *arg, struct err *e)
{
	struct leaving l = { fn, arg };

	if (user_leaving(db, limit, on_user_leaving, &l, e) != 0)
		return -1;
	return tenant_leaving(db, limit, on_tenant_leaving, &l, e);
}

/* ---- what the routes share --------------------------------------------------------------------------------------- */

const char *identity_scope(const struct identity *id)
{
	return id->system_admin ? "" : id->tenant_id;
}

void identity_retry_after(struct reply *rp, uint64_t wait_ms)
{
	char seconds[24];

	(void)str_fmt(seconds, sizeof seconds, "%" PRIu64, wait_ms / 1000 + 1);
	reply_header(rp, "Retry-After", seconds);
}

int identity_match(const struct request *rq, int64_t version, struct err *e)
{
	char etag[32];

	(void)str_fmt(etag, sizeof etag, "\"v%" PRId64 "\"", version);
	return request_if_match(rq, etag, e);
}

const char *identity_query(const struct request *rq, const char *name)
{
	const char *value = request_query(rq, name);

	return value != NULL ? value : "";
}

static void reply_page(struct reply *rp, json_t *items, unsigned limit, const char *id_member, const char *plural)
{
	const json_t *last;
	char cursor[RAND_ID_SIZE] = "";

	if (json_array_size(items) > limit) {
		json_array_remove(items, limit);
		last = json_object_get(json_array_get(items, limit - 1), id_member);
		if (json_is_integer(last))
			(void)str_fmt(cursor, sizeof cursor, "%" PRId64, (int64_t)json_integer_value(last));
		else
			(void)str_copy(cursor, sizeof cursor, json_string_value(last));
	}
	reply_json(rp, 200,
		json_pack("{s:o, s:o}", plural, items, "next_cursor",
			cursor[0] != '\0' ? json_string(cursor) : json_null()));
}

struct list_form {
	const char *id_member, *plural;
};

static int list(const struct list_form *form, struct request *rq, struct reply *rp, struct identity_service *s,
	identity_read_fn read, struct err *e)
{
	struct identity_list l = { .service = s, .rq = rq };
	struct db *db;
	int rc;

	if (request_page(rq, &l.page, e) != 0 || store_read_begin(s->store, &db, e) != 0)
		return -1;
	l.rows = l.page.limit + 1;
	l.items = json_array();
	rc = read(db, &l, e);
	store_read_end(db);
	if (rc != 0) {
		json_decref(l.items);
		return -1;
	}
	reply_page(rp, l.items, l.page.limit, form->id_member, form->plural);
	return 0;
}

int identity_list(struct request *rq, struct reply *rp, struct identity_service *s, const char *id_member,
	identity_read_fn read, struct err *e)
{
	const struct list_form form = { id_member, "items" };

	return list(&form, rq, rp, s, read, e);
}

int identity_list_as(const char *plural, struct request *rq, struct reply *rp, struct identity_service *s,
	identity_read_fn read, struct err *e)
{
	const struct list_form form = { "id", plural };

	return list(&form, rq, rp, s, read, e);
}
