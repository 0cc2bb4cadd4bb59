/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_BASELINE_H
#define BF_SHIELD_BASELINE_H
/*
 * What is ordinary: an exponentially weighted mean and deviation of a rate
 * (Roberts 1959), with one value for each hour of the day beside it, for what
 * comes every day at this time is ordinary too (a seasonal part as Holt and
 * Winters have it, as a maximum instead of a sum).
 *
 * And what is a change: the non-parametric CUSUM (Page 1954; for SYN floods
 * Wang, Zhang and Shin, INFOCOM 2002).
 */
#include <stdint.h>

#define BF_SLOTS 24 /* of a day */

struct bf_baseline {
	double mean; /* a second */
	double dev; /* mean absolute deviation */
	double ceiling; /* what the mean may grow to */
	double age_s; /* that it has learned */
	double slot_sum, slot_s; /* of the slot that is going on */
	uint8_t slot; /* which that is */
	float day[BF_SLOTS]; /* as it was in that slot on the days before */
};

/* How it learns; one for all baselines of a detector. */
struct bf_learning {
	double memory_s; /* time constant of the mean */
	double doubling_s; /* a mean may double in this time, and not faster: slow ramps */
	double free; /* up to here it may grow at once */
};

/* x: the rate over the last dt_s seconds; above `cap` it counts as cap. */
void bf_baseline_learn(struct bf_baseline *b, const struct bf_learning *l, double x, double cap,
		       double dt_s, unsigned slot);

/* The larger of the mean and of what this slot and the next had on other days. */
double bf_baseline_expect(const struct bf_baseline *b, unsigned slot);

/* One step: `x` a second above `allow` adds up, below it wears off; never under `low`. */
static inline double bf_cusum(double sum, double x, double allow, double dt_s, double low)
{
	sum += (x - allow) * dt_s;
	return sum > low ? sum : low;
}

#endif
