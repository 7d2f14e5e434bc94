/* client_secret: keys that were made elsewhere, beside a client's secrets. */
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "controld/clients/client_input.h"
#include "controld/clients/client_secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1800000000000)
#define DAY (INT64_C(86400) * 1000)

static const char public_pem[] = "-----BEGIN PUBLIC KEY-----\n"
				 "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
				 "-----END PUBLIC KEY-----\n";
static const char rsa_pem[] = "-----BEGIN PUBLIC KEY-----\n"
			      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A\n"
			      "iTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==\n"
			      "-----END PUBLIC KEY-----\n";

static struct key *key_of(uint8_t byte)
{
	uint8_t seed[KEY_SEED_SIZE] = { byte };
	struct key *k;

	assert_int_equal(key_from_seed(&k, seed, NULL), 0);
	return k;
}

/* A certificate that is good for a day from `at`. */
static char *certificate(uint8_t byte, int64_t at)
{
	struct key *k = key_of(byte);
	char *pem = cert_make_ca(k, "office", at, 1, NULL);

	key_free(k);
	assert_non_null(pem);
	return pem;
}

static void read_certificate(struct client_new_key *out, uint8_t byte, int64_t at)
{
	char *pem = certificate(byte, at);

	assert_int_equal(client_key_read(out, pem, NOW, NULL), 0);
	free(pem);
}

static void what_is_read(void **state)
{
	struct client_new_key k;
	uint8_t pub[KEY_PUBLIC_SIZE];
	struct key *seven = key_of(7);

	(void)state;
	assert_int_equal(client_key_read(&k, public_pem, NOW, NULL), 0);
	assert_int_equal(k.kind, CLIENT_KEY_PUBLIC);
	assert_int_equal(k.public_key[0], 0x19);
	assert_int_equal(k.not_after_ms, 0);
	read_certificate(&k, 7, NOW);
	key_public(seven, pub);
	assert_int_equal(k.kind, CLIENT_KEY_CERTIFICATE);
	assert_memory_equal(k.public_key, pub, sizeof pub);
	assert_true(k.not_after_ms > NOW && k.not_after_ms <= NOW + DAY);
	key_free(seven);
}

static void refuse(const char *pem, const char *because)
{
	struct client_new_key k;
	struct err e;

	assert_int_equal(client_key_read(&k, pem, NOW, &e), -1);
	assert_string_equal(e.field, "pem");
	if (strstr(e.msg, because) == NULL)
		fail_msg("%s", e.msg);
}

