/*
 * fd_budget - who may have how many of the process's descriptors, decided before the kernel says EMFILE.
 *
 * One for the process. Thread: any (atomic): who comes at the same moment may go beyond his share by what the other one takes.
 * Of the limit, FD_SPARE are nobody's here (logs, the link, files, a connection that is only accepted to be refused),
 * and listening sockets may use what leaves an eighth to sessions: a port that does not fit is off with its reason,
 * and the ports that do fit stay usable.
 */
#ifndef PORTWAY_UV_FD_BUDGET_H
#define PORTWAY_UV_FD_BUDGET_H

#include "common/base/macros.h"

#include <stdbool.h>
#include <stdint.h>

#define FD_SPARE 64

enum fd_use { FD_FOR_PORTS, FD_FOR_SESSIONS };

struct fd_budget {
	uint32_t limit;
	uint32_t used; /* atomic */
};

/* What one of the many who share the budget holds of it: a mapping, on all workers. */
struct fd_share {
	uint32_t used; /* atomic */
};

/* limit: RLIMIT_NOFILE as it stands. */
void fd_budget_init(struct fd_budget *b, uint32_t limit);
bool fd_budget_take(struct fd_budget *b, uint32_t n, enum fd_use use) MUST_CHECK;
void fd_budget_give(struct fd_budget *b, uint32_t n);
/*
 * For a session of one among many. Once three quarters of all descriptors are in use, he gets one only while he holds fewer than
 * are left (share.h).
 */
bool fd_budget_take_share(struct fd_budget *b, struct fd_share *s, uint32_t n) MUST_CHECK;
/* For who gave back as many just now, to have them for another session: he holds no more than before. */
bool fd_budget_retake_share(struct fd_budget *b, struct fd_share *s, uint32_t n) MUST_CHECK;
void fd_budget_give_share(struct fd_budget *b, struct fd_share *s, uint32_t n);
/* Whether it would be refused for what he holds, and for nothing else. */
bool fd_budget_is_over_share(const struct fd_budget *b, const struct fd_share *s, uint32_t n);
uint32_t fd_budget_used(const struct fd_budget *b);
/* Less than a sixteenth is left: nobody should keep any that he does not need now. */
bool fd_budget_is_short(const struct fd_budget *b);
/* How many a use may hold together with everything else. */
uint32_t fd_budget_ceiling(const struct fd_budget *b, enum fd_use use);

#endif
