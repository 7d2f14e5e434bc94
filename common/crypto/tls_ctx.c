#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/cert_x509.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/tls.h"
#include "common/crypto/tls_inside.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The slot of an SSL that holds its tls_ctx; OpenSSL hands such numbers out once per process. */
static pthread_once_t tls_ctx_once = PTHREAD_ONCE_INIT;
static int tls_ctx_slot;

static void on_ssl_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	(void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
	tls_ctx_unref(ptr);
}

static void tls_ctx_take_slot(void)
{
	tls_ctx_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
}

/* ---- who is trusted
 * ---------------------------------------------------------------------------------------------- */

/* The self-signed certificate among those the peer sent whose fingerprint is the pin; borrowed, or NULL. */
static X509 *tls_ctx_pinned(const struct tls_ctx *c, STACK_OF(X509) * sent)
{
	char fingerprint[CERT_FINGERPRINT_SIZE];

	for (int i = 0; i < sk_X509_num(sent); i++) {
		X509 *x = sk_X509_value(sent, i);

		if (X509_self_signed(x, 1) == 1 && cert_x509_fingerprint(x, fingerprint) == 0 &&
			strcasecmp(fingerprint, c->pin) == 0)
			return x;
	}
	return NULL;
}

/* Which CA the peer comes from, for whoever has to find out why it is not the pinned one: the last that it sent. */
static void note_other_ca(X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_session *s = ssl != NULL ? SSL_get_app_data(ssl) : NULL;
	STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
	const int n = sk_X509_num(sent);

	if (s != NULL && n > 0 && cert_x509_fingerprint(sk_X509_value(sent, n - 1), s->other_ca) != 0)
		s->other_ca[0] = '\0';
}

/*
 * With a pin the CA comes from the peer: it becomes the only trust anchor and the ordinary verification
 * (signatures, times, purpose, name) runs on it, so nothing is weaker than with a CA that was configured.
 */
static bool tls_ctx_verify_pinned(const struct tls_ctx *c, X509_STORE_CTX *store)
{
	X509 *ca = tls_ctx_pinned(c, X509_STORE_CTX_get0_untrusted(store));
	STACK_OF(X509) * anchors;
	bool ok;

	if (ca == NULL) {
		note_other_ca(store);
		X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT);
		return false;
	}
	anchors = sk_X509_new_null();
	if (anchors == NULL || sk_X509_push(anchors, ca) == 0) {
		sk_X509_free(anchors);
		X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
		return false;
	}
	X509_STORE_CTX_set0_trusted_stack(store, anchors);
	ok = X509_verify_cert(store) == 1;
	sk_X509_free(anchors);
	return ok;
}

static int on_verify(X509_STORE_CTX *store, void *arg)
{
	const struct tls_ctx *c = arg;
	struct cert_info peer;
	bool ok = c->pin[0] != '\0' ? tls_ctx_verify_pinned(c, store) : X509_verify_cert(store) == 1;

	if (!ok || c->accept_peer == NULL)
		return ok;
	if (cert_x509_info(X509_STORE_CTX_get0_cert(store), &peer) == 0 && c->accept_peer(&peer, c->arg))
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static int tls_ctx_load_anchors(struct tls_ctx *c, const char *ca_pem, struct err *e)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
	STACK_OF(X509) *cas = cert_x509_read(ca_pem, e);
	bool ok = cas != NULL;

	for (int i = 0; i < sk_X509_num(cas) && ok; i++)
		ok = X509_STORE_add_cert(store, sk_X509_value(cas, i)) == 1;
	if (cas != NULL && !ok)
		crypto_err(e, ERR_CRYPTO, "load a CA certificate");
	cert_x509_free(cas);
	return ok ? 0 : -1;
}

/*
 * A client that knows a CA always checks: TLS_PEER_NONE, the value of a conf nobody filled, must not switch
 * that off.
 */
