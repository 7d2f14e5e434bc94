/*
 * failure - why a command could not do what was asked: the exit code, one sentence, and everything wrong with the input.
 *
 * Owner: whoever declares it, on the stack; nothing to free. It is large (every wrong field is kept): one per command.
 */
#ifndef PORTWAY_CLIENT_API_FAILURE_H
#define PORTWAY_CLIENT_API_FAILURE_H

#include "client/exit_codes.h"
#include "common/base/err.h"
#include "common/base/macros.h"

#include <stdio.h>

struct http_answer;

struct failure {
	enum command_exit exit;
	char code[48];       /* of the API, "VALIDATION_ERROR"; "" if controld did not say it */
	char message[512];   /* one sentence */
	char request_id[64]; /* to look it up in controld's log; "" if none */
	struct err_list wrong;
};

/* All answer -1, so that `return failure_set(...)` reads as what it is. */
int failure_set(struct failure *f, enum command_exit code, const char *fmt, ...) PRINTF(3, 4);
int failure_from_err(struct failure *f, enum command_exit code, const struct err *e);
/* From an answer of 400 and up. path: what was asked for, when the answer does not say. */
int failure_from_answer(struct failure *f, const struct http_answer *a, const char *path);

#ifdef __clang_analyzer__ /* which does not see into failure.c: these answer -1 */
#define failure_set(...)         ((void)(failure_set)(__VA_ARGS__), -1)
#define failure_from_err(...)    ((void)(failure_from_err)(__VA_ARGS__), -1)
#define failure_from_answer(...) ((void)(failure_from_answer)(__VA_ARGS__), -1)
#endif

/* To the terminal, one line for each wrong field. Answers f->exit. */
int failure_print(const struct failure *f, FILE *to, const char *who);

#endif
