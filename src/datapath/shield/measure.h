/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_SHIELD_MEASURE_H
#define BF_DATAPATH_SHIELD_MEASURE_H
/* Shield's measurement, mapped: include/bpfast/shield_measure.h says what is where. */
#include "bpfast/shield_dns.h"
#include "bpfast/shield_measure.h"
#include "datapath/shield/shield.h"

struct bf_shield_measure {
	unsigned int cpus;
	struct bpfast_shield_set *tag; /* BPFAST_DEST_SETS */
	struct bpfast_dest *dest; /* BPFAST_DESTS */
	struct bpfast_adaptive *adaptive; /* BPFAST_DESTS * BPFAST_MC_COUNT */
	struct bpfast_measure *force; /* one */
	struct bpfast_meter *meter; /* cpus * BPFAST_DESTS */
	struct bpfast_measure_cpu *cpu; /* cpus */
	struct bpfast_packet *packet; /* cpus * BPFAST_PACKETS */
	struct bpfast_dns *dns; /* one */
	struct bpfast_dns_cpu *dns_cpu; /* cpus */
};

/* 0, or -errno with err. It stays until bf_shield_unmap(), also when s is closed. */
int bf_shield_map(struct bf_shield *s, struct bf_shield_measure *out, struct bf_error *err);
void bf_shield_unmap(struct bf_shield_measure *m);

#endif
