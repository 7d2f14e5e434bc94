#include "controld/fleet/ca.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/key.h"
#include "common/crypto/seal.h"
#include "controld/cluster/cluster.h"
#include "controld/cluster/member.h"
#include "controld/fleet/fleet_json.h"
#include "controld/fleet/who.h"
#include "controld/store/changes.h"
#include "controld/store/secrets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of the CA that signs. */
#define SECRET_KEY  "fleet-ca-key"
#define SECRET_CERT "fleet-ca-cert"
/* All have the same: one that signs another is no link of a longer path so (cert_cross()). */
#define CA_NAME "Portway fleet CA"
/* A listener's certificate lives as long as the process may. */
#define CA_DAYS       3650
#define LISTENER_DAYS 3650
#define CHAIN_MAX     16384
#define NAMED_MAX     3 /* of those that hold a retirement up, in its refusal */

enum { SQL_LIST, SQL_PRINT, SQL_STEP, SQL_INSERT, SQL_RETIRE, SQL_BEHIND };
static const char *const sql[] = {
	[SQL_LIST] = "SELECT id, fingerprint, cert_pem, cross_pem, seq, made_ms, retired_ms FROM fleet_cas "
		     "ORDER BY seq DESC LIMIT 2",
	[SQL_PRINT] = "SELECT fingerprint FROM fleet_cas ORDER BY seq DESC LIMIT 1",
	[SQL_STEP] = "SELECT count(*) - 1, (SELECT count(*) FROM fleet_cas WHERE retired_ms > 0) FROM fleet_cas",
	[SQL_INSERT] =
		"INSERT INTO fleet_cas(id, tenant_id, fingerprint, cert_pem, cross_pem, seq, made_ms, retired_ms) "
		"VALUES (?1, '', ?2, ?3, ?4, ?5, ?6, 0)",
	[SQL_RETIRE] = "UPDATE fleet_cas SET retired_ms = ?2 WHERE id = ?1",
	[SQL_BEHIND] =
		"SELECT n.id, n.name, (SELECT MAX(c.ca_step) FROM node_certs c WHERE c.node_id = n.id AND "
		"c.revoked_ms = 0 AND c.not_after_ms > ?3) FROM nodes n WHERE n.standing = 'joined' AND n.id > ?2 AND "
		"NOT EXISTS (SELECT 1 "
		"FROM node_certs c WHERE c.node_id = n.id AND c.revoked_ms = 0 AND c.ca_step >= ?1 AND c.used_ms > 0) "
		"AND EXISTS (SELECT 1 FROM node_certs c WHERE c.node_id = n.id AND c.revoked_ms = 0 AND "
		"c.not_after_ms > ?3) ORDER BY n.id LIMIT ?4",
};
const struct sql_table ca_sql = { "ca", sql, ARRAY_LEN(sql) };

/* ---- the rows ---------------------------------------------------------------------------------------------------- */

static int ca_read(struct ca *c, struct query *q, struct err *e)
{
	struct cert_info info;

	*c = (struct ca){ .seq = query_int(q, 4), .made_ms = query_int(q, 5), .retired_ms = query_int(q, 6) };
	if (str_copy(c->id, sizeof c->id, query_text(q, 0)) != 0 ||
		str_copy(c->fingerprint, sizeof c->fingerprint, query_text(q, 1)) != 0 ||
		str_copy(c->pem, sizeof c->pem, query_text(q, 2)) != 0 ||
		str_copy(c->cross_pem, sizeof c->cross_pem, query_text(q, 3)) != 0)
		return err_set(e, ERR_INTERNAL, NULL, "CA %s: its row is too long", c->id);
	if (cert_inspect(c->pem, &info, e) != 0)
		return -1;
	c->not_after_ms = info.not_after_ms;
	return 0;
}

/* The newest two: how many there are, or -1. */
static int read_cas(struct db *db, struct ca_state *out, struct err *e)
{
	struct ca *const places[] = { &out->now, &out->before };
	struct query *q;
	int n = 0, rc;

	if (db_query(db, &q, sql[SQL_LIST], e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1 && (size_t)n < ARRAY_LEN(places))
		if (ca_read(places[n++], q, e) != 0) {
			rc = -1;
			break;
		}
	query_end(q);
	return rc < 0 ? -1 : n;
}

int ca_state(struct db *db, struct ca_state *out, struct err *e)
{
	struct query *q;
	int rc;

	memset(out, 0, sizeof *out);
	rc = read_cas(db, out, e);
	if (rc == 0)
		return err_set(e, ERR_NOT_FOUND, NULL, "the database has no CA yet");
	if (rc < 0 || db_query(db, &q, sql[SQL_STEP], e) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		out->step = query_int(q, 0) + query_int(q, 1);
	query_end(q);
	return rc == 1 ? 0 : -1;
}

int ca_fingerprint(struct db *db, char dst[CERT_FINGERPRINT_SIZE], struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_PRINT], e) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		str_copy(dst, CERT_FINGERPRINT_SIZE, query_text(q, 0));
	else if (rc == 0)
		err_set(e, ERR_NOT_FOUND, NULL, "the database has no CA yet");
	query_end(q);
	return rc == 1 ? 0 : -1;
}

