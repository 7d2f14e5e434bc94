#include "common/tunnel/websocket_key.h"

#include "common/base/rand.h"
#include "common/base/str.h"
#include "common/crypto/sha1.h"

#include <string.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 section 1.3 */

void websocket_key_make(char key[WEBSOCKET_KEY])
{
	uint8_t nonce[16];

	rand_bytes(nonce, sizeof nonce);
	sha1_base64(key, nonce, sizeof nonce);
}

int websocket_key_sign(char out[WEBSOCKET_SIGN], const char *key, size_t n)
{
	uint8_t digest[SHA1_SIZE];
	char text[WEBSOCKET_KEY + sizeof GUID];

	if (n != WEBSOCKET_KEY - 1 || str_fmt(text, sizeof text, "%.*s%s", (int)n, key, GUID) != 0 ||
		sha1(digest, text, strlen(text)) != 0)
		return -1;
	sha1_base64(out, digest, sizeof digest);
	return 0;
}
