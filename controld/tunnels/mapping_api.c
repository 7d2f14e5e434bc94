#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/clients/client.h"
#include "controld/identity/identity.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/connection_code.h"
#include "controld/tunnels/mapping.h"
#include "controld/tunnels/mapping_change.h"
#include "controld/tunnels/mapping_dial.h"
#include "controld/tunnels/mapping_host.h"
#include "controld/tunnels/mapping_input.h"
#include "controld/tunnels/mapping_port.h"
#include "controld/tunnels/mapping_reply.h"
#include "controld/tunnels/mapping_settings.h"
#include "controld/tunnels/placement.h"
#include "controld/tunnels/port.h"
#include "controld/tunnels/quota.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int fail_input(const struct err_list *errs, struct err *e)
{
	if (errs->n == 0)
		return 0;
	if (e != NULL)
		*e = errs->items[0];
	return -1;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */
struct write {
	struct tunnels *t;
	struct request *rq;
	const struct identity *who;
	int64_t now_ms;
	struct mapping m;
	struct mapping before; /* of an update */
	struct traffic traffic;
};

static struct write write_begin(void *feature, struct request *rq)
{
	return (struct write){ .t = feature, .rq = rq, .who = request_identity(rq), .now_ms = clock_wall_ms() };
}

static void write_end(struct write *w)
{
	mapping_fini(&w->m);
	mapping_fini(&w->before);
}

static int reply_write(struct write *w, struct reply *rp, int status, struct err *e)
{
	struct mapping_waiting from = { .t = w->t,
		.status = status,
		.until_ms = clock_mono_ms() + tunnels_limits(w->t).create_wait_ms,
		.m = w->m,
		.traffic = w->traffic };
	const int rc = mapping_reply_settled(w->rq, rp, &from, e);

	w->m.conf = from.m.conf;
	return rc;
}

static struct mapping_actor actor_of(const struct write *w)
{
	return (struct mapping_actor){ w->who->actor, request_id(w->rq), w->now_ms };
}

static int place(struct db *tx, struct write *w, struct err *e)
{
	const struct relays *r = &w->t->relays;

	return r->ops->place(r->self, tx, w->m.group_name, w->m.node_name, w->m.group_id, w->m.node_id, e);
}

static int check_quota(struct db *tx, struct write *w, struct err *e)
{
	const uint32_t most = tunnels_limits(w->t).mappings_max;
	int64_t n = 0;

	if (most == 0)
		return 0;
	if (mapping_count_of_tenant(tx, w->m.tenant_id, &n, e) != 0)
		return -1;
	return n < most ? 0 : err_set(e, ERR_LIMIT, NULL, "the tenant has %u mappings, which is the most", most);
}

/* The agent must be one of the tenant's, and its client's config must let the ports through. */
static int check_client(struct db *tx, const struct mapping *m, struct err *e)
{
	const struct mapping_conf *conf = &m->conf;
	const int64_t id = mapping_client(m);
	struct client c;
	char value[24];

	if (client_get(tx, m->tenant_id, id, &c, NULL) != 0) {
		err_set(e, ERR_VALIDATION, "target_client_id", "target_client_id: there is no client %" PRId64, id);
		return err_detail(e, "unknown", conf->target_client);
	}
	for (int i = 0; i <= conf->port_last - conf->port_first; i++) {
		const uint16_t port = (uint16_t)(conf->target_port + i);

		if (client_conf_port_ok(&c.conf, port))
			continue;
		str_fmt(value, sizeof value, "%u", port);
		err_set(e, ERR_DENIED_TARGET, "target_port",
			"target_port: the config of client %" PRId64
			" does not let %u through (allowed_ports, blocked_ports)",
			id, port);
		return err_detail(e, "allowed", value);
	}
	return 0;
}

static int check_source(struct db *tx, const struct mapping *m, struct err *e)
{
	const int64_t id = mapping_source(m);
	bool exists;

	if (id == 0)
		return 0;
	if (client_exists(tx, m->tenant_id, id, &exists, e) != 0)
		return -1;
	if (exists)
		return 0;
	err_set(e, ERR_VALIDATION, "source_client_id", "source_client_id: there is no client %" PRId64, id);
	return err_detail(e, "unknown", m->conf.source_client);
}

/* May it be dialled by who shall dial? */
static int check_target(struct db *tx, struct mapping *m, struct err *e)
{
	if (m->conf.target_client[0] == '\0')
		return mapping_dial_check(tx, m->tenant_id, &m->conf, e);
	m->conf.dial_any = false; /* the agent has a list of its own */
	return check_client(tx, m, e) == 0 ? check_source(tx, m, e) : -1;
}

/* Its ports, or its host names. */
static int claim_ingress(struct db *tx, struct write *w, const struct mapping *before, struct err *e)
{
	if (mapping_conf_has_hosts(&w->m.conf))
		return mapping_host_claim(tx, w->t, w->who, &w->m, before, e);
	if (before != NULL && port_release(tx, w->m.id, e) != 0)
		return -1;
	return mapping_port_claim(tx, &w->t->conf, &w->m, e);
}

/* The answer must not say that it serves. */
static int find_over_quota(struct db *tx, struct mapping *m, struct err *e)
{
	struct quota q;
	const int rc = quota_get(tx, m->tenant_id, m->user_id, &q, e);

	m->over_quota = rc == 1 && q.exceeded;
	return MIN(rc, 0);
}

static int work_create(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct mapping_actor by = actor_of(w);

	if (check_quota(tx, w, e) != 0 || place(tx, w, e) != 0)
		return -1;
	if (check_target(tx, &w->m, e) != 0)
		return -1;
	rand_id(w->m.id, "map");
	if (claim_ingress(tx, w, NULL, e) != 0 || mapping_log(tx, &w->m, "create", "", &by, e) != 0)
		return -1;
	if (mapping_insert(tx, &w->m, e) != 0 || placement_note(tx, &w->m, e) != 0 ||
		traffic_open(tx, w->m.id, w->m.tenant_id, w->m.user_id, e) != 0 || find_over_quota(tx, &w->m, e) != 0)
		return -1;
	return mapping_came(tx, &w->m, &by, e);
}

static void new_mapping(struct write *w)
{
	mapping_init(&w->m);
	str_copy(w->m.tenant_id, sizeof w->m.tenant_id, w->who->tenant_id);
	str_copy(w->m.user_id, sizeof w->m.user_id, w->who->user_id);
	w->m.created_ms = w->m.updated_ms = w->now_ms;
	w->m.version = 1;
	w->m.conf.dial_any = w->who->system_admin;
}

static int create(struct write *w, struct reply *rp, store_fn work, struct err *e)
{
	struct err_list *errs = request_errors(w->rq);
	int rc;

	mapping_apply(&w->m, request_body(w->rq), w->now_ms, errs);
	rc = fail_input(errs, e);
	if (rc == 0)
		rc = store_write(w->t->store, STORE_LOGGED, work, w, e);
	if (rc == 0)
		rc = reply_write(w, rp, 201, e);
	write_end(w);
	return rc;
}

int mapping_api_create(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);

	new_mapping(&w);
	return create(&w, rp, work_create, e);
}

