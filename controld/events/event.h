/*
 * event - a row of the change log as a subscriber gets it: its text, and who may see it.
 *
 * Made on a worker, then read only. Owner: the batch it is in.
 */
#ifndef PORTWAY_CONTROLD_EVENTS_EVENT_H
#define PORTWAY_CONTROLD_EVENTS_EVENT_H

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "controld/identity/identity.h"
#include "controld/store/changes.h"

#include <stdbool.h>
#include <stdint.h>

#define EVENTS_KINDS_SIZE 256
#define EVENTS_TEXT_MAX   (CHANGES_OBJECT_MAX * 2)
#define EVENTS_ID_SIZE    40

struct event {
	int64_t seq;
	char tenant_id[40]; /* "" for what belongs to none */
	char kind[32];
	enum permission needs;
	bool about_identity; /* whoever listens may no longer be allowed to */
	struct buf text;     /* "id: ...\nevent: change\ndata: {...}\n\n" */
};

/* What a subscriber asked for. */
struct event_filter {
	struct identity who;
	char tenant_id[40];            /* "": every one; system administrators only */
	char kinds[EVENTS_KINDS_SIZE]; /* "mapping,client", "": all */
};

void event_make(struct event *ev, const struct change *c, const uint8_t log_id[CHANGES_LOG_ID_SIZE]);
void event_fini(struct event *ev);
/* Into an object: the names of the fields that a change touched, which the log has with commas between, as "fields": [...]. */
void event_put_fields(struct buf *b, const char *fields);
/* What one must be allowed to, to be told of objects of that kind. */
enum permission event_needs(const char *kind);
bool event_is_for(const struct event *ev, const struct event_filter *f);

/* The position in the log: "1f2e3d4c-1234", the beginning of the log's id and a sequence. */
void event_id_print(char dst[EVENTS_ID_SIZE], const uint8_t log_id[CHANGES_LOG_ID_SIZE], int64_t seq);
/* 0; 1 when it is of another log; -1 when it is none. */
int event_id_parse(const char *s, const uint8_t log_id[CHANGES_LOG_ID_SIZE], int64_t *seq) MUST_CHECK;

#endif
