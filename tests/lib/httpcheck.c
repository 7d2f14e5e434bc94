/*
 * httpcheck - what the HTTP codec says to some bytes; the rows of tests/conformance/http1.txt are checked with it.
 *
 * Standard input, line by line: what is read, a blank, the bytes in hexadecimal. "-" is requests; "ghcu" responses, then the
 * end of the connection, and what was asked: g GET, h HEAD, c CONNECT, u Upgrade. Standard output: a line for each, with
 * a word for each message: ok:CONTENT (requests) or STATUS:CONTENT, +FIELDS for a trailer section; part:CONTENT if it has
 * no end; wait if its head has none; STATUS:FAULT for one that is refused, 502 for a response; hold where HTTP may end.
 * The bytes are read whole and in small pieces; if that makes a difference, both are said, and this fails.
 */
#define _GNU_SOURCE
#include "common/base/str.h"
#include "common/http/http_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1024 * 1024)

struct check {
	struct http_reader reader;
	struct http_head head;
	const char *asked;
	char words[4096];
	size_t n;
	unsigned long long content;
	int trailers; /* -1: none */
	unsigned status;
	bool inside;
};

static void PRINTF(2, 3) say(struct check *c, const char *fmt, ...)
{
	va_list ap;

	if (c->n > 0)
		c->words[c->n++] = ' ';
	va_start(ap, fmt);
	c->n += (size_t)vsnprintf(c->words + c->n, sizeof c->words - c->n, fmt, ap);
	va_end(ap);
	if (c->n + 1 >= sizeof c->words)
		abort();
}

static void ask(struct check *c)
{
	if (c->asked == NULL || *c->asked == '\0')
		return;
	http_reader_ask(&c->reader, &(struct http_asked){ *c->asked == 'h', *c->asked == 'c', *c->asked == 'u' });
	c->asked++;
}

static void on_end(struct check *c)
{
	char who[16] = "ok", fields[16] = "";

	if (c->status > 0)
		snprintf(who, sizeof who, "%u", c->status);
	if (c->trailers >= 0)
		snprintf(fields, sizeof fields, "+%d", c->trailers);
	say(c, "%s:%llu%s", who, c->content, fields);
	c->inside = false;
	if (c->status == 0 || c->status >= 200)
		ask(c);
}

/* False when nothing can follow. */
static bool on_event(struct check *c, enum http_event event, const struct http_piece *piece)
{
	switch (event) {
	case HTTP_HEAD_IN:
		c->inside = true;
		c->content = 0;
		c->trailers = -1;
		c->status = c->head.status;
		return true;
	case HTTP_DATA:
		c->content += piece->data.n;
		return true;
	case HTTP_TRAILERS:
		c->trailers = c->head.n;
		return true;
	case HTTP_END:
		on_end(c);
		return true;
	case HTTP_HOLD:
		say(c, "hold");
		return false;
	default:
		if (c->inside && c->content > 0)
			say(c, "part:%llu", c->content);
		say(c, "%u:%s", c->reader.response ? 502 : http_fault_status(piece->fault),
			http_fault_name(piece->fault));
		return false;
	}
}

static void run(struct check *c, const char *asked, const uint8_t *bytes, size_t size, size_t step)
{
	struct http_piece piece = { .used = 0 };
	enum http_event event;
	size_t from = 0, to = 0;
	bool on = true;

	memset(c, 0, sizeof *c);
	c->asked = asked;
	if (asked != NULL)
		http_reader_init_response(&c->reader, &http_limits_default);
	else
		http_reader_init_request(&c->reader, &http_limits_default);
	ask(c);
	while (on && to < size) {
		to += MIN(step, size - to);
		while (on && (event = http_reader_next(&c->reader, &c->head, bytes + from, to - from, &piece)) !=
				     HTTP_MORE) {
			on = on_event(c, event, &piece);
			from += piece.used;
		}
		from += on ? piece.used : 0;
	}
	if (on && asked != NULL) {
		event = http_reader_eof(&c->reader, &piece);
		on = event == HTTP_MORE || on_event(c, event, &piece);
	} else if (on && c->inside) {
		say(c, "part:%llu", c->content);
	} else if (on && from < size) {
		say(c, "wait");
	}
}

/* Of one line of standard input: what was asked, and the bytes in hexadecimal. */
static int check_line(char *line)
{
	static const size_t steps[] = { 1, 2, 3, 7, 100 };
	static struct check whole, pieces;
	char *const blank = strchr(line, ' ');
	const char *const asked = line[0] == '-' ? NULL : line;
	uint8_t *bytes;
	int n, rc = 0;

	if (blank == NULL || (bytes = malloc(strlen(blank))) == NULL)
		return 1;
	*blank = '\0';
	blank[strcspn(blank + 1, "\n") + 1] = '\0';
	n = str_unhex(bytes, strlen(blank + 1), blank + 1);
	if (n < 0) {
		free(bytes);
		return 1;
	}
	run(&whole, asked, bytes, (size_t)n, INPUT_MAX);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		run(&pieces, asked, bytes, (size_t)n, steps[i]);
		if (strcmp(whole.words, pieces.words) != 0) {
			printf("whole: %s; in pieces of %zu: ", whole.words, steps[i]);
			rc = 1;
			break;
		}
	}
	puts(pieces.words);
	free(bytes);
	return rc;
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	int rc = 0;

	while (getline(&line, &cap, stdin) > 0)
		rc |= check_line(line);
	free(line);
	return rc;
}
