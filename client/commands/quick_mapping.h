/*
 * quick_mapping - the mapping of a quick command: made where it was the last time if that is still free, and removed.
 */
#ifndef PORTWAY_CLIENT_COMMANDS_QUICK_MAPPING_H
#define PORTWAY_CLIENT_COMMANDS_QUICK_MAPPING_H

#include "common/base/macros.h"

struct quick;

int quick_mapping_make(struct quick *q) MUST_CHECK;
/* One that is gone is as good as deleted. */
int quick_mapping_delete(struct quick *q, const char *id) MUST_CHECK;
/* At the end; one that is to stay is kept for the next `portway agent` of this client. */
void quick_mapping_end(struct quick *q);

#endif
