#include "common/http/http_scan.h"

#define T (HTTP_IS_TOKEN | HTTP_IS_VALUE | HTTP_IS_TARGET)
#define N (T | HTTP_IS_HOST)
#define P (HTTP_IS_VALUE | HTTP_IS_TARGET)

const uint8_t http_scan_kinds[256] = {
	['\t'] = HTTP_IS_VALUE,
	[' '] = HTTP_IS_VALUE,
	['!'] = T,
	['"'] = P,
	['#'] = HTTP_IS_TOKEN | HTTP_IS_VALUE,
	['$' ... '\''] = T,
	['(' ... ')'] = P,
	['*' ... '+'] = T,
	[','] = P,
	['-' ... '.'] = N,
	['/'] = P,
	['0' ... '9'] = N,
	[':' ... '@'] = P,
	['A' ... 'Z'] = N,
	['[' ... ']'] = P,
	['^'] = T,
	['_'] = N,
	['`'] = T,
	['a' ... 'z'] = N,
	['{'] = P,
	['|'] = T,
	['}'] = P,
	['~'] = N,
	[0x80 ... 0xff] = HTTP_IS_VALUE,
};
