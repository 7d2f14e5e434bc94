#include "controld/tunnels/mapping_dial.h"

#include "common/base/str.h"
#include "common/net/addr.h"
#include "controld/identity/tenant.h"
#include "proto/dial_rule.h"

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

void dial_grants_lend(struct dial_grants *g, struct mapping_conf *c)
{
	c->dial_allow = (struct mapping_cidrs){ g->items, (uint32_t)g->n };
}

int mapping_dial_check(struct db *db, const char *tenant_id, const struct mapping_conf *c, struct err *e)
{
	struct mapping_conf asked = { .dial_any = c->dial_any };
	struct dial_grants grants = { .n = 0 };
	struct addr to;

	if (c->dial_any || addr_parse_ip(&to, c->target_host, 0) != 0)
		return 0;
	if (dial_grants_read(&grants, db, tenant_id, e) != 0)
		return -1;
	dial_grants_lend(&grants, &asked);
	if (dial_rule_allows(&asked, &to))
		return 0;
	err_set(e, ERR_DENIED_TARGET, "target_host",
		"target_host: %s may not be dialled; an administrator can grant its range to the tenant (dial_allow)",
		c->target_host);
	return err_detail(e, "granted", c->target_host);
}