/* What an anonymous client makes ends with it and stays within what the settings give. */
static int work_create_own(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const uint32_t most = tunnels_limits(w->t).anonymous_mappings_max;
	const struct tunnels_conf *conf = &w->t->conf;
	struct mapping_conf *c = &w->m.conf;
	struct mapping_counts n;
	struct client own;

	if (client_get(tx, w->m.tenant_id, mapping_client(&w->m), &own, e) != 0 ||
		mapping_count_of_client(tx, own.id, "", &n, e) != 0)
		return -1;
	if (own.type != CLIENT_ANONYMOUS)
		return err_set(e, ERR_FORBIDDEN, NULL, "the mappings of a client with an owner are made by its owner");
	if (n.all >= most)
		return err_set(e, ERR_LIMIT, NULL, "an anonymous client has at most %u mappings", most);
	if (c->port_first != 0 && (c->port_first < conf->port_min || c->port_last > conf->port_max))
		return err_set(e, ERR_VALIDATION, "source_port", "source_port: %u must be 0 or from %u to %u",
			c->port_first, conf->port_min, conf->port_max);
	c->expires_ms = own.conf.expires_ms;
	if (!mapping_conf_has_hosts(c))
		str_copy(c->bind, sizeof c->bind, conf->anonymous_bind != NULL ? conf->anonymous_bind : "");
	return work_create(tx, w, e);
}

