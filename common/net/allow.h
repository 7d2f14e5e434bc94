/*
 * allow - what may be dialled, or listened on: host names and address ranges, each with its ports. Pure.
 *
 *	localhost, 10.1.0.0/16:5432, db.internal:5432-5440, *.lan:80, [2001:db8::/32]:443, any
 *
 * A name on the list is dialled wherever it leads; any other name only to addresses that are on the list, which is
 * asked of the address that will really be dialled. "localhost" stands for the loopback addresses.
 *
 * Owner: shared, by reference; never changed once made. Thread: one.
 */
#ifndef PORTWAY_NET_ALLOW_H
#define PORTWAY_NET_ALLOW_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

#define ALLOW_RULES_MAX 256
#define ALLOW_DEFAULT   "localhost"

struct addr;
struct allow;
struct err;

/* Rules by comma or blank. ERR_VALIDATION names the field and the rule that is wrong. */
int allow_parse(struct allow **out, const char *field, const char *text, struct err *e) MUST_CHECK;
struct allow *allow_ref(struct allow *a);
void allow_unref(struct allow *a); /* NULL is fine */

/* By its name alone; an IP literal is no name. */
bool allow_has_name(const struct allow *a, const char *host, uint16_t port);
bool allow_has_addr(const struct allow *a, const struct addr *addr);

#endif
