/*
 * quick_news - what becomes of a quick command's tunnel while it runs: a line for people on stderr, which says what to do as
 * well; with --json an object on stdout, one a line, after the one that said where it can be reached.
 *
 * Thread: any; a line is written as a whole.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_QUICK_NEWS_H
#define PORTWAY_CLIENT_COMMANDS_QUICK_NEWS_H

struct invocation;

struct quick_news {
	const char *event; /* "mapping_down"; scripts rely on it */
	const char *message;
	const char *what_to_do; /* NULL: nothing */
};

void quick_news_tell(const struct invocation *in, const struct quick_news *n);

#endif