int mapping_api_create_own(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);

	new_mapping(&w);
	mapping_set_client(&w.m, identity_client(w.who));
	return create(&w, rp, work_create_own, e);
}

/* ---- by a connection code: whoever has it, for his own address ---------------------------------------------------- */
struct redeeming {
	struct write w; /* first: work_create() takes it */
	struct connection_code code;
};

static int allow_only(struct mapping_conf *c, const struct addr *a, struct err *e)
{
	char text[ADDR_STRLEN];

	mapping_settings_default(c);
	c->allow.items = calloc(1, sizeof c->allow.items[0]);
	if (c->allow.items == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mapping: out of memory");
	c->allow.n = 1;
	addr_print_ip(a, text);
	return cidr_parse(&c->allow.items[0], text) == 0
	               ? 0
	               : err_set(e, ERR_INTERNAL, NULL, "the address %s is no range", text);
}

/* The mapping is its maker's, who sees and deletes it. */
static int work_redeem(struct db *tx, void *arg, struct err *e)
{
	struct redeeming *r = arg;
	struct write *w = &r->w;
	const char *text = json_string_value(json_object_get(request_body(w->rq), "code"));
	struct mapping *m = &w->m;

	if (connection_code_use(tx, text, w->now_ms, &r->code, e) != 0)
		return -1;
	str_copy(m->tenant_id, sizeof m->tenant_id, r->code.tenant_id);
	str_copy(m->user_id, sizeof m->user_id, r->code.user_id);
	str_fmt(m->name, sizeof m->name, "by %s", r->code.id);
	mapping_set_client(m, r->code.client_id);
	m->conf.protocol = r->code.protocol;
	if (allow_only(&m->conf, request_peer(w->rq), e) != 0)
		return -1;
	str_copy(m->conf.target_host, sizeof m->conf.target_host, r->code.target_host);
	m->conf.target_port = r->code.target_port;
	m->conf.expires_ms = w->now_ms + r->code.lifetime_ms;
	return work_create(tx, w, e);
}

int mapping_api_redeem(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct identity who = { .actor = "code" };
	struct redeeming r = { .w = write_begin(feature, rq) };
	int rc;

	r.w.who = &who;
	new_mapping(&r.w);
	rc = store_write(r.w.t->store, STORE_LOGGED, work_redeem, &r, e);
	if (rc == 0)
		rc = reply_write(&r.w, rp, 201, e);
	write_end(&r.w);
	return rc;
}

static int load_for_change(struct db *tx, struct write *w, struct mapping *m, struct err *e)
{
	char etag[32];

	if (mapping_get(tx, w->who->tenant_id, request_param(w->rq, "id"), m, &w->traffic, e) != 0)
		return -1;
	str_fmt(etag, sizeof etag, "v%" PRId64, m->version);
	return request_if_match(w->rq, etag, e);
}

/*
 * The right to dial anything belongs to the host that a system administrator wrote, with these ports, dialled from these
 * relays (127.0.0.1 is another machine on each): whoever else changes one of them loses it.
 */
static int follow_target(struct db *tx, struct write *w, struct err *e)
{
	struct mapping_conf *c = &w->m.conf;
	const struct mapping_conf *old = &w->before.conf;
	const bool host = !str_eq(c->target_host, old->target_host) || !str_eq(c->target_client, old->target_client);
	const bool source = !str_eq(c->source_client, old->source_client);
	const bool ports =
		c->target_port != old->target_port || c->port_last - c->port_first > old->port_last - old->port_first;
	const bool relays = !str_eq(w->m.group_id, w->before.group_id) || !str_eq(w->m.node_id, w->before.node_id);

	if (!host && !ports && !relays && !source)
		return 0;
	c->dial_any = w->who->system_admin && (host || c->dial_any);
	return check_target(tx, &w->m, e);
}

/* What follows from members that changed: another place, other ports, another right to dial. */
static int follow_changes(struct db *tx, struct write *w, struct err *e)
{
	struct mapping *m = &w->m;
	const struct mapping *old = &w->before;
	struct mapping_conf *c = &m->conf;

	if (!str_eq(m->group_name, old->group_name) || !str_eq(m->node_name, old->node_name))
		if (place(tx, w, e) != 0 || placement_note(tx, m, e) != 0)
			return -1;
	if (follow_target(tx, w, e) != 0)
		return -1;
	if (str_eq(m->group_id, old->group_id) && str_eq(c->bind, old->conf.bind) &&
		mapping_hosts_equal(&c->hosts, &old->conf.hosts) && str_eq(c->source_client, old->conf.source_client) &&
		c->port_first == old->conf.port_first && c->port_last == old->conf.port_last)
		return 0;
	if (c->port_first != old->conf.port_first || c->port_last != old->conf.port_last)
		m->port_picks = 0; /* asked for now, unless they are to be picked */
	return claim_ingress(tx, w, old, e);
}

static int save_changes(struct db *tx, struct write *w, struct err *e)
{
	const struct mapping_actor by = actor_of(w);
	struct buf fields;
	int rc = 0;

	buf_init(&fields, 1024);
	mapping_diff(&w->before, &w->m, &fields);
	if (fields.len > 0) { /* what is sent as it was changes nothing */
		w->m.version++;
		w->m.updated_ms = w->now_ms;
		rc = mapping_log(tx, &w->m, "update", buf_cstr(&fields), &by, e);
		if (rc == 0)
			rc = mapping_update(tx, &w->m, e);
		if (rc == 0)
			rc = mapping_moved(tx, &w->before, &w->m, &by, e);
	}
	buf_free(&fields);
	return rc;
}

static int work_update(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	struct err_list *errs = request_errors(w->rq);

	if (load_for_change(tx, w, &w->before, e) != 0 || load_for_change(tx, w, &w->m, e) != 0)
		return -1;
	mapping_apply(&w->m, request_body(w->rq), w->now_ms, errs);
	if (fail_input(errs, e) != 0 || follow_changes(tx, w, e) != 0)
		return -1;
	return save_changes(tx, w, e);
}

int mapping_api_update(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.t->store, STORE_LOGGED, work_update, &w, e);

	if (rc == 0)
		rc = reply_write(&w, rp, 200, e);
	write_end(&w);
	return rc;
}

