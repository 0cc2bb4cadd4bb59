// SPDX-License-Identifier: Apache-2.0
/* From the counters that the kernel side writes to what the detector is told. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "agent/shield/defence.h"

#define SAME(a, b) static_assert((int)BPFAST_MC_##a == (int)BF_##b, "classes are the same")
SAME(SYN, SYN);
SAME(SYNACK, SYNACK);
SAME(ACK, ACK);
SAME(RST, RST);
SAME(FIN, FIN);
SAME(UDP, UDP);
SAME(AMP_DNS, AMP_DNS);
SAME(AMP_NTP, AMP_NTP);
SAME(AMP_SSDP, AMP_SSDP);
SAME(AMP_MEMCACHED, AMP_MEMCACHED);
SAME(AMP_CLDAP, AMP_CLDAP);
SAME(AMP_SNMP, AMP_SNMP);
SAME(AMP_CHARGEN, AMP_CHARGEN);
SAME(AMP_QOTD, AMP_QOTD);
SAME(DNS_QUERY, DNS_QUERY);
SAME(ICMP, ICMP);
SAME(OTHER, OTHER);
SAME(FRAGMENT, FRAGMENT);
SAME(COUNT, CLASSES);
static_assert(BPFAST_METER_BUCKETS == BF_SOURCE_BUCKETS, "buckets are the same");

#define IDLE_NS 600000000000ull

struct bf_dest bf_defence_dest(const struct bf_defence *d, uint32_t number)
{
	struct bf_dest k = {0};

	if (number == BPFAST_DEST_OTHER) {
		k.other = 1;
	} else if (number != BPFAST_DEST_ALL) {
		memcpy(k.addr, d->maps.dest[number].addr, 16);
		k.port = d->maps.dest[number].port;
		k.protocol = d->maps.dest[number].protocol;
	}
	return k;
}

/* Linear counting (Whang et al., 1990): how many made so many of n bits. */
static double distinct(unsigned int set, unsigned int n)
{
	return set >= n ? n * log(n) : -(double)n * log1p(-(double)set / n);
}

/* Sources of packets whose turn it was, on all CPUs; empties the bits. */
static uint32_t sources(struct bf_defence *d, uint32_t number)
{
	unsigned int set[2] = {0};
	double few, many;

	for (int half = 0; half < 2; half++) {
		for (unsigned int w = 0; w < BPFAST_SOURCES_BITS / 64; w++) {
			__u64 bits = 0;

			for (unsigned int c = 0; c < d->maps.cpus; c++) {
				__u64 *at =
					&d->maps.meter[c * BPFAST_DESTS + number].sources[half][w];

				if (*at)
					bits |= __atomic_exchange_n(at, 0, __ATOMIC_RELAXED);
			}
			set[half] += (unsigned int)__builtin_popcountll(bits);
		}
	}
	few = distinct(set[0], BPFAST_SOURCES_BITS);
	many = distinct(set[1], BPFAST_SOURCES_BITS) * BPFAST_SOURCES_RARE;
	return (uint32_t)(set[0] > BPFAST_SOURCES_BITS * 9 / 10 ? many : few);
}

/* Counters wrap round; what was not read is what they grew. */
static void add(struct bf_traffic *t, const struct bpfast_meter *is, struct bpfast_meter *was)
{
	for (int c = 0; c < BPFAST_MC_COUNT; c++) {
		const struct bpfast_meter_count n = is->count[c], *o = &was->count[c];
		struct bf_count *out = &t->count[c];

		out->packets += n.packets - o->packets;
		out->bytes += n.bytes - o->bytes;
		out->known += n.known - o->known;
		out->stray += n.stray - o->stray;
		out->paired += n.paired - o->paired;
		out->dropped += n.dropped - o->dropped;
		was->count[c] = n;
	}
	for (int b = 0; b < BPFAST_METER_BUCKETS; b++) {
		uint32_t n = is->bucket[b];

		t->bucket[b] += n - was->bucket[b];
		was->bucket[b] = n;
	}
}

static bool read_one(struct bf_defence *d, uint32_t number, struct bf_traffic *t)
{
	bool any = false;
	uint64_t packets = 0, turns = 0;

	for (unsigned int c = 0; c < d->maps.cpus; c++) {
		const struct bpfast_meter *is = &d->maps.meter[c * BPFAST_DESTS + number];
		struct bpfast_meter *was = &d->was[c * BPFAST_DESTS + number];
		uint32_t touched = *(volatile const uint32_t *)&is->touched;

		if (touched == was->touched)
			continue;
		if (!any)
			memset(t, 0, sizeof(*t));
		any = true;
		was->touched = touched;
		add(t, is, was);
	}
	if (!any)
		return false;
	t->dest = bf_defence_dest(d, number);
	/* Off: it is not told of at all, and so nothing begins there. */
	d->maps.dest[number].mode = bf_defence_mode(d, number, &t->sensitivity);
	if (d->maps.dest[number].mode == BPFAST_SM_OFF)
		return false;
	t->has_pairs = 1;
	for (int c = 0; c < BF_CLASSES; c++)
		packets += t->count[c].packets;
	for (int b = 0; b < BF_SOURCE_BUCKETS; b++)
		turns += t->bucket[b];
	t->sources = sources(d, number);
	/* Each turn stands for many packets: were all from others, so are those. */
	if (turns)
		t->sources =
			(uint32_t)(packets * (t->sources < turns ? t->sources : turns) / turns);
	return true;
}

