#include "common/http/http.h"

const struct http_limits http_limits_default = {
	.line = 8192,
	.field = 16384,
	.head = 32768,
	.fields = 100,
	.chunk_ext = 2048,
	.interim = 16,
};

static const struct {
	const char *name, *text;
	unsigned status;
} faults[HTTP_FAULTS_END] = { [HTTP_OK] = { "OK", "", 200 },
#define X(fault, code, sentence) [HTTP_BAD_##fault] = { #fault, sentence, code },
	HTTP_FAULTS(X)
#undef X
};

const char *http_fault_name(enum http_fault f)
{
	return faults[f].name;
}

const char *http_fault_text(enum http_fault f)
{
	return faults[f].text;
}

unsigned http_fault_status(enum http_fault f)
{
	return faults[f].status;
}

const char *http_method_name(enum http_method m)
{
	static const char *const names[] = { [HTTP_OTHER] = "",
#define X(method) [HTTP_##method] = #method,
		HTTP_METHODS(X)
#undef X
	};

	return names[m];
}