static int tls_ctx_set_trust(struct tls_ctx *c, const struct tls_conf *conf, struct err *e)
{
	bool knows_ca = conf->ca_pem != NULL || conf->ca_fingerprint != NULL || conf->system_cas;
	int mode = SSL_VERIFY_NONE;

	if (conf->peer != TLS_PEER_NONE && !knows_ca)
		return err_set(e, ERR_CRYPTO, NULL, "TLS: a peer cannot be checked without a CA");
	if (conf->ca_fingerprint != NULL && (strlen(conf->ca_fingerprint) != CERT_FINGERPRINT_SIZE - 1 || c->server))
		return err_set(e, ERR_CRYPTO, NULL, "TLS: CA fingerprint must be 64 hex digits, on a client");
	if (conf->ca_fingerprint != NULL)
		str_copy(c->pin, sizeof c->pin, conf->ca_fingerprint);
	else if (conf->ca_pem != NULL && tls_ctx_load_anchors(c, conf->ca_pem, e) != 0)
		return -1;
	else if (conf->system_cas && SSL_CTX_set_default_verify_paths(c->ssl) != 1)
		return crypto_err(e, ERR_CRYPTO, "load the system's CA certificates");
	if (conf->peer != TLS_PEER_NONE || (!c->server && knows_ca))
		mode = SSL_VERIFY_PEER;
	if (conf->peer == TLS_PEER_REQUIRED)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(c->ssl, mode, NULL);
	SSL_CTX_set_cert_verify_callback(c->ssl, on_verify, c);
	/* A certificate for clients as a server: OpenSSL checks its use against the other purpose then. */
	if (conf->peer_is_relay && SSL_CTX_set_purpose(c->ssl, X509_PURPOSE_SSL_CLIENT) != 1)
		return crypto_err(e, ERR_CRYPTO, "set up TLS");
	c->accept_peer = conf->accept_peer;
	c->arg = conf->arg;
	return 0;
}

/* ---- who we are
 * -------------------------------------------------------------------------------------------------- */

/* An encrypted key must fail: OpenSSL's default would ask for a pass phrase on the terminal. */
static int on_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf, (void)size, (void)rwflag, (void)arg;
	return -1;
}

static int tls_ctx_load_key(struct tls_ctx *c, const char *key_pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(key_pem, -1);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, NULL) : NULL;
	bool ok = key != NULL && SSL_CTX_use_PrivateKey(c->ssl, key) == 1 && SSL_CTX_check_private_key(c->ssl) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok ? 0 : crypto_err(e, ERR_CRYPTO, "load a private key");
}

/* The leaf first, then what stands between it and the CA (and the CA itself, where clients pin it). */
static int tls_ctx_load_own(struct tls_ctx *c, const struct tls_conf *conf, struct err *e)
{
	STACK_OF(X509) * chain;
	bool ok;

	if (conf->by_name)
		return 0;
	if (conf->cert_pem == NULL || conf->key_pem == NULL) {
		if (c->server || conf->cert_pem != conf->key_pem)
			return err_set(e, ERR_CRYPTO, NULL, "TLS: a certificate and its private key are needed");
		return 0;
	}
	if ((chain = cert_x509_read(conf->cert_pem, e)) == NULL)
		return -1;
	ok = SSL_CTX_use_certificate(c->ssl, sk_X509_value(chain, 0)) == 1;
	for (int i = 1; i < sk_X509_num(chain) && ok; i++)
		ok = SSL_CTX_add1_chain_cert(c->ssl, sk_X509_value(chain, i)) == 1;
	cert_x509_free(chain);
	if (!ok)
		return crypto_err(e, ERR_CRYPTO, "load a certificate");
	return tls_ctx_load_key(c, conf->key_pem, e);
}

#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* ---- the context
 * ------------------------------------------------------------------------------------------------- */

