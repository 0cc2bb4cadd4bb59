// SPDX-License-Identifier: Apache-2.0
#include "datapath/shield/measure.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "datapath/shield/internal.h"

/* Elements of a mapped array lie eight bytes aligned, one behind the other. */
#define MAPPED(type)                                                                               \
	static_assert(sizeof(type) % 8 == 0, "elements of a map are aligned to eight bytes");
MAPPED(struct bpfast_dest)
MAPPED(struct bpfast_adaptive)
MAPPED(struct bpfast_measure)
MAPPED(struct bpfast_meter)
MAPPED(struct bpfast_measure_cpu)
MAPPED(struct bpfast_packet)
MAPPED(struct bpfast_dns)
MAPPED(struct bpfast_dns_cpu)

struct part {
	enum bf_shield_map map;
	void **at;
	size_t len;
};

#define PARTS 9

static void parts(struct bf_shield_measure *m, struct part out[PARTS])
{
	const struct part all[PARTS] = {
		{BF_SHIELD_MAP_TAG, (void **)&m->tag, BPFAST_DEST_SETS * sizeof(*m->tag)},
		{BF_SHIELD_MAP_PROTECTED, (void **)&m->dest, BPFAST_DESTS * sizeof(*m->dest)},
		{BF_SHIELD_MAP_ADAPTIVE, (void **)&m->adaptive,
		 BPFAST_DESTS * BPFAST_MC_COUNT * sizeof(*m->adaptive)},
		{BF_SHIELD_MAP_FORCE, (void **)&m->force, sizeof(*m->force)},
		{BF_SHIELD_MAP_METER, (void **)&m->meter,
		 (size_t)m->cpus * BPFAST_DESTS * sizeof(*m->meter)},
		{BF_SHIELD_MAP_CPU, (void **)&m->cpu, m->cpus * sizeof(*m->cpu)},
		{BF_SHIELD_MAP_PACKET, (void **)&m->packet,
		 (size_t)m->cpus * BPFAST_PACKETS * sizeof(*m->packet)},
		{BF_SHIELD_MAP_DNS, (void **)&m->dns, sizeof(*m->dns)},
		{BF_SHIELD_MAP_DNS_CPU, (void **)&m->dns_cpu, m->cpus * sizeof(*m->dns_cpu)},
	};

	memcpy(out, all, sizeof(all));
}

int bf_shield_map(struct bf_shield *s, struct bf_shield_measure *out, struct bf_error *err)
{
	int cpus = libbpf_num_possible_cpus();
	struct part all[PARTS];

	memset(out, 0, sizeof(*out));
	if (cpus < 0)
		return bf_err(err, cpus, "cannot count the CPUs: %s", strerror(-cpus));
	out->cpus = (unsigned int)cpus;
	parts(out, all);
	for (int i = 0; i < PARTS; i++) {
		void *p = mmap(NULL, all[i].len, PROT_READ | PROT_WRITE, MAP_SHARED,
			       s->map[all[i].map], 0);

		if (p == MAP_FAILED) {
			int e = errno;

			bf_shield_unmap(out);
			return bf_err(err, -e, "cannot map shield's measurement: %s", strerror(e));
		}
		*all[i].at = p;
	}
	return 0;
}

void bf_shield_unmap(struct bf_shield_measure *m)
{
	struct part all[PARTS];

	parts(m, all);
	for (int i = 0; i < PARTS; i++)
		if (*all[i].at)
			munmap(*all[i].at, all[i].len);
	memset(m, 0, sizeof(*m));
}
