#include "common/crypto/tls_server.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/cert_x509.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/seal.h"
#include "common/crypto/tls_cert_inside.h"
#include "common/crypto/tls_inside.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { REALM_SIZE = 64, NAME_SIZE = 256, SESSION_LIFE_S = 12 * 3600, TICKETS_N = 2 };

/* What a handshake needs and nobody after it: the memory goes when it is over. */
struct tls_entry {
	struct tls_store *store, *challenges;
	struct tls_trust *clients;
	const struct tls_choice *choice;      /* of one of them; NULL until the name is known */
	const struct tls_ticket_key *sealing; /* of store; NULL: this session gives no tickets */
	const char *alpn;
	unsigned alpn_n;
	char realm[REALM_SIZE];
};

struct tls_trust {
	atomic_uint refs;
	X509_STORE *store;
	STACK_OF(X509_NAME) * names; /* told to clients, who choose a certificate by them */
};

/* ---- who clients may be ------------------------------------------------------------------------------------------ */

static bool trust_add(struct tls_trust *t, X509 *ca)
{
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));

	if (name == NULL || sk_X509_NAME_push(t->names, name) == 0) {
		X509_NAME_free(name);
		return false;
	}
	return X509_STORE_add_cert(t->store, ca) == 1;
}

int tls_server_trust(struct tls_trust **out, const char *ca_pem, struct err *e)
{
	struct tls_trust *t = calloc(1, sizeof *t);
	STACK_OF(X509) *cas = t != NULL ? cert_x509_read(ca_pem, e) : NULL;
	bool ok = cas != NULL;

	if (t == NULL)
		return err_set(e, ERR_NOMEM, NULL, "client CA: out of memory");
	atomic_init(&t->refs, 1);
	if (ok && ((t->store = X509_STORE_new()) == NULL || (t->names = sk_X509_NAME_new_null()) == NULL))
		ok = false;
	for (int i = 0; ok && i < sk_X509_num(cas); i++)
		ok = trust_add(t, sk_X509_value(cas, i));
	if (cas != NULL && !ok)
		crypto_err(e, ERR_CRYPTO, "load a client CA");
	cert_x509_free(cas);
	if (!ok) {
		tls_server_trust_unref(t);
		return -1;
	}
	*out = t;
	return 0;
}