/*
 * No tickets and no session cache: a resumed session would skip accept_peer and so outlive a revocation.
 * Exactly the configured chain is sent. Writes may be partial and move, as every caller has a buffer of its
 * own. AES-128 is what every TLS 1.3 has, and the quickest: a sixth less work for each byte than AES-256.
 */
static int tls_ctx_set_protocol(struct tls_ctx *c, unsigned min_version, struct err *e)
{
	int version = min_version == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (min_version != 0 && min_version != 12 && min_version != 13)
		return err_set(e, ERR_VALIDATION, "min_version", "TLS: min_version %u: must be 12 or 13", min_version);
	SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(c->ssl,
		SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_num_tickets(c->ssl, 0) != 1 || SSL_CTX_set_min_proto_version(c->ssl, version) != 1 ||
		SSL_CTX_set_cipher_list(c->ssl, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
		SSL_CTX_set_ciphersuites(c->ssl, TLS13_SUITES) != 1)
		return crypto_err(e, ERR_CRYPTO, "set up TLS");
	return 0;
}

static int tls_ctx_set_alpn(struct tls_ctx *c, const struct tls_conf *conf, struct err *e)
{
	if (conf->alpn_n == 0)
		return 0;
	/* answers 0 for success, unlike its neighbours */
	if (SSL_CTX_set_alpn_protos(c->ssl, (const unsigned char *)conf->alpn, (unsigned)conf->alpn_n) != 0)
		return crypto_err(e, ERR_CRYPTO, "set up ALPN");
	return 0;
}

int tls_ctx_new(struct tls_ctx **out, const struct tls_conf *conf, struct err *e)
{
	struct tls_ctx *c = calloc(1, sizeof *c);

	pthread_once(&tls_ctx_once, tls_ctx_take_slot);
	if (c == NULL)
		return err_set(e, ERR_NOMEM, NULL, "TLS: out of memory");
	atomic_init(&c->refs, 1);
	c->server = conf->server;
	if ((c->ssl = SSL_CTX_new(c->server ? TLS_server_method() : TLS_client_method())) == NULL ||
		(conf->server_name != NULL && (c->server_name = strdup(conf->server_name)) == NULL)) {
		err_set(e, ERR_NOMEM, NULL, "TLS: out of memory");
		goto fail;
	}
	if (tls_ctx_set_protocol(c, conf->min_version, e) != 0 || tls_ctx_set_trust(c, conf, e) != 0 ||
		tls_ctx_load_own(c, conf, e) != 0 || tls_ctx_set_alpn(c, conf, e) != 0)
		goto fail;
	if (conf->bulk)
		tls_bulk_prepare(c->ssl);
	if (conf->by_name && tls_server_init(c->ssl) != 0) {
		crypto_err(e, ERR_CRYPTO, "set up TLS");
		goto fail;
	}
	*out = c;
	return 0;
fail:
	tls_ctx_unref(c);
	return -1;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void tls_ctx_unref(struct tls_ctx *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(c->ssl);
	free(c->server_name);
	free(c);
}

/* SNI carries names only (RFC 6066 section 3); the check takes addresses as well. */
bool tls_ctx_set_name(SSL *ssl, const char *name)
{
	uint8_t ip[16];
	bool is_ip;

	if (name == NULL)
		return true;
	is_ip = inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
	if (!is_ip && SSL_set_tlsext_host_name(ssl, name) != 1)
		return false;
	return SSL_set1_host(ssl, name) == 1;
}

const struct tls_ctx *tls_ctx_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, tls_ctx_slot);
}

SSL *tls_ctx_ssl(struct tls_ctx *c)
{
	SSL *ssl = SSL_new(c->ssl);

	if (ssl == NULL || SSL_set_ex_data(ssl, tls_ctx_slot, c) != 1) {
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	tls_ctx_ref(c); /* from here on released by on_ssl_free */
	if (c->server) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	SSL_set_connect_state(ssl);
	if (!tls_ctx_set_name(ssl, c->server_name)) {
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	return ssl;
}
