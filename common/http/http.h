/*
 * http - the words of the codec: spans, methods, limits and what can be wrong with a message.
 *
 * Thread: any; only values and const tables.
 */
#ifndef PORTWAY_HTTP_HTTP_H
#define PORTWAY_HTTP_HTTP_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the caller's buffer, borrowed as long as they stand there. Not NUL-terminated. */
struct http_span {
	const char *p;
	size_t n;
};

/* clang-format off */
#define HTTP_METHODS(X) X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(CONNECT) X(OPTIONS) X(TRACE) X(PATCH)
/* clang-format on */

enum http_method {
	HTTP_OTHER, /* any other token; methods are case-sensitive (RFC 9110 section 9.1) */
#define X(name) HTTP_##name,
	HTTP_METHODS(X)
#undef X
};

/*
 * What is wrong, once: X(name, status for a request, sentence). A response with any of these is a 502.
 * The sentences are for logs and error pages; they never hold bytes of the peer.
 */
#define HTTP_FAULTS(X)                                                                     \
	X(METHOD, 400, "the method is not a token followed by one space")                  \
	X(METHOD_LONG, 501, "the method is longer than any known one")                     \
	X(TARGET, 400, "the request target has a byte that may not stand there")           \
	X(TARGET_FORM, 400, "the form of the request target does not fit the method")      \
	X(TARGET_LONG, 414, "the request line is too long")                                \
	X(VERSION_FORM, 400, "the line does not end with an HTTP version")                 \
	X(VERSION, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here")                      \
	X(STATUS_LINE, 400, "the status line is malformed")                                \
	X(BARE_LF, 400, "a line ends with LF alone")                                       \
	X(BARE_CR, 400, "a CR is not followed by LF")                                      \
	X(NAME, 400, "a field name has a byte that may not stand there")                   \
	X(NAME_SPACE, 400, "white space stands before a colon")                            \
	X(FOLDED, 400, "a field value is continued on another line")                       \
	X(VALUE, 400, "a field value has a control character")                             \
	X(FIELD_LONG, 431, "a header field is too long")                                   \
	X(HEAD_LONG, 431, "the header is too long")                                        \
	X(FIELDS_MANY, 431, "there are too many header fields")                            \
	X(HOST_MISSING, 400, "the Host field is missing")                                  \
	X(HOST_TWICE, 400, "there is more than one Host field")                            \
	X(HOST, 400, "the host is not a name or an address with a port")                   \
	X(HOST_DIFFERS, 400, "the Host field and the request target name different hosts") \
	X(LENGTH, 400, "Content-Length is not one decimal number")                         \
	X(LENGTH_TWICE, 400, "there is more than one Content-Length field")                \
	X(LENGTH_HUGE, 413, "Content-Length is larger than can be counted")                \
	X(LENGTH_CODED, 400, "there are both Content-Length and Transfer-Encoding")        \
	X(CODING, 400, "the last transfer coding is not chunked, or chunked stands twice") \
	X(CODING_UNKNOWN, 501, "a transfer coding other than chunked")                     \
	X(CODING_VERSION, 400, "Transfer-Encoding in HTTP/1.0")                            \
	X(CONNECTION, 400, "Connection is not a list of tokens, or too long a one")        \
	X(EXPECT, 417, "an expectation other than 100-continue")                           \
	X(CONTENT, 400, "CONNECT with content")                                            \
	X(CHUNK_SIZE, 400, "a chunk size is not a hexadecimal number that fits")           \
	X(CHUNK_EXT, 400, "a chunk extension is malformed")                                \
	X(CHUNK_EXT_LONG, 413, "there are too many bytes of chunk extensions")             \
	X(CHUNK_END, 400, "the data of a chunk is not followed by CRLF")                   \
	X(BODY_LONG, 413, "the content is longer than allowed")                            \
	X(TRUNCATED, 400, "the connection ended within a message")                         \
	X(UNASKED, 502, "bytes of a response that no request asked for")                   \
	X(INTERIM_MANY, 502, "there are too many interim responses")                       \
	X(SWITCH_UNASKED, 502, "the protocol is switched without having been asked")

enum http_fault {
	HTTP_OK,
#define X(name, status, text) HTTP_BAD_##name,
	HTTP_FAULTS(X)
#undef X
		HTTP_FAULTS_END,
};

const char *http_fault_name(enum http_fault f); /* "LENGTH_TWICE"; "OK" */
const char *http_fault_text(enum http_fault f);
/* The status with which a server answers a request that has it; 200 for HTTP_OK. */
unsigned http_fault_status(enum http_fault f);
const char *http_method_name(enum http_method m); /* "" for HTTP_OTHER */

/* What a message may take. A head of more than HTTP_HEAD_MAX bytes or HTTP_FIELDS_MAX fields cannot be had. */
#define HTTP_HEAD_MAX   65535
#define HTTP_FIELDS_MAX 128
struct http_limits {
	uint16_t line;      /* bytes of a request or status line, CRLF included */
	uint16_t field;     /* bytes of one field line */
	uint16_t head;      /* bytes of all of it; the trailer section counts by itself */
	uint16_t fields;    /* how many */
	uint16_t chunk_ext; /* bytes of all chunk extensions of one message */
	uint16_t interim;   /* 1xx responses before the final one */
};
extern const struct http_limits http_limits_default;

#endif
