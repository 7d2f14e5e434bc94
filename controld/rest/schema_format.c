#include "controld/rest/schema_format.h"

#include "common/base/clock.h"
#include "common/base/macros.h"
#include "common/base/str.h"
#include "common/base/zone.h"
#include "common/crypto/password.h"
#include "common/net/addr.h"
#include "common/net/cidr.h"

#include <string.h>

#define SCHEMA_EMAIL_MAX 254 /* RFC 5321 section 4.5.3.1.3, less the brackets */
#define SCHEMA_LOCAL_MAX 64

static bool schema_is_any(const char *s)
{
	(void)s;
	return true;
}

/* local@domain where local is a dot-atom (RFC 5322) and domain a host name with a dot or "localhost". */
static bool schema_is_email(const char *s)
{
	static const char atom[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~.";
	const char *at = strchr(s, '@');
	const size_t local = at == NULL ? 0 : (size_t)(at - s);

	if (local == 0 || local > SCHEMA_LOCAL_MAX || strlen(s) > SCHEMA_EMAIL_MAX)
		return false;
	if (strspn(s, atom) != local || *s == '.' || at[-1] == '.' || strstr(s, "..") != NULL)
		return false;
	return addr_is_host(at + 1);
}

static bool schema_is_ip(const char *s)
{
	struct addr a;

	return addr_parse_ip(&a, s, 0) == 0;
}

static bool schema_is_cidr(const char *s)
{
	struct cidr c;

	return cidr_parse(&c, s) == 0;
}

static bool schema_is_name(const char *s)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return strspn(s, first) > 0 && s[strspn(s, rest)] == '\0';
}

static bool schema_is_time(const char *s)
{
	int64_t ms;

	return clock_parse_rfc3339(s, &ms) == 0;
}

static bool schema_is_duration(const char *s)
{
	uint64_t ms;

	return str_to_duration_ms(s, &ms) == 0;
}

static bool schema_is_password(const char *s)
{
	size_t chars = 0;
	const size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		chars += ((unsigned char)s[i] & 0xc0) != 0x80;
	return chars >= PASSWORD_MIN && n <= PASSWORD_MAX;
}

static bool schema_is_zone(const char *s)
{
	struct zone *z;

	if (zone_open(&z, s, NULL) != 0)
		return false;
	zone_free(z);
	return true;
}

static const struct {
	bool (*ok)(const char *s);
	const char *rule;
	const char *openapi;
} schema_formats[] = {
	[SCHEMA_FORMAT_NONE] = { schema_is_any, "a string", NULL },
	[SCHEMA_FORMAT_EMAIL] = { schema_is_email, "an e-mail address", "email" },
	[SCHEMA_FORMAT_HOST] = { addr_is_host, "a host name or an IP address", "hostname" },
	[SCHEMA_FORMAT_IP] = { schema_is_ip, "an IP address", "ip" },
	[SCHEMA_FORMAT_CIDR] = { schema_is_cidr, "a CIDR like 10.0.0.0/8, without host bits", "cidr" },
	[SCHEMA_FORMAT_NAME] = { schema_is_name, "letters, digits, '.', '_' and '-', starting with a letter or digit",
		"name" },
	[SCHEMA_FORMAT_TIME] = { schema_is_time, "a time like 2026-11-22T10:00:00Z", "date-time" },
	[SCHEMA_FORMAT_DURATION] = { schema_is_duration, "a duration like \"30s\", or a number of seconds",
		"duration" },
	[SCHEMA_FORMAT_PASSWORD] = { schema_is_password, "8 characters to 256 bytes long", "password" },
	[SCHEMA_FORMAT_ZONE] = { schema_is_zone, "UTC, an offset such as +02:00 or a time zone such as Europe/Berlin",
		NULL },
};

bool schema_format_ok(enum schema_format format, const char *s)
{
	return schema_formats[format].ok(s);
}

const char *schema_format_rule(enum schema_format format)
{
	return schema_formats[format].rule;
}

const char *schema_format_openapi(enum schema_format format)
{
	return schema_formats[format].openapi;
}
