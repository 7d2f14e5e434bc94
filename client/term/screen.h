/*
 * screen - a page on the terminal that is drawn anew: its own buffer of the terminal, no cursor, keys as they are pressed.
 *
 * However the program ends or is stopped, by a key, by a signal, the terminal is afterwards what it was. There is one
 * terminal, so there is one screen: screen_open() and screen_close() come in pairs.
 * Thread: one.
 */
#ifndef PORTWAY_CLIENT_TERM_SCREEN_H
#define PORTWAY_CLIENT_TERM_SCREEN_H

#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

enum screen_event {
	SCREEN_TIME,   /* the time is over */
	SCREEN_RESIZE, /* or it came back after a stop: draw again */
	SCREEN_QUIT,   /* q */
	SCREEN_LOST,   /* nobody looks any more */
};

/* -1: the standard output is no terminal. */
int screen_open(void) MUST_CHECK;
void screen_close(void);
void screen_size(size_t *rows, size_t *columns);

/* Draws a page: lines ended by '\n', harmless already (out/text.h). What is wider or longer than the screen is cut. */
int screen_draw(const char *page) MUST_CHECK; /* -1: it could not be written */

enum screen_event screen_wait(uint64_t ms);

#endif
