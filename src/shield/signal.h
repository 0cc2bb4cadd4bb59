/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_SIGNAL_H
#define BF_SHIELD_SIGNAL_H
/*
 * One class of packets at one destination: what is ordinary there, how far it
 * is from that, and since when. Internal to src/shield.
 */
#include "shield/baseline.h"
#include "shield/detect.h"

/* What a tick says about a class, in packets a second. */
struct bf_reading {
	double rate; /* all */
	double unknown; /* from sources that are not known good */
	double odd; /* that nothing explains; may be negative where explanations come early */
	double strangers; /* share of unknown sources; SYN only */
	double odd_low; /* how far the sum may fall below 0 for that */
	double paired;
	double dt_s;
	unsigned slot; /* of the day */
	double floor; /* factor on the floors: sensitivity, warming up, all destinations together */
	double times; /* factor on what is compared with the ordinary: sensitivity */
	bool odd_known; /* odd is measured */
	bool strange; /* the sources are not spread as they are at other times */
	bool talk; /* one source sends it, and is answered: a conversation, whatever its rate */
	bool young; /* nothing is known about this destination yet */
};

struct bf_signal {
	struct bf_baseline all; /* packets */
	struct bf_baseline unknown; /* packets from unknown sources */
	struct bf_baseline odd;
	struct bf_baseline paired;
	double sum_odd, sum_surge; /* CUSUM */
	double live; /* paired a second, now */
	double asked, familiar; /* packets a second, of them from sources that are known, now */
	double down_s; /* it counts as down for so long yet */
	double lately; /* the most of it, wearing off */
	double guests; /* the same of strangers */
	double ratio; /* paired of each packet, as it is when all is well ... */
	double ratio_s; /* ... learned over so long, at most 30 */
	double odd_limit, surge_limit; /* thresholds of the last tick */
	double odd_now, unknown_now; /* smoothed */
	uint64_t risen_ns; /* the sum left zero */
	uint64_t over_ns; /* last tick over the release threshold */
	uint64_t fired_ns, released_ns;
	double hold_s;
	uint16_t record; /* index + 1 of the attack; 0: none */
	uint8_t on; /* an attack is on */
	uint8_t evidence;
};

/* Sets thresholds and sums. True: an attack begins with this tick. */
bool bf_signal_step(struct bf_signal *s, enum bf_class c, const struct bf_reading *r,
		    uint64_t now_ns);
/* While on: true when it is over and the limits shall go. */
bool bf_signal_over(struct bf_signal *s, uint64_t now_ns);
/* Not for ticks in or near an attack. */
void bf_signal_learn(struct bf_signal *s, enum bf_class c, const struct bf_reading *r);
/* For so long nothing of this class came. */
void bf_signal_age(struct bf_signal *s, double age_s);
/* Nothing suspicious. */
bool bf_signal_calm(const struct bf_signal *s);
/* Packets a second that unknown sources may send while the attack is on. */
double bf_signal_allowance(const struct bf_signal *s, enum bf_class c, unsigned slot);
/* How many packets one that came back stands for, with room. 0: nothing comes back here. */
double bf_signal_pairing(const struct bf_signal *s, enum bf_class c);

/* A surge that has lasted an hour: a service that grew. It is learned from again. */
bool bf_signal_forever(const struct bf_signal *s, uint64_t now_ns);

bool bf_class_is_tcp(enum bf_class c);
bool bf_class_is_amp(enum bf_class c);

#endif