bool ca_rotating(const struct ca_state *s)
{
	return s->before.id[0] != '\0' && s->before.retired_ms == 0;
}

static int ca_insert(struct db *tx, const struct ca *c, struct err *e)
{
	return db_exec(tx, sql[SQL_INSERT], e, bind_s(c->id), bind_s(c->fingerprint), bind_s(c->pem),
		       bind_s(c->cross_pem), bind_i(c->seq), bind_i(c->made_ms)) < 0
	               ? -1
	               : 0;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static struct key *key_load(struct db *db, struct err *e)
{
	struct key *key = NULL;
	struct buf seed;
	int rc;

	buf_init(&seed, SECRETS_MAX);
	rc = secrets_get(db, SECRET_KEY, &seed, e);
	if (rc == 0 && seed.len != KEY_SEED_SIZE)
		rc = err_set(e, ERR_CRYPTO, NULL, "CA key: %zu bytes, must be %d", seed.len, KEY_SEED_SIZE);
	if (rc == 0)
		rc = key_from_seed(&key, seed.data, e);
	if (seed.data != NULL)
		seal_wipe(seed.data, seed.len);
	buf_free(&seed);
	return rc == 0 ? key : NULL;
}

/* Takes a certificate into *c; frees it. */
static int ca_take(struct ca *c, char *pem, struct err *e)
{
	struct cert_info info;
	int rc = pem == NULL ? -1 : cert_inspect(pem, &info, e);

	if (rc == 0 && str_copy(c->pem, sizeof c->pem, pem) != 0)
		rc = err_set(e, ERR_INTERNAL, NULL, "CA: its certificate is longer than %zu bytes", sizeof c->pem - 1);
	if (rc == 0) {
		rand_id(c->id, "fca");
		str_copy(c->fingerprint, sizeof c->fingerprint, info.fingerprint);
		c->not_after_ms = info.not_after_ms;
	}
	free(pem);
	return rc;
}

/* A new key and its certificate, which are the secrets from now on. What was under their names is gone. */
static int ca_make(struct db *tx, struct ca *c, int64_t now_ms, struct err *e)
{
	uint8_t seed[KEY_SEED_SIZE];
	struct key *key = NULL;
	int rc = -1;

	c->made_ms = now_ms;
	if (key_generate(&key, e) != 0 || key_seed(key, seed) != 0)
		goto out;
	if (ca_take(c, cert_make_ca(key, CA_NAME, now_ms, CA_DAYS, e), e) == 0 &&
		secrets_put(tx, SECRET_KEY, seed, sizeof seed, e) == 0)
		rc = secrets_put(tx, SECRET_CERT, c->pem, strlen(c->pem), e);
out:
	seal_wipe(seed, sizeof seed);
	key_free(key);
	return rc;
}

/* Of a database from before CAs were rows, or of one that is new. */
int ca_bootstrap(struct db *tx, int64_t now_ms, struct err *e)
{
	struct ca_state s = { .step = 0 };
	struct err why = { .code = ERR_NONE };
	struct buf pem;
	int rc = read_cas(tx, &s, e);

	if (rc != 0)
		return MIN(rc, 0);
	buf_init(&pem, SECRETS_MAX);
	rc = secrets_get(tx, SECRET_CERT, &pem, &why);
	if (rc == 0) {
		s.now.made_ms = now_ms;
		rc = ca_take(&s.now, strdup(buf_cstr(&pem)), e);
	} else if (why.code == ERR_NOT_FOUND) {
		rc = ca_make(tx, &s.now, now_ms, e);
	} else if (e != NULL) {
		*e = why;
	}
	buf_free(&pem);
	return rc != 0 ? -1 : ca_insert(tx, &s.now, e);
}

/* ---- one after the other ----------------------------------------------------------------------------------------- */

static int ca_log(struct db *tx, const char *op, const struct ca *c, bool forced, const struct who *who, int64_t *seq,
	struct err *e)
{
	const struct change change = { .kind = CA_KIND, .op = op, .subject = c->id, .fields = "" };

	return fleet_json_log(tx, &change,
		json_pack("{s:s, s:s, s:b, s:o, s:o}", "id", c->id, "fingerprint", c->fingerprint, "forced", forced,
			"made_at", fleet_json_time(c->made_ms), "not_after", fleet_json_time(c->not_after_ms)),
		who, seq, e);
}

int ca_rotate(struct db *tx, const struct who *who, struct ca_state *out, struct err *e)
{
	struct ca_state s;
	struct ca next = { .id = "" };
	struct key *key;
	char *cross = NULL;
	int rc = -1;

	if (ca_state(tx, &s, e) != 0)
		return -1;
	if (ca_rotating(&s))
		return err_set(
			e, ERR_CONFLICT, NULL, "the CA before, %.16s..., is not retired yet", s.before.fingerprint);
	if ((key = key_load(tx, e)) == NULL)
		return -1;
	if (ca_make(tx, &next, who->now_ms, e) == 0 &&
		(cross = cert_cross(s.now.pem, key, next.pem, who->now_ms, e)) != NULL)
		rc = str_copy(next.cross_pem, sizeof next.cross_pem, cross) != 0
		             ? err_set(e, ERR_INTERNAL, NULL, "CA: its cross certificate is too long")
		             : 0;
	if (rc == 0 && ca_log(tx, "rotate", &next, false, who, &next.seq, e) == 0 && ca_insert(tx, &next, e) == 0)
		rc = ca_state(tx, out, e);
	else
		rc = -1;
	free(cross);
	key_free(key);
	return rc;
}

/* Names of those that hold it up: some of them, and how many they are. */
struct held {
	char names[160];
	size_t n;
};

static int held_add(struct held *h, const char *name)
{
	const size_t used = strlen(h->names);

	if (h->n < NAMED_MAX)
		(void)str_fmt(h->names + used, sizeof h->names - used, "%s%s", h->n > 0 ? ", " : "", name);
	h->n++;
	return 0;
}

static int on_held_node(const struct ca_node *n, void *arg)
{
	return held_add(arg, n->name);
}

static int on_held_controld(const char *name, void *arg)
{
	return held_add(arg, name);
}

static int check_held(struct db *tx, const struct ca_state *s, struct err *e)
{
	struct held nodes = { .n = 0 }, controlds = { .n = 0 };

	if (ca_nodes_behind(tx, s->step, "", UINT32_MAX, on_held_node, &nodes, e) != 0 ||
		ca_controlds_behind(tx, s->now.seq, on_held_controld, &controlds, e) != 0)
		return -1;
	if (nodes.n > 0)
		return err_set(e, ERR_CONFLICT, NULL, "relays that have no certificate of the new CA yet: %zu (%s%s)",
			nodes.n, nodes.names, nodes.n > NAMED_MAX ? ", ..." : "");
	if (controlds.n > 0)
		return err_set(e, ERR_CONFLICT, NULL, "controlds that do not show the new CA yet: %zu (%s%s)",
			controlds.n, controlds.names, controlds.n > NAMED_MAX ? ", ..." : "");
	return 0;
}

int ca_retire(struct db *tx, bool force, const struct who *who, struct ca_state *out, struct err *e)
{
	struct ca_state s;

	if (ca_state(tx, &s, e) != 0)
		return -1;
	if (!ca_rotating(&s))
		return err_set(e, ERR_CONFLICT, NULL,
			"there is no CA to retire: %.16s... is the only one that is trusted", s.now.fingerprint);
	if (!force && check_held(tx, &s, e) != 0)
		return -1;
	if (db_exec(tx, sql[SQL_RETIRE], e, bind_s(s.before.id), bind_i(who->now_ms)) < 0 ||
		ca_log(tx, "retire", &s.before, force, who, NULL, e) != 0)
		return -1;
	return ca_state(tx, out, e);
}

/* ---- who has not taken it ---------------------------------------------------------------------------------------- */

int ca_nodes_behind(
	struct db *db, int64_t step, const char *after, unsigned limit, ca_node_fn fn, void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_BEHIND], e, bind_i(step), bind_s(after), bind_i(clock_wall_ms()), bind_i(limit)) !=
		0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		const struct ca_node n = { query_text(q, 0), query_text(q, 1), query_int(q, 2) };

		if (fn(&n, arg) != 0)
			break;
	}
	query_end(q);
	return rc < 0 ? -1 : 0;
}

