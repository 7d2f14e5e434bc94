#include "common/crypto/tls_cert.h"

#include "common/base/err.h"
#include "common/crypto/cert_x509.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/tls_cert_inside.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL's default would ask for a pass phrase on the terminal. */
static int on_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf, (void)size, (void)rwflag, (void)arg;
	return -1;
}

static int kind_of(const EVP_PKEY *key, enum tls_cert_kind *kind)
{
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
		*kind = TLS_CERT_RSA;
		return 0;
	case EVP_PKEY_EC:
		*kind = TLS_CERT_ECDSA;
		return 0;
	case EVP_PKEY_ED25519:
		*kind = TLS_CERT_ED25519;
		return 0;
	default:
		return -1;
	}
}

EVP_PKEY *tls_cert_read_key(const char *pem, enum tls_cert_kind *kind, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, NULL) : NULL;

	BIO_free(bio);
	if (key == NULL) {
		crypto_err(e, ERR_CRYPTO, "read a private key (PEM, without pass phrase)");
		return NULL;
	}
	if (kind_of(key, kind) != 0) {
		EVP_PKEY_free(key);
		err_set(e, ERR_CRYPTO, NULL, "private key: must be RSA, ECDSA or Ed25519");
		return NULL;
	}
	return key;
}

char *tls_cert_key_pem(EVP_PKEY *key, struct err *e)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data, *pem = NULL;

	if (bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		long n = BIO_get_mem_data(bio, &data);
		pem = strndup(data, (size_t)n);
	}
	BIO_free(bio);
	if (pem == NULL)
		crypto_err(e, ERR_CRYPTO, "print a private key");
	return pem;
}

/* Takes the leaf out of the chain; what is left is sent behind it, but for roots, which every client has or will not believe. */
static void split(struct tls_cert *c, STACK_OF(X509) * chain)
{
	c->leaf = sk_X509_shift(chain);
	for (int i = sk_X509_num(chain); i-- > 0;)
		if (X509_self_signed(sk_X509_value(chain, i), 0) == 1)
			X509_free(sk_X509_delete(chain, i));
	c->between = chain;
}

int tls_cert_new(struct tls_cert **out, const char *chain_pem, const char *key_pem, struct err *e)
{
	struct tls_cert *c = calloc(1, sizeof *c);
	struct cert_info info;
	STACK_OF(X509) * chain;

	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificate: out of memory");
	atomic_init(&c->refs, 1);
	if ((chain = cert_x509_read(chain_pem, e)) == NULL)
		goto fail;
	split(c, chain);
	if ((c->key = tls_cert_read_key(key_pem, &c->kind, e)) == NULL)
		goto fail;
	if (X509_check_private_key(c->leaf, c->key) != 1 || cert_x509_info(c->leaf, &info) != 0) {
		ERR_clear_error();
		err_set(e, ERR_CRYPTO, NULL, "certificate: the private key is another one's");
		goto fail;
	}
	c->not_after_ms = info.not_after_ms;
	*out = c;
	return 0;
fail:
	tls_cert_unref(c);
	return -1;
}

int tls_cert_staple(struct tls_cert *c, const void *der, size_t n, int64_t until_ms)
{
	uint8_t *copy = n > 0 && n <= TLS_CERT_OCSP_MAX ? malloc(n) : NULL;

	if (copy == NULL)
		return -1;
	memcpy(copy, der, n);
	free(c->ocsp);
	c->ocsp = copy;
	c->ocsp_n = n;
	c->ocsp_until_ms = until_ms;
	return 0;
}

struct tls_cert *tls_cert_ref(struct tls_cert *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void tls_cert_unref(struct tls_cert *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	X509_free(c->leaf);
	cert_x509_free(c->between);
	EVP_PKEY_free(c->key);
	free(c->ocsp);
	free(c);
}

enum tls_cert_kind tls_cert_kind(const struct tls_cert *c)
{
	return c->kind;
}

int64_t tls_cert_not_after_ms(const struct tls_cert *c)
{
	return c->not_after_ms;
}
