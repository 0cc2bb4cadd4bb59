/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_MAPS_H
#define BPFAST_SHIELD_MAPS_H
/* Every map of shield. All are pinned by the agent and outlive it; none grows. */
#include "bpfast/shield_dns.h"
#include "bpfast/shield_measure.h"
#include "bpfast/vouch.h"
#include "shield/types.h"

/* Limits, devices and the seed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_shield_control);
} bpfast_shctl SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BPFAST_SHIELD_SLOTS);
	__type(key, __u32);
	__type(value, struct bpfast_shield_counters);
} bpfast_shcnt SEC(".maps");

/* Token buckets of sources and of destinations. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_SHIELD_SOURCE_LINES);
	__type(key, __u32);
	__type(value, struct bpfast_shield_set);
} bpfast_shsrc SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * BPFAST_SHIELD_DESTINATION_ROW);
	__type(key, __u32);
	__type(value, __u64);
} bpfast_shdst SEC(".maps");

/* SYNs that the limits of sources and prefixes stopped of late. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_SHIELD_REPEAT_SETS);
	__type(key, __u32);
	__type(value, struct bpfast_shield_repeats);
} bpfast_shrep SEC(".maps");

/* TCP connections, UDP flows that this side has answered, sources to prefer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_SHIELD_CONN_SETS);
	__type(key, __u32);
	__type(value, struct bpfast_shield_set);
} bpfast_shconn SEC(".maps");

/* Eight bits for each set of all three: who has no bit here is in none, and costs no cache miss. Then a bit for
 * each 64 of these, which are few enough to stay in a cache. */
#define SHIELD_FILTER_WORDS                                                                        \
	((BPFAST_SHIELD_CONN_SETS + BPFAST_SHIELD_UDP_SETS + BPFAST_SHIELD_GOOD_SETS) / 8)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIELD_FILTER_WORDS + SHIELD_FILTER_WORDS / 64);
	__type(key, __u32);
	__type(value, __u64);
} bpfast_shfilt SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_SHIELD_UDP_SETS);
	__type(key, __u32);
	__type(value, struct bpfast_shield_set);
} bpfast_shudp SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_SHIELD_GOOD_SETS);
	__type(key, __u32);
	__type(value, struct bpfast_shield_set);
} bpfast_shgood SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_SHIELD_SAMPLES);
	__type(key, __u32);
	__type(value, struct bpfast_shield_sample);
} bpfast_shsmp SEC(".maps");

/* Destinations whose SYNs are answered with cookies. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFAST_SHIELD_COOKIES);
	__type(key, struct bpfast_shield_cookie_key);
	__type(value, struct bpfast_shield_cookie);
} bpfast_shck SEC(".maps");

/* Who is blocked towards one pod. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFAST_SHIELD_BARS);
	__type(key, struct bpfast_shield_bar_key);
	__type(value, struct bpfast_shield_bar);
} bpfast_shbar SEC(".maps");

/* Connections whose beginning we vouch for; the same map is in bpf/maps.h. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BPFAST_VOUCHES_MAX);
	__type(key, struct bpfast_vouch_key);
	__type(value, struct bpfast_vouch);
} bpfast_vouch SEC(".maps");

/* The agent makes an image of the size that the lists need, and puts it here in one step. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, BPFAST_SI_COUNT);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, BPFAST_SHIELD_LINE);
		});
} bpfast_shlist SEC(".maps");

/* --- measurement: include/bpfast/shield_measure.h --- */

/* Tags of destinations, 64 bits each; who is behind cell N of them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BPFAST_DEST_SETS);
	__type(key, __u32);
	__type(value, struct bpfast_shield_set);
} bpfast_shtag SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BPFAST_DESTS);
	__type(key, __u32);
	__type(value, struct bpfast_dest);
} bpfast_shprot SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BPFAST_DESTS *BPFAST_MC_COUNT);
	__type(key, __u32);
	__type(value, struct bpfast_adaptive);
} bpfast_shadapt SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_measure);
} bpfast_shmeas SEC(".maps");

/* Rules about names in DNS queries. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_dns);
} bpfast_shdns SEC(".maps");

/* These four have as many parts as there are CPUs: the loader sets their sizes. Not per-CPU maps, for
 * those cannot be mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BPFAST_DESTS);
	__type(key, __u32);
	__type(value, struct bpfast_meter);
} bpfast_shmeter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_measure_cpu);
} bpfast_shcpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BPFAST_PACKETS);
	__type(key, __u32);
	__type(value, struct bpfast_packet);
} bpfast_shpkt SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_dns_cpu);
} bpfast_shdnscpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_NEW_SETS);
	__type(key, __u32);
	__type(value, struct bpfast_shield_set);
} bpfast_shnew SEC(".maps");

#endif
