/*
 * pki - a small world of certificates for the TLS tests: our CA, a rogue CA, and leaves of both.
 */
#ifndef PORTWAY_TESTS_PKI_H
#define PORTWAY_TESTS_PKI_H

#include "common/base/clock.h"
#include "common/crypto/cert.h"
#include "common/crypto/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pki {
	struct key *ca_key, *rogue_key, *server_key, *client_key;
	char *server_key_pem, *client_key_pem;
	char *ca, *rogue_ca;
	char *server;       /* leaf and CA: what a pinning client needs */
	char *server_bare;  /* leaf only */
	char *server_rogue; /* leaf and CA of the rogue */
	char *server_swap;  /* rogue leaf, followed by our CA */
	char *server_next;  /* leaf of the CA after ours, what ours says of that one, that one, ours */
	char *server_late;  /* the same after ours was retired: in the order in which relays send it then */
	char *server_lone;  /* leaf of the CA after ours and that one */
	char *client_next;  /* CN node_1, of the CA after ours, and what ours says of it */
	char *next_ca;
	char *both_cas; /* the one after ours, ours */
	char *client;   /* CN node_1 */
	char *client_rogue;
	char *client_expired;
	char fingerprint[CERT_FINGERPRINT_SIZE];
	char rogue_fingerprint[CERT_FINGERPRINT_SIZE];
	char next_fingerprint[CERT_FINGERPRINT_SIZE];
};

static inline char *pki_join(const char *a, const char *b)
{
	size_t n = strlen(a) + strlen(b) + 1;
	char *s = malloc(n);

	snprintf(s, n, "%s%s", a, b);
	return s;
}

static inline char *pki_join4(const char *a, const char *b, const char *c, const char *d)
{
	char *ab = pki_join(a, b), *cd = pki_join(c, d), *all = pki_join(ab, cd);

	free(ab);
	free(cd);
	return all;
}

/* A CA that follows ours. */
static inline void pki_succeed(struct pki *p, const char *const *names, int64_t now)
{
	struct cert_info info;
	struct key *key;
	char *cross, *leaf, *client;

	if (key_generate(&key, NULL) != 0)
		abort();
	p->next_ca = cert_make_ca(key, "Test CA", now, 10, NULL);
	cross = cert_cross(p->ca, p->ca_key, p->next_ca, now, NULL);
	leaf = cert_issue(p->next_ca, key, p->server_key, "controld", names, CERT_SERVER, now, 10, NULL);
	client = cert_issue(p->next_ca, key, p->client_key, "node_1", NULL, CERT_CLIENT, now, 10, NULL);
	if (cross == NULL || leaf == NULL || client == NULL || cert_inspect(p->next_ca, &info, NULL) != 0)
		abort();
	p->server_next = pki_join4(leaf, cross, p->next_ca, p->ca);
	p->server_late = pki_join4(leaf, cross, p->ca, p->next_ca);
	p->server_lone = pki_join(leaf, p->next_ca);
	p->client_next = pki_join(client, cross);
	p->both_cas = pki_join(p->next_ca, p->ca);
	memcpy(p->next_fingerprint, info.fingerprint, sizeof p->next_fingerprint);
	free(cross);
	free(leaf);
	free(client);
	key_free(key);
}

static inline void pki_init(struct pki *p)
{
	static const char *const names[] = { "localhost", "127.0.0.1", NULL };
	int64_t now = clock_wall_ms();
	struct cert_info info;
	char *rogue_leaf;

	if (key_generate(&p->ca_key, NULL) != 0 || key_generate(&p->rogue_key, NULL) != 0 ||
		key_generate(&p->server_key, NULL) != 0 || key_generate(&p->client_key, NULL) != 0)
		abort();
	p->server_key_pem = key_to_pem(p->server_key);
	p->client_key_pem = key_to_pem(p->client_key);
	p->ca = cert_make_ca(p->ca_key, "Test CA", now, 10, NULL);
	p->rogue_ca = cert_make_ca(p->rogue_key, "Test CA", now, 10, NULL); /* the same name on purpose */
	p->server_bare = cert_issue(p->ca, p->ca_key, p->server_key, "controld", names, CERT_SERVER, now, 10, NULL);
	p->server = pki_join(p->server_bare, p->ca);
	rogue_leaf =
		cert_issue(p->rogue_ca, p->rogue_key, p->server_key, "controld", names, CERT_SERVER, now, 10, NULL);
	p->server_rogue = pki_join(rogue_leaf, p->rogue_ca);
	p->server_swap = pki_join(rogue_leaf, p->ca);
	free(rogue_leaf);
	p->client = cert_issue(p->ca, p->ca_key, p->client_key, "node_1", NULL, CERT_CLIENT, now, 10, NULL);
	p->client_rogue =
		cert_issue(p->rogue_ca, p->rogue_key, p->client_key, "node_1", NULL, CERT_CLIENT, now, 10, NULL);
	p->client_expired = cert_issue(
		p->ca, p->ca_key, p->client_key, "node_1", NULL, CERT_CLIENT, now - 20ll * 86400000, 10, NULL);
	pki_succeed(p, names, now);
	if (cert_inspect(p->ca, &info, NULL) != 0)
		abort();
	memcpy(p->fingerprint, info.fingerprint, sizeof p->fingerprint);
	if (cert_inspect(p->rogue_ca, &info, NULL) != 0)
		abort();
	memcpy(p->rogue_fingerprint, info.fingerprint, sizeof p->rogue_fingerprint);
}

static inline void pki_fini(struct pki *p)
{
	key_free(p->ca_key);
	key_free(p->rogue_key);
	key_free(p->server_key);
	key_free(p->client_key);
	free(p->server_key_pem);
	free(p->client_key_pem);
	free(p->ca);
	free(p->rogue_ca);
	free(p->server);
	free(p->server_bare);
	free(p->server_rogue);
	free(p->server_swap);
	free(p->client);
	free(p->client_rogue);
	free(p->client_expired);
	free(p->server_next);
	free(p->server_late);
	free(p->server_lone);
	free(p->client_next);
	free(p->next_ca);
	free(p->both_cas);
}

#endif
