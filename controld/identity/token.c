#include "controld/identity/token.h"

#include "common/base/err.h"
#include "common/base/str.h"

#include <jansson.h>
#include <string.h>

/* How far another controld's clock may be ahead. */
enum { TOKEN_SKEW_S = 60 };

void token_jti(char jti[TOKEN_JTI_SIZE], const char *session_id)
{
	uint8_t random[6];
	char text[9];

	rand_bytes(random, sizeof random);
	str_b64url(text, random, sizeof random);
	(void)str_fmt(jti, TOKEN_JTI_SIZE, "%s.%s", session_id, text);
}

int token_session(const char *jti, char session_id[RAND_ID_SIZE])
{
	const char *dot = strchr(jti, '.');
	size_t n = dot != NULL ? (size_t)(dot - jti) : 0;

	if (n == 0 || n >= RAND_ID_SIZE)
		return -1;
	memcpy(session_id, jti, n);
	session_id[n] = '\0';
	return 0;
}

/* What a role may, in words; readers of the token show it, nothing decides by it. */
static json_t *token_permissions(const struct token *t)
{
	static const struct {
		enum permission permission;
		const char *name;
	} rows[] = {
		{ PERM_READ, "read" },
		{ PERM_WRITE, "write" },
		{ PERM_TENANT_ADMIN, "admin" },
		{ PERM_SYSTEM, "system" },
	};
	const struct identity id = { .role = t->role, .system_admin = t->system_admin };
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (identity_allows(&id, rows[i].permission))
			json_array_append_new(list, json_string(rows[i].name));
	return list;
}

static json_t *token_roles(const struct token *t)
{
	json_t *list = json_array();

	json_array_append_new(list, json_string(role_name(t->role)));
	if (t->system_admin)
		json_array_append_new(list, json_string("system_admin"));
	return list;
}

char *token_print(const struct token *t, const char *issuer)
{
	json_t *claims = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "iss",
		issuer, "sub", t->user_id, "jti", t->jti, "iat", (json_int_t)t->issued_s, "nbf",
		(json_int_t)t->issued_s, "exp", (json_int_t)t->expires_s, "user_id", t->user_id, "userId", t->user_id,
		"username", t->username, "tenant_id", t->tenant_id, "client_type", "user", "role", role_name(t->role),
		"roles", token_roles(t), "permissions", token_permissions(t));
	char *text = claims != NULL ? json_dumps(claims, JSON_COMPACT) : NULL;

	json_decref(claims);
	return text;
}

static bool token_text(const json_t *claims, const char *name, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(claims, name));

	return s != NULL && s[0] != '\0' && str_copy(dst, size, s) == 0;
}

static bool token_time(const json_t *claims, const char *name, int64_t *out)
{
	const json_t *v = json_object_get(claims, name);

	*out = json_integer_value(v);
	return json_is_integer(v);
}

static bool token_read(struct token *t, const json_t *claims, const char *issuer)
{
	return str_eq(json_string_value(json_object_get(claims, "iss")), issuer) &&
	       token_text(claims, "sub", t->user_id, sizeof t->user_id) &&
	       token_text(claims, "tenant_id", t->tenant_id, sizeof t->tenant_id) &&
	       token_text(claims, "username", t->username, sizeof t->username) &&
	       token_text(claims, "jti", t->jti, sizeof t->jti) && token_time(claims, "iat", &t->issued_s) &&
	       token_time(claims, "exp", &t->expires_s) &&
	       role_parse(json_string_value(json_object_get(claims, "role")), &t->role) == 0;
}

bool token_is_client(const char *claims)
{
	json_t *root = json_loads(claims, JSON_REJECT_DUPLICATES, NULL);
	const bool client = json_object_get(root, "client_id") != NULL;

	json_decref(root);
	return client;
}

int token_parse(struct token *t, const char *claims, const char *issuer, int64_t now_s, struct err *e)
{
	json_t *root = json_loads(claims, JSON_REJECT_DUPLICATES, NULL);
	struct token read = { .user_id = "" };
	bool ok = root != NULL && token_read(&read, root, issuer);

	json_decref(root);
	if (!ok || read.issued_s > now_s + TOKEN_SKEW_S)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: claims");
	if (read.expires_s <= now_s)
		return err_set(e, ERR_TOKEN_EXPIRED, NULL, "token has expired");
	*t = read;
	return 0;
}