struct behind {
	int64_t seq, now_ms;
	ca_controld_fn fn;
	void *arg;
};

static int on_member(const struct member *m, void *arg)
{
	const struct behind *b = arg;

	if (m->seen_ms <= b->now_ms - CLUSTER_ALIVE_MS || (m->seq >= b->seq && m->schema >= CA_MIGRATION))
		return 0;
	return b->fn(m->name, b->arg);
}

int ca_controlds_behind(struct db *db, int64_t seq, ca_controld_fn fn, void *arg, struct err *e)
{
	struct behind b = { seq, clock_wall_ms(), fn, arg };

	return member_list(db, on_member, &b, e);
}

/* ---- certificates ------------------------------------------------------------------------------------------------ */

/* What relays and controlds trust. */
static void put_trusted(struct buf *b, const struct ca_state *s)
{
	buf_printf(b, "%s", s->now.pem);
	if (ca_rotating(s))
		buf_printf(b, "%s", s->before.pem);
}

/* The leaf, and what leads from the CA of now to the one before. Who builds a path takes the first that fits, so this comes
 * before the CA of now itself. */
static void put_chain(struct buf *b, const struct ca_state *s, const char *leaf)
{
	buf_printf(b, "%s%s", leaf, s->now.cross_pem);
	if (s->before.retired_ms > 0)
		buf_printf(b, "%s", s->before.pem);
}

