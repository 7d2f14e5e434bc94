#include "proto/dial_rule.h"

#include "common/net/addr.h"
#include "proto/mapping_conf.h"

bool dial_rule_grants(bool any, const struct mapping_cidrs *grants, const struct addr *to)
{
	bool special;

	if (any)
		return true;
	special = addr_is_special(to);
	for (uint32_t i = 0; i < grants->n; i++) {
		const struct cidr *grant = &grants->items[i];

		if (cidr_match(grant, to) && (!special || cidr_is_special(grant)))
			return true;
	}
	return false;
}

bool dial_rule_allows(const struct mapping_conf *conf, const struct addr *to)
{
	return dial_rule_grants(conf->dial_any, &conf->dial_allow, to);
}
