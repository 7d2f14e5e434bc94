#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/crypto/cert_x509.h"
#include "common/crypto/crypto_err.h"
#include "common/crypto/site_cert.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <time.h>

#define FIELD "ocsp"

enum { OCSP_SKEW_S = 300, OCSP_DAYS_MAX = 7 };

/* Signed by the issuer, or by whom the issuer has certified for it: the issuer is the only one who is trusted. */
static bool signed_by(OCSP_BASICRESP *answer, X509 *issuer)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *known = sk_X509_new_null();
	bool ok = store != NULL && known != NULL && X509_STORE_add_cert(store, issuer) == 1 &&
	          X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 && sk_X509_push(known, issuer) > 0 &&
	          OCSP_basic_verify(answer, known, store, 0) == 1;

	sk_X509_free(known);
	X509_STORE_free(store);
	return ok;
}

static int check_times(ASN1_GENERALIZEDTIME *this_update, ASN1_GENERALIZEDTIME *next_update, int64_t now_ms,
	int64_t *until_ms, struct err *e)
{
	const int64_t latest = now_ms + OCSP_DAYS_MAX * INT64_C(86400000);
	struct tm tm;

	if (OCSP_check_validity(this_update, next_update, OCSP_SKEW_S, -1) != 1)
		return err_set(e, ERR_VALIDATION, FIELD, "ocsp: it is not valid now");
	if (next_update == NULL) {
		*until_ms = latest;
		return 0;
	}
	if (ASN1_TIME_to_tm(next_update, &tm) != 1)
		return err_set(e, ERR_VALIDATION, FIELD, "ocsp: its end cannot be read");
	*until_ms = MIN((int64_t)timegm(&tm) * 1000, latest);
	return 0;
}

static int check_answer(
	OCSP_BASICRESP *answer, STACK_OF(X509) * chain, int64_t now_ms, int64_t *until_ms, struct err *e)
{
	X509 *issuer = sk_X509_value(chain, sk_X509_num(chain) > 1 ? 1 : 0);
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, sk_X509_value(chain, 0), issuer);
	ASN1_GENERALIZEDTIME *revoked, *this_update, *next_update;
	int status, reason;
	int rc;

	if (id == NULL ||
		OCSP_resp_find_status(answer, id, &status, &reason, &revoked, &this_update, &next_update) != 1)
		rc = err_set(e, ERR_VALIDATION, FIELD, "ocsp: it is not about this certificate");
	else if (!signed_by(answer, issuer))
		rc = err_set(e, ERR_VALIDATION, FIELD, "ocsp: it is not signed by the certificate's CA");
	else
		rc = check_times(this_update, next_update, now_ms, until_ms, e);
	if (rc == 0 && status != V_OCSP_CERTSTATUS_GOOD) {
		err_set(e, ERR_VALIDATION, FIELD, "ocsp: the CA says that the certificate is %s",
			OCSP_cert_status_str(status));
		rc = status == V_OCSP_CERTSTATUS_REVOKED ? 1 : -1;
	}
	OCSP_CERTID_free(id);
	return rc;
}

int site_cert_check_ocsp(
	const char *chain_pem, const void *der, size_t n, int64_t now_ms, int64_t *until_ms, struct err *e)
{
	STACK_OF(X509) *chain = cert_x509_read(chain_pem, e);
	const unsigned char *p = der;
	OCSP_RESPONSE *response = n <= INT_MAX ? d2i_OCSP_RESPONSE(NULL, &p, (long)n) : NULL;
	OCSP_BASICRESP *answer = NULL;
	int rc = -1;

	if (response != NULL && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
		answer = OCSP_response_get1_basic(response);
	if (chain != NULL && (answer == NULL || p != (const unsigned char *)der + n))
		err_set(e, ERR_VALIDATION, FIELD, "ocsp: no answer of a CA (RFC 6960) in DER");
	else if (chain != NULL)
		rc = check_answer(answer, chain, now_ms, until_ms, e);
	OCSP_BASICRESP_free(answer);
	OCSP_RESPONSE_free(response);
	cert_x509_free(chain);
	ERR_clear_error();
	return rc;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static bool put_request(OCSP_REQUEST *rq, struct buf *der)
{
	unsigned char *p = NULL;
	const int n = i2d_OCSP_REQUEST(rq, &p);

	if (n > 0)
		buf_put(der, p, (size_t)n);
	OPENSSL_free(p);
	return n > 0 && !der->failed;
}

/* Without a nonce: CAs answer with what they have made before, for everybody (RFC 5019). */
int site_cert_ocsp_request(const char *chain_pem, struct buf *der, struct err *e)
{
	STACK_OF(X509) *chain = cert_x509_read(chain_pem, e);
	OCSP_REQUEST *rq = OCSP_REQUEST_new();
	OCSP_CERTID *id = NULL;
	int rc = -1;

	if (chain != NULL && sk_X509_num(chain) < 2) {
		err_set(e, ERR_VALIDATION, "chain", "chain: the certificate of its CA is not in it");
	} else if (chain != NULL) {
		id = OCSP_cert_to_id(NULL, sk_X509_value(chain, 0), sk_X509_value(chain, 1));
		if (rq == NULL || id == NULL || OCSP_request_add0_id(rq, id) == NULL)
			OCSP_CERTID_free(id);
		else
			rc = put_request(rq, der) ? 0 : -1;
		if (rc != 0)
			crypto_err(e, ERR_CRYPTO, "make an OCSP request");
	}
	OCSP_REQUEST_free(rq);
	cert_x509_free(chain);
	ERR_clear_error();
	return rc;
}
