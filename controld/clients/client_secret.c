#include "controld/clients/client_secret.h"

#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "common/crypto/seal.h"

#include <jansson.h>
#include <string.h>

#define SECRET_PREFIX "pws_"
#define CODE_PREFIX   "pwa_"

_Static_assert(CLIENT_KEY_SIZE == KEY_PUBLIC_SIZE, "a client's key is an Ed25519 key");

static bool has_ended(const struct client_key *k, int64_t now_ms)
{
	return k->not_after_ms != 0 && k->not_after_ms <= now_ms;
}

static void remove_at(struct client *c, uint32_t i)
{
	const uint32_t behind = c->conf.n_keys - i - 1;

	memmove(&c->secrets[i], &c->secrets[i + 1], behind * sizeof c->secrets[0]);
	memmove(&c->conf.keys[i], &c->conf.keys[i + 1], behind * sizeof c->conf.keys[0]);
	c->conf.n_keys--;
}

void client_secret_prune(struct client *c, int64_t now_ms)
{
	for (uint32_t i = c->conf.n_keys; i > 0; i--)
		if (has_ended(&c->conf.keys[i - 1], now_ms))
			remove_at(c, i - 1);
}

int client_secret_remove(struct client *c, const char *id)
{
	for (uint32_t i = 0; i < c->conf.n_keys; i++)
		if (str_eq(c->secrets[i].id, id)) {
			remove_at(c, i);
			return 0;
		}
	return -1;
}

static int public_of(const uint8_t seed[KEY_SEED_SIZE], uint8_t out[CLIENT_KEY_SIZE], struct err *e)
{
	struct key *k;

	if (key_from_seed(&k, seed, e) != 0)
		return -1;
	key_public(k, out);
	key_free(k);
	return 0;
}

static bool is_secret(const struct client *c, uint32_t i)
{
	return c->secrets[i].kind == CLIENT_KEY_SECRET;
}

static void end_others(struct client *c, int64_t at_ms)
{
	for (uint32_t i = 0; i < c->conf.n_keys; i++)
		if (is_secret(c, i) && (c->conf.keys[i].not_after_ms == 0 || c->conf.keys[i].not_after_ms > at_ms))
			c->conf.keys[i].not_after_ms = at_ms;
}

/* The secret that ends first, when all of them have an end; n_keys: there is no secret. */
static uint32_t first_to_end(const struct client *c)
{
	uint32_t first = c->conf.n_keys;

	for (uint32_t i = 0; i < c->conf.n_keys; i++)
		if (is_secret(c, i) &&
			(first == c->conf.n_keys || c->conf.keys[i].not_after_ms <= c->conf.keys[first].not_after_ms))
			first = i;
	return first;
}

static void make_id(char id[16], enum client_key_kind kind)
{
	uint8_t random[6];
	char text[9];

	rand_bytes(random, sizeof random);
	str_b64url(text, random, sizeof random);
	str_fmt(id, 16, "%s_%s", kind == CLIENT_KEY_SECRET ? "sec" : "key", text);
}

/* There is room. */
static void insert_first(
	struct client *c, const uint8_t public_key[CLIENT_KEY_SIZE], enum client_key_kind kind, int64_t now_ms)
{
	memmove(&c->secrets[1], &c->secrets[0], c->conf.n_keys * sizeof c->secrets[0]);
	memmove(&c->conf.keys[1], &c->conf.keys[0], c->conf.n_keys * sizeof c->conf.keys[0]);
	c->conf.n_keys++;
	c->secrets[0] = (struct client_secret){ .kind = kind, .created_ms = now_ms };
	make_id(c->secrets[0].id, kind);
	c->conf.keys[0] = (struct client_key){ .not_after_ms = 0 };
	memcpy(c->conf.keys[0].public_key, public_key, CLIENT_KEY_SIZE);
}

static int refuse_full(struct err *e)
{
	return err_set(e, ERR_LIMIT, NULL, "the client has %d keys, which is the most: end one of its secrets first",
		CLIENT_KEYS_MAX);
}

