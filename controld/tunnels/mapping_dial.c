#include "controld/tunnels/mapping_dial.h"

#include "common/base/str.h"
#include "common/net/addr.h"
#include "controld/identity/tenant.h"

int dial_grants_read(struct dial_grants *g, struct db *db, const char *tenant_id, struct err *e)
{
	if (str_eq(g->tenant_id, tenant_id))
		return 0;
	g->tenant_id[0] = '\0';
	if (tenant_dial_allow(db, tenant_id, g->items, ARRAY_LEN(g->items), &g->n, e) != 0)
		return -1;
	str_copy(g->tenant_id, sizeof g->tenant_id, tenant_id);
	return 0;
}

/* The relay's rule (relayd/limit/dial_rule.c): special space is opened only by a range that lies wholly inside it. */
static bool is_granted(const struct dial_grants *g, const struct addr *to)
{
	const bool special = addr_is_special(to);

	for (size_t i = 0; i < g->n; i++)
		if (cidr_match(&g->items[i], to) && (!special || cidr_is_special(&g->items[i])))
			return true;
	return false;
}

int mapping_dial_check(struct db *db, const char *tenant_id, const struct mapping_conf *c, struct err *e)
{
	struct dial_grants grants = { .n = 0 };
	struct addr to;

	if (c->dial_any || addr_parse_ip(&to, c->target_host, 0) != 0)
		return 0;
	if (dial_grants_read(&grants, db, tenant_id, e) != 0)
		return -1;
	if (is_granted(&grants, &to))
		return 0;
	err_set(e, ERR_DENIED_TARGET, "target_host",
		"target_host: %s may not be dialled; an administrator can grant its range to the tenant (dial_allow)",
		c->target_host);
	return err_detail(e, "granted", c->target_host);
}
