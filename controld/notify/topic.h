/*
 * topic - what a change is called towards webhooks ("mapping.created"), who may be told of it, and the text that is sent.
 *
 * Thread: any.
 */
#ifndef PORTWAY_CONTROLD_NOTIFY_TOPIC_H
#define PORTWAY_CONTROLD_NOTIFY_TOPIC_H

#include "common/base/macros.h"
#include "controld/store/changes.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define TOPIC_SIZE     96
#define TOPIC_BODY_MAX (4 * CHANGES_OBJECT_MAX)

#define TOPIC_SUBJECT_SIZE 128

/* A change that says that somebody sent an event: its name is the subject, its data the object. */
#define TOPIC_EVENT_KIND "event"
#define TOPIC_EVENT_OP   "dispatch"

/* The member `origin` of a body: a name says nothing of it, since people may send events of any kind of their tenant's. */
#define TOPIC_SYSTEM "system" /* it has happened */
#define TOPIC_MANUAL "manual" /* somebody sent it, `sent_by` */

void topic_name(char dst[TOPIC_SIZE], const struct change *c);
/* False for what belongs to no tenant, or is for system administrators only. */
bool topic_is_open(const struct change *c);
/* Whether a list ("*", "mapping.*,login.login_failed") has it. */
bool topic_matches(const char *list, const char *topic);
/* An array of names and patterns as a list; ERR_VALIDATION. */
int topic_list_take(const json_t *events, char *dst, size_t size, struct err *e) MUST_CHECK;
/* Whether somebody may send an event of this name: kind.verb. */
bool topic_is_name(const char *s);
/* The body: JSON text. */
void topic_body(struct buf *b, const struct change *c, const char *topic, const uint8_t log_id[CHANGES_LOG_ID_SIZE]);
/* A body that waits to be sent, without what may name people: that something was done to which id stays. Malloc'ed; NULL when
 * there is no memory. */
char *topic_blank(const char *body);

#endif
