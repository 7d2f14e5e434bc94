/*
 * lb_outlier - targets that are put aside because of how they answer: passive health.
 *
 * A target is ejected when it failed so many times in a row, or when its success rate is far below that of the others. Its
 * time out grows with each ejection that follows another. The cap on how many may be out is checked with the ejection that is
 * proposed counted in: a cap of 10 % of 20 is two, and of 5 it is none, whatever several workers propose at once.
 *
 * Owner:  the pool's object. Thread: lb_outlier_answer() any worker; lb_outlier_tick() the control thread.
 */
#ifndef PORTWAY_RELAYD_LB_LB_OUTLIER_H
#define PORTWAY_RELAYD_LB_LB_OUTLIER_H

#include "relayd/lb/upstream.h"

struct lb_outlier_conf {
	uint32_t failures_in_row; /* 0: not looked at */
	uint32_t max_percent;     /* of the targets that may be out at once */
	uint64_t base_ns;         /* out for so long, times the number of the ejection */
	uint64_t max_ns;
	uint32_t min_answers; /* between two ticks, for a success rate to say something */
	uint32_t min_targets; /* with such a rate, to compare with; 0: rates are not looked at */
	uint32_t deviations;  /* times ten: 19 is 1.9 standard deviations below the mean */
};

enum lb_outlier_why { LB_FAILED_IN_ROW, LB_RATE, LB_BACK };

/* An event: ejected for `why`, or back; rate in percent where it was the reason. */
typedef void lb_outlier_fn(void *arg, struct upstream *u, enum lb_outlier_why why, double rate);

struct lb_outlier {
	struct lb_outlier_conf conf;
	uint32_t n;               /* targets in all */
	uint32_t out;             /* atomic */
	lb_outlier_fn *on_change; /* may be called by any worker */
	void *arg;
};

void lb_outlier_init(
	struct lb_outlier *o, const struct lb_outlier_conf *conf, uint32_t n, lb_outlier_fn *on_change, void *arg);
/* A request was answered, or failed. True if u was ejected by that. */
bool lb_outlier_answer(struct lb_outlier *o, struct upstream *u, bool failed, uint64_t now_ns);
/* Lets back in whose time is over, and compares success rates. How many came or went. */
uint32_t lb_outlier_tick(struct lb_outlier *o, struct upstream *const *ups, uint32_t n, uint64_t now_ns);

#endif
