// SPDX-License-Identifier: Apache-2.0
/*
 * How much of the flow table each endpoint has, from outside. The kernel side counts
 * (bpf/stage/quota.h); the counts are mapped here, so that flows which we take out are given back
 * in the same way. A process can be killed between the two: the next one counts anew.
 */
#include "datapath/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t read_word(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Less than none is none: what is taken out at this moment may be counted a moment later. */
static uint32_t used(const struct bpfast_quota *quota)
{
	int32_t n = (int32_t)read_word(&quota->used);

	return n > 0 ? (uint32_t)n : 0;
}

void bf_quota_give(struct bf_datapath *dp, uint16_t slot)
{
	if (slot < BPFAST_ENDPOINTS_MAX) /* else of an interface that nobody knew */
		__atomic_fetch_sub(&dp->quota[slot].used, 1, __ATOMIC_RELAXED);
}

int bf_quota_clear(struct bf_datapath *dp, uint16_t slot)
{
	int ret = 0;

	if (slot >= BPFAST_ENDPOINTS_MAX)
		return 0;
	/* A timer may have taken one out and not have counted it yet. */
	if (read_word(&dp->quota[slot].used))
		ret = bf_grace(dp);
	if (!ret) {
		__atomic_store_n(&dp->quota[slot].used, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&dp->quota[slot].refused, 0, __ATOMIC_RELAXED);
	}
	return ret;
}

void bf_quota_status(const struct bf_datapath *dp, struct bf_datapath_status *out)
{
	uint32_t share = dp->control->flows_share, n;

	out->flows_per_endpoint = share;
	for (uint32_t slot = 0; slot < BPFAST_ENDPOINTS_MAX; slot++) {
		n = used(&dp->quota[slot]);
		out->flows_used += n;
		if (n > out->flows_most)
			out->flows_most = n;
		out->endpoints_full += n >= share;
	}
}

void bf_datapath_endpoint_flows(const struct bf_datapath *dp, uint16_t slot,
				struct bf_endpoint_flows *out)
{
	memset(out, 0, sizeof(*out));
	out->max = dp->control->flows_share;
	if (slot >= BPFAST_ENDPOINTS_MAX)
		return;
	out->used = used(&dp->quota[slot]);
	out->refused = read_word(&dp->quota[slot].refused);
}

/* --- counting anew --- */

struct recount {
	uint32_t used[BPFAST_ENDPOINTS_MAX], tried[BPFAST_ENDPOINTS_MAX];
	uint32_t found[BPFAST_ENDPOINTS_MAX];
};

/*
 * How many flows a slot's count is sure to be wrong by. Since it was read, `made` flows at most
 * were put in, and `gone` at most were taken out or given up; the walk may have seen each of
 * them or not.
 */
static int32_t drift(const struct recount *r, const struct bpfast_quota *now, uint32_t slot)
{
	int32_t more = (int32_t)(read_word(&now->used) - r->used[slot]);
	int32_t made = (int32_t)(read_word(&now->tried) - r->tried[slot]), gone = made - more;
	int32_t over = (int32_t)(r->used[slot] - r->found[slot]);

	if (over > gone)
		return over - gone;
	return over < -made ? over + made : 0;
}

/*
 * careful: waits twice for what is under way. Then whatever is counted from the first look at `used`
 * on was tried after the first look at `tried`, and what the walk missed is counted by the end.
 */
static int recount(struct bf_datapath *dp, struct recount *r, bool careful, bool *wrong)
{
	int ret = 0;

	for (uint32_t slot = 0; slot < BPFAST_ENDPOINTS_MAX; slot++)
		r->tried[slot] = read_word(&dp->quota[slot].tried);
	if (careful)
		ret = bf_grace(dp);
	for (uint32_t slot = 0; slot < BPFAST_ENDPOINTS_MAX; slot++)
		r->used[slot] = read_word(&dp->quota[slot].used);
	bf_step("flows being counted");
	if (!ret)
		ret = bf_flows_by_slot(dp, r->found);
	if (!ret && careful)
		ret = bf_grace(dp);
	*wrong = false;
	for (uint32_t slot = 0; !ret && slot < BPFAST_ENDPOINTS_MAX; slot++) {
		int32_t by = drift(r, &dp->quota[slot], slot);

		*wrong |= by != 0;
		if (by && careful)
			__atomic_fetch_sub(&dp->quota[slot].used, (uint32_t)by, __ATOMIC_RELAXED);
	}
	return ret;
}

int bf_quota_recount(struct bf_datapath *dp)
{
	struct recount *r = malloc(sizeof(*r));
	bool wrong = false;
	int ret = r ? recount(dp, r, false, &wrong) : -ENOMEM;

	/* Waiting takes some 20 ms: only where there is a reason. */
	if (!ret && wrong)
		ret = recount(dp, r, true, &wrong);
	free(r);
	return ret;
}
