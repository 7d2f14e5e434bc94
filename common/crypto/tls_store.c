#include "common/crypto/tls_store.h"

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/crypto/seal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STORE_KEY_MAX = 64 + 256 };

struct store_name {
	struct tls_choice choice;
	size_t key_n;
	char key[]; /* realm, '/', name */
};

struct tls_store {
	atomic_uint refs;
	struct map names; /* store_name by key */
	unsigned n_tickets;
	struct tls_ticket_key tickets[TLS_STORE_TICKET_KEYS];
};

int tls_store_new(struct tls_store **out, struct err *e)
{
	struct tls_store *s = calloc(1, sizeof *s);

	if (s == NULL)
		return err_set(e, ERR_NOMEM, NULL, "certificates: out of memory");
	atomic_init(&s->refs, 1);
	map_init(&s->names);
	*out = s;
	return 0;
}

struct tls_store *tls_store_ref(struct tls_store *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void tls_store_unref(struct tls_store *s)
{
	struct store_name *n;
	size_t it = 0;

	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	while ((n = map_next(&s->names, &it)) != NULL) {
		for (unsigned kind = 0; kind < TLS_CERT_KINDS; kind++)
			tls_cert_unref(n->choice.of[kind]);
		free(n);
	}
	map_free(&s->names);
	seal_wipe(s->tickets, sizeof s->tickets);
	free(s);
}

/* 0: too long to be in a store. */
static size_t key_of(char key[STORE_KEY_MAX], const char *realm, const char *prefix, const char *name)
{
	int n = snprintf(key, STORE_KEY_MAX, "%s/%s%s", realm, prefix, name);

	return n > 0 && n < STORE_KEY_MAX ? (size_t)n : 0;
}

static struct store_name *name_new(struct tls_store *s, const char *key, size_t n)
{
	struct store_name *new_ = calloc(1, sizeof *new_ + n + 1);

	if (new_ == NULL)
		return NULL;
	memcpy(new_->key, key, n);
	new_->key_n = n;
	if (map_put(&s->names, new_->key, n, new_, NULL) == 0)
		return new_;
	free(new_);
	return NULL;
}

int tls_store_add(struct tls_store *s, const char *realm, const char *name, struct tls_cert *c)
{
	char key[STORE_KEY_MAX];
	size_t n = key_of(key, realm, "", name);
	struct store_name *at = n > 0 ? map_get(&s->names, key, n) : NULL;
	struct tls_cert **slot;

	if (at == NULL && n > 0)
		at = name_new(s, key, n);
	if (at == NULL)
		return -1;
	slot = &at->choice.of[tls_cert_kind(c)];
	if (*slot != NULL && tls_cert_not_after_ms(*slot) >= tls_cert_not_after_ms(c))
		return 0;
	tls_cert_unref(*slot);
	*slot = tls_cert_ref(c);
	return 0;
}

int tls_store_add_ticket_key(struct tls_store *s, const struct tls_ticket_key *k)
{
	if (s->n_tickets == TLS_STORE_TICKET_KEYS)
		return -1;
	s->tickets[s->n_tickets++] = *k;
	return 0;
}

const struct tls_choice *tls_store_find(const struct tls_store *s, const char *realm, const char *name)
{
	char key[STORE_KEY_MAX];
	size_t n = key_of(key, realm, "", name);
	const struct store_name *at = n > 0 ? map_get(&s->names, key, n) : NULL;
	const char *dot = strchr(name, '.');

	if (at == NULL && dot != NULL && (n = key_of(key, realm, "*", dot)) > 0)
		at = map_get(&s->names, key, n);
	return at != NULL ? &at->choice : NULL;
}

const struct tls_ticket_key *tls_store_sealing(const struct tls_store *s, int64_t now_ms)
{
	const struct tls_ticket_key *best = NULL;

	for (unsigned i = 0; i < s->n_tickets; i++) {
		const struct tls_ticket_key *k = &s->tickets[i];

		if (k->from_ms <= now_ms && k->until_ms > now_ms && (best == NULL || k->from_ms > best->from_ms))
			best = k;
	}
	return best;
}

const struct tls_ticket_key *tls_store_opening(
	const struct tls_store *s, const uint8_t name[TLS_TICKET_NAME], int64_t now_ms)
{
	for (unsigned i = 0; i < s->n_tickets; i++)
		if (memcmp(s->tickets[i].name, name, TLS_TICKET_NAME) == 0)
			return s->tickets[i].until_ms > now_ms ? &s->tickets[i] : NULL;
	return NULL;
}
