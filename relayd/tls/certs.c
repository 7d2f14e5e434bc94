#include "relayd/tls/certs.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "common/crypto/tls_server.h"
#include "relayd/conf/object.h"
#include "relayd/conf/refusals.h"
#include "relayd/conf/snapshot.h"
#include "relayd/loop/workers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(TICKET_KEYS_MAX == TLS_STORE_TICKET_KEYS && TICKET_NAME_SIZE == TLS_TICKET_NAME &&
		       TICKET_KEY_SIZE == TLS_TICKET_KEY,
	"ticket keys are on the wire as they are in a store");

/* An object of ours, and what was made of it. */
struct held {
	const struct object *object; /* a reference */
	struct tls_cert *cert;       /* NULL: it has none, or a faulty one */
	bool refused;
};

/* What workers see. Immutable; freed when none of them sees it any more. */
struct view {
	struct tls_store *store, *challenges;
	struct map answers; /* objects of ACME_HTTP, by token; c->held keeps them until the next view */
};

struct certs {
	struct service_env env;
	struct map held; /* by id */
	struct view *view;
	struct view **seats; /* by worker */
	bool store_changed, acme_changed;
};

struct tls_store *certs_store(const struct certs *c, const struct worker *w)
{
	return c->seats[w->index]->store;
}

struct tls_store *certs_challenges(const struct certs *c, const struct worker *w)
{
	return c->seats[w->index]->challenges;
}

const char *certs_answer(const struct certs *c, const struct worker *w, const char *host, const char *token,
	size_t token_n, int64_t now_ms)
{
	const struct object *o = map_get(&c->seats[w->index]->answers, token, token_n);

	return o != NULL && o->acme.until_ms > now_ms && str_eq(o->acme.host, host) ? o->acme.authorization : NULL;
}

/* ---- a view ------------------------------------------------------------------------------------------------------- */

static void view_free(struct view *v)
{
	if (v == NULL)
		return;
	tls_store_unref(v->store);
	tls_store_unref(v->challenges);
	map_free(&v->answers);
	free(v);
}

static int add_tickets(struct tls_store *store, const struct ticket_conf *conf)
{
	struct tls_ticket_key key;
	int rc = 0;

	for (uint32_t i = 0; i < conf->n && rc == 0; i++) {
		const struct ticket_key *k = &conf->keys[i];

		memcpy(key.name, k->name, sizeof key.name);
		memcpy(key.cipher, k->cipher, sizeof key.cipher);
		memcpy(key.mac, k->mac, sizeof key.mac);
		key.from_ms = k->from_ms;
		key.until_ms = k->until_ms;
		rc = tls_store_add_ticket_key(store, &key);
	}
	seal_wipe(&key, sizeof key);
	return rc;
}

static int add_to_store(struct tls_store *store, const struct held *h)
{
	const struct object *o = h->object;
	int rc = 0;

	if (o->kind == OBJECT_TICKETS)
		return add_tickets(store, &o->tickets);
	if (o->kind == OBJECT_CERT && h->cert != NULL)
		for (uint32_t i = 0; i < o->cert.n_names && rc == 0; i++)
			rc = tls_store_add(store, o->cert.tenant, o->cert.names[i], h->cert);
	return rc;
}

static int add_answer(struct view *v, const struct held *h)
{
	const struct object *o = h->object;

	if (o->kind != OBJECT_ACME)
		return 0;
	if (o->acme.type == ACME_HTTP)
		return map_put_str(&v->answers, o->acme.token, (void *)(uintptr_t)o, NULL);
	return h->cert != NULL ? tls_store_add(v->challenges, TLS_REALM_ACME, o->acme.host, h->cert) : 0;
}

/* What did not change is shared with the view before. */
static struct view *view_new(const struct certs *c)
{
	struct view *v = calloc(1, sizeof *v);
	const struct held *h;
	size_t it = 0;
	int rc = v != NULL ? 0 : -1;

	if (v == NULL)
		return NULL;
	map_init(&v->answers);
	if (c->store_changed || c->view == NULL)
		rc = tls_store_new(&v->store, NULL);
	else
		v->store = tls_store_ref(c->view->store);
	if (rc == 0)
		rc = tls_store_new(&v->challenges, NULL);
	while (rc == 0 && (h = map_next(&c->held, &it)) != NULL)
		if ((c->store_changed && add_to_store(v->store, h) != 0) || add_answer(v, h) != 0)
			rc = -1;
	if (rc == 0)
		return v;
	view_free(v);
	return NULL;
}

/* ---- objects ------------------------------------------------------------------------------------------------------ */

static bool is_ours(const struct object *o)
{
	return o->kind == OBJECT_CERT || o->kind == OBJECT_ACME || o->kind == OBJECT_TICKETS;
}

static int make_cert(struct held *h, struct err *e)
{
	const struct object *o = h->object;

	if (o->kind == OBJECT_ACME)
		return o->acme.type == ACME_TLS ? tls_cert_new(&h->cert, o->acme.chain, o->acme.key, e) : 0;
	if (o->kind != OBJECT_CERT)
		return 0;
	if (tls_cert_new(&h->cert, o->cert.chain, o->cert.key, e) != 0)
		return -1;
	if (o->cert.ocsp_n > 0 && tls_cert_staple(h->cert, o->cert.ocsp, o->cert.ocsp_n, o->cert.ocsp_until_ms) != 0)
		return err_set(e, ERR_NOMEM, NULL, "certificate %s: out of memory", o->id);
	return 0;
}

