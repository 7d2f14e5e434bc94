#include "controld/identity/identity.h"

#include "common/base/str.h"

#include <string.h>

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

int64_t identity_client(const struct identity *id)
{
	int64_t client = 0;

	if (!str_starts(id->actor, IDENTITY_CLIENT) ||
		str_to_i64(id->actor + strlen(IDENTITY_CLIENT), 1, INT64_MAX, &client) != 0)
		return 0;
	return client;
}

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
	if (p == PERM_CLIENT || identity_client(id) != 0)
		return p == PERM_CLIENT && identity_client(id) != 0;
	if (id->system_admin)
		return true;
	return (size_t)p < ARRAY_LEN(permission_role) && id->role >= permission_role[p];
}

const char *permission_role_name(enum permission p)
{
	if (p == PERM_SYSTEM)
		return "system_admin";
	if (p == PERM_CLIENT)
		return "client";
	return permission_role[p] != ROLE_NONE ? role_name(permission_role[p]) : "";
}
