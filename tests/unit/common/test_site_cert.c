/* Certificates that people bring, and requests for those that a CA is asked for. */
#include "common/crypto/site_cert.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/tls_cert.h"
#include "tests/unit/common/site_pki.h"

#include <openssl/ocsp.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct {
	struct site_cert root, between, rsa, ecdsa, ed, stranger;
	char *chain; /* ecdsa, between, root */
} pki;

static char *join(const char *a, const char *b)
{
	size_t n = strlen(a) + strlen(b) + 1;
	char *s = malloc(n);

	snprintf(s, n, "%s%s", a, b);
	return s;
}

static void what_is_in_a_chain(void **state)
{
	static struct site_cert_info info;

	(void)state;
	assert_int_equal(site_cert_inspect(pki.chain, &info, NULL), 0);
	assert_string_equal(info.leaf.cn, "the site");
	assert_string_equal(info.issuer, "Between");
	assert_string_equal(info.key_type, "ECDSA P-256");
	assert_int_equal(info.chain_n, 3);
	assert_int_equal(info.n_names, 2);
	assert_string_equal(info.names[0], "a.example");
	assert_string_equal(info.names[1], "*.b.example");
	assert_false(info.self_signed || info.must_staple);
	assert_true(info.leaf.not_after_ms > clock_wall_ms());
	assert_int_equal(site_cert_inspect(pki.rsa.chain, &info, NULL), 0);
	assert_string_equal(info.key_type, "RSA 2048");
	assert_int_equal(site_cert_inspect(pki.ed.chain, &info, NULL), 0);
	assert_string_equal(info.key_type, "Ed25519");
	assert_int_equal(site_cert_inspect(pki.root.chain, &info, NULL), 0);
	assert_true(info.self_signed);
	assert_int_equal(info.n_names, 0);
}

static void chains_that_are_none(void **state)
{
	static struct site_cert_info info;
	char *wrong_order = join(pki.ecdsa.chain, pki.root.chain),
	     *upside_down = join(pki.between.chain, pki.ecdsa.chain);
	const struct {
		const char *what, *chain;
	} cases[] = {
		{ "nothing", "" },
		{ "no PEM", "hello" },
		{ "only a key", pki.rsa.key },
		{ "one is missing between", wrong_order },
		{ "upside down", upside_down },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (site_cert_inspect(cases[i].chain, &info, &e) == 0)
			fail_msg("taken: %s", cases[i].what);
		assert_int_equal(e.code, ERR_VALIDATION);
		assert_string_equal(e.field, "chain");
	}
	free(wrong_order);
	free(upside_down);
}

static void keys_belong_to_their_certificate(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(site_cert_check_key(pki.chain, pki.ecdsa.key, NULL), 0);
	assert_int_equal(site_cert_check_key(pki.rsa.chain, pki.rsa.key, NULL), 0);
	assert_int_equal(site_cert_check_key(pki.ed.chain, pki.ed.key, NULL), 0);
	assert_int_equal(site_cert_check_key(pki.chain, pki.rsa.key, &e), -1);
	assert_string_equal(e.field, "key");
	assert_int_equal(site_cert_check_key(pki.chain, pki.chain, &e), -1);
	assert_int_equal(e.code, ERR_VALIDATION);
	assert_int_equal(
		site_cert_check_key(pki.chain,
			"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", &e),
		-1);
	assert_string_equal(e.field, "key");
}

/* What a CA says, by OpenSSL: status of `about`, signed by `by`, valid from so many seconds on for so many. In DER. */
static int say(unsigned char **der, const struct site_cert *about, const struct site_cert *by, int status, long from,
	long seconds)
{
	OCSP_BASICRESP *answer = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, about->x, pki.between.x);
	ASN1_TIME *begins = X509_gmtime_adj(NULL, from), *ends = X509_gmtime_adj(NULL, from + seconds);
	ASN1_TIME *revoked = X509_gmtime_adj(NULL, from);
	OCSP_RESPONSE *response;
	int n;

	OCSP_basic_add1_status(
		answer, id, status, 0, status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL, begins, ends);
	OCSP_basic_sign(answer, by->x, by->k, EVP_sha256(), NULL, 0);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, answer);
	*der = NULL;
	n = i2d_OCSP_RESPONSE(response, der);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(answer);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(begins);
	ASN1_TIME_free(ends);
	ASN1_TIME_free(revoked);
	return n;
}

