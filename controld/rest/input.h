/*
 * input - what came with a request against what its row allows: query parameters and body, all errors at once.
 */
#ifndef PORTWAY_CONTROLD_REST_INPUT_H
#define PORTWAY_CONTROLD_REST_INPUT_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct err_list;
struct query_args;
struct request;
struct route;

/* The parameters of the row, and limit, cursor and api_key; anything else is an error by name. */
void input_check_query(const struct route *route, const struct query_args *args, struct err_list *errs);
/* Parses and checks. -1 with *e when nothing can be said about single fields; else look into rq->errors. */
int input_read(struct request *rq, size_t body_max, struct err *e) MUST_CHECK;
/* Takes what is wrong out of the body. False: something is left that its schema does not allow, or there is more than is listed. */
bool input_leave_right(struct request *rq);

#endif
