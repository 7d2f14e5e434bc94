/*
 * cors - which web origins may call the API from a browser (Fetch standard, "CORS protocol").
 */
#ifndef PORTWAY_CONTROLD_REST_CORS_H
#define PORTWAY_CONTROLD_REST_CORS_H

#include "common/base/macros.h"

#include <stdbool.h>

struct reply;

/* list: "https://a.example, https://b.example", "*" for all, "" for none. */
bool cors_allows(const char *list, const char *origin);
/* The headers of an answer to this origin (NULL: none sent). preflight: those of OPTIONS as well. */
void cors_headers(struct reply *rp, const char *list, const char *origin, bool preflight);

#endif