static void staples_that_may_be_shown(void **state)
{
	const struct {
		const char *what;
		const struct site_cert *about, *by;
		int status;
		long from, seconds;
		int want;
	} cases[] = {
		{ "good", &pki.ecdsa, &pki.between, V_OCSP_CERTSTATUS_GOOD, -100, 5000, 0 },
		{ "revoked", &pki.ecdsa, &pki.between, V_OCSP_CERTSTATUS_REVOKED, -100, 5000, 1 },
		{ "revoked, as somebody else says", &pki.ecdsa, &pki.stranger, V_OCSP_CERTSTATUS_REVOKED, -100, 5000,
			-1 },
		{ "revoked, long ago", &pki.ecdsa, &pki.between, V_OCSP_CERTSTATUS_REVOKED, -5000, 1000, -1 },
		{ "unknown", &pki.ecdsa, &pki.between, V_OCSP_CERTSTATUS_UNKNOWN, -100, 5000, -1 },
		{ "over", &pki.ecdsa, &pki.between, V_OCSP_CERTSTATUS_GOOD, -5000, 1000, -1 },
		{ "not yet", &pki.ecdsa, &pki.between, V_OCSP_CERTSTATUS_GOOD, 5000, 5000, -1 },
		{ "of another certificate", &pki.rsa, &pki.between, V_OCSP_CERTSTATUS_GOOD, -100, 5000, -1 },
		{ "signed by somebody else", &pki.ecdsa, &pki.stranger, V_OCSP_CERTSTATUS_GOOD, -100, 5000, -1 },
	};
	const int64_t now = clock_wall_ms();
	unsigned char *der;
	int64_t until;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const int n = say(&der, cases[i].about, cases[i].by, cases[i].status, cases[i].from, cases[i].seconds);

		if (site_cert_check_ocsp(pki.chain, der, (size_t)n, now, &until, &e) != cases[i].want)
			fail_msg("%s", cases[i].what);
		if (cases[i].want == 0)
			assert_true(until > now + 4800000 && until < now + 5000000);
		else
			assert_string_equal(e.field, "ocsp");
		assert_int_equal(site_cert_check_ocsp(pki.chain, der, (size_t)n - 1, now, &until, &e), -1);
		OPENSSL_free(der);
	}
	assert_int_equal(site_cert_check_ocsp(pki.chain, "hello", 5, now, &until, &e), -1);
}

/* OpenSSL reads what we wrote: one certificate is asked for, by who signed it. */
static void a_ca_is_asked_for_the_leaf(void **state)
{
	struct buf der;
	const unsigned char *p;
	OCSP_REQUEST *rq;
	OCSP_CERTID *want, *got;
	struct err e;

	(void)state;
	buf_init(&der, 4096);
	assert_int_equal(site_cert_ocsp_request(pki.chain, &der, &e), 0);
	p = der.data;
	rq = d2i_OCSP_REQUEST(NULL, &p, (long)der.len);
	assert_non_null(rq);
	assert_ptr_equal(p, der.data + der.len);
	assert_int_equal(OCSP_request_onereq_count(rq), 1);
	got = OCSP_onereq_get0_id(OCSP_request_onereq_get0(rq, 0));
	want = OCSP_cert_to_id(NULL, pki.ecdsa.x, pki.between.x);
	assert_int_equal(OCSP_id_cmp(want, got), 0);
	OCSP_CERTID_free(want);
	OCSP_REQUEST_free(rq);
	buf_reset(&der);
	assert_int_equal(site_cert_ocsp_request(pki.ecdsa.chain, &der, &e), -1); /* who signed it is not there */
	assert_string_equal(e.field, "chain");
	assert_int_equal(site_cert_ocsp_request("hello", &der, &e), -1);
	assert_int_equal(der.len, 0);
	buf_free(&der);
}

