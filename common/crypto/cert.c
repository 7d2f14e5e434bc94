#include "common/crypto/cert.h"

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/crypto/cert_x509.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/key.h"
#include "common/crypto/key_evp.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Certificates begin an hour ago: the other machine's clock may be behind. */
enum { CERT_BACKDATE_S = 3600, CERT_DAY_S = 86400, CERT_SERIAL_BYTES = 16 };

/* What one certificate is made from. issuer NULL: self-signed. */
struct cert_plan {
	const char *cn;
	X509 *issuer;
	EVP_PKEY *signer;
	EVP_PKEY *subject;
	int64_t now_ms;
	unsigned days;
};

/* ---- pieces
 * ----------------------------------------------------------------------------------------------------- */

static bool cert_set_name(X509_NAME *name, const char *cn)
{
	size_t n = strlen(cn);

	return n > 0 && n < CERT_NAME_MAX &&
	       X509_NAME_add_entry_by_NID(
		       name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn, (int)n, -1, 0) == 1;
}

static bool cert_set_serial(X509 *x)
{
	uint8_t serial[CERT_SERIAL_BYTES];
	BIGNUM *bn;
	bool ok;

	rand_bytes(serial, sizeof serial);
	serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, and never zero (RFC 5280 4.1.2.2) */
	bn = BN_bin2bn(serial, sizeof serial, NULL);
	ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL;
	BN_free(bn);
	return ok;
}

static bool cert_set_times(X509 *x, int64_t now_ms, unsigned days)
{
	time_t now = (time_t)(now_ms / 1000);

	return ASN1_TIME_set(X509_getm_notBefore(x), now - CERT_BACKDATE_S) != NULL &&
	       ASN1_TIME_set(X509_getm_notAfter(x), now + (time_t)days * CERT_DAY_S) != NULL;
}

static bool cert_add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool cert_push_name(GENERAL_NAMES *names, int type, const void *p, size_t n)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *text = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	if (name == NULL || text == NULL || ASN1_STRING_set(text, p, (int)n) != 1) {
		ASN1_STRING_free(text);
		GENERAL_NAME_free(name);
		return false;
	}
	GENERAL_NAME_set0_value(name, type, text);
	if (sk_GENERAL_NAME_push(names, name) == 0) {
		GENERAL_NAME_free(name);
		return false;
	}
	return true;
}

static bool cert_push_host(GENERAL_NAMES *names, const char *host)
{
	uint8_t ip[16];

	if (inet_pton(AF_INET, host, ip) == 1)
		return cert_push_name(names, GEN_IPADD, ip, 4);
	if (inet_pton(AF_INET6, host, ip) == 1)
		return cert_push_name(names, GEN_IPADD, ip, 16);
	return cert_push_name(names, GEN_DNS, host, strlen(host));
}

/* Built name by name, not from a text: a comma in a name must not become a second name. */
static bool cert_add_names(X509 *x, const char *cn, const char *const *dns_names, enum cert_role role)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	char uri[CERT_NAME_MAX + 16];
	bool ok = names != NULL;

	if (ok && role == CERT_CLIENT) {
		snprintf(uri, sizeof uri, "portway:node:%s", cn);
		ok = cert_push_name(names, GEN_URI, uri, strlen(uri));
	}
	for (; ok && dns_names != NULL && *dns_names != NULL; dns_names++)
		ok = cert_push_host(names, *dns_names);
	if (ok && sk_GENERAL_NAME_num(names) > 0)
		ok = X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* ---- whole certificates
 * ------------------------------------------------------------------------------------------ */

static X509 *cert_new(const struct cert_plan *p)
{
	X509 *x = X509_new();
	X509_NAME *issuer = p->issuer != NULL ? X509_get_subject_name(p->issuer) : NULL;

	if (x != NULL && X509_set_version(x, X509_VERSION_3) == 1 && cert_set_serial(x) &&
		cert_set_name(X509_get_subject_name(x), p->cn) &&
		X509_set_issuer_name(x, issuer != NULL ? issuer : X509_get_subject_name(x)) == 1 &&
		cert_set_times(x, p->now_ms, p->days) && X509_set_pubkey(x, p->subject) == 1)
		return x;
	X509_free(x);
	return NULL;
}

