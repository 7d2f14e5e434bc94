#include "controld/tunnels/port.h"

#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/net/addr.h"

#include <stdio.h>
#include <string.h>

/* A row meets ?3..?5 (address, family, wildcard) if either is every address, or if they share a family and either is
 * a wildcard of it or they are equal. */
#define MEETS "(family = 0 OR ?4 = 0 OR (family = ?4 AND (wildcard = 1 OR ?5 = 1 OR address = ?3)))"

enum { SQL_TAKEN, SQL_FIRST_TAKEN, SQL_INSERT, SQL_RELEASE };
static const char *const sql[] = {
	[SQL_TAKEN] =
		"SELECT port FROM ports WHERE group_id = ?1 AND protocol = ?2 AND port BETWEEN ?6 AND ?7 AND " MEETS
		" ORDER BY port",
	[SQL_FIRST_TAKEN] =
		"SELECT p.port, p.mapping_id, p.tenant_id, m.name FROM ports p LEFT JOIN mappings m ON m.id = "
		"p.mapping_id WHERE p.group_id = ?1 AND p.protocol = ?2 AND p.port BETWEEN ?6 AND ?7 AND " MEETS
		" ORDER BY p.port LIMIT 1",
	[SQL_INSERT] =
		("INSERT INTO ports (tenant_id, group_id, protocol, port, address, family, wildcard, mapping_id) "
		 "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
	[SQL_RELEASE] = "DELETE FROM ports WHERE mapping_id = ?1",
};
const struct sql_table port_sql = { "port", sql, ARRAY_LEN(sql) };

struct address_class {
	int64_t family; /* 0: both */
	int64_t wildcard;
};

static struct address_class classify(const char *address)
{
	struct address_class c = { 0, 1 };
	struct addr a;

	if (address[0] == '\0' || addr_parse_ip(&a, address, 0) != 0)
		return c;
	c.family = a.sa.sa_family == AF_INET6 ? 6 : 4;
	c.wildcard = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
	return c;
}

static int query_taken(struct db *tx, struct query **q, const char *text, const struct port_place *at, uint16_t first,
	uint16_t last, struct err *e)
{
	const struct address_class c = classify(at->address);

	return db_query(tx, q, text, e, bind_s(at->group_id), bind_s(at->protocol), bind_s(at->address),
		bind_i(c.family), bind_i(c.wildcard), bind_i(first), bind_i(last));
}

/* The first n ports in a row of [from, to] that nobody holds: walks the taken ones in order until a gap is wide enough.
 * 1 found, 0 not. */
static int first_free(
	struct db *tx, const struct port_place *at, const struct port_wish *in, uint16_t *out, struct err *e)
{
	struct query *q;
	int64_t want = in->min;
	int rc;

	if (in->max < in->min)
		return 0;
	if (query_taken(tx, &q, sql[SQL_TAKEN], at, in->min, in->max, e) != 0)
		return -1;
	while ((rc = query_next(q, e)) == 1) {
		if (query_int(q, 0) >= want + in->n)
			break;
		want = query_int(q, 0) + 1; /* the same port may be there twice, at two addresses */
	}
	query_end(q);
	if (rc < 0)
		return -1;
	if (want + in->n - 1 > in->max)
		return 0;
	*out = (uint16_t)want;
	return 1;
}

int port_pick(struct db *tx, const struct port_place *at, const struct port_wish *wish, uint16_t *out, struct err *e)
{
	const uint16_t start = wish->start != 0
	                               ? wish->start
	                               : (uint16_t)(wish->min + rand_below((uint64_t)(wish->max - wish->min) + 1));
	const struct port_wish above = { .min = start, .max = wish->max, .n = wish->n };
	const struct port_wish below = {
		.min = wish->min, .max = (uint16_t)MIN(wish->max, start + wish->n - 2), .n = wish->n
	};
	int rc = first_free(tx, at, &above, out, e);

	if (rc == 0)
		rc = first_free(tx, at, &below, out, e);
	if (rc == 0 && wish->n > 1)
		return err_set(e, ERR_NO_PORT, "source_port",
			"no %u free %s ports in a row are left in %u-%u of this group", wish->n, at->protocol,
			wish->min, wish->max);
	if (rc == 0)
		return err_set(e, ERR_NO_PORT, "source_port", "no free %s port is left in %u-%u of this group",
			at->protocol, wish->min, wish->max);
	return rc == 1 ? 0 : -1;
}

static int fail_taken(struct query *q, const struct port_place *at, struct err *e)
{
	const unsigned port = (unsigned)query_int(q, 0);
	const char *name = query_text(q, 3);
	char value[16];

	if (str_eq(query_text(q, 2), at->tenant_id))
		err_set(e, ERR_PORT_TAKEN, "source_port", "%s port %u is already in use by mapping %s%s%s%s",
			at->protocol, port, query_text(q, 1), name != NULL && name[0] != '\0' ? " (" : "",
			name != NULL ? name : "", name != NULL && name[0] != '\0' ? ")" : "");
	else
		err_set(e, ERR_PORT_TAKEN, "source_port", "%s port %u is already in use", at->protocol, port);
	str_fmt(value, sizeof value, "%u", port);
	return err_detail(e, "unique", value);
}

static int check_free(struct db *tx, const struct port_place *at, uint16_t first, uint16_t last, struct err *e)
{
	struct query *q;
	int rc;

	if (query_taken(tx, &q, sql[SQL_FIRST_TAKEN], at, first, last, e) != 0)
		return -1;
	rc = query_next(q, e);
	if (rc == 1)
		rc = fail_taken(q, at, e);
	query_end(q);
	return rc;
}

int port_claim(struct db *tx, const struct port_place *at, const char *mapping_id, uint16_t first, uint16_t last,
	struct err *e)
{
	const struct address_class c = classify(at->address);

	if (check_free(tx, at, first, last, e) != 0)
		return -1;
	for (int64_t port = first; port <= last; port++)
		if (db_post(tx, sql[SQL_INSERT], e, bind_s(at->tenant_id), bind_s(at->group_id), bind_s(at->protocol),
			    bind_i(port), bind_s(at->address), bind_i(c.family), bind_i(c.wildcard),
			    bind_s(mapping_id)) != 0)
			return -1;
	return 0;
}

int port_release(struct db *tx, const char *mapping_id, struct err *e)
{
	return db_exec(tx, sql[SQL_RELEASE], e, bind_s(mapping_id)) < 0 ? -1 : 0;
}
