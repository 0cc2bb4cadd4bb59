// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "shield/signal.h"

/*
 * Packets a second below which nothing is an attack, and packets that may come
 * in one burst on top. A single core serves ten times that; so much is what a
 * busy client, a retry after an outage or a scanner does.
 */
struct nature {
	double floor;
	double burst;
	double surge; /* floor of what unknown sources may send; 0: that is no sign here */
};

static const struct nature NATURE[BF_CLASSES] = {
	/* 500: what 512 clients that all meet a full queue leave behind. */
	[BF_SYN] = {300, 500, 0},	    [BF_SYNACK] = {500, 150, 0},
	[BF_ACK] = {500, 150, 0},	    [BF_RST] = {500, 150, 0},
	[BF_FIN] = {500, 150, 0},	    [BF_UDP] = {2000, 500, 2000},
	[BF_AMP_DNS] = {500, 150, 0},	    [BF_AMP_NTP] = {500, 150, 0},
	[BF_AMP_SSDP] = {500, 150, 0},	    [BF_AMP_MEMCACHED] = {500, 150, 0},
	[BF_AMP_CLDAP] = {500, 150, 0},	    [BF_AMP_SNMP] = {500, 150, 0},
	[BF_AMP_CHARGEN] = {500, 150, 0},   [BF_AMP_QOTD] = {500, 150, 0},
	[BF_DNS_QUERY] = {1000, 250, 1000}, [BF_ICMP] = {2000, 500, 2000},
	[BF_OTHER] = {1000, 250, 1000},	    [BF_FRAGMENT] = {1000, 250, 1000},
};

#define LATE 0.2 /* seconds at twice the threshold until it fires */
#define LIVE_S                                                                                     \
	0.3 /* a server that stops answering is known to be down before its SYNs are counted as lost */
#define LOST 0.1 /* of the handshakes; so many fail when all is well */
#define EARLY_S                                                                                    \
	0.5 /* a handshake that is completed at once comes so long before its SYN is late, with room */
#define BACK_S 0.6 /* the time that a handshake may take, and some ticks */
#define RISEN 1.2 /* a crowd brings that many more of the sources that we know */
#define LATELY_S 15.0 /* a server that was busy so long ago may have broken down under it */
#define FAMILIAR 0.15 /* of the SYNs from known sources */
#define CROWD 20 /* times the SYNs of late, when a crowd finds the server down ... */
#define ALONE 4 /* ... and when only its clients do */
#define GUESTS 2 /* times the usual strangers, where a measure is of them and not of all */
#define SETTLE_S 1.0
#define SMOOTH_S 2.0
#define RELEASE 0.5 /* of the threshold: below it the attack is over ... */
#define HOLD_S 6.0 /* ... when it stays there so long */
#define HOLD_AGAIN_S 10.0 /* for one that came back within a minute */
#define FOREVER_S 3600.0 /* a surge that lasts longer is how it is now */

bool bf_class_is_tcp(enum bf_class c)
{
	return c <= BF_FIN;
}

bool bf_class_is_amp(enum bf_class c)
{
	return c >= BF_AMP_DNS && c <= BF_AMP_QOTD;
}

static double most(double a, double b)
{
	return a > b ? a : b;
}

double bf_signal_pairing(const struct bf_signal *s, enum bf_class c)
{
	double ratio;

	if (c == BF_SYN)
		return 1;
	if (bf_class_is_amp(c))
		return 2; /* a second response after a retry */
	if (c == BF_FRAGMENT)
		return 0;
	if (s->ratio_s < 5)
		return 4;
	ratio = s->ratio;
	/* Taken in, never answered (logs, video): an answer missing says nothing. */
	if (ratio < 0.02)
		return 0;
	return 1.5 / (ratio < 1 ? ratio : 1);
}

/* A server that is down answers nobody, and everybody tries again, twice or thrice. */
static bool is_down(const struct bf_signal *s, unsigned slot)
{
	double paired = bf_baseline_expect(&s->paired, slot);
	/* Fewer than is usual, because fewer ask, is no sign. */
	double due = most(0.3 * fmin(paired, s->lately), 0.1 * s->lately);

	/* So few that 20 times as many are below the floor: it makes no difference. */
	return most(paired, s->lately) >= NATURE[BF_SYN].floor / CROWD && s->live < due;
}

