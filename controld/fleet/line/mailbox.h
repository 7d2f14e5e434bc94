/*
 * mailbox - what other threads leave for one thread to do: letters in their order, one wake-up, one deadline.
 *
 * A letter is embedded in the object it is about (a context, a connection, a batch). So posting cannot fail, and no more
 * letters can wait than there are such objects. A letter is in one mailbox at a time; posting one that waits already
 * changes nothing, which makes a letter without content a wake-up.
 *
 * Owner:  whoever made it; it outlives its letters.
 * Thread: mailbox_post() any; mailbox_wait() the one thread that the mailbox belongs to.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MAILBOX_H
#define PORTWAY_CONTROLD_FLEET_LINE_MAILBOX_H

#include "common/base/list.h"
#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct mailbox;

struct letter {
	struct list link;
	bool posted;
	void (*open)(struct letter *l); /* may free what embeds the letter, or post it again */
};

void letter_init(struct letter *l, void (*open)(struct letter *l));

int mailbox_new(struct mailbox **out, struct err *e) MUST_CHECK;
void mailbox_free(struct mailbox *m); /* letters that still wait are forgotten, not opened */
void mailbox_post(struct mailbox *m, struct letter *l);
/* Sleeps until there is a letter or the deadline is reached, then opens all that came so far. */
void mailbox_wait(struct mailbox *m, uint64_t deadline_mono_ms);
/* Opens what waits, without sleeping. */
void mailbox_drain(struct mailbox *m);

#endif
