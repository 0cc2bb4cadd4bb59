// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "shield/baseline.h"

#define YOUNG_S 5.0
#define ROOM 1.25

void bf_baseline_learn(struct bf_baseline *b, const struct bf_learning *l, double x, double cap,
		       double dt_s, unsigned slot)
{
	/* The mean of all there was, until that is longer than the memory; not of a moment. */
	double memory = fmin(fmax(b->age_s + dt_s, YOUNG_S), l->memory_s);
	double a = fmin(1, dt_s / memory), mean;

	if (slot >= BF_SLOTS)
		slot = 0;
	if (x > cap)
		x = cap;
	mean = b->mean + a * (x - b->mean);
	/*
	 * A young one has to come to its level first; its cap holds it. Then there is
	 * some room over the mean, or ups that count less than downs would pull it down.
	 */
	if (b->age_s < l->memory_s)
		b->ceiling = ROOM * mean;
	else if (mean >= b->ceiling)
		b->ceiling *= 1 + dt_s * M_LN2 / l->doubling_s;
	else if (b->ceiling > ROOM * mean)
		b->ceiling += a * (ROOM * mean - b->ceiling);
	mean = fmin(mean, fmax(b->ceiling, l->free));
	b->dev += a * (fabs(x - b->mean) - b->dev);
	b->mean = mean;
	b->age_s += dt_s;

	if (slot != b->slot) {
		/* A slot seen for half a minute says nothing about an hour. */
		if (b->slot_s > 30) {
			float now = b->slot_sum / b->slot_s, *day = &b->day[b->slot];

			*day = *day > 0 ? *day + 0.3f * (now - *day) : now;
		}
		b->slot = slot;
		b->slot_sum = b->slot_s = 0;
	}
	b->slot_sum += x * dt_s;
	b->slot_s += dt_s;
}

double bf_baseline_expect(const struct bf_baseline *b, unsigned slot)
{
	double most = b->mean;

	for (unsigned i = 0; i < 2; i++)
		if (b->day[(slot + i) % BF_SLOTS] > most)
			most = b->day[(slot + i) % BF_SLOTS];
	return most;
}