struct tls_trust *tls_server_trust_ref(struct tls_trust *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_server_trust_unref(struct tls_trust *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	X509_STORE_free(t->store);
	sk_X509_NAME_pop_free(t->names, X509_NAME_free);
	free(t);
}

bool tls_server_client_is_of(struct tls_session *s, const struct tls_trust *t)
{
	X509 *leaf = SSL_get0_peer_certificate(s->ssl);
	X509_STORE_CTX *ctx = leaf != NULL ? X509_STORE_CTX_new() : NULL;
	bool is = ctx != NULL && X509_STORE_CTX_init(ctx, t->store, leaf, SSL_get_peer_cert_chain(s->ssl)) == 1 &&
	          X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1 && X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return is;
}

/* ---- which certificate -------------------------------------------------------------------------------------------- */

/* ALPN with this one protocol is how a CA asks (RFC 8737 section 3). */
static bool asks_for_challenge(SSL *ssl)
{
	static const uint8_t only[] = "\0\x0b\x0a"
				      "acme-tls/1";
	const unsigned char *p;
	size_t n;

	return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &p, &n) == 1 &&
	       n == sizeof only - 1 && memcmp(p, only, n) == 0;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_session *s = SSL_get_app_data(ssl);

	(void)alert, (void)arg;
	s->acme = asks_for_challenge(ssl);
	if (s->acme) /* its CA shows no certificate */
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* Names come as they were typed; "a.example." is "a.example". */
static bool take_name(char dst[NAME_SIZE], const char *name)
{
	size_t n = name != NULL ? strlen(name) : 0;

	if (n > 0 && name[n - 1] == '.')
		n--;
	if (n == 0 || n >= NAME_SIZE)
		return false;
	for (size_t i = 0; i < n; i++)
		dst[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
	dst[n] = '\0';
	return true;
}

static void choose(struct tls_session *s, const char *name)
{
	struct tls_entry *en = s->entry;

	if (!s->acme)
		en->choice = tls_store_find(en->store, en->realm, name);
	else if (en->challenges != NULL)
		en->choice = tls_store_find(en->challenges, TLS_REALM_ACME, name);
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_session *s = SSL_get_app_data(ssl);
	char name[NAME_SIZE];

	(void)arg;
	if (s->entry != NULL && take_name(name, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)))
		choose(s, name);
	if (s->entry != NULL && s->entry->choice != NULL)
		return SSL_TLSEXT_ERR_OK;
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Not called for a session that is resumed: it shows no certificate. */
static int on_certificate(SSL *ssl, void *arg)
{
	struct tls_session *s = SSL_get_app_data(ssl);

	(void)arg;
	if (s->entry == NULL || s->entry->choice == NULL)
		return 0;
	for (unsigned kind = 0; kind < TLS_CERT_KINDS; kind++) {
		const struct tls_cert *c = s->entry->choice->of[kind];

		if (c != NULL && SSL_use_cert_and_key(ssl, c->leaf, c->key, c->between, 1) != 1)
			return 0;
	}
	return 1;
}

/* The certificate that will be shown is known by now: the staple is of that one. */
static int on_status(SSL *ssl, void *arg)
{
	struct tls_session *s = SSL_get_app_data(ssl);
	const X509 *shown = SSL_get_certificate(ssl);
	int64_t now_ms = clock_wall_ms();

	(void)arg;
	for (unsigned kind = 0; s->entry != NULL && s->entry->choice != NULL && kind < TLS_CERT_KINDS; kind++) {
		const struct tls_cert *c = s->entry->choice->of[kind];
		uint8_t *copy;

		if (c == NULL || c->leaf != shown || c->ocsp_n == 0 || c->ocsp_until_ms <= now_ms ||
			(copy = OPENSSL_memdup(c->ocsp, c->ocsp_n)) == NULL)
			continue;
		SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)c->ocsp_n); /* takes it */
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static int on_alpn(
	SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char acme[] = "\x0a"
					    "acme-tls/1";
	struct tls_session *s = SSL_get_app_data(ssl);
	const unsigned char *ours = s->acme ? acme : s->entry != NULL ? (const unsigned char *)s->entry->alpn : NULL;
	unsigned ours_n = s->acme ? sizeof acme - 1 : s->entry != NULL ? s->entry->alpn_n : 0;
	unsigned char *chosen;

	(void)arg;
	if (ours_n == 0)
		return SSL_TLSEXT_ERR_NOACK;
	if (SSL_select_next_proto(&chosen, out_n, ours, ours_n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* ---- tickets ------------------------------------------------------------------------------------------------------ */

static int set_ticket_key(
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const struct tls_ticket_key *k, const uint8_t *iv, int seal)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac, sizeof k->mac),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, seal) == 1 &&
	       EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 0: the ticket is none of ours any more, and a whole handshake follows; 2: it is good, and a fresher one is due. */
static int on_ticket(
	SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	const struct tls_session *s = SSL_get_app_data(ssl);
	const struct tls_ticket_key *k;

	if (s->entry == NULL)
		return 0;
	if (seal) {
		k = s->entry->sealing;
		if (k == NULL)
			return -1;
		rand_bytes(iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
		memcpy(name, k->name, TLS_TICKET_NAME);
		return set_ticket_key(cipher, mac, k, iv, 1) ? 1 : -1;
	}
	k = tls_store_opening(s->entry->store, name, clock_wall_ms());
	if (k == NULL)
		return 0;
	if (!set_ticket_key(cipher, mac, k, iv, 0))
		return -1;
	return k == s->entry->sealing ? 1 : 2;
}

/* ---- made, entered, left ------------------------------------------------------------------------------------------ */

int tls_server_init(SSL_CTX *ssl)
{
	SSL_CTX_clear_options(ssl, SSL_OP_NO_TICKET);
	SSL_CTX_set_timeout(ssl, SESSION_LIFE_S);
	SSL_CTX_set_client_hello_cb(ssl, on_client_hello, NULL);
	SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
	SSL_CTX_set_cert_cb(ssl, on_certificate, NULL);
	SSL_CTX_set_tlsext_status_cb(ssl, on_status);
	SSL_CTX_set_alpn_select_cb(ssl, on_alpn, NULL);
	if (SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket) != 1 || SSL_CTX_set_num_tickets(ssl, TICKETS_N) != 1 ||
		SSL_CTX_set1_groups_list(ssl, "X25519:P-256:P-384") != 1)
		return -1;
	return 0;
}

void tls_server_leave(struct tls_session *s)
{
	if (s->entry == NULL)
		return;
	tls_store_unref(s->entry->store);
	tls_store_unref(s->entry->challenges);
	tls_server_trust_unref(s->entry->clients);
	free(s->entry);
	s->entry = NULL;
}

static bool set_scope(SSL *ssl, const struct tls_accept *a)
{
	uint8_t context[SHA256_SIZE];
	char text[REALM_SIZE + NAME_SIZE];

	if (str_fmt(text, sizeof text, "%s/%s", a->realm, a->scope) != 0)
		return false;
	seal_sha256(text, strlen(text), context);
	return SSL_set_session_id_context(ssl, context, sizeof context) == 1;
}

static bool ask_client(SSL *ssl, const struct tls_accept *a)
{
	STACK_OF(X509_NAME) *names = SSL_dup_CA_list(a->clients->names);

	if (names == NULL || SSL_set1_verify_cert_store(ssl, a->clients->store) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return false;
	}
	SSL_set0_CA_list(ssl, names);
	SSL_set_verify(ssl, SSL_VERIFY_PEER | (a->client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	return true;
}

static int enter(struct tls_session *s, const struct tls_accept *a)
{
	struct tls_entry *en = calloc(1, sizeof *en);

	if (en == NULL)
		return -1;
	s->entry = en;
	en->store = tls_store_ref(a->store);
	en->challenges = a->challenges != NULL ? tls_store_ref(a->challenges) : NULL;
	en->clients = a->clients != NULL ? tls_server_trust_ref(a->clients) : NULL;
	en->alpn = a->alpn;
	en->alpn_n = (unsigned)a->alpn_n;
	en->sealing = a->clients == NULL ? tls_store_sealing(a->store, clock_wall_ms()) : NULL;
	if (str_copy(en->realm, sizeof en->realm, a->realm) != 0)
		return -1;
	SSL_set_app_data(s->ssl, s);
	if (en->sealing == NULL) { /* both, or OpenSSL would keep sessions itself and hand out their names */
		SSL_set_options(s->ssl, SSL_OP_NO_TICKET);
		if (SSL_set_num_tickets(s->ssl, 0) != 1)
			return -1;
	}
	return set_scope(s->ssl, a) && (a->clients == NULL || ask_client(s->ssl, a)) ? 0 : -1;
}

int tls_server_accept(
	struct tls_session **out, struct tls_ctx *c, const struct tls_accept *a, const struct tls_io *io, struct err *e)
{
	struct tls_session *s;

	if (tls_session_new(&s, c, io, e) != 0)
		return -1;
	if (enter(s, a) != 0) {
		tls_session_free(s);
		return crypto_err(e, ERR_NOMEM, "TLS session");
	}
	*out = s;
	return 0;
}

bool tls_server_is_challenge(const struct tls_session *s)
{
	return s->acme;
}
