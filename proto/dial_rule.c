#include "proto/dial_rule.h"

#include "common/net/addr.h"
#include "proto/mapping_conf.h"

bool dial_rule_allows(const struct mapping_conf *conf, const struct addr *to)
{
	bool special;

	if (conf->dial_any)
		return true;
	special = addr_is_special(to);
	for (uint32_t i = 0; i < conf->dial_allow.n; i++) {
		const struct cidr *grant = &conf->dial_allow.items[i];

		if (cidr_match(grant, to) && (!special || cidr_is_special(grant)))
			return true;
	}
	return false;
}
