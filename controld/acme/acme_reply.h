/*
 * acme_reply - what a certificate authority answers (RFC 8555 section 7), read from its JSON.
 *
 * Everything is foreign: lengths are limited, URLs are of https, and what is not understood is an error or "unknown", never a guess.
 *
 * Pure.
 */
#ifndef PORTWAY_CONTROLD_ACME_ACME_REPLY_H
#define PORTWAY_CONTROLD_ACME_ACME_REPLY_H

#include "common/base/macros.h"
#include "common/net/host_name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define ACME_REPLY_MAX   (256 * 1024) /* bytes of an answer */
#define ACME_URL_SIZE    512
#define ACME_TEXT_SIZE   200
#define ACME_ORDER_NAMES 100
#define ACME_TYPE_SIZE   64

enum acme_status {
	ACME_UNKNOWN,
	ACME_PENDING,
	ACME_READY,
	ACME_PROCESSING,
	ACME_VALID,
	ACME_INVALID, /* or deactivated, expired, revoked: nothing comes of it any more */
};

struct acme_directory {
	char new_nonce[ACME_URL_SIZE], new_account[ACME_URL_SIZE], new_order[ACME_URL_SIZE];
	bool binding_required; /* of an account there to one elsewhere */
};

/* What went wrong (RFC 7807). */
struct acme_problem {
	char type[ACME_TYPE_SIZE];   /* behind "urn:ietf:params:acme:error:"; "" for another */
	char detail[ACME_TEXT_SIZE]; /* for people; UTF-8 without control characters */
};

struct acme_order {
	enum acme_status status;
	char finalize[ACME_URL_SIZE];
	char certificate[ACME_URL_SIZE]; /* "": none yet */
	struct acme_problem problem;
	size_t n;
	char authorizations[ACME_ORDER_NAMES][ACME_URL_SIZE];
};

struct acme_challenge {
	bool offered;
	enum acme_status status;
	char url[ACME_URL_SIZE];
	char token[129]; /* of the alphabet of base64url */
	struct acme_problem problem;
};

struct acme_authorization {
	enum acme_status status;
	char host[HOST_NAME_SIZE];
	struct acme_challenge http, tls; /* http-01, tls-alpn-01 */
};

/* 0, or -1 with ERR_PROTOCOL: it is no such answer; *out is undefined then. */
int acme_reply_directory(struct acme_directory *out, const char *text, size_t n, struct err *e) MUST_CHECK;
int acme_reply_order(struct acme_order *out, const char *text, size_t n, struct err *e) MUST_CHECK;
int acme_reply_authorization(struct acme_authorization *out, const char *text, size_t n, struct err *e) MUST_CHECK;
/* Cannot fail: what says nothing is "". */
void acme_reply_problem(struct acme_problem *out, const char *text, size_t n);
/* https, printable, and short enough. */
bool acme_reply_is_url(const char *s) MUST_CHECK;
/* Retry-After: seconds or a date (RFC 9110 section 10.2.3), in ms from now_ms on, at most a day; 0: it says nothing. */
uint64_t acme_reply_retry_after(const char *value, int64_t now_ms);

#endif
