#include "controld/tunnels/mapping_socks.h"

#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/socks_proof.h"
#include "common/net/allow.h"

#include <string.h>

static const char *text_of(const json_t *body, const char *name)
{
	const json_t *v = json_object_get(body, name);

	if (v == NULL)
		return NULL;
	return json_is_string(v) ? json_string_value(v) : "";
}

static void take_user(struct mapping_conf *c, const json_t *body, struct err_list *errs)
{
	const char *user = text_of(body, "socks_user"), *password = text_of(body, "socks_password");
	bool renamed = user != NULL && !str_eq(user, c->socks_user);

	if (user != NULL && str_copy(c->socks_user, sizeof c->socks_user, user) != 0)
		err_list_add(errs, ERR_VALIDATION, "socks_user", "length", user,
			"socks_user: must have less than %d bytes", MAPPING_SOCKS_USER_SIZE);
	if (c->socks_user[0] == '\0') {
		memset(c->socks_proof, 0, sizeof c->socks_proof);
		return;
	}
	if (password == NULL && renamed) {
		err_list_add(errs, ERR_VALIDATION, "socks_password", "required", "",
			"socks_password: a new socks_user needs one");
		return;
	}
	if (password == NULL)
		return;
	if (strlen(password) < SOCKS_PASSWORD_MIN || strlen(password) > SOCKS_PASSWORD_MAX) {
		err_list_add(errs, ERR_VALIDATION, "socks_password", "length", "***",
			"socks_password: must have from %d to %d bytes", SOCKS_PASSWORD_MIN, SOCKS_PASSWORD_MAX);
		return;
	}
	rand_bytes(c->socks_salt, sizeof c->socks_salt);
	socks_proof_make(c->socks_proof, c->socks_salt, c->socks_user, password);
}

static void take_allow(struct mapping_conf *c, const json_t *body, struct err_list *errs)
{
	const char *rules = text_of(body, "socks_allow");
	struct allow *a;
	struct err e;

	if (rules == NULL)
		return;
	if (str_copy(c->socks_allow, sizeof c->socks_allow, rules) != 0)
		err_list_add(errs, ERR_VALIDATION, "socks_allow", "length", "",
			"socks_allow: must have less than %d bytes", MAPPING_SOCKS_ALLOW_SIZE);
	else if (allow_parse(&a, "socks_allow", rules, &e) != 0)
		err_list_add(errs, ERR_VALIDATION, "socks_allow", "format", rules, "%s", e.msg);
	else
		allow_unref(a);
}

static void need(bool ok, const char *field, const char *why, struct err_list *errs)
{
	if (!ok)
		err_list_add(errs, ERR_VALIDATION, field, "combination", "", "%s: %s", field, why);
}

void mapping_socks_apply(struct mapping_conf *c, const json_t *body, struct err_list *errs)
{
	take_user(c, body, errs);
	take_allow(c, body, errs);
}

void mapping_socks_check(const struct mapping_conf *c, struct err_list *errs)
{
	if (c->protocol != MAPPING_SOCKS5) {
		need(c->socks_user[0] == '\0', "socks_user", "is for protocol socks5 only", errs);
		need(c->socks_allow[0] == '\0', "socks_allow", "is for protocol socks5 only", errs);
		return;
	}
	need(c->target_client[0] != '\0', "target_client_id", "is needed: socks5 leads into a client's network", errs);
	need(c->target_host[0] == '\0', "target_host", "cannot be said: whoever comes in says where to", errs);
	need(c->target_port == 0, "target_port", "cannot be said: whoever comes in says where to", errs);
	need(c->health.type == 0, "health", "has no target to check with socks5", errs);
	need(c->socks_user[0] != '\0' || c->allow.n > 0 || c->source_client[0] != '\0', "socks_user",
		"is needed with socks_password: a public port that asks nobody needs an `allow` list", errs);
}

void mapping_socks_store(const struct mapping_conf *c, char proof[MAPPING_SOCKS_PROOF_TEXT])
{
	proof[0] = '\0';
	if (c->socks_user[0] == '\0')
		return;
	str_hex(proof, c->socks_salt, MAPPING_SOCKS_SALT);
	str_hex(proof + 2 * MAPPING_SOCKS_SALT, c->socks_proof, MAPPING_SOCKS_PROOF);
}

void mapping_socks_load(struct mapping_conf *c, const char *proof)
{
	uint8_t both[MAPPING_SOCKS_SALT + MAPPING_SOCKS_PROOF] = { 0 };

	if (proof == NULL || str_unhex(both, sizeof both, proof) != (int)sizeof both)
		return; /* an all-zero proof is met by no password */
	memcpy(c->socks_salt, both, MAPPING_SOCKS_SALT);
	memcpy(c->socks_proof, both + MAPPING_SOCKS_SALT, MAPPING_SOCKS_PROOF);
}
