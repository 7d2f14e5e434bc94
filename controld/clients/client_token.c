#include "controld/clients/client_token.h"

#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/seal.h"
#include "controld/identity/identity.h"
#include "controld/identity/service.h"
#include "controld/identity/session.h"
#include "controld/identity/token.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SKEW_S 60 /* how far another controld's clock may be ahead */

void client_session_make(struct client_session *s, const struct client *c, int64_t now_ms)
{
	*s = (struct client_session){ .client_id = c->id, .used = -1, .created_ms = now_ms };
	s->expires_ms = now_ms + CLIENT_REFRESH_MS;
	if (c->conf.expires_ms != 0)
		s->expires_ms = MIN(s->expires_ms, c->conf.expires_ms);
	rand_id(s->id, "cs");
	str_copy(s->tenant_id, sizeof s->tenant_id, c->tenant_id);
}

static char *print_claims(const struct client *c, const char *jti, const char *issuer, int64_t now_s, int64_t expires_s)
{
	char id[PROTO_ID_SIZE], subject[PROTO_ID_SIZE + sizeof IDENTITY_CLIENT];
	json_t *claims;
	char *text;

	client_id_print(id, c->id);
	str_fmt(subject, sizeof subject, IDENTITY_CLIENT "%s", id);
	claims = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:[], s:[]}", "iss", issuer, "sub",
		subject, "jti", jti, "iat", (json_int_t)now_s, "nbf", (json_int_t)now_s, "exp", (json_int_t)expires_s,
		"client_id", id, "user_id", c->user_id, "tenant_id", c->tenant_id, "client_type",
		client_type_name(c->type), "roles", "permissions");
	text = claims != NULL ? json_dumps(claims, JSON_COMPACT) : NULL;
	json_decref(claims);
	return text;
}

int client_token_grant(struct identity_service *identity, const struct client *c, const struct client_session *s,
	int64_t now_ms, struct buf *b, struct err *e)
{
	const int64_t expires_ms = MIN(now_ms + CLIENT_ACCESS_MS, s->expires_ms);
	char refresh[SESSION_TOKEN_SIZE], jti[TOKEN_JTI_SIZE], *claims, *token;

	token_jti(jti, s->id);
	claims = print_claims(c, jti, identity_issuer(identity), now_ms / 1000, expires_ms / 1000);
	if (claims == NULL)
		return err_set(e, ERR_NOMEM, NULL, "make a token: out of memory");
	token = identity_sign(identity, claims, e);
	free(claims);
	if (token == NULL)
		return -1;
	session_token_print(refresh, identity_refresh_key(identity), s->id, s->used + 1);
	jsonw_str(b, "token", token);
	jsonw_str(b, "refresh_token", refresh);
	jsonw_time(b, "expires_at", expires_ms);
	jsonw_int(b, "client_id", c->id);
	jsonw_str(b, "token_id", jti);
	seal_wipe(token, strlen(token));
	free(token);
	return 0;
}

static bool text_claim(const json_t *claims, const char *name, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(claims, name));

	return s != NULL && s[0] != '\0' && str_copy(dst, size, s) == 0;
}

static bool read_claims(struct client_token *t, const json_t *claims, const char *issuer, int64_t now_s)
{
	const char *id = json_string_value(json_object_get(claims, "client_id"));
	const json_t *expires = json_object_get(claims, "exp"), *issued = json_object_get(claims, "iat");

	t->expires_s = json_integer_value(expires);
	return json_is_integer(expires) && json_is_integer(issued) && json_integer_value(issued) <= now_s + SKEW_S &&
	       str_eq(json_string_value(json_object_get(claims, "iss")), issuer) && id != NULL &&
	       client_id_parse(id, &t->client_id) == 0 &&
	       text_claim(claims, "tenant_id", t->tenant_id, sizeof t->tenant_id) &&
	       text_claim(claims, "jti", t->jti, sizeof t->jti) && token_session(t->jti, t->session_id) == 0;
}

int client_token_parse(struct client_token *t, const char *claims, const char *issuer, int64_t now_s, struct err *e)
{
	json_t *root = json_loads(claims, JSON_REJECT_DUPLICATES, NULL);
	const bool good = root != NULL && read_claims(t, root, issuer, now_s);

	json_decref(root);
	if (!good)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: not one of a client");
	if (t->expires_s <= now_s)
		return err_set(e, ERR_TOKEN_EXPIRED, NULL, "token has expired");
	return 0;
}

int client_token_client(struct db *db, const struct client_token *t, int64_t now_ms, struct client *out, struct err *e)
{
	struct client_session s;
	int rc = client_session_find(db, t->session_id, now_ms, &s, e);

	if (rc < 0)
		return -1;
	if (rc == 0 || s.client_id != t->client_id)
		return err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: it was revoked");
	if (client_get(db, t->tenant_id, t->client_id, out, NULL) != 0 || !out->active || !out->owner_active ||
		(out->conf.expires_ms != 0 && out->conf.expires_ms <= now_ms))
		return err_set(e, ERR_INVALID_TOKEN, NULL, "token is not valid: its client is off");
	return 0;
}

int client_token_resolve(
	void *self, struct db *db, const char *claims, struct identity *out, int64_t *expires_ms, struct err *e)
{
	const int64_t now_ms = clock_wall_ms();
	struct client_token t;
	struct client c;

	if (client_token_parse(&t, claims, identity_issuer(self), now_ms / 1000, e) != 0 ||
		client_token_client(db, &t, now_ms, &c, e) != 0)
		return -1;
	*out = (struct identity){ .role = ROLE_NONE };
	str_fmt(out->actor, sizeof out->actor, IDENTITY_CLIENT "%" PRId64, c.id);
	str_copy(out->tenant_id, sizeof out->tenant_id, c.tenant_id);
	str_copy(out->token_id, sizeof out->token_id, t.jti);
	*expires_ms = t.expires_s * 1000;
	return 0;
}