static void held_free(struct certs *c, struct held *h)
{
	if (h->refused)
		refusals_clear(c->env.refusals, h->object->id);
	tls_cert_unref(h->cert);
	object_unref(h->object);
	free(h);
}

static void mark(struct certs *c, const struct object *o)
{
	c->acme_changed |= o->kind == OBJECT_ACME;
	c->store_changed |= o->kind != OBJECT_ACME;
}

/* What views point at is let go of when no worker sees them any more: it waits in `gone`. */
struct difference {
	struct certs *certs;
	struct map gone;
};

static void drop(struct difference *d, const char *id)
{
	struct held *h = map_remove_str(&d->certs->held, id);

	if (h == NULL)
		return;
	mark(d->certs, h->object);
	if (map_put(&d->gone, &h->object, sizeof(void *), h, NULL) != 0)
		log_error("certificate_not_freed",
			log_s("certificate", id)); /* out of memory: rather kept than freed too early */
}

static void on_difference(const struct object *old, const struct object *new_, void *arg)
{
	struct difference *d = arg;
	struct certs *c = d->certs;
	struct err why = { .code = ERR_NONE };
	struct held *h;

	if (old != NULL && is_ours(old))
		drop(d, old->id);
	if (new_ == NULL || !is_ours(new_))
		return;
	h = calloc(1, sizeof *h);
	if (h == NULL || map_put_str(&c->held, new_->id, h, NULL) != 0) {
		free(h);
		err_set(&why, ERR_NOMEM, NULL, "out of memory for this certificate");
		refusals_set(c->env.refusals, new_, &why);
		return;
	}
	h->object = object_ref(new_);
	mark(c, new_);
	if (make_cert(h, &why) != 0) {
		refusals_set(c->env.refusals, new_, &why);
		h->refused = true;
	}
}

static void work_see(struct worker *w, void *arg)
{
	struct certs *c = arg;

	c->seats[w->index] = c->view;
}

static void apply(void *self, struct snapshot *old, struct snapshot *new_)
{
	struct certs *c = self;
	struct difference d = { .certs = c };
	struct view *before = c->view, *now;
	struct held *h;
	size_t it = 0;

	map_init(&d.gone);
	snapshot_diff(old, new_, on_difference, &d);
	if (c->store_changed || c->acme_changed) {
		if ((now = view_new(c)) != NULL) {
			c->view = now;
			c->store_changed = c->acme_changed = false;
			workers_call(c->env.workers, work_see, c);
			view_free(before);
		} else {
			log_error("certificates_not_applied", log_s("reason", "out of memory"));
		}
	}
	/* while a view could not be made, workers still see what is gone: out of memory, it is rather kept than freed too early */
	while (!c->store_changed && !c->acme_changed && (h = map_next(&d.gone, &it)) != NULL)
		held_free(c, h);
	map_free(&d.gone);
}

/* ---- the service -------------------------------------------------------------------------------------------------- */

static void certs_free(struct certs *c)
{
	struct held *h;
	size_t it = 0;

	while ((h = map_next(&c->held, &it)) != NULL)
		held_free(c, h);
	map_free(&c->held);
	view_free(c->view);
	free(c->seats);
	free(c);
}

static void quiesce(void *self, bool handed_over)
{
	(void)self, (void)handed_over;
}

static void drain(void *self, uint64_t deadline_mono_ms)
{
	(void)self, (void)deadline_mono_ms;
}

static void stop(void *self)
{
	certs_free(self);
}

static void stats(void *self, struct service_stats *out)
{
	(void)self;
	*out = (struct service_stats){ .connections = 0 };
}

static void list_connections(void *self, const char *mapping, conn_info_fn fn, void *arg)
{
	(void)self, (void)mapping, (void)fn, (void)arg;
}

static bool cut(void *self, uint64_t conn)
{
	(void)self, (void)conn;
	return false;
}

static int hand_over(void *self, handover_fn fn, void *arg)
{
	(void)self, (void)fn, (void)arg;
	return 0;
}

static void adopt(void *self, const struct handover_socket *s)
{
	(void)self;
	close(s->fd);
}

static const struct service_ops certs_ops = {
	.name = "certs",
	.apply = apply,
	.quiesce = quiesce,
	.drain = drain,
	.stop = stop,
	.stats = stats,
	.list = list_connections,
	.cut = cut,
	.hand_over = hand_over,
	.adopt = adopt,
};

int certs_new(struct certs **out, struct service *service, const struct service_env *env, struct err *e)
{
	struct certs *c = calloc(1, sizeof *c);
	const unsigned n = workers_count(env->workers);

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificates: out of memory");
	c->env = *env;
	map_init(&c->held);
	c->seats = calloc(n, sizeof(struct view *));
	c->view = view_new(c);
	if (c->seats == NULL || c->view == NULL) {
		certs_free(c);
		return err_set(e, ERR_NOMEM, NULL, "certificates: out of memory");
	}
	for (unsigned i = 0; i < n; i++)
		c->seats[i] = c->view;
	*service = (struct service){ .ops = &certs_ops, .self = c };
	*out = c;
	return 0;
}