/* A destination behind a device that it was not seen behind before is looked up anew. */
static void came_by(struct bf_defence *d, const struct bpfast_packet *p)
{
	const struct bpfast_shield_device *v = d->control->device;
	unsigned int i = d->slot;
	uint64_t *bits;

	if (v[i].ifindex != p->ifindex)
		for (i = 0; i < BPFAST_SHIELD_SLOTS && v[i].ifindex != p->ifindex; i++)
			;
	if (i == BPFAST_SHIELD_SLOTS)
		return;
	d->slot = i;
	bits = &d->slots[p->destination][i / 64];
	if (*bits >> (i % 64) & 1)
		return;
	*bits |= 1ull << (i % 64);
	d->policy_known[p->destination] = false;
}

static void read_sample(struct bf_defence *d, const struct bpfast_packet *p, struct bf_tick *tick)
{
	struct bf_sampled *s;
	uint32_t payload;

	if (p->reason) {
		d->drops[d->drops_total % BF_DEFENCE_DROPS] = *p;
		d->drops_total++;
	}
	if (!(p->flags & BPFAST_PF_MEASURED) || p->destination >= BPFAST_DESTS ||
	    !d->of_dest[p->destination] || tick->sample_count >= BF_DEFENCE_SAMPLES)
		return;
	came_by(d, p);
	s = &d->samples[tick->sample_count++];
	s->traffic = d->of_dest[p->destination] - 1;
	s->weight = 1;
	s->cls = p->class;
	s->known = !!(p->flags & BPFAST_PF_KNOWN);
	s->stray = !!(p->flags & BPFAST_PF_STRAY);
	memcpy(s->source, p->source, 16);
	s->packet = p->read;
	payload = p->bytes <= BPFAST_PACKET_BYTES && p->payload < p->bytes
			  ? (uint32_t)p->bytes - p->payload
			  : 0;
	s->payload_bytes = (uint8_t)(payload < BF_SAMPLE_PAYLOAD ? payload : BF_SAMPLE_PAYLOAD);
	memcpy(s->payload, p->frame + p->payload, s->payload_bytes);
}

/* Each sample stands for as many packets of its destination and class. */
static void weigh(struct bf_defence *d, const struct bf_tick *tick)
{
	static uint32_t seen[BPFAST_DESTS + 1][BF_CLASSES];

	for (size_t i = 0; i < tick->sample_count; i++)
		seen[d->samples[i].traffic][d->samples[i].cls]++;
	for (size_t i = 0; i < tick->sample_count; i++) {
		struct bf_sampled *s = &d->samples[i];
		uint64_t w =
			d->traffic[s->traffic].count[s->cls].packets / seen[s->traffic][s->cls];

		s->weight = w ? (uint32_t)w : 1;
	}
	for (size_t i = 0; i < tick->sample_count; i++)
		seen[d->samples[i].traffic][d->samples[i].cls] = 0;
}

static void read_samples(struct bf_defence *d, struct bf_tick *tick)
{
	for (unsigned int c = 0; c < d->maps.cpus; c++) {
		uint32_t last = *(volatile uint32_t *)&d->maps.cpu[c].number, n = d->numbers[c];

		if (last - n > BPFAST_PACKETS) {
			d->samples_lost += last - n - BPFAST_PACKETS;
			n = last - BPFAST_PACKETS;
		}
		for (; n != last; n++) {
			const struct bpfast_packet *at =
				&d->maps.packet[c * BPFAST_PACKETS +
						((n + 1) & (BPFAST_PACKETS - 1))];
			uint32_t before = *(volatile const uint32_t *)&at->number;
			struct bpfast_packet p;

			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			p = *at;
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			/* The kernel side may have come round. */
			if (before != n + 1 || *(volatile const uint32_t *)&at->number != n + 1) {
				d->samples_lost++;
				continue;
			}
			if (p.class < BPFAST_MC_COUNT)
				read_sample(d, &p, tick);
			d->samples_read++;
		}
		d->numbers[c] = last;
	}
}

void bf_defence_read(struct bf_defence *d, struct bf_tick *tick, uint64_t now_ns)
{
	struct timespec wall;

	memset(tick, 0, sizeof(*tick));
	clock_gettime(CLOCK_REALTIME, &wall);
	tick->now_ns = now_ns;
	tick->second_of_day = (uint32_t)(wall.tv_sec % 86400);
	for (uint32_t i = 0; i < BPFAST_DESTS; i++) {
		d->of_dest[i] = 0;
		if (i >= BPFAST_DEST_FIRST && !*(volatile uint8_t *)&d->maps.dest[i].ready)
			continue;
		if (!read_one(d, i, &d->traffic[tick->traffic_count]))
			continue;
		d->of_dest[i] = (uint32_t)++tick->traffic_count;
		d->seen_ns[i] = now_ns;
	}
	tick->traffic = d->traffic;
	tick->samples = d->samples;
	read_samples(d, tick);
	weigh(d, tick);
}

void bf_defence_age(struct bf_defence *d, uint64_t now_ns)
{
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++) {
		struct bpfast_dest *e = &d->maps.dest[i];

		if (!e->ready)
			continue;
		/* Found in force by an agent that has just begun. */
		if (!d->seen_ns[i])
			d->seen_ns[i] = now_ns;
		if (now_ns - d->seen_ns[i] < IDLE_NS || e->on || e->rules ||
		    bf_defence_names_at(d, i))
			continue;
		e->ready = 0;
		d->seen_ns[i] = 0;
		memset(d->slots[i], 0, sizeof(d->slots[i]));
		d->policy_sens[i] = BF_SENS_DEFAULT;
		d->policy_known[i] = false;
		__atomic_store_n(&d->maps.tag[i / 8].cell[i % 8], 0, __ATOMIC_RELEASE);
	}
}
