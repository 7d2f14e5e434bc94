#include "controld/tunnels/host_name_right.h"

#include "common/base/str.h"
#include "common/net/host_name.h"

static bool may_go_outside(enum host_names_by by, const struct identity *who)
{
	static const enum role least[] = {
		[HOST_NAMES_BY_OPERATOR] = ROLE_OPERATOR, [HOST_NAMES_BY_ADMIN] = ROLE_ADMIN
	};

	return by != HOST_NAMES_BY_SYSTEM && who->role >= least[by];
}

int host_name_right(enum host_names_by by, const struct identity *who, const char *domain, const char *field,
	const char *name, struct err *e)
{
	const bool wild = host_pattern_is_wild(name);
	const char *why = NULL;

	if (who->system_admin)
		return 0;
	if (host_name_is_below(name, domain))
		why = wild ? "is for system administrators, as everybody has names there" : NULL;
	else if (str_eq(name, domain))
		why = "is for system administrators, as it is the domain of the group";
	else if (str_eq(name, "*"))
		why = "is for system administrators, as it stands for every host";
	else if (!may_go_outside(by, who))
		why = "is not below the domain of the group, and the setting tunnels.host_names lets only others have "
		      "such a name";
	else if (wild && who->role < ROLE_ADMIN)
		why = "is for administrators, as it stands for all names below it";
	if (why == NULL)
		return 0;
	err_set(e, ERR_FORBIDDEN, field, "%s: '%s' %s", field, name, why);
	return err_detail(e, "permission", name);
}
