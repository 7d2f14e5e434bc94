/*
 * http_names - the field names that the codec or a filter knows, each with a number, found by a perfect hash.
 *
 * X(id, name in lower case, its first, last but one and last letter, flags). The letters are those that the hash is made
 * of; two names with one hash are a compile error (the table would be initialised twice), then HTTP_NAME_HASH needs
 * other factors.
 */
#ifndef PORTWAY_HTTP_HTTP_NAMES_H
#define PORTWAY_HTTP_HTTP_NAMES_H

#include <stddef.h>
#include <stdint.h>

#define HTTP_NAME_HOP 1 /* between two neighbours only: not to be forwarded (RFC 9110 section 7.6.1) */
#define HTTP_NAME_TRAILS \
	2 /* may stand in a trailer section; names that are not in this table may, too (section 6.5.1) */

/* clang-format off */
#define HTTP_NAMES(X) \
	X(HOST, "host", 'h', 's', 't', 0) \
	X(CONTENT_LENGTH, "content-length", 'c', 't', 'h', 0) \
	X(TRANSFER_ENCODING, "transfer-encoding", 't', 'n', 'g', HTTP_NAME_HOP) \
	X(CONNECTION, "connection", 'c', 'o', 'n', HTTP_NAME_HOP) \
	X(UPGRADE, "upgrade", 'u', 'd', 'e', HTTP_NAME_HOP) \
	X(EXPECT, "expect", 'e', 'c', 't', 0) \
	X(TE, "te", 't', 't', 'e', HTTP_NAME_HOP) \
	X(TRAILER, "trailer", 't', 'e', 'r', 0) \
	X(KEEP_ALIVE, "keep-alive", 'k', 'v', 'e', HTTP_NAME_HOP) \
	X(PROXY_CONNECTION, "proxy-connection", 'p', 'o', 'n', HTTP_NAME_HOP) \
	X(HTTP2_SETTINGS, "http2-settings", 'h', 'g', 's', HTTP_NAME_HOP) \
	X(DATE, "date", 'd', 't', 'e', 0) \
	X(SERVER, "server", 's', 'e', 'r', 0) \
	X(VIA, "via", 'v', 'i', 'a', 0) \
	X(FORWARDED, "forwarded", 'f', 'e', 'd', 0) \
	X(X_FORWARDED_FOR, "x-forwarded-for", 'x', 'o', 'r', 0) \
	X(X_FORWARDED_PROTO, "x-forwarded-proto", 'x', 't', 'o', 0) \
	X(X_FORWARDED_HOST, "x-forwarded-host", 'x', 's', 't', 0) \
	X(X_FORWARDED_PORT, "x-forwarded-port", 'x', 'r', 't', 0) \
	X(X_REQUEST_ID, "x-request-id", 'x', 'i', 'd', 0) \
	X(X_REAL_IP, "x-real-ip", 'x', 'i', 'p', 0) \
	X(COOKIE, "cookie", 'c', 'i', 'e', 0) \
	X(SET_COOKIE, "set-cookie", 's', 'i', 'e', 0) \
	X(AUTHORIZATION, "authorization", 'a', 'o', 'n', 0) \
	X(WWW_AUTHENTICATE, "www-authenticate", 'w', 't', 'e', 0) \
	X(PROXY_AUTHENTICATE, "proxy-authenticate", 'p', 't', 'e', 0) \
	X(PROXY_AUTHORIZATION, "proxy-authorization", 'p', 'o', 'n', 0) \
	X(PROXY_AUTHENTICATION_INFO, "proxy-authentication-info", 'p', 'f', 'o', 0) \
	X(CACHE_CONTROL, "cache-control", 'c', 'o', 'l', 0) \
	X(CONTENT_TYPE, "content-type", 'c', 'p', 'e', 0) \
	X(CONTENT_ENCODING, "content-encoding", 'c', 'n', 'g', 0) \
	X(CONTENT_RANGE, "content-range", 'c', 'g', 'e', 0) \
	X(CONTENT_LOCATION, "content-location", 'c', 'o', 'n', 0) \
	X(ACCEPT_ENCODING, "accept-encoding", 'a', 'n', 'g', 0) \
	X(ACCEPT, "accept", 'a', 'p', 't', 0) \
	X(ACCEPT_LANGUAGE, "accept-language", 'a', 'g', 'e', 0) \
	X(RANGE, "range", 'r', 'g', 'e', 0) \
	X(MAX_FORWARDS, "max-forwards", 'm', 'd', 's', 0) \
	X(IF_MATCH, "if-match", 'i', 'c', 'h', 0) \
	X(IF_NONE_MATCH, "if-none-match", 'i', 'c', 'h', 0) \
	X(IF_MODIFIED_SINCE, "if-modified-since", 'i', 'c', 'e', 0) \
	X(IF_UNMODIFIED_SINCE, "if-unmodified-since", 'i', 'c', 'e', 0) \
	X(IF_RANGE, "if-range", 'i', 'g', 'e', 0) \
	X(LOCATION, "location", 'l', 'o', 'n', 0) \
	X(RETRY_AFTER, "retry-after", 'r', 'e', 'r', 0) \
	X(VARY, "vary", 'v', 'r', 'y', 0) \
	X(AGE, "age", 'a', 'g', 'e', 0) \
	X(EXPIRES, "expires", 'e', 'e', 's', 0) \
	X(PRAGMA, "pragma", 'p', 'm', 'a', 0) \
	X(WARNING, "warning", 'w', 'n', 'g', 0) \
	X(ORIGIN, "origin", 'o', 'i', 'n', 0) \
	X(REFERER, "referer", 'r', 'e', 'r', 0) \
	X(USER_AGENT, "user-agent", 'u', 'n', 't', 0) \
	X(ETAG, "etag", 'e', 'a', 'g', HTTP_NAME_TRAILS) \
	X(LAST_MODIFIED, "last-modified", 'l', 'e', 'd', 0) \
	X(TRACEPARENT, "traceparent", 't', 'n', 't', 0) \
	X(TRACESTATE, "tracestate", 't', 't', 'e', 0) \
	X(ACCEPT_RANGES, "accept-ranges", 'a', 'e', 's', 0) \
	X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method", 'a', 'o', 'd', 0) \
	X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers", 'a', 'r', 's', 0) \
	X(STRICT_TRANSPORT_SECURITY, "strict-transport-security", 's', 't', 'y', 0)
/* clang-format on */

enum http_name {
	HTTP_NAME_UNKNOWN,
#define X(id, name, a, y, z, flags) HTTP_NAME_##id,
	HTTP_NAMES(X)
#undef X
		HTTP_NAMES_END,
};

#define HTTP_NAME_MAX              255 /* longest field name that is accepted */
#define HTTP_NAME_ROOM             32  /* for each that has a number; the longest has 30 */
#define HTTP_NAME_HASH(n, a, y, z) (((unsigned)(n)*31 + (unsigned)(a)*49 + (unsigned)(y)*51 + (unsigned)(z)*42) & 255)

/* In any case of letters; p must hold nothing but token characters. */
enum http_name http_name_find(const uint8_t *p, size_t n);
const char *http_name_text(enum http_name id); /* "" for HTTP_NAME_UNKNOWN; HTTP_NAME_ROOM bytes can be read there */
size_t http_name_len(enum http_name id);       /* of that text */
unsigned http_name_flags(enum http_name id);

#endif
