#include "controld/identity/grant.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/identity/token.h"

#include <stdlib.h>
#include <string.h>

void grant_session(struct identity_service *s, const struct request *rq, const struct user *u, struct session *out)
{
	char address[ADDR_STRLEN];

	*out = (struct session){ .used = -1, .created_ms = clock_wall_ms() };
	out->expires_ms = out->created_ms + (int64_t)s->conf.refresh_ms;
	rand_id(out->id, "ses");
	(void)str_copy(out->tenant_id, sizeof out->tenant_id, u->tenant_id);
	(void)str_copy(out->user_id, sizeof out->user_id, u->id);
	addr_print_ip(request_peer(rq), address);
	(void)str_copy(out->address, sizeof out->address, address);
}

static char *grant_access_token(
	struct identity_service *s, const struct user *u, const struct session *session, struct err *e)
{
	int64_t now_ms = clock_wall_ms();
	struct token t = { .role = u->role, .system_admin = u->system_admin, .issued_s = now_ms / 1000 };
	char *claims, *text;

	t.expires_s = t.issued_s + (int64_t)s->conf.access_ms / 1000;
	(void)str_copy(t.user_id, sizeof t.user_id, u->id);
	(void)str_copy(t.tenant_id, sizeof t.tenant_id, u->tenant_id);
	(void)str_copy(t.username, sizeof t.username, u->username);
	token_jti(t.jti, session->id);
	if ((claims = token_print(&t, s->conf.issuer)) == NULL) {
		err_set(e, ERR_NOMEM, NULL, "make a token: out of memory");
		return NULL;
	}
	text = signing_keys_sign(s->keys, claims, now_ms, e);
	free(claims);
	return text;
}

json_t *grant_answer(struct identity_service *s, const struct user *u, const struct session *session,
	const char *message, struct err *e)
{
	char *access = grant_access_token(s, u, session, e), refresh[SESSION_TOKEN_SIZE];
	json_int_t expires_in = (json_int_t)(s->conf.access_ms / 1000);
	json_t *user, *data, *answer;

	if (access == NULL)
		return NULL;
	session_token_print(refresh, s->refresh_key, session->id, session->used + 1);
	user = user_json(u);
	data = json_pack("{s:O, s:s, s:s, s:I}", "user", user, "access_token", access, "refresh_token", refresh,
		"expires_in", expires_in);
	answer = json_pack("{s:b, s:s, s:s, s:I, s:o, s:o, s:s}", "success", 1, "token", access, "refresh_token",
		refresh, "expires_in", expires_in, "user", user, "data", data, "message", message);
	seal_wipe(access, strlen(access));
	free(access);
	return answer;
}

static const struct schema_field grant_data_fields[] = {
	{ .name = "user", .type = SCHEMA_OBJECT, .sub = &user_schema },
	{ .name = "access_token", .type = SCHEMA_STRING },
	{ .name = "refresh_token", .type = SCHEMA_STRING },
	{ .name = "expires_in", .type = SCHEMA_INT, .help = "seconds" },
};
static const struct schema grant_data_schema = { NULL, grant_data_fields, ARRAY_LEN(grant_data_fields), false };

static const struct schema_field grant_fields[] = {
	{ .name = "success", .type = SCHEMA_BOOL },
	{ .name = "token", .type = SCHEMA_STRING, .help = "access token, for Authorization: Bearer" },
	{ .name = "refresh_token", .type = SCHEMA_STRING, .help = "for POST /auth/refresh" },
	{ .name = "expires_in", .type = SCHEMA_INT, .help = "life of the access token in seconds" },
	{ .name = "user", .type = SCHEMA_OBJECT, .sub = &user_schema },
	{ .name = "data", .type = SCHEMA_OBJECT, .sub = &grant_data_schema },
	{ .name = "message", .type = SCHEMA_STRING },
};
const struct schema grant_schema = { "Grant", grant_fields, ARRAY_LEN(grant_fields), false };
