/*
 * app - the root of controld: opens the parts in order, runs the loop, takes signals, closes the parts in reverse.
 *
 * Thread: main's, which becomes the loop thread.
 */
#ifndef PORTWAY_CONTROLD_APP_H
#define PORTWAY_CONTROLD_APP_H

#include "common/base/macros.h"

struct options;

/* Runs until it is told to stop: 0; -1 when it could not start, with the reason on standard error. */
int app_main(const struct options *o) MUST_CHECK;

#endif
