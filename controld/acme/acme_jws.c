#include "controld/acme/acme_jws.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "common/crypto/es256.h"
#include "common/crypto/seal.h"

#include <stdlib.h>
#include <string.h>

#define PART_MAX   (64 * 1024) /* of a request, in base64url */
#define SECRET_MAX 512         /* bytes of the key that binds an account */

/* Appends base64url. */
static void put_part(struct buf *b, const void *p, size_t n)
{
	const size_t len = str_b64url_len(n);
	uint8_t *at = buf_reserve(b, len + 1);

	if (at == NULL)
		return;
	str_b64url((char *)at, p, n);
	b->len += len;
}

static int no_room(struct err *e)
{
	return err_set(e, ERR_NOMEM, NULL, "request to the CA: out of memory, or too long");
}

/* What is signed is two parts with a dot between them; so they stand in one buf, and are copied from there. */
static void put_flat(struct buf *out, const struct buf *input, const void *sig, size_t sig_n)
{
	const char *text = (const char *)input->data;
	const size_t head_n = strcspn(text, ".");

	buf_printf(out, "{\"protected\":\"%.*s\",\"payload\":\"%s\",\"signature\":\"", (int)head_n, text,
		text + head_n + 1);
	put_part(out, sig, sig_n);
	buf_printf(out, "\"}");
}

int acme_jws_sign(
	struct buf *out, const struct es256 *key, const struct acme_jws *about, const char *payload, struct err *e)
{
	uint8_t sig[ES256_SIGNATURE_SIZE];
	char jwk[ES256_JWK_SIZE];
	struct buf head, input;
	int rc = 0;

	buf_init(&head, 4096);
	buf_init(&input, PART_MAX);
	jsonw_object(&head, NULL);
	jsonw_str(&head, "alg", "ES256");
	if (about->kid[0] != '\0')
		jsonw_str(&head, "kid", about->kid);
	else if ((rc = es256_jwk(key, jwk, e)) == 0)
		jsonw_raw(&head, "jwk", jwk, strlen(jwk));
	jsonw_str(&head, "nonce", about->nonce);
	jsonw_str(&head, "url", about->url);
	jsonw_end_object(&head);
	put_part(&input, head.data, head.len);
	buf_printf(&input, ".");
	put_part(&input, payload, strlen(payload));
	if (rc == 0 && (head.failed || input.failed))
		rc = no_room(e);
	if (rc == 0)
		rc = es256_sign(key, input.data, input.len, sig, e);
	if (rc == 0) {
		(void)buf_cstr(&input);
		put_flat(out, &input, sig, sizeof sig);
		rc = out->failed || input.failed ? no_room(e) : 0;
	}
	buf_free(&head);
	buf_free(&input);
	return rc;
}

int acme_jws_bind(
	struct buf *out, const struct es256 *key, const char *url, const char *kid, const char *secret, struct err *e)
{
	uint8_t mac_key[SECRET_MAX], mac[SHA256_SIZE];
	char jwk[ES256_JWK_SIZE];
	struct buf head, input;
	const int n = str_unb64url(mac_key, sizeof mac_key, secret, strlen(secret));
	int rc;

	if (n <= 0)
		return err_set(e, ERR_VALIDATION, "acme.eab_key", "acme.eab_key: must be base64url without padding");
	buf_init(&head, 4096);
	buf_init(&input, PART_MAX);
	rc = es256_jwk(key, jwk, e);
	if (rc == 0) {
		jsonw_object(&head, NULL);
		jsonw_str(&head, "alg", "HS256");
		jsonw_str(&head, "kid", kid);
		jsonw_str(&head, "url", url);
		jsonw_end_object(&head);
		put_part(&input, head.data, head.len);
		buf_printf(&input, ".");
		put_part(&input, jwk, strlen(jwk));
		(void)buf_cstr(&input);
		rc = head.failed || input.failed ? no_room(e) : 0;
	}
	if (rc == 0) {
		seal_hmac_sha256(mac_key, (size_t)n, input.data, input.len, mac);
		put_flat(out, &input, mac, sizeof mac);
		rc = out->failed ? no_room(e) : 0;
	}
	seal_wipe(mac_key, sizeof mac_key);
	buf_free(&head);
	buf_free(&input);
	return rc;
}

int acme_jws_authorize(char *dst, size_t size, const struct es256 *key, const char *token, struct err *e)
{
	char thumbprint[ES256_THUMBPRINT_SIZE];

	if (es256_thumbprint(key, thumbprint, e) != 0)
		return -1;
	return str_fmt(dst, size, "%s.%s", token, thumbprint) == 0
	               ? 0
	               : err_set(e, ERR_PROTOCOL, NULL, "the CA's token is too long");
}
