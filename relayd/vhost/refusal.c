#include "relayd/vhost/refusal.h"

#include "common/base/macros.h"
#include "proto/mapping_conf.h"

#define PAGE(status, size, text)                                                                         \
	"HTTP/1.1 " status "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " size "\r\n" \
	"Cache-Control: no-store\r\nConnection: close\r\n\r\n" text "\n"

/*
 * To a client that speaks HTTP/2 without being asked (RFC 9113 3.3): an empty SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED (0xd). Which
 * host it wants is compressed with state that only one end can keep.
 */
#define GO_AWAY                \
	"\0\0\0\4\0\0\0\0\0"   \
	"\0\0\x08\7\0\0\0\0\0" \
	"\0\0\0\0"             \
	"\0\0\0\x0d"

/* A fatal alert in a record of its own (RFC 8446 5.1, 6). */
#define ALERT(code) "\x15\x03\x03\x00\x02\x02" code

enum words { SAY_NOTHING, SAY_UNKNOWN, SAY_BAD, SAY_NO_HOST, SAY_HTTP2, SAY_FORBIDDEN, SAY_BUSY, SAY_UNREACHABLE };

#define SAY(s)                                      \
	{                                           \
		(const uint8_t *)(s), sizeof(s) - 1 \
	}
static const struct refusal pages[] = {
	[SAY_UNKNOWN] = SAY(PAGE("404 Not Found", "37", "Nothing is served here by that name.")),
	[SAY_BAD] = SAY(PAGE("400 Bad Request", "51", "This request does not say well which host it asks.")),
	[SAY_NO_HOST] = SAY(PAGE("400 Bad Request", "51", "This request does not say well which host it asks.")),
	[SAY_HTTP2] = SAY(GO_AWAY),
	[SAY_FORBIDDEN] = SAY(PAGE("403 Forbidden", "46", "Your address may not use what is served here.")),
	[SAY_BUSY] = SAY(
		PAGE("503 Service Unavailable", "60", "What is served here has as many connections as it may have.")),
	[SAY_UNREACHABLE] = SAY(PAGE("502 Bad Gateway", "50", "What is served here cannot be reached at present.")),
};
/* decode_error 50, access_denied 49, internal_error 80, missing_extension 109, unrecognized_name 112 */
static const struct refusal alerts[] = {
	[SAY_UNKNOWN] = SAY(ALERT("\x70")),
	[SAY_BAD] = SAY(ALERT("\x32")),
	[SAY_NO_HOST] = SAY(ALERT("\x6d")),
	[SAY_FORBIDDEN] = SAY(ALERT("\x31")),
	[SAY_BUSY] = SAY(ALERT("\x50")),
	[SAY_UNREACHABLE] = SAY(ALERT("\x50")),
};

static struct refusal say(uint8_t protocol, enum words what)
{
	if (protocol == MAPPING_HTTP)
		return what < ARRAY_LEN(pages) ? pages[what] : (struct refusal){ NULL, 0 };
	return what < ARRAY_LEN(alerts) ? alerts[what] : (struct refusal){ NULL, 0 };
}

struct refusal refusal_of_opening(uint8_t protocol, enum opening_kind kind)
{
	static const enum words words[] = {
		[OPENING_MORE] = SAY_NOTHING,
		[OPENING_FOUND] = SAY_UNKNOWN,
		[OPENING_NO_HOST] = SAY_NO_HOST,
		[OPENING_BAD] = SAY_BAD,
		[OPENING_ALIEN] = SAY_NOTHING,
		[OPENING_HTTP2] = SAY_HTTP2,
	};

	return say(protocol, words[kind]);
}

struct refusal refusal_of_farewell(uint8_t protocol, enum farewell why)
{
	static const enum words words[] = {
		[FAREWELL_NONE] = SAY_NOTHING,
		[FAREWELL_FORBIDDEN] = SAY_FORBIDDEN,
		[FAREWELL_BUSY] = SAY_BUSY,
		[FAREWELL_UNREACHABLE] = SAY_UNREACHABLE,
		[FAREWELL_BAD] = SAY_BAD,
	};

	return say(protocol, words[why]);
}
