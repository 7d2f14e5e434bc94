#include "common/crypto/key.h"

#include "common/base/rand.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/key_evp.h"
#include "common/crypto/seal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

struct key {
	EVP_PKEY *pkey; /* OpenSSL counts and locks it: shared use needs nothing of ours */
	bool secret;
};

/* Takes pkey, also on failure; NULL means that OpenSSL could not make it. */
static int key_wrap(struct key **out, EVP_PKEY *pkey, bool secret, struct err *e)
{
	struct key *k = calloc(1, sizeof *k);

	if (k == NULL || pkey == NULL) {
		EVP_PKEY_free(pkey);
		free(k);
		return crypto_err(e, pkey == NULL ? ERR_CRYPTO : ERR_NOMEM, "make an Ed25519 key");
	}
	k->pkey = pkey;
	k->secret = secret;
	*out = k;
	return 0;
}

int key_generate(struct key **out, struct err *e)
{
	uint8_t seed[KEY_SEED_SIZE];
	int rc;

	rand_bytes(seed, sizeof seed);
	rc = key_from_seed(out, seed, e);
	seal_wipe(seed, sizeof seed);
	return rc;
}

int key_from_seed(struct key **out, const uint8_t seed[KEY_SEED_SIZE], struct err *e)
{
	return key_wrap(out, EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, KEY_SEED_SIZE), true, e);
}

int key_from_public(struct key **out, const uint8_t pub[KEY_PUBLIC_SIZE], struct err *e)
{
	return key_wrap(out, EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, KEY_PUBLIC_SIZE), false, e);
}

/* An encrypted PEM must fail: OpenSSL's default would ask for a pass phrase on the terminal. */
static int on_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf, (void)size, (void)rwflag, (void)arg;
	return -1;
}

int key_from_pem(struct key **out, const char *pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, NULL) : NULL;

	BIO_free(bio);
	if (pkey == NULL)
		return crypto_err(e, ERR_CRYPTO, "read a private key");
	if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(pkey);
		return err_set(e, ERR_CRYPTO, NULL, "read a private key: only Ed25519 keys are used here");
	}
	return key_wrap(out, pkey, true, e);
}

int key_from_public_pem(struct key **out, const char *pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, on_passphrase, NULL) : NULL;

	BIO_free(bio);
	if (pkey == NULL)
		return crypto_err(e, ERR_CRYPTO, "read a public key");
	if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(pkey);
		return err_set(e, ERR_CRYPTO, NULL, "read a public key: only Ed25519 keys are used here");
	}
	return key_wrap(out, pkey, false, e);
}

void key_free(struct key *k)
{
	if (k == NULL)
		return;
	EVP_PKEY_free(k->pkey); /* wipes the secret part */
	free(k);
}

EVP_PKEY *key_evp(const struct key *k)
{
	return k->pkey;
}

void key_public(const struct key *k, uint8_t pub[KEY_PUBLIC_SIZE])
{
	size_t n = KEY_PUBLIC_SIZE;

	if (EVP_PKEY_get_raw_public_key(k->pkey, pub, &n) != 1)
		memset(pub, 0, KEY_PUBLIC_SIZE);
}

int key_seed(const struct key *k, uint8_t seed[KEY_SEED_SIZE])
{
	size_t n = KEY_SEED_SIZE;

	if (!k->secret || EVP_PKEY_get_raw_private_key(k->pkey, seed, &n) != 1)
		return -1;
	return 0;
}

char *key_to_pem(const struct key *k)
{
	BIO *bio = k->secret ? BIO_new(BIO_s_secmem()) : NULL;
	char *pem = NULL, *data;

	if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1) {
		long n = BIO_get_mem_data(bio, &data);
		pem = strndup(data, (size_t)n);
	}
	BIO_free(bio);
	ERR_clear_error();
	return pem;
}

int key_sign(const struct key *k, const void *msg, size_t n, uint8_t sig[KEY_SIGNATURE_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t sig_n = KEY_SIGNATURE_SIZE;
	bool ok = ctx != NULL && k->secret && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
	          EVP_DigestSign(ctx, sig, &sig_n, msg, n) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok ? 0 : -1;
}

bool key_verify(const struct key *k, const void *msg, size_t n, const uint8_t sig[KEY_SIGNATURE_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
	          EVP_DigestVerify(ctx, sig, KEY_SIGNATURE_SIZE, msg, n) == 1;

	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}
