#include "common/base/log.h"

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "common/base/str.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_MAX     4096 /* bytes, with the newline */
#define LOG_TAIL_RESERVE 32   /* of these, kept for what closes a line that had to be cut */

static const char *const log_level_names[] = { "debug", "info", "warn", "error" };

/* Written by log_init() before threads start; the level alone may change later. */
static struct {
	const char *program;
	enum log_format format;
	int fd;
	atomic_int level;
} log_to = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO };

/* A line being written. What does not fit whole sets `cut`, after which only log_tail() still writes. */
struct log_line {
	size_t n;
	bool cut;
	char text[LOG_LINE_MAX];
};

void log_init(const char *program, enum log_level level, enum log_format format, int fd)
{
	log_to.program = program;
	log_to.format = format;
	log_to.fd = fd;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_to.level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log_to.level, memory_order_relaxed);
}

struct log_field log_errno(int errnum)
{
	/* strerror() is safe here: glibc keeps its buffer per thread, and the line is written before the next
	 * call. */
	return log_s("errno", strerror(errnum));
}

struct log_field log_err(const struct err *e)
{
	return log_s("err", e != NULL ? e->msg : NULL);
}

static bool log_put(struct log_line *l, const char *s, size_t n)
{
	if (l->cut || l->n + n > LOG_LINE_MAX - LOG_TAIL_RESERVE) { /* l->n may be in the reserve already */
		l->cut = true;
		return false;
	}
	memcpy(l->text + l->n, s, n);
	l->n += n;
	return true;
}

static bool log_printf(struct log_line *l, const char *fmt, ...) PRINTF(2, 3);
static bool log_printf(struct log_line *l, const char *fmt, ...)
{
	char s[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s, sizeof s, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof s) {
		l->cut = true;
		return false;
	}
	return log_put(l, s, (size_t)n);
}

/* Writes into the reserve: the few bytes that close a value or a line. */
static void log_tail(struct log_line *l, const char *s)
{
	const size_t n = strlen(s);

	memcpy(l->text + l->n, s, n);
	l->n += n;
}

/* Length of the character at s: 1 to 4 bytes of UTF-8, or 0 when its first byte must be escaped. */
static size_t log_char_len(const char *s, size_t left)
{
	const uint8_t first = (uint8_t)*s;

	if (first < 0x20 || first == 0x7f)
		return 0;
	if (first < 0x80)
		return 1;
	for (size_t n = 2; n <= 4 && n <= left; n++)
		if (str_is_utf8(s, n))
			return n;
	return 0;
}

/* Both formats escape the same bytes, so that a value can forge neither a line nor what a terminal shows. */
static bool log_escaped(struct log_line *l, char byte)
{
	if (byte == '"' || byte == '\\')
		return log_printf(l, "\\%c", byte);
	if (log_to.format == LOG_FORMAT_JSON)
		return log_printf(l, "\\u%04x", (uint8_t)byte);
	return log_printf(l, "\\x%02x", (uint8_t)byte);
}

static void log_chars(struct log_line *l, const char *s)
{
	size_t left = strlen(s);
	bool room = true;

	while (room && left > 0) {
		size_t n = log_char_len(s, left);

		if (n == 0 || *s == '"' || *s == '\\') {
			n = 1;
			room = log_escaped(l, *s);
		} else {
			room = log_put(l, s, n);
		}
		s += n;
		left -= n;
	}
}

static bool log_needs_quotes(const char *s)
{
	const size_t n = strlen(s);

	for (const char *p = s; *p != '\0'; p++)
		if ((uint8_t)*p <= 0x20 || *p == 0x7f || *p == '"' || *p == '=' || *p == '\\')
			return true;
	return n == 0 || !str_is_utf8(s, n);
}

static void log_text_str(struct log_line *l, const char *key, const char *s)
{
	const bool quotes = log_needs_quotes(s);

	if (!log_printf(l, quotes ? " %s=\"" : " %s=", key))
		return;
	log_chars(l, s);
	if (quotes)
		log_tail(l, "\"");
}

static void log_text_field(struct log_line *l, const struct log_field *f)
{
	switch (f->type) {
	case LOG_FIELD_STR:
		log_text_str(l, f->key, f->s != NULL ? f->s : "-");
		break;
	case LOG_FIELD_INT:
		log_printf(l, " %s=%lld", f->key, (long long)f->i);
		break;
	case LOG_FIELD_UINT:
		log_printf(l, " %s=%llu", f->key, (unsigned long long)f->u);
		break;
	case LOG_FIELD_REAL:
		log_printf(l, " %s=%.6g", f->key, f->d);
		break;
	}
}

static void log_json_str(struct log_line *l, const char *key, const char *s)
{
	if (!log_printf(l, ",\"%s\":\"", key))
		return;
	log_chars(l, s);
	log_tail(l, "\"");
}

static void log_json_field(struct log_line *l, const struct log_field *f)
{
	switch (f->type) {
	case LOG_FIELD_STR:
		if (f->s != NULL)
			log_json_str(l, f->key, f->s);
		else
			log_printf(l, ",\"%s\":null", f->key);
		break;
	case LOG_FIELD_INT:
		log_printf(l, ",\"%s\":%lld", f->key, (long long)f->i);
		break;
	case LOG_FIELD_UINT:
		log_printf(l, ",\"%s\":%llu", f->key, (unsigned long long)f->u);
		break;
	case LOG_FIELD_REAL:
		if (isfinite(f->d))
			log_printf(l, ",\"%s\":%.6g", f->key, f->d);
		else /* JSON has no name for it */
			log_printf(l, ",\"%s\":null", f->key);
		break;
	}
}

static void log_text(struct log_line *l, const char *level, const char *event, const struct log_field *fields, size_t n)
{
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(now, clock_wall_ms());
	log_printf(l, "%s %s %s", now, level, event);
	if (log_to.program != NULL)
		log_text_str(l, "prog", log_to.program);
	for (size_t i = 0; i < n; i++)
		log_text_field(l, &fields[i]);
	log_tail(l, l->cut ? " cut=true\n" : "\n");
}

static void log_json(struct log_line *l, const char *level, const char *event, const struct log_field *fields, size_t n)
{
	char now[CLOCK_RFC3339_SIZE];

	clock_rfc3339(now, clock_wall_ms());
	log_printf(l, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", now, level, event);
	if (log_to.program != NULL)
		log_json_str(l, "prog", log_to.program);
	for (size_t i = 0; i < n; i++)
		log_json_field(l, &fields[i]);
	log_tail(l, l->cut ? ",\"cut\":true}\n" : "}\n");
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
	const int saved_errno = errno;
	struct log_line line;
	ssize_t rc;

	line.n = 0;
	line.cut = false;
	if (log_to.format == LOG_FORMAT_JSON)
		log_json(&line, log_level_names[level], event, fields, n);
	else
		log_text(&line, log_level_names[level], event, fields, n);
	/* A log that cannot be written has nowhere to complain. */
	do {
		rc = write(log_to.fd, line.text, line.n);
	} while (rc < 0 && errno == EINTR);
	errno = saved_errno;
}