static void what_is_refused(void **state)
{
	char *ended = certificate(7, NOW - 2 * DAY), *later = certificate(7, NOW + 2 * DAY), *private;
	struct key *k = key_of(7);

	(void)state;
	private = key_to_pem(k);
	refuse("", "in PEM");
	refuse("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "in PEM");
	refuse(rsa_pem, "Ed25519");
	refuse(ended, "has ended");
	refuse(later, "not valid yet");
	refuse(private, "private key");
	key_free(k);
	free(private);
	free(ended);
	free(later);
}

static void stand_beside_secrets(void **state)
{
	char one[CLIENT_SECRET_SIZE], two[CLIENT_SECRET_SIZE], code[CLIENT_AUTH_CODE_SIZE],
		after[CLIENT_AUTH_CODE_SIZE];
	struct client_new_key k;
	struct client c;

	(void)state;
	client_init(&c, NOW);
	assert_int_equal(client_secret_add(&c, one, 0, NOW, NULL), 0);
	client_auth_code(&c, code);
	assert_int_equal(client_key_read(&k, public_pem, NOW, NULL), 0);
	assert_int_equal(client_key_add(&c, &k, NOW, NULL), 0);
	client_auth_code(&c, after);
	assert_string_equal(code, after);
	assert_int_equal(c.conf.n_keys, 2);
	assert_true(str_starts(c.secrets[0].id, "key_"));
	assert_true(client_secret_matches(&c, one, NOW));
	assert_int_equal(client_secret_add(&c, two, 0, NOW, NULL), 0); /* takes the secret's place, not the key's */
	assert_int_equal(c.conf.n_keys, 2);
	assert_false(client_secret_matches(&c, one, NOW));
	assert_int_equal(c.secrets[1].kind, CLIENT_KEY_PUBLIC);
	assert_int_equal(c.conf.keys[1].not_after_ms, 0);
	assert_int_equal(client_secret_remove(&c, c.secrets[1].id), 0);
	assert_int_equal(c.conf.n_keys, 1);
}

static void the_key_of_a_secret_is_none(void **state)
{
	char text[CLIENT_SECRET_SIZE];
	struct client_new_key k = { .kind = CLIENT_KEY_PUBLIC };
	struct client c;
	struct err e;

	(void)state;
	client_init(&c, NOW);
	assert_int_equal(client_secret_add(&c, text, 0, NOW, NULL), 0);
	memcpy(k.public_key, c.conf.keys[0].public_key, sizeof k.public_key);
	assert_int_equal(client_key_add(&c, &k, NOW, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	c.secrets[0].kind = CLIENT_KEY_PUBLIC; /* who has a registered key does not thereby have a secret */
	assert_false(client_secret_matches(&c, text, NOW));
}

static void a_certificate_is_renewed(void **state)
{
	struct client_new_key k;
	struct client c;
	int64_t end;

	(void)state;
	client_init(&c, NOW);
	read_certificate(&k, 7, NOW - DAY / 2);
	end = k.not_after_ms;
	assert_int_equal(client_key_add(&c, &k, NOW, NULL), 0);
	read_certificate(&k, 7, NOW);
	assert_int_equal(client_key_add(&c, &k, NOW, NULL), 0);
	assert_int_equal(c.conf.n_keys, 1);
	assert_true(c.conf.keys[0].not_after_ms > end);
	client_secret_prune(&c, c.conf.keys[0].not_after_ms);
	assert_int_equal(c.conf.n_keys, 0);
}

static void there_is_an_end_of_room(void **state)
{
	char text[CLIENT_SECRET_SIZE];
	struct client_new_key k;
	struct client c;
	struct err e;

	(void)state;
	client_init(&c, NOW);
	for (uint8_t i = 0; i < CLIENT_KEYS_MAX; i++) {
		read_certificate(&k, i, NOW);
		assert_int_equal(client_key_add(&c, &k, NOW, NULL), 0);
	}
	read_certificate(&k, 99, NOW);
	assert_int_equal(client_key_add(&c, &k, NOW, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_int_equal(client_secret_add(&c, text, 0, NOW, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_int_equal(c.conf.n_keys, CLIENT_KEYS_MAX);
}

static void kinds_are_kept(void **state)
{
	static const char older[] =
		"[{\"id\":\"sec_x\",\"key\":\"00112233445566778899aabbccddeeff00112233445566778899aabb"
		"ccddeeff\",\"created\":1,\"until\":0}]";
	struct client_new_key k;
	struct client c, again;
	struct buf b;

	(void)state;
	client_init(&c, NOW);
	client_init(&again, NOW);
	read_certificate(&k, 7, NOW);
	assert_int_equal(client_key_add(&c, &k, NOW, NULL), 0);
	buf_init(&b, CLIENT_OBJECT_MAX);
	client_secrets_store(&c, &b);
	assert_int_equal(client_secrets_load(&again, buf_cstr(&b), NULL), 0);
	assert_memory_equal(again.secrets, c.secrets, sizeof c.secrets[0]);
	buf_free(&b);
	assert_int_equal(client_secrets_load(&again, older, NULL), 0);
	assert_int_equal(again.secrets[0].kind, CLIENT_KEY_SECRET);
}

static void an_earlier_end_may_be_asked_for(void **state)
{
	char *pem = certificate(7, NOW);
	json_t *body = json_pack("{s:s, s:s}", "pem", pem, "expires_at", "2027-01-15T09:00:00Z");
	struct err_list errs = { .n = 0 };
	struct client_new_key k;

	(void)state;
	client_key_apply(&k, body, NOW, &errs);
	assert_int_equal(errs.n, 0);
	assert_int_equal(k.not_after_ms, NOW + 3600 * 1000);
	json_object_set_new(body, "expires_at", json_string("2099-01-01T00:00:00Z"));
	client_key_apply(&k, body, NOW, &errs);
	assert_true(k.not_after_ms <= NOW + DAY);
	json_object_set_new(body, "expires_at", json_string("2020-01-01T00:00:00Z"));
	client_key_apply(&k, body, NOW, &errs);
	assert_int_equal(errs.n, 1);
	json_decref(body);
	free(pem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(stand_beside_secrets),
		cmocka_unit_test(the_key_of_a_secret_is_none),
		cmocka_unit_test(a_certificate_is_renewed),
		cmocka_unit_test(there_is_an_end_of_room),
		cmocka_unit_test(kinds_are_kept),
		cmocka_unit_test(an_earlier_end_may_be_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
