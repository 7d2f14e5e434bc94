/*
 * SIZE --CR--> SIZE_LF --LF--> DATA --all--> DATA_CR --CR--> DATA_LF --LF--> SIZE
 *  |  ^           ^    `--size 0--> LAST
 *  ;  CR          |
 *  v  |           |
 * EXT_* ----------+     ";" name [ "=" ( token | quoted-string ) ], bounded, checked and thrown away
 *
 * Stricter than section 7.1.1 in one point: there is no white space between a size and what follows it. Senders must not
 * make any, and readers that skip too much or too little there are how chunks are smuggled.
 */
#include "common/http/http_chunk.h"

#include "common/http/http_scan.h"

#define DIGITS_MAX 16

enum {
	SIZE,
	EXT_BEGIN, /* ";" seen */
	EXT_NAME,
	EXT_NAMED, /* white space after a name */
	EXT_EQUALS,
	EXT_TOKEN,
	EXT_QUOTED,
	EXT_ESCAPED,
	EXT_VALUED, /* after a value */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LAST,
};

void http_chunk_init(struct http_chunk *c, uint16_t ext_max)
{
	*c = (struct http_chunk){ .ext_left = ext_max, .state = SIZE };
}

static int hex_value(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static enum http_fault size_byte(struct http_chunk *c, uint8_t byte)
{
	const int digit = hex_value(byte);

	if (digit >= 0) {
		if (c->digits == DIGITS_MAX || c->left > (uint64_t)INT64_MAX >> 4)
			return HTTP_BAD_CHUNK_SIZE;
		c->left = c->left << 4 | (uint64_t)digit;
		c->digits++;
		return HTTP_OK;
	}
	if (c->digits == 0 || (byte != '\r' && byte != ';'))
		return byte == '\n' && c->digits > 0 ? HTTP_BAD_BARE_LF : HTTP_BAD_CHUNK_SIZE;
	c->state = byte == ';' ? EXT_BEGIN : SIZE_LF;
	return HTTP_OK;
}

/* The state after one byte of an extension, or -1. White space around "=" and after ";" is skipped (BWS). */
static int ext_step(unsigned state, uint8_t byte)
{
	const bool blank = byte == ' ' || byte == '\t', token = http_is(byte, HTTP_IS_TOKEN);

	switch (state) {
	case EXT_BEGIN:
		return blank ? EXT_BEGIN : token ? EXT_NAME : -1;
	case EXT_NAME:
		return token ? EXT_NAME : byte == '=' ? EXT_EQUALS : byte == ';' ? EXT_BEGIN : blank ? EXT_NAMED : -1;
	case EXT_NAMED:
		return blank ? EXT_NAMED : byte == '=' ? EXT_EQUALS : byte == ';' ? EXT_BEGIN : -1;
	case EXT_EQUALS:
		return blank ? EXT_EQUALS : byte == '"' ? EXT_QUOTED : token ? EXT_TOKEN : -1;
	case EXT_TOKEN:
		return token ? EXT_TOKEN : byte == ';' ? EXT_BEGIN : blank ? EXT_VALUED : -1;
	case EXT_QUOTED:
		if (byte == '"' || byte == '\\')
			return byte == '"' ? EXT_VALUED : EXT_ESCAPED;
		return http_is(byte, HTTP_IS_VALUE) ? EXT_QUOTED : -1;
	case EXT_ESCAPED:
		return http_is(byte, HTTP_IS_VALUE) ? EXT_QUOTED : -1;
	default: /* EXT_VALUED */
		return blank ? EXT_VALUED : byte == ';' ? EXT_BEGIN : -1;
	}
}

static enum http_fault ext_byte(struct http_chunk *c, uint8_t byte)
{
	int next;

	if (byte == '\r' && (c->state == EXT_NAME || c->state == EXT_TOKEN || c->state == EXT_VALUED)) {
		c->state = SIZE_LF;
		return HTTP_OK;
	}
	if (c->ext_left == 0)
		return HTTP_BAD_CHUNK_EXT_LONG;
	c->ext_left--;
	next = ext_step(c->state, byte);
	if (next < 0)
		return byte == '\n' ? HTTP_BAD_BARE_LF : HTTP_BAD_CHUNK_EXT;
	c->state = (uint8_t)next;
	return HTTP_OK;
}

static enum http_fault line_byte(struct http_chunk *c, uint8_t byte)
{
	switch (c->state) {
	case SIZE:
		return size_byte(c, byte);
	case SIZE_LF:
		if (byte != '\n')
			return HTTP_BAD_BARE_CR;
		c->state = c->left > 0 ? DATA : LAST;
		return HTTP_OK;
	case DATA_CR:
		if (byte != '\r')
			return HTTP_BAD_CHUNK_END;
		c->state = DATA_LF;
		return HTTP_OK;
	case DATA_LF:
		if (byte != '\n')
			return HTTP_BAD_CHUNK_END;
		c->state = SIZE;
		c->digits = 0;
		return HTTP_OK;
	default:
		return ext_byte(c, byte);
	}
}

enum http_chunk_event http_chunk_next(
	struct http_chunk *c, const uint8_t *p, size_t n, size_t *used, struct http_span *data, enum http_fault *why)
{
	size_t i = 0;

	*used = 0;
	while (c->state != DATA && c->state != LAST) {
		if (i == n) {
			*used = n;
			return HTTP_CHUNK_MORE;
		}
		*why = line_byte(c, p[i++]);
		if (*why != HTTP_OK)
			return HTTP_CHUNK_BAD;
	}
	*used = i;
	if (c->state == LAST)
		return HTTP_CHUNK_LAST;
	if (i == n)
		return HTTP_CHUNK_MORE;
	*data = (struct http_span){ (const char *)p + i, MIN(n - i, c->left) };
	*used += data->n;
	c->left -= data->n;
	if (c->left == 0)
		c->state = DATA_CR;
	return HTTP_CHUNK_DATA;
}
