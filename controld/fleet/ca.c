#include "controld/fleet/ca.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"
#include "common/crypto/seal.h"
#include "controld/store/secrets.h"

#include <stdlib.h>
#include <string.h>

#define SECRET_KEY  "fleet-ca-key"
#define SECRET_CERT "fleet-ca-cert"
/* A listener's certificate lives as long as the process may: nng cannot change it while it listens. */
#define CA_DAYS       3650
#define LISTENER_DAYS 3650

struct ca {
	struct key *key;
	char *pem;
	char fingerprint[CERT_FINGERPRINT_SIZE];
};

int ca_bootstrap(struct db *tx, int64_t now_ms, struct err *e)
{
	uint8_t seed[KEY_SEED_SIZE];
	struct key *key = NULL;
	struct buf pem;
	struct err why;
	char *made = NULL;
	int rc = -1;

	buf_init(&pem, SECRETS_MAX);
	rc = secrets_get(tx, SECRET_CERT, &pem, &why);
	buf_free(&pem);
	if (rc == 0)
		return 0;
	if (why.code != ERR_NOT_FOUND) {
		if (e != NULL)
			*e = why;
		return -1;
	}
	rc = -1;
	if (key_generate(&key, e) != 0 || key_seed(key, seed) != 0)
		goto out;
	made = cert_make_ca(key, "Portway fleet CA", now_ms, CA_DAYS, e);
	if (made != NULL && secrets_put(tx, SECRET_KEY, seed, sizeof seed, e) == 0)
		rc = secrets_put(tx, SECRET_CERT, made, strlen(made), e);
out:
	seal_wipe(seed, sizeof seed);
	key_free(key);
	free(made);
	return rc;
}

static int load_key(struct ca *ca, struct db *db, struct err *e)
{
	struct buf seed;
	int rc;

	buf_init(&seed, SECRETS_MAX);
	rc = secrets_get(db, SECRET_KEY, &seed, e);
	if (rc == 0 && seed.len != KEY_SEED_SIZE)
		rc = err_set(e, ERR_CRYPTO, NULL, "CA key: %zu bytes, must be %d", seed.len, KEY_SEED_SIZE);
	if (rc == 0)
		rc = key_from_seed(&ca->key, seed.data, e);
	if (seed.data != NULL)
		seal_wipe(seed.data, seed.len);
	buf_free(&seed);
	return rc;
}

static int load_cert(struct ca *ca, struct db *db, struct err *e)
{
	struct cert_info info;
	struct buf pem;
	int rc;

	buf_init(&pem, SECRETS_MAX);
	rc = secrets_get(db, SECRET_CERT, &pem, e);
	if (rc == 0 && (ca->pem = strdup(buf_cstr(&pem))) == NULL)
		rc = err_set(e, ERR_NOMEM, NULL, "CA: out of memory");
	buf_free(&pem);
	if (rc != 0 || cert_inspect(ca->pem, &info, e) != 0)
		return -1;
	str_copy(ca->fingerprint, sizeof ca->fingerprint, info.fingerprint);
	return 0;
}

int ca_load(struct ca **out, struct db *db, struct err *e)
{
	struct ca *ca = calloc(1, sizeof *ca);

	if (ca == NULL)
		return err_set(e, ERR_NOMEM, NULL, "CA: out of memory");
	if (load_key(ca, db, e) != 0 || load_cert(ca, db, e) != 0)
		goto fail;
	*out = ca;
	return 0;
fail:
	ca_free(ca);
	return -1;
}

void ca_free(struct ca *ca)
{
	if (ca == NULL)
		return;
	key_free(ca->key);
	free(ca->pem);
	free(ca);
}

const char *ca_pem(const struct ca *ca)
{
	return ca->pem;
}

const char *ca_fingerprint(const struct ca *ca)
{
	return ca->fingerprint;
}

char *ca_issue_node(
	const struct ca *ca, const char *request_pem, const char *node_id, int64_t now_ms, unsigned days, struct err *e)
{
	return cert_issue_request(ca->pem, ca->key, request_pem, node_id, CERT_CLIENT, now_ms, days, e);
}

int ca_issue_listener(
	const struct ca *ca, const char *const *names, int64_t now_ms, struct ca_listener *out, struct err *e)
{
	struct ca_listener l = { NULL, NULL };
	struct key *key = NULL;
	char *cert = NULL;
	size_t size;
	int rc = -1;

	if (key_generate(&key, e) != 0)
		return -1;
	cert = cert_issue(ca->pem, ca->key, key, "controld", names, CERT_SERVER, now_ms, LISTENER_DAYS, e);
	if (cert == NULL)
		goto out;
	size = strlen(cert) + strlen(ca->pem) + 2;
	l.chain_pem = malloc(size);
	l.key_pem = key_to_pem(key);
	if (l.chain_pem == NULL || l.key_pem == NULL || str_fmt(l.chain_pem, size, "%s\n%s", cert, ca->pem) != 0) {
		err_set(e, ERR_NOMEM, NULL, "listener's certificate: out of memory");
		ca_listener_fini(&l);
		goto out;
	}
	*out = l;
	rc = 0;
out:
	key_free(key);
	free(cert);
	return rc;
}

void ca_listener_fini(struct ca_listener *l)
{
	if (l->key_pem != NULL) {
		seal_wipe(l->key_pem, strlen(l->key_pem));
		free(l->key_pem);
	}
	free(l->chain_pem);
	*l = (struct ca_listener){ NULL, NULL };
}
