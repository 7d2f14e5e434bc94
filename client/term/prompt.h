/*
 * prompt - asking a person: a line that is seen, a secret that is not. What the terminal was set to comes back also when the
 * person interrupts.
 */
#ifndef PORTWAY_CLIENT_TERM_PROMPT_H
#define PORTWAY_CLIENT_TERM_PROMPT_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>

struct err;

/* Whether somebody is there to be asked: the standard input is a terminal. */
bool prompt_possible(void);
/* Asks on the terminal and reads a line without its end. ERR_BAD_REQUEST: nothing came, or more than fits. */
int prompt_line(const char *question, char *dst, size_t size, struct err *e) MUST_CHECK;
int prompt_secret(const char *question, char *dst, size_t size, struct err *e) MUST_CHECK;
/* The first line of the standard input, asked or not. */
int prompt_read(char *dst, size_t size, struct err *e) MUST_CHECK;

#endif
