/*
 * keys - the master keys: from the settings, or from files in data_dir.
 *
 * With files, changing the key goes: the key is copied to master.key.old, a new one takes its place, everything is sealed
 * with it, the old one is removed. Whatever interrupts that, a start finds all it needs, and the next try goes on.
 *
 * Thread: before threads start.
 */
#ifndef PORTWAY_CONTROLD_KEYS_H
#define PORTWAY_CONTROLD_KEYS_H

#include "common/base/macros.h"

#include <stdbool.h>

struct err;
struct settings;
struct store;

/* Gives them to the store. A database without secrets gets a key file if there is none. */
int keys_load(struct store *s, const struct settings *settings, struct err *e) MUST_CHECK;
/* Whether the key is a file: then only who has the database alone may change it. */
bool keys_in_file(const struct settings *settings);
/* A new key file, unless that has been done; then keys_load() has both. */
int keys_renew(const struct settings *settings, struct err *e) MUST_CHECK;
/* Nothing is sealed with the old key any more. */
int keys_forget_old(const struct settings *settings, struct err *e) MUST_CHECK;

#endif
