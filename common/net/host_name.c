#include "common/net/host_name.h"

#include "common/base/str.h"

#include <string.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c);
}

static bool label_is_sound(const char *label, size_t n)
{
	if (n == 0 || n > HOST_LABEL_MAX || label[0] == '-' || label[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_letter_or_digit(label[i]) && label[i] != '-')
			return false;
	return true;
}

/* A last label of digits is the end of an IPv4 address, in one of its spellings. */
static bool is_number(const char *label, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_digit(label[i]))
			return false;
	return true;
}

static bool name_is_sound(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, ".");

		if (!label_is_sound(name, n))
			return false;
		if (name[n] == '\0')
			return !is_number(name, n);
		name += n + 1;
	}
}

int host_name_take(char dst[HOST_NAME_SIZE], const char *s, size_t n)
{
	if (n > 0 && s[n - 1] == '.')
		n--;
	memset(dst, 0, HOST_NAME_SIZE);
	if (n < HOST_NAME_SIZE) {
		for (size_t i = 0; i < n; i++)
			dst[i] = lower(s[i]);
		if (strlen(dst) == n && name_is_sound(dst))
			return 0;
	}
	dst[0] = '\0';
	return -1;
}

int host_pattern_take(char dst[HOST_NAME_SIZE], const char *s, size_t n)
{
	char name[HOST_NAME_SIZE];

	if (n < 2 || s[0] != '*' || s[1] != '.')
		return host_name_take(dst, s, n);
	if (host_name_take(name, s + 2, n - 2) == 0 && str_fmt(dst, HOST_NAME_SIZE, "*.%s", name) == 0)
		return 0;
	dst[0] = '\0';
	return -1;
}

bool host_pattern_is_taken(const char *s)
{
	char same[HOST_NAME_SIZE];

	return host_pattern_take(same, s, strlen(s)) == 0 && strcmp(same, s) == 0;
}

bool host_name_is_below(const char *name, const char *domain)
{
	size_t n = strlen(name), d = strlen(domain);

	return d > 0 && n > d + 1 && name[n - d - 1] == '.' && strcmp(name + n - d, domain) == 0;
}
