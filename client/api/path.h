/*
 * path - the path of a call put together: ids and values from people are encoded, so that none can name another resource.
 */
#ifndef PORTWAY_CLIENT_API_PATH_H
#define PORTWAY_CLIENT_API_PATH_H

struct buf;

void path_segment(struct buf *b, const char *s); /* "/" and s encoded */
/* "?name=value" or "&name=value" */
void path_query(struct buf *b, const char *name, const char *value);

#endif
