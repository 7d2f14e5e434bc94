/*
 * log - one event, one line: time, level, event name, key=value fields.
 *
 * Thread: any; a line is written with one write(2). Set up once in main before threads start.
 * Values are quoted and escaped as needed, so what a peer sends cannot forge a line. Secrets are never logged.
 * A line is at most 4 KiB; what did not fit is left out and the line ends with cut=true.
 *
 *	log_info("node_joined", log_s("node", name), log_u("revision", rev));
 *	2026-11-22T10:00:00.123Z info node_joined prog=controld node=edge-1 revision=42
 */
#ifndef PORTWAY_BASE_LOG_H
#define PORTWAY_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
	const char *key;
	enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_REAL } type;
	union {
		const char *s;
		int64_t i;
		uint64_t u;
		double d;
	};
};

/* program: name in each line's prog field; fd: 2 unless a test says otherwise. */
void log_init(const char *program, enum log_level level, enum log_format format, int fd);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);

static inline struct log_field log_s(const char *key, const char *s) /* NULL prints as - */
{
	return (struct log_field){ .key = key, .type = LOG_FIELD_STR, .s = s };
}
static inline struct log_field log_i(const char *key, int64_t i)
{
	return (struct log_field){ .key = key, .type = LOG_FIELD_INT, .i = i };
}
static inline struct log_field log_u(const char *key, uint64_t u)
{
	return (struct log_field){ .key = key, .type = LOG_FIELD_UINT, .u = u };
}
static inline struct log_field log_d(const char *key, double d)
{
	return (struct log_field){ .key = key, .type = LOG_FIELD_REAL, .d = d };
}
struct log_field log_errno(int errnum);        /* errno="No such file or directory" */
struct log_field log_err(const struct err *e); /* err="..." */

#define LOG_AT(level, event, ...)                                                                  \
	do {                                                                                       \
		if (log_enabled(level)) {                                                          \
			const struct log_field log_f_[] = { { .key = NULL }, ##__VA_ARGS__ };      \
			log_write(level, event, log_f_ + 1, sizeof log_f_ / sizeof log_f_[0] - 1); \
		}                                                                                  \
	} while (0)
#define log_debug(event, ...) LOG_AT(LOG_LEVEL_DEBUG, event, ##__VA_ARGS__)
#define log_info(event, ...)  LOG_AT(LOG_LEVEL_INFO, event, ##__VA_ARGS__)
#define log_warn(event, ...)  LOG_AT(LOG_LEVEL_WARN, event, ##__VA_ARGS__)
#define log_error(event, ...) LOG_AT(LOG_LEVEL_ERROR, event, ##__VA_ARGS__)

#endif