static char *cert_bio_text(BIO *bio)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);

	return strndup(data, (size_t)n);
}

/* Signs and prints x (which may be NULL); takes it. */
static char *cert_finish(X509 *x, EVP_PKEY *signer, struct err *e)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem = NULL;

	if (x != NULL && bio != NULL && X509_sign(x, signer, NULL) > 0 && PEM_write_bio_X509(bio, x) == 1)
		pem = cert_bio_text(bio);
	if (pem == NULL)
		crypto_err(e, ERR_CRYPTO, "make a certificate");
	BIO_free(bio);
	X509_free(x);
	return pem;
}

char *cert_make_ca(const struct key *k, const char *name, int64_t now_ms, unsigned days, struct err *e)
{
	struct cert_plan plan = { name, NULL, key_evp(k), key_evp(k), now_ms, days };
	X509 *x = cert_new(&plan);

	if (x != NULL && !(cert_add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
				 cert_add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
				 cert_add_ext(x, x, NID_subject_key_identifier, "hash"))) {
		X509_free(x);
		x = NULL;
	}
	return cert_finish(x, plan.signer, e);
}

/* The same key and name as the CA's own certificate, with another one's signature. */
static X509 *cert_cross_new(X509 *issuer, X509 *subject, int64_t now_ms)
{
	X509 *x = X509_new();
	EVP_PKEY *key = X509_get0_pubkey(subject);

	if (x != NULL && key != NULL && X509_set_version(x, X509_VERSION_3) == 1 && cert_set_serial(x) &&
		X509_set_subject_name(x, X509_get_subject_name(subject)) == 1 &&
		X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1 && cert_set_times(x, now_ms, 0) &&
		X509_set1_notAfter(x, X509_get0_notAfter(issuer)) == 1 && X509_set_pubkey(x, key) == 1 &&
		cert_add_ext(x, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		cert_add_ext(x, issuer, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		cert_add_ext(x, issuer, NID_subject_key_identifier, "hash") &&
		cert_add_ext(x, issuer, NID_authority_key_identifier, "keyid:always"))
		return x;
	X509_free(x);
	return NULL;
}

char *cert_cross(
	const char *issuer_pem, const struct key *issuer_key, const char *subject_pem, int64_t now_ms, struct err *e)
{
	STACK_OF(X509) *issuer = cert_x509_read(issuer_pem, e);
	STACK_OF(X509) *subject = issuer != NULL ? cert_x509_read(subject_pem, e) : NULL;
	char *pem = NULL;

	if (subject != NULL)
		pem = cert_finish(cert_cross_new(sk_X509_value(issuer, 0), sk_X509_value(subject, 0), now_ms),
			key_evp(issuer_key), e);
	cert_x509_free(subject);
	cert_x509_free(issuer);
	return pem;
}

static char *cert_issue_plan(
	const struct cert_plan *p, const char *const *dns_names, enum cert_role role, struct err *e)
{
	const char *usage = role == CERT_SERVER ? "serverAuth" : "clientAuth";
	X509 *x = cert_new(p);

	if (x != NULL && !(cert_add_ext(x, p->issuer, NID_basic_constraints, "critical,CA:FALSE") &&
				 cert_add_ext(x, p->issuer, NID_key_usage, "critical,digitalSignature") &&
				 cert_add_ext(x, p->issuer, NID_ext_key_usage, usage) &&
				 cert_add_ext(x, p->issuer, NID_subject_key_identifier, "hash") &&
				 cert_add_ext(x, p->issuer, NID_authority_key_identifier, "keyid") &&
				 cert_add_names(x, p->cn, dns_names, role))) {
		X509_free(x);
		x = NULL;
	}
	return cert_finish(x, p->signer, e);
}

char *cert_issue(const char *ca_pem, const struct key *ca_key, const struct key *subject, const char *cn,
	const char *const *dns_names, enum cert_role role, int64_t now_ms, unsigned days, struct err *e)
{
	STACK_OF(X509) *ca = cert_x509_read(ca_pem, e);
	struct cert_plan plan = { cn, NULL, key_evp(ca_key), key_evp(subject), now_ms, days };
	char *pem;

	if (ca == NULL)
		return NULL;
	plan.issuer = sk_X509_value(ca, 0);
	pem = cert_issue_plan(&plan, dns_names, role, e);
	cert_x509_free(ca);
	return pem;
}

/* ---- requests
 * ---------------------------------------------------------------------------------------------------- */

char *cert_request(const struct key *k, const char *name, struct err *e)
{
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem = NULL;

	if (req != NULL && bio != NULL && cert_set_name(X509_REQ_get_subject_name(req), name) &&
		X509_REQ_set_pubkey(req, key_evp(k)) == 1 && X509_REQ_sign(req, key_evp(k), NULL) > 0 &&
		PEM_write_bio_X509_REQ(bio, req) == 1)
		pem = cert_bio_text(bio);
	if (pem == NULL)
		crypto_err(e, ERR_CRYPTO, "make a certificate request");
	BIO_free(bio);
	X509_REQ_free(req);
	return pem;
}

/* The request's key, after its own signature showed that the sender holds it; only Ed25519. */
static EVP_PKEY *cert_request_key(const char *pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509_REQ *req = bio != NULL ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = req != NULL ? X509_REQ_get_pubkey(req) : NULL;

	if (key == NULL || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 || X509_REQ_verify(req, key) != 1) {
		EVP_PKEY_free(key);
		key = NULL;
		ERR_clear_error();
		err_set(e, ERR_BAD_REQUEST, "request", "certificate request: not signed by an Ed25519 key of its own");
	}
	X509_REQ_free(req);
	BIO_free(bio);
	return key;
}

char *cert_issue_request(const char *ca_pem, const struct key *ca_key, const char *request_pem, const char *cn,
	enum cert_role role, int64_t now_ms, unsigned days, struct err *e)
{
	STACK_OF(X509) *ca = cert_x509_read(ca_pem, e);
	EVP_PKEY *subject = ca != NULL ? cert_request_key(request_pem, e) : NULL;
	char *pem = NULL;

	if (subject != NULL) {
		struct cert_plan plan = { cn, sk_X509_value(ca, 0), key_evp(ca_key), subject, now_ms, days };
		pem = cert_issue_plan(&plan, NULL, role, e);
	}
	EVP_PKEY_free(subject);
	cert_x509_free(ca);
	return pem;
}

int cert_inspect(const char *pem, struct cert_info *out, struct err *e)
{
	STACK_OF(X509) *chain = cert_x509_read(pem, e);
	int rc;

	if (chain == NULL)
		return -1;
	rc = cert_x509_info(sk_X509_value(chain, 0), out);
	cert_x509_free(chain);
	return rc == 0 ? 0 : err_set(e, ERR_CRYPTO, NULL, "certificate: name, serial or times cannot be read");
}

bool cert_contains(const char *pem, const char *fingerprint)
{
	STACK_OF(X509) *chain = cert_x509_read(pem, NULL);
	char one[CERT_FINGERPRINT_SIZE];
	bool found = false;

	for (int i = 0; i < sk_X509_num(chain) && !found; i++)
		found = cert_x509_fingerprint(sk_X509_value(chain, i), one) == 0 && strcasecmp(one, fingerprint) == 0;
	cert_x509_free(chain);
	return found;
}

int cert_public_key(const char *pem, uint8_t pub[KEY_PUBLIC_SIZE], struct err *e)
{
	STACK_OF(X509) *chain = cert_x509_read(pem, e);
	size_t n = KEY_PUBLIC_SIZE;
	EVP_PKEY *key;
	bool good;

	if (chain == NULL)
		return -1;
	key = X509_get0_pubkey(sk_X509_value(chain, 0));
	good = key != NULL && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 &&
	       EVP_PKEY_get_raw_public_key(key, pub, &n) == 1;
	ERR_clear_error();
	cert_x509_free(chain);
	return good ? 0
	            : err_set(e, ERR_CRYPTO, NULL,
			      "certificate: its key is not Ed25519, the only kind that is used here");
}

bool cert_is_for(const char *pem, const struct key *k)
{
	STACK_OF(X509) *chain = cert_x509_read(pem, NULL);
	bool is;

	if (chain == NULL)
		return false;
	is = EVP_PKEY_eq(X509_get0_pubkey(sk_X509_value(chain, 0)), key_evp(k)) == 1;
	ERR_clear_error();
	cert_x509_free(chain);
	return is;
}