int client_secret_add(
	struct client *c, char text[CLIENT_SECRET_SIZE], int64_t overlap_ms, int64_t now_ms, struct err *e)
{
	uint8_t seed[KEY_SEED_SIZE], public_key[CLIENT_KEY_SIZE];
	int rc;

	rand_bytes(seed, sizeof seed);
	rc = public_of(seed, public_key, e);
	str_copy(text, CLIENT_SECRET_SIZE, SECRET_PREFIX);
	str_b64url(text + strlen(SECRET_PREFIX), seed, sizeof seed);
	seal_wipe(seed, sizeof seed);
	if (rc != 0)
		return -1;
	end_others(c, now_ms + overlap_ms);
	client_secret_prune(c, now_ms);
	if (c->conf.n_keys == CLIENT_KEYS_MAX) {
		if (first_to_end(c) == c->conf.n_keys)
			return refuse_full(e);
		remove_at(c, first_to_end(c));
	}
	insert_first(c, public_key, CLIENT_KEY_SECRET, now_ms);
	return 0;
}

/* ---- keys that were made elsewhere -------------------------------------------------------------------------------- */

static const char *const kinds[] = { "secret", "public_key", "certificate" };

int client_key_read(struct client_new_key *out, const char *pem, int64_t now_ms, struct err *e)
{
	struct cert_info cert;
	struct key *k;

	*out = (struct client_new_key){ .kind = CLIENT_KEY_PUBLIC };
	if (strstr(pem, "PRIVATE KEY") != NULL)
		return err_set(e, ERR_VALIDATION, "pem",
			"pem: this is a private key, which must stay where it is: make a new one, and send its public "
			"key or certificate");
	if (key_from_public_pem(&k, pem, NULL) == 0) {
		key_public(k, out->public_key);
		key_free(k);
		return 0;
	}
	out->kind = CLIENT_KEY_CERTIFICATE;
	if (cert_inspect(pem, &cert, NULL) != 0 || cert_public_key(pem, out->public_key, NULL) != 0)
		return err_set(
			e, ERR_VALIDATION, "pem", "pem: must be a public key or a certificate in PEM, and of Ed25519");
	if (cert.not_after_ms <= now_ms)
		return err_set(e, ERR_VALIDATION, "pem", "pem: the certificate has ended");
	if (cert.not_before_ms > now_ms)
		return err_set(e, ERR_VALIDATION, "pem", "pem: the certificate is not valid yet");
	out->not_after_ms = cert.not_after_ms;
	return 0;
}

int client_key_add(struct client *c, const struct client_new_key *new_key, int64_t now_ms, struct err *e)
{
	client_secret_prune(c, now_ms);
	for (uint32_t i = 0; i < c->conf.n_keys; i++) {
		if (memcmp(c->conf.keys[i].public_key, new_key->public_key, CLIENT_KEY_SIZE) != 0)
			continue;
		if (is_secret(c, i))
			return err_set(e, ERR_CONFLICT, "pem", "pem: this is the key of one of the client's secrets");
		c->secrets[i].kind = new_key->kind;
		c->conf.keys[i].not_after_ms = new_key->not_after_ms;
		return 0;
	}
	if (c->conf.n_keys == CLIENT_KEYS_MAX)
		return refuse_full(e);
	insert_first(c, new_key->public_key, new_key->kind, now_ms);
	c->conf.keys[0].not_after_ms = new_key->not_after_ms;
	return 0;
}

bool client_secret_matches(const struct client *c, const char *text, int64_t now_ms)
{
	uint8_t seed[KEY_SEED_SIZE], public_key[CLIENT_KEY_SIZE];
	const size_t prefix = strlen(SECRET_PREFIX);
	bool matches = false;

	if (!str_starts(text, SECRET_PREFIX) ||
		str_unb64url(seed, sizeof seed, text + prefix, strlen(text + prefix)) != KEY_SEED_SIZE ||
		public_of(seed, public_key, NULL) != 0)
		return false;
	seal_wipe(seed, sizeof seed);
	for (uint32_t i = 0; i < c->conf.n_keys; i++) /* what is compared is public: time tells nothing */
		if (is_secret(c, i) && !has_ended(&c->conf.keys[i], now_ms) &&
			memcmp(c->conf.keys[i].public_key, public_key, sizeof public_key) == 0)
			matches = true;
	return matches;
}