static int work_delete(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct mapping_actor by = actor_of(w);

	if (load_for_change(tx, w, &w->m, e) != 0)
		return -1;
	return mapping_remove(tx, &w->m, &by, e);
}

int mapping_api_delete(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.t->store, STORE_LOGGED, work_delete, &w, e);

	if (rc == 0)
		reply_empty(rp, 204);
	write_end(&w);
	return rc;
}

static int work_delete_own(struct db *tx, void *arg, struct err *e)
{
	struct write *w = arg;
	const struct mapping_actor by = actor_of(w);

	if (load_for_change(tx, w, &w->m, e) != 0)
		return -1;
	if (mapping_client(&w->m) != identity_client(w->who))
		return err_set(e, ERR_MAPPING_NOT_FOUND, NULL, "there is no mapping '%s'", w->m.id);
	return mapping_remove(tx, &w->m, &by, e);
}

int mapping_api_delete_own(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct write w = write_begin(feature, rq);
	int rc = store_write(w.t->store, STORE_LOGGED, work_delete_own, &w, e);

	if (rc == 0)
		reply_empty(rp, 204);
	write_end(&w);
	return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */
int mapping_api_get(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	struct tunnels *t = feature;
	struct traffic traffic;
	struct mapping m;
	struct db *db;
	int rc;

	if (store_read_begin(t->store, &db, e) != 0)
		return -1;
	rc = mapping_get(db, request_identity(rq)->tenant_id, request_param(rq, "id"), &m, &traffic, e);
	store_read_end(db);
	if (rc != 0)
		return -1;
	rc = mapping_reply(t, rp, 200, &m, &traffic, e);
	mapping_fini(&m);
	return rc;
}