int ca_issue_node(struct db *tx, const char *request_pem, const char *node_id, int64_t now_ms, unsigned days,
	struct ca_issued *out, struct err *e)
{
	struct buf chain, trusted;
	struct ca_state s;
	struct key *key;
	char *leaf = NULL;
	int rc = -1;

	if (ca_state(tx, &s, e) != 0 || (key = key_load(tx, e)) == NULL)
		return -1;
	buf_init(&chain, CHAIN_MAX);
	buf_init(&trusted, CHAIN_MAX);
	leaf = cert_issue_request(s.now.pem, key, request_pem, node_id, CERT_CLIENT, now_ms, days, e);
	if (leaf != NULL && (rc = cert_inspect(leaf, &out->cert, e)) == 0) {
		out->step = s.step;
		put_chain(&chain, &s, leaf);
		put_trusted(&trusted, &s);
		if (chain.failed || trusted.failed ||
			str_copy(out->cert_pem, sizeof out->cert_pem, buf_cstr(&chain)) != 0 ||
			str_copy(out->ca_pem, sizeof out->ca_pem, buf_cstr(&trusted)) != 0)
			rc = err_set(e, ERR_INTERNAL, NULL, "certificate of %s does not fit its message", node_id);
	}
	buf_free(&chain);
	buf_free(&trusted);
	free(leaf);
	key_free(key);
	return rc;
}

static char *text_of(struct buf *b)
{
	return b->failed ? NULL : strdup(buf_cstr(b));
}

static int listener_fill(
	struct ca_listener *out, const struct ca_state *s, const char *leaf, const struct key *own, struct err *e)
{
	struct buf chain, trusted;

	buf_init(&chain, CHAIN_MAX);
	buf_init(&trusted, CHAIN_MAX);
	put_trusted(&trusted, s);
	put_chain(&chain, s, leaf);
	buf_printf(&chain, "%s", buf_cstr(&trusted));
	*out = (struct ca_listener){ text_of(&chain), key_to_pem(own), text_of(&trusted), s->step,
		s->now.not_after_ms };
	buf_free(&chain);
	buf_free(&trusted);
	if (out->chain_pem != NULL && out->key_pem != NULL && out->trust_pem != NULL)
		return 0;
	ca_listener_fini(out);
	return err_set(e, ERR_NOMEM, NULL, "listener's certificate: out of memory");
}

int ca_issue_listener(struct db *db, const char *const *names, int64_t now_ms, struct ca_listener *out, struct err *e)
{
	struct key *ca_key = NULL, *own = NULL;
	struct ca_state s;
	char *leaf = NULL;
	int rc = -1;

	if (ca_state(db, &s, e) != 0 || (ca_key = key_load(db, e)) == NULL || key_generate(&own, e) != 0)
		goto out;
	leaf = cert_issue(s.now.pem, ca_key, own, "controld", names, CERT_SERVER, now_ms, LISTENER_DAYS, e);
	if (leaf != NULL)
		rc = listener_fill(out, &s, leaf, own, e);
out:
	key_free(ca_key);
	key_free(own);
	free(leaf);
	return rc;
}

void ca_listener_fini(struct ca_listener *l)
{
	if (l->key_pem != NULL) {
		seal_wipe(l->key_pem, strlen(l->key_pem));
		free(l->key_pem);
	}
	free(l->chain_pem);
	free(l->trust_pem);
	*l = (struct ca_listener){ .step = 0 };
}
