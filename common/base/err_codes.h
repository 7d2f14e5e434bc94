/*
 * err_codes - every error that a human or another program may see, once.
 *
 * X(name, wire, api, http, retry): C enum ERR_<name>, number on the wire (never reused), string in the API,
 * HTTP status, 1 if the same call may succeed later.
 */
#ifndef PORTWAY_BASE_ERR_CODES_H
#define PORTWAY_BASE_ERR_CODES_H

#define ERR_CODES(X)                                                  \
	X(NONE, 0, "OK", 200, 0)                                      \
	X(INTERNAL, 1, "INTERNAL_ERROR", 500, 0)                      \
	X(NOMEM, 2, "OUT_OF_MEMORY", 503, 1)                          \
	X(BAD_REQUEST, 3, "BAD_REQUEST", 400, 0)                      \
	X(VALIDATION, 4, "VALIDATION_ERROR", 422, 0)                  \
	X(MISSING_FIELD, 5, "VALIDATION_ERROR", 400, 0)               \
	X(AUTHENTICATION_FAILED, 6, "AUTHENTICATION_FAILED", 401, 0)  \
	X(INVALID_TOKEN, 7, "INVALID_TOKEN", 401, 0)                  \
	X(TOKEN_EXPIRED, 8, "TOKEN_EXPIRED", 401, 0)                  \
	X(FORBIDDEN, 9, "INSUFFICIENT_PERMISSIONS", 403, 0)           \
	X(NOT_FOUND, 10, "NOT_FOUND", 404, 0)                         \
	X(METHOD_NOT_ALLOWED, 11, "METHOD_NOT_ALLOWED", 405, 0)       \
	X(CONFLICT, 12, "CONFLICT", 409, 0)                           \
	X(ALREADY_EXISTS, 13, "ALREADY_EXISTS", 409, 0)               \
	X(PRECONDITION_FAILED, 14, "PRECONDITION_FAILED", 412, 0)     \
	X(TOO_LARGE, 15, "PAYLOAD_TOO_LARGE", 413, 0)                 \
	X(UNSUPPORTED_MEDIA, 16, "UNSUPPORTED_MEDIA_TYPE", 415, 0)    \
	X(RATE_LIMITED, 17, "RATE_LIMIT_EXCEEDED", 429, 1)            \
	X(OVERLOADED, 18, "OVERLOADED", 503, 1)                       \
	X(UNAVAILABLE, 19, "SERVICE_UNAVAILABLE", 503, 1)             \
	X(TIMEOUT, 20, "TIMEOUT", 504, 1)                             \
	X(STORAGE, 21, "STORAGE_ERROR", 503, 1)                       \
	X(LOCKED, 22, "LOCK_ERROR", 409, 1)                           \
	X(USER_NOT_FOUND, 23, "USER_NOT_FOUND", 404, 0)               \
	X(TENANT_NOT_FOUND, 24, "TENANT_NOT_FOUND", 404, 0)           \
	X(MAPPING_NOT_FOUND, 25, "MAPPING_NOT_FOUND", 404, 0)         \
	X(NODE_NOT_FOUND, 26, "NODE_NOT_FOUND", 404, 0)               \
	X(CONNECTION_NOT_FOUND, 27, "CONNECTION_NOT_FOUND", 404, 0)   \
	X(PORT_TAKEN, 28, "PORT_ALREADY_IN_USE", 409, 0)              \
	X(NO_PORT, 29, "NO_FREE_PORT", 503, 1)                        \
	X(ADDR_IN_USE, 30, "ADDRESS_IN_USE", 409, 1)                  \
	X(NO_DESCRIPTORS, 31, "DESCRIPTOR_LIMIT", 503, 1)             \
	X(DENIED_TARGET, 32, "TARGET_NOT_ALLOWED", 403, 0)            \
	X(IO, 33, "IO_ERROR", 500, 1)                                 \
	X(PROTOCOL, 34, "PROTOCOL_ERROR", 400, 0)                     \
	X(CRYPTO, 35, "CRYPTO_ERROR", 500, 0)                         \
	X(NOT_ACCEPTABLE, 36, "NOT_ACCEPTABLE", 406, 0)               \
	X(IDEMPOTENCY, 37, "IDEMPOTENCY_CONFLICT", 409, 0)            \
	X(API_KEY_NOT_FOUND, 38, "API_KEY_NOT_FOUND", 404, 0)         \
	X(DISK_FULL, 39, "STORAGE_ERROR", 507, 1)                     \
	X(PERMISSION, 40, "PERMISSION_DENIED", 403, 0)                \
	X(NO_METER, 41, "METER_FULL", 503, 1)                         \
	X(OUTCOME_UNKNOWN, 42, "OUTCOME_UNKNOWN", 504, 0)             \
	X(CLIENT_NOT_FOUND, 43, "CLIENT_NOT_FOUND", 404, 0)           \
	X(CLIENT_ALREADY_EXISTS, 44, "CLIENT_ALREADY_EXISTS", 409, 0) \
	X(QUOTA_EXCEEDED, 45, "QUOTA_EXCEEDED", 403, 0)               \
	X(TARGET_DOWN, 46, "TARGET_DOWN", 503, 1)                     \
	X(HOST_TAKEN, 47, "HOST_NAME_ALREADY_IN_USE", 409, 0)         \
	X(TARGET_REFUSED, 48, "TARGET_REFUSED", 503, 1)               \
	X(NO_ROUTE, 49, "NO_ROUTE", 503, 1)                           \
	X(POOL_NOT_FOUND, 50, "POOL_NOT_FOUND", 404, 0)               \
	X(POOL_EXISTS, 51, "POOL_ALREADY_EXISTS", 409, 0)             \
	X(BACKEND_NOT_FOUND, 52, "BACKEND_NOT_FOUND", 404, 0)         \
	X(ROUTE_NOT_FOUND, 53, "ROUTE_NOT_FOUND", 404, 0)             \
	X(INVALID_ALGORITHM, 54, "INVALID_ALGORITHM", 422, 0)         \
	X(HEALTH_CHECK, 55, "HEALTH_CHECK_FAILED", 422, 0)            \
	X(AI_UNAVAILABLE, 56, "AI_SERVICE_UNAVAILABLE", 503, 1)       \
	X(LIMIT, 57, "LIMIT_REACHED", 409, 0)

#endif
