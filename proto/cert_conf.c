#include "proto/cert_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "proto/pem_text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CERT_BODY_VERSION 1
#define CERT_NAME_BYTES   (2 + 1) /* of the shortest on the wire */

void cert_conf_fini(struct cert_conf *c)
{
	free(c->names);
	pem_text_free(c->chain);
	pem_text_free(c->key);
	free(c->ocsp);
	memset(c, 0, sizeof *c);
}

static void put_names(struct buf *b, const struct cert_conf *c)
{
	assert(c->n_names > 0 && c->n_names <= CERT_NAMES_MAX);
	buf_u32(b, c->n_names);
	for (uint32_t i = 0; i < c->n_names; i++)
		buf_str16(b, c->names[i]);
}

static void get_names(struct cursor *from, struct cert_conf *c)
{
	c->n_names = cursor_count(from, CERT_NAMES_MAX, CERT_NAME_BYTES);
	if (c->n_names > 0)
		c->names = calloc(c->n_names, sizeof *c->names);
	if (c->names == NULL) {
		cursor_fail(from);
		c->n_names = 0;
	}
	for (uint32_t i = 0; i < c->n_names; i++) {
		cursor_str16(from, c->names[i], sizeof c->names[i]);
		if (!host_pattern_is_taken(c->names[i]))
			cursor_fail(from);
	}
}

static void get_ocsp(struct cursor *from, struct cert_conf *c)
{
	const uint8_t *p = cursor_blob32(from, &c->ocsp_n);

	c->ocsp_until_ms = (int64_t)cursor_u64(from);
	if (c->ocsp_n > CERT_OCSP_MAX || c->ocsp_until_ms < 0 || (c->ocsp_n == 0) != (c->ocsp_until_ms == 0))
		cursor_fail(from);
	if (from->failed || c->ocsp_n == 0)
		return;
	if ((c->ocsp = malloc(c->ocsp_n)) == NULL)
		cursor_fail(from);
	else
		memcpy(c->ocsp, p, c->ocsp_n);
}

void cert_conf_encode(const struct cert_conf *c, struct buf *b)
{
	buf_u8(b, CERT_BODY_VERSION);
	buf_str16(b, c->tenant);
	put_names(b, c);
	pem_text_put(b, c->chain);
	pem_text_put(b, c->key);
	buf_blob32(b, c->ocsp, c->ocsp_n);
	buf_u64(b, (uint64_t)c->ocsp_until_ms);
}

int cert_conf_decode(struct cert_conf *c, const void *p, size_t n)
{
	struct cursor from;

	memset(c, 0, sizeof *c);
	cursor_init(&from, p, n);
	msg_get_enum(&from, CERT_BODY_VERSION, CERT_BODY_VERSION);
	msg_get_id(&from, c->tenant);
	get_names(&from, c);
	c->chain = pem_text_get(&from, CERT_CHAIN_PEM_MAX);
	c->key = pem_text_get(&from, CERT_KEY_PEM_MAX);
	get_ocsp(&from, c);
	if (cursor_done(&from) == 0)
		return 0;
	cert_conf_fini(c);
	return -1;
}
