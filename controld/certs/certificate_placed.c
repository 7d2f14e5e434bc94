/* What certs.h gives to fleet/: certificates as the relays see them. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/certs/room.h"

#include <stdlib.h>
#include <string.h>

/*
 * A wildcard and a name below it meet in either direction: a route for *.example ends TLS for each name that there is a certificate of.
 * LIKE takes names that are more than one label below, too: a certificate too many in a group is of no harm.
 */
#define COVERS                                                                                                 \
	"(h.name = n.name OR h.name = '*' OR (n.name LIKE '*.%' AND h.name LIKE '%' || substr(n.name, 2)) OR " \
	"(h.name LIKE '*.%' AND n.name LIKE '%' || substr(h.name, 2)))"

enum { SQL_GROUPS, SQL_ALL, SQL_OF_ROUTE, SQL_ROUTED };
static const char name_is_routed[] =
	"SELECT 1 FROM lb_route_hosts h WHERE h.tenant_id = ?1 AND h.protocol = 'tls' AND (h.name = ?2 "
	"OR h.name = '*' OR (h.name LIKE '*.%' AND ?2 LIKE '%' || substr(h.name, 2))) LIMIT 1";
static const char *const sql[] = {
	[SQL_GROUPS] = "SELECT DISTINCT h.group_id FROM certificate_names n JOIN lb_route_hosts h ON h.tenant_id = "
		       "n.tenant_id AND h.protocol = 'tls' AND " COVERS " WHERE n.certificate_id = ?1",
	[SQL_ALL] = "SELECT id FROM certificates WHERE id > ?1 ORDER BY id LIMIT 100",
	[SQL_OF_ROUTE] =
		"SELECT DISTINCT n.certificate_id FROM lb_route_hosts h JOIN certificate_names n ON n.tenant_id = "
		"h.tenant_id AND " COVERS " WHERE h.route_id = ?1 AND h.protocol = 'tls'",
	[SQL_ROUTED] = name_is_routed,
};
const struct sql_table certificate_placed_sql = { "certificate_placed", sql, ARRAY_LEN(sql) };

/* ---- one ---------------------------------------------------------------------------------------------------------- */

static int on_count(const char *name, void *arg)
{
	(void)name;
	++*(uint32_t *)arg;
	return 0;
}

static int on_name(const char *name, void *arg)
{
	struct cert_conf *c = arg;

	(void)str_copy(c->names[c->n_names++], HOST_NAME_SIZE, name);
	return 0;
}

static int take_names(struct cert_conf *conf, const struct certificate *c, struct err *e)
{
	uint32_t n = 0;

	(void)certificate_each_name(c, on_count, &n);
	conf->names = calloc(n, sizeof *conf->names);
	if (conf->names == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate %s: out of memory", c->id);
	return certificate_each_name(c, on_name, conf);
}

static int take_ocsp(struct cert_conf *conf, const struct certificate *c, struct err *e)
{
	const size_t n = strlen(c->ocsp);
	int der_n;

	if (n == 0)
		return 0;
	conf->ocsp = malloc(n);
	if (conf->ocsp == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate %s: out of memory", c->id);
	der_n = str_unb64url(conf->ocsp, n, c->ocsp, n);
	if (der_n <= 0)
		return 0; /* shown without */
	conf->ocsp_n = (size_t)der_n;
	conf->ocsp_until_ms = c->ocsp_until_ms;
	return 0;
}

static int give(const struct certificate *c, certificate_placed_fn fn, void *arg, struct err *e)
{
	struct certificate_placed p = { .present = true, .seq = c->seq };
	int rc;

	(void)str_copy(p.id, sizeof p.id, c->id);
	(void)str_copy(p.conf.tenant, sizeof p.conf.tenant, c->tenant_id);
	p.conf.chain = c->chain;
	p.conf.key = c->key;
	rc = take_names(&p.conf, c, e) == 0 ? take_ocsp(&p.conf, c, e) : -1;
	if (rc == 0)
		rc = fn(&p, arg);
	free(p.conf.names);
	free(p.conf.ocsp);
	return rc;
}

int certificate_placed_get(struct db *db, const char *id, certificate_placed_fn fn, void *arg, struct err *e)
{
	struct certificate_placed gone = { .present = false };
	struct certificate c;
	struct err why;
	int rc;

	if (certificate_get(db, "", id, true, &c, &why) == 0) {
		const bool ready = certificate_is_ready(&c);

		rc = ready ? give(&c, fn, arg, e) : 0;
		certificate_fini(&c);
		if (ready)
			return rc;
		why.code = ERR_NOT_FOUND;
	}
	if (why.code == ERR_NOT_FOUND) {
		(void)str_copy(gone.id, sizeof gone.id, id);
		return fn(&gone, arg);
	}
	if (e != NULL)
		*e = why;
	return -1;
}

/* ---- several ------------------------------------------------------------------------------------------------------ */

/* At most 100 ids, so that no query is open while others run. */
struct ids {
	char of[100][PROTO_ID_SIZE];
	size_t n;
};

static int read_ids(struct db *db, const char *after, struct ids *ids, struct err *e)
{
	struct query *q;
	int rc = 0;

	ids->n = 0;
	if (db_query(db, &q, sql[SQL_ALL], e, bind_s(after)) != 0)
		return -1;
	while (ids->n < ARRAY_LEN(ids->of) && (rc = query_next(q, e)) == 1)
		(void)str_copy(ids->of[ids->n++], PROTO_ID_SIZE, query_text(q, 0));
	query_end(q);
	return MIN(rc, 0);
}

int certificate_placed_all(struct db *db, certificate_placed_fn fn, void *arg, struct err *e)
{
	char after[PROTO_ID_SIZE] = "";
	struct ids ids;

	do {
		if (read_ids(db, after, &ids, e) != 0)
			return -1;
		for (size_t i = 0; i < ids.n; i++)
			if (certificate_placed_get(db, ids.of[i], fn, arg, e) != 0)
				return -1;
		if (ids.n > 0)
			(void)str_copy(after, sizeof after, ids.of[ids.n - 1]);
	} while (ids.n == ARRAY_LEN(ids.of));
	return 0;
}

static int give_column(struct db *db, const char *statement, const char *key, int (*fn)(const char *id, void *arg),
	void *arg, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, statement, e, bind_s(key)) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1)
		if ((rc = fn(query_text(q, 0), arg)) != 0)
			break;
	query_end(q);
	return rc;
}

int certificate_groups(
	struct db *db, const char *id, int (*fn)(const char *group_id, void *arg), void *arg, struct err *e)
{
	return give_column(db, sql[SQL_GROUPS], id, fn, arg, e);
}

int certificate_ids_of_route(
	struct db *db, const char *route_id, int (*fn)(const char *id, void *arg), void *arg, struct err *e)
{
	return give_column(db, sql[SQL_OF_ROUTE], route_id, fn, arg, e);
}

int certificate_name_is_routed(struct db *db, const char *tenant_id, const char *name, bool *routed, struct err *e)
{
	struct query *q;
	int rc;

	if (db_query(db, &q, sql[SQL_ROUTED], e, bind_s(tenant_id), bind_s(name)) != 0)
		return -1;
	rc = query_next(q, e);
	query_end(q);
	*routed = rc == 1;
	return MIN(rc, 0);
}
