/*
 * mapping_port - the ports of a mapping when the caller left the choice to controld: picked, and picked again when a
 * relay finds them held by another program there, which no row of ours tells.
 *
 * Picked ports move until a relay has them and none refuses, nor does for MAPPING_SETTLE_MS: a relay has those of a
 * client's machine before its agent has tried them. Then they are settled, because people know them by then.
 * They move MAPPING_PICKS_MAX - 1 times at most; a relay that still refuses makes the mapping's status `error`, as it
 * does at once when the caller asked for these very ports.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_PORT_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_PORT_H

#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/store/store.h"
#include "controld/tunnels/mapping.h"

#include <stdbool.h>
#include <stdint.h>

#define MAPPING_PICKS_MAX 8
#define MAPPING_SETTLE_MS 10000

struct mapping_statuses;
struct tunnels;
struct tunnels_conf;

/* Claims the ports of *m in its transaction; 0 up to n - 1: picks n in a row. */
int mapping_port_claim(struct db *tx, const struct tunnels_conf *conf, struct mapping *m, struct err *e) MUST_CHECK;

/* Whether a relay finds the ports of *m taken, and they may move. */
bool mapping_port_must_move(struct mapping_statuses *s, const struct mapping *m);
/* Moves them, unless somebody has changed the mapping since *m was read; *m is as it is then. */
int mapping_port_move(struct tunnels *t, struct mapping *m, const char *request_id, struct err *e) MUST_CHECK;

/* Moves what relays found taken after the callers had their answers, settles what they have. To be called every few
 * seconds. */
int mapping_port_tick(struct tunnels *t, int64_t now_ms, struct err *e) MUST_CHECK;

extern const struct sql_table mapping_port_sql;

#endif
