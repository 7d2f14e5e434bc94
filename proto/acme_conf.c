#include "proto/acme_conf.h"

#include "common/base/buf.h"
#include "common/base/cursor.h"
#include "proto/pem_text.h"

#include <string.h>

#define ACME_BODY_VERSION 1

void acme_conf_fini(struct acme_conf *c)
{
	pem_text_free(c->chain);
	pem_text_free(c->key);
	memset(c, 0, sizeof *c);
}

bool acme_conf_is_token(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

	return n > 0 && n < ACME_TOKEN_SIZE && s[n] == '\0';
}

void acme_conf_encode(const struct acme_conf *c, struct buf *b)
{
	buf_u8(b, ACME_BODY_VERSION);
	buf_u8(b, c->type);
	buf_str16(b, c->host);
	if (c->type == ACME_HTTP) {
		buf_str16(b, c->token);
		buf_str16(b, c->authorization);
	} else {
		pem_text_put(b, c->chain);
		pem_text_put(b, c->key);
	}
	buf_u64(b, (uint64_t)c->until_ms);
}

static void get_http(struct cursor *from, struct acme_conf *c)
{
	cursor_str16(from, c->token, sizeof c->token);
	cursor_str16(from, c->authorization, sizeof c->authorization);
	if (!acme_conf_is_token(c->token) || c->authorization[0] == '\0')
		cursor_fail(from);
}

int acme_conf_decode(struct acme_conf *c, const void *p, size_t n)
{
	struct cursor from;

	memset(c, 0, sizeof *c);
	cursor_init(&from, p, n);
	msg_get_enum(&from, ACME_BODY_VERSION, ACME_BODY_VERSION);
	c->type = msg_get_enum(&from, ACME_HTTP, ACME_TLS);
	cursor_str16(&from, c->host, sizeof c->host);
	if (!host_pattern_is_taken(c->host) || host_pattern_is_wild(c->host))
		cursor_fail(&from);
	if (c->type == ACME_HTTP) {
		get_http(&from, c);
	} else {
		c->chain = pem_text_get(&from, ACME_PEM_MAX);
		c->key = pem_text_get(&from, ACME_PEM_MAX);
	}
	c->until_ms = (int64_t)cursor_u64(&from);
	if (cursor_done(&from) == 0 && c->until_ms > 0)
		return 0;
	acme_conf_fini(c);
	return -1;
}
