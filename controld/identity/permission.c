#include "controld/identity/identity.h"

#include "common/base/str.h"

static const char *const role_names[] = {
	[ROLE_NONE] = "none",
	[ROLE_VIEWER] = "viewer",
	[ROLE_OPERATOR] = "operator",
	[ROLE_ADMIN] = "admin",
	[ROLE_OWNER] = "owner",
};

/* The lowest role that has a permission; a system_admin has all of them. */
static const enum role permission_role[] = {
	[PERM_PUBLIC] = ROLE_NONE,
	[PERM_SELF] = ROLE_NONE,
	[PERM_READ] = ROLE_VIEWER,
	[PERM_WRITE] = ROLE_OPERATOR,
	[PERM_TENANT_ADMIN] = ROLE_ADMIN,
};

const char *role_name(enum role r)
{
	return (size_t)r < ARRAY_LEN(role_names) ? role_names[r] : role_names[ROLE_NONE];
}

int role_parse(const char *s, enum role *out)
{
	for (size_t i = ROLE_VIEWER; i < ARRAY_LEN(role_names); i++)
		if (str_eq(s, role_names[i])) {
			*out = (enum role)i;
			return 0;
		}
	return -1;
}

bool identity_allows(const struct identity *id, enum permission p)
{
	if (p == PERM_PUBLIC)
		return true;
	if (id == NULL)
		return false;
	if (id->system_admin)
		return true;
	return (size_t)p < ARRAY_LEN(permission_role) && id->role >= permission_role[p];
}