bool client_key_signed(
	const struct client *c, const char *message, const uint8_t signature[CLIENT_SIGNATURE_SIZE], int64_t now_ms)
{
	bool good = false;
	struct key *k;

	for (uint32_t i = 0; i < c->conf.n_keys && !good; i++) {
		if (has_ended(&c->conf.keys[i], now_ms) || key_from_public(&k, c->conf.keys[i].public_key, NULL) != 0)
			continue;
		good = key_verify(k, message, strlen(message), signature);
		key_free(k);
	}
	return good;
}

void client_auth_code(const struct client *c, char dst[CLIENT_AUTH_CODE_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	char hex[17];
	uint32_t newest = 0;

	dst[0] = '\0';
	while (newest < c->conf.n_keys && !is_secret(c, newest))
		newest++;
	if (newest == c->conf.n_keys)
		return;
	seal_sha256(c->conf.keys[newest].public_key, CLIENT_KEY_SIZE, digest);
	str_hex(hex, digest, 8);
	str_fmt(dst, CLIENT_AUTH_CODE_SIZE, CODE_PREFIX "%s", hex);
}

/* ---- rows and answers --------------------------------------------------------------------------------------------- */

void client_secrets_store(const struct client *c, struct buf *b)
{
	jsonw_array(b, NULL);
	for (uint32_t i = 0; i < c->conf.n_keys; i++) {
		char hex[2 * CLIENT_KEY_SIZE + 1];

		str_hex(hex, c->conf.keys[i].public_key, CLIENT_KEY_SIZE);
		jsonw_object(b, NULL);
		jsonw_str(b, "id", c->secrets[i].id);
		jsonw_str(b, "key", hex);
		jsonw_int(b, "kind", c->secrets[i].kind);
		jsonw_int(b, "created", c->secrets[i].created_ms);
		jsonw_int(b, "until", c->conf.keys[i].not_after_ms);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
}

static int load_one(struct client *c, const json_t *one)
{
	const char *id = json_string_value(json_object_get(one, "id"));
	const char *hex = json_string_value(json_object_get(one, "key"));
	const json_int_t kind = json_integer_value(json_object_get(one, "kind")); /* 0 where rows are older */
	struct client_secret *s = &c->secrets[c->conf.n_keys];
	struct client_key *k = &c->conf.keys[c->conf.n_keys];

	if (id == NULL || hex == NULL || kind < CLIENT_KEY_SECRET || kind > CLIENT_KEY_CERTIFICATE ||
		str_copy(s->id, sizeof s->id, id) != 0 ||
		str_unhex(k->public_key, CLIENT_KEY_SIZE, hex) != CLIENT_KEY_SIZE)
		return -1;
	s->kind = (enum client_key_kind)kind;
	s->created_ms = json_integer_value(json_object_get(one, "created"));
	k->not_after_ms = json_integer_value(json_object_get(one, "until"));
	c->conf.n_keys++;
	return 0;
}

int client_secrets_load(struct client *c, const char *text, struct err *e)
{
	json_t *list = json_loads(text, 0, NULL);
	int rc = list != NULL && json_array_size(list) <= CLIENT_KEYS_MAX ? 0 : -1;

	c->conf.n_keys = 0;
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
		rc = load_one(c, json_array_get(list, i));
	json_decref(list);
	return rc == 0 ? 0 : err_set(e, ERR_STORAGE, NULL, "the stored keys of a client cannot be read");
}

void client_secrets_print(const struct client *c, const char *key, struct buf *b)
{
	jsonw_array(b, key);
	for (uint32_t i = 0; i < c->conf.n_keys; i++) {
		jsonw_object(b, NULL);
		jsonw_str(b, "id", c->secrets[i].id);
		jsonw_str(b, "kind", kinds[c->secrets[i].kind]);
		jsonw_time(b, "created_at", c->secrets[i].created_ms);
		jsonw_time(b, "expires_at", c->conf.keys[i].not_after_ms);
		jsonw_end_object(b);
	}
	jsonw_end_array(b);
}