/* OpenSSL reads what we wrote: the names, and that the key signed it. */
static void a_request_is_for_its_names(void **state)
{
	static const char *const names[] = { "a.example", "*.b.example" };
	const unsigned char *p;
	GENERAL_NAMES *got;
	STACK_OF(X509_EXTENSION) * exts;
	X509_REQ *req;
	struct buf der;
	char *key;

	(void)state;
	buf_init(&der, 16384);
	assert_int_equal(site_cert_request(names, 2, &key, &der, NULL), 0);
	assert_int_equal(strncmp(key, "-----BEGIN PRIVATE KEY-----", 27), 0);
	p = der.data;
	req = d2i_X509_REQ(NULL, &p, (long)der.len);
	assert_non_null(req);
	assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
	exts = X509_REQ_get_extensions(req);
	got = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
	assert_int_equal(sk_GENERAL_NAME_num(got), 2);
	for (int i = 0; i < 2; i++) {
		const ASN1_STRING *s = sk_GENERAL_NAME_value(got, i)->d.dNSName;

		assert_int_equal(ASN1_STRING_length(s), strlen(names[i]));
		assert_memory_equal(ASN1_STRING_get0_data(s), names[i], strlen(names[i]));
	}
	GENERAL_NAMES_free(got);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	free(key);
	buf_free(&der);
}

static void an_answer_to_a_challenge_holds_the_digest(void **state)
{
	static struct site_cert_info info;
	const uint8_t digest[SHA256_SIZE] = { 0xd1, [31] = 0xd2 };
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	char *chain, *key;
	const ASN1_OCTET_STRING *value;
	X509_EXTENSION *ext;
	X509 *x;
	BIO *bio;

	(void)state;
	assert_int_equal(site_cert_challenge("a.example", digest, clock_wall_ms(), &chain, &key, NULL), 0);
	assert_int_equal(site_cert_check_key(chain, key, NULL), 0);
	assert_int_equal(site_cert_inspect(chain, &info, NULL), 0);
	assert_int_equal(info.n_names, 1);
	assert_string_equal(info.names[0], "a.example");
	bio = BIO_new_mem_buf(chain, -1);
	x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	ext = X509_get_ext(x, X509_get_ext_by_OBJ(x, oid, -1));
	assert_int_equal(X509_EXTENSION_get_critical(ext), 1);
	value = X509_EXTENSION_get_data(ext);
	assert_int_equal(ASN1_STRING_length(value), 34);
	assert_memory_equal(ASN1_STRING_get0_data(value), "\x04\x20", 2);
	assert_memory_equal(ASN1_STRING_get0_data(value) + 2, digest, 32);
	X509_free(x);
	BIO_free(bio);
	ASN1_OBJECT_free(oid);
	free(chain);
	free(key);
}

static int build(void **state)
{
	char *part;

	(void)state;
	site_make(&pki.root, SITE_ECDSA, "Root", NULL, NULL, 10);
	site_make(&pki.between, SITE_ECDSA, "Between", NULL, &pki.root, 10);
	site_make(&pki.ecdsa, SITE_ECDSA, "the site", "DNS:A.example,IP:127.0.0.1,DNS:*.b.example", &pki.between, 5);
	site_make(&pki.rsa, SITE_RSA, "rsa", "DNS:a.example", &pki.root, 5);
	site_make(&pki.ed, SITE_ED25519, "ed", "DNS:a.example", &pki.root, 5);
	site_make(&pki.stranger, SITE_ECDSA, "Between", NULL, NULL, 10);
	part = join(pki.ecdsa.chain, pki.between.chain);
	pki.chain = join(part, pki.root.chain);
	free(part);
	return 0;
}

static int tear_down(void **state)
{
	struct site_cert *all[] = { &pki.root, &pki.between, &pki.rsa, &pki.ecdsa, &pki.ed };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		site_free(all[i]);
	free(pki.chain);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_a_chain),
		cmocka_unit_test(chains_that_are_none),
		cmocka_unit_test(keys_belong_to_their_certificate),
		cmocka_unit_test(staples_that_may_be_shown),
		cmocka_unit_test(a_ca_is_asked_for_the_leaf),
		cmocka_unit_test(a_request_is_for_its_names),
		cmocka_unit_test(an_answer_to_a_challenge_holds_the_digest),
	};

	return cmocka_run_group_tests(tests, build, tear_down);
}
