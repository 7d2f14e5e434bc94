/*
 * zone - the clocks of a place: what they show at an instant, and the instant at which they show something.
 *
 * By name from the system's time zone database (tzdata), read as TZif files, so that no environment variable and no state of
 * the C library is touched; or a fixed offset, which needs no database.
 *
 * Owner:  who opened it; immutable.
 * Thread: any, shared freely.
 * Ends:   zone_free(), NULL is fine.
 */
#ifndef PORTWAY_BASE_ZONE_H
#define PORTWAY_BASE_ZONE_H

#include "common/base/civil.h"
#include "common/base/macros.h"

#include <stddef.h>
#include <stdint.h>

#define ZONE_NAME_SIZE 64

struct zone;
struct err;

/* "UTC", "Z", "+02:00", "-09:30" or a name of the database such as "Europe/Berlin"; ERR_VALIDATION names what is wrong. */
int zone_open(struct zone **out, const char *name, struct err *e) MUST_CHECK;
/* The same from the bytes of a TZif file, version 2 or later (RFC 8536). */
int zone_parse(struct zone **out, const void *tzif, size_t n, struct err *e) MUST_CHECK;
void zone_free(struct zone *z);

/* How far its clocks are ahead of UTC. */
int64_t zone_offset_ms(const struct zone *z, int64_t utc_ms);
void zone_local(const struct zone *z, int64_t utc_ms, struct civil *out);
/*
 * When its clocks show this. What they show twice (clocks set back) is the first of the two; what they skip (set forward) is
 * the moment at which they skip it. So a time that rises never becomes an instant that falls.
 */
int64_t zone_utc(const struct zone *z, const struct civil *local);

#endif