/* Odd packets a second that are still put up with. */
static double odd_limit(const struct bf_signal *s, enum bf_class c, const struct bf_reading *r)
{
	double floor = NATURE[c].floor * r->floor;
	double all = bf_baseline_expect(&s->all, r->slot);
	/* What always is odd here, but an attacker who grows slowly shall not teach us more than that. */
	double odd = 3 * fmin(s->odd.mean, floor);

	if (c == BF_SYN) {
		double paired = bf_baseline_expect(&s->paired, r->slot);
		/*
		 * Only strangers' SYNs are ever odd. So known clients with thousands of
		 * connections a second, a benchmark, are no room for a flood.
		 */
		double guests = GUESTS * bf_baseline_expect(&s->unknown, r->slot);
		bool alive = !(s->down_s > 0);
		/*
		 * A crowd that finds it down has people in it whom we know, and more of
		 * them than are here anyway; beside a flood those go on as usual.
		 */
		bool crowd = s->familiar >= FAMILIAR * s->asked &&
			     s->familiar >= RISEN * (s->all.mean - s->unknown.mean);
		double clients = fmin(most(all, s->lately), most(guests, GUESTS * s->guests));
		double down = crowd ? CROWD * most(all, s->lately) : ALONE * clients;
		/* Only strangers' SYNs are ever odd, so of what fails their part. Twice, for it is a guess. */
		double lost = LOST * s->live * fmin(1, 2 * r->strangers);
		double ordinary = most(lost, alive ? 0.5 * fmin(paired, guests) : down);

		return most(floor, r->times * most(odd, ordinary));
	}
	/* What is usual here, but no more than a tenth: known connections are no room for it either. */
	if (bf_class_is_tcp(c))
		return most(floor, r->times * most(odd, fmin(LOST * all, 3 * s->odd.mean)));
	if (bf_class_is_amp(c))
		return most(floor, r->times * odd);
	return most(floor, r->times * most(odd, 0.5 * all));
}

/* Can honest clients come in a crowd? Pings, fragments and tunnels do not. */
static bool crowds(enum bf_class c)
{
	return c == BF_UDP || c == BF_DNS_QUERY;
}

/* Packets a second from unknown sources that are no surge. */
static double surge_limit(const struct bf_signal *s, enum bf_class c, const struct bf_reading *r)
{
	double floor = NATURE[c].surge * r->floor * (r->young ? 10 : 1);
	double all = bf_baseline_expect(&s->all, r->slot);
	double unknown = bf_baseline_expect(&s->unknown, r->slot);
	/* A ramp makes a deviation of itself. */
	double dev = fmin(s->unknown.dev, 0.5 * unknown);

	return most(floor, r->times * most(crowds(c) ? all : 0.25 * all,
					   most(4 * unknown, unknown + 8 * dev)));
}

/*
 * A crowd brings people whom we know, and is spread as clients are. part: 1 to
 * begin, less to go on.
 */
static bool unlike_a_crowd(const struct bf_signal *s, enum bf_class c, const struct bf_reading *r,
			   double part)
{
	return !crowds(c) ||
	       (r->unknown > part * 0.5 * r->rate &&
		(r->strange || r->unknown > part * 4 * bf_baseline_expect(&s->all, r->slot)));
}

/* How far over does not matter to how soon it is over. */
static double clip(double x, double limit)
{
	return fmax(-4 * limit, fmin(4 * limit, x));
}

bool bf_signal_step(struct bf_signal *s, enum bf_class c, const struct bf_reading *r,
		    uint64_t now_ns)
{
	double burst = NATURE[c].burst * r->floor, smooth = fmin(1, r->dt_s / SMOOTH_S), late,
	       low = r->odd_low, now = fmin(1, r->dt_s / LIVE_S), wear;
	bool was = s->sum_odd <= 0 && s->sum_surge <= 0;

	s->asked += now * (r->rate - s->asked);
	s->familiar += now * (r->rate - r->unknown - s->familiar);
	/* When it is back, what it did not answer is still to be counted as late. */
	if (c == BF_SYN)
		s->down_s = is_down(s, r->slot) ? BACK_S : most(0, s->down_s - r->dt_s);
	s->odd_limit = odd_limit(s, c, r);
	s->live += now * (r->paired - s->live);
	/* Fewer because fewer ask, or because it is down? */
	wear = fmin(1, r->dt_s / (s->live >= 0.5 * r->rate ? SETTLE_S : LATELY_S));
	s->lately = most(s->lately - wear * s->lately, s->live);
	s->guests = most(s->guests - wear * s->guests, s->live - s->familiar);
	/* The SYNs of a flood wait as well, and no handshake comes early for them. */
	if (c == BF_SYN)
		low = most(low, -EARLY_S * s->lately);

	/* Handshakes come in clumps: what one tick lacks the next one has. */
	s->odd_now += smooth * (clip(r->odd_known ? r->odd : 0, s->odd_limit) - s->odd_now);
	s->unknown_now += smooth * (clip(r->unknown, s->surge_limit) - s->unknown_now);
	s->sum_odd = r->odd_known ? bf_cusum(s->sum_odd, r->odd, s->odd_limit, r->dt_s, low) : 0;
	late = most(LATE * s->odd_limit, burst);
	/* A restart leaves strays of all connections, once. */
	if (bf_class_is_tcp(c) && c != BF_SYN)
		late = most(late, LATE * LOST * bf_baseline_expect(&s->all, r->slot));
	/* What a long flood has run up must not keep it alive. */
	s->sum_odd = fmin(s->sum_odd, s->on ? late : 4 * late);
	if (NATURE[c].surge > 0) {
		s->surge_limit = surge_limit(s, c, r);
		s->sum_surge = bf_cusum(s->sum_surge, r->unknown, s->surge_limit, r->dt_s, 0);
		s->sum_surge = fmin(s->sum_surge, 4 * most(LATE * s->surge_limit, burst));
	}
	if (was && !bf_signal_calm(s))
		s->risen_ns = now_ns;
	if (s->on) {
		double odd = r->odd_known ? fmin(r->odd, s->odd_now) : 0;

		/* Handshakes that are not late any more were no flood. */
		if (c == BF_SYN && s->sum_odd <= 0)
			odd = 0;
		if (odd > RELEASE * s->odd_limit ||
		    (s->evidence == BF_EV_SURGE && !r->talk && unlike_a_crowd(s, c, r, RELEASE) &&
		     fmin(r->unknown, s->unknown_now) > RELEASE * s->surge_limit))
			s->over_ns = now_ns;
		return false;
	}
	if (s->sum_odd > late) {
		s->evidence = bf_class_is_tcp(c) && c != BF_SYN ? BF_EV_STRAY : BF_EV_UNPAIRED;
	} else if (NATURE[c].surge > 0 && s->sum_surge > most(LATE * s->surge_limit, burst) &&
		   !r->talk && unlike_a_crowd(s, c, r, 1)) {
		s->evidence = BF_EV_SURGE;
	} else {
		return false;
	}
	s->hold_s =
		s->released_ns && now_ns - s->released_ns < 60000000000ull ? HOLD_AGAIN_S : HOLD_S;
	s->on = 1;
	s->fired_ns = s->over_ns = now_ns;
	return true;
}

bool bf_signal_over(struct bf_signal *s, uint64_t now_ns)
{
	double quiet_s = (double)(now_ns - s->over_ns) / 1e9;

	if (!s->on || quiet_s < s->hold_s)
		return false;
	s->on = 0;
	s->released_ns = now_ns;
	s->sum_odd = s->sum_surge = 0;
	return true;
}

bool bf_signal_calm(const struct bf_signal *s)
{
	return !s->on && s->sum_odd <= 0 && s->sum_surge <= 0;
}

void bf_signal_age(struct bf_signal *s, double age_s)
{
	s->all.age_s = s->unknown.age_s = s->odd.age_s = s->paired.age_s = age_s;
}

void bf_signal_learn(struct bf_signal *s, enum bf_class c, const struct bf_reading *r)
{
	const struct nature *n = &NATURE[c];
	struct bf_learning all = {.memory_s = 120, .doubling_s = 300, .free = n->floor};
	struct bf_learning unknown = {.memory_s = 120, .doubling_s = 900, .free = n->floor / 2};

	/*
	 * While most SYNs wait for an answer there is a flood that is not found yet,
	 * or an outage: the one is not ordinary, and for the other the ordinary
	 * shall not be forgotten.
	 */
	if (c == BF_SYN && s->live < 0.5 * s->asked)
		return;
	bf_baseline_learn(&s->all, &all, r->rate, INFINITY, r->dt_s, r->slot);
	/* Strangers do not teach us how often one is answered here. */
	if (r->rate * r->dt_s >= 10 && r->unknown <= 0.5 * r->rate) {
		s->ratio_s = fmin(s->ratio_s + r->dt_s, 30);
		s->ratio +=
			fmin(1, r->dt_s / s->ratio_s) * (fmin(1, r->paired / r->rate) - s->ratio);
	}
	bf_baseline_learn(&s->paired, &all, r->paired, INFINITY, r->dt_s, r->slot);
	/* SYNs of strangers who complete their handshakes are ordinary, however many: the limit has to let them pass. */
	bf_baseline_learn(&s->unknown, &unknown, r->unknown,
			  most(c == BF_SYN ? s->live : s->surge_limit, 2 * n->floor), r->dt_s,
			  r->slot);
	bf_baseline_learn(&s->odd, &unknown, fmax(0, r->odd), s->odd_limit, r->dt_s, r->slot);
}

double bf_signal_allowance(const struct bf_signal *s, enum bf_class c, unsigned slot)
{
	double ordinary = bf_baseline_expect(&s->unknown, slot);

	return most(NATURE[c].floor / 2, 2 * ordinary + 3 * s->unknown.dev);
}

bool bf_signal_forever(const struct bf_signal *s, uint64_t now_ns)
{
	return s->on && s->evidence == BF_EV_SURGE &&
	       (double)(now_ns - s->fired_ns) / 1e9 > FOREVER_S;
}
