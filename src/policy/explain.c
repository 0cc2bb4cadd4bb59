// SPDX-License-Identifier: Apache-2.0
/*
 * What the kernel would decide. The lookups and the HTTP parser are the very
 * ones of bpf/, compiled for user space; what stands here is only the order in
 * which the hooks of bpf/pod.bpf.c ask them.
 */
#include "policy/explain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* src/match has a dfa.h too: this one by its place. */
#include "../../bpf/match/dfa.h"
#include "match/lookup.h"
#include "proto/http1_request.h"

_Thread_local const __u8 *bf_arena_base;
_Thread_local __u32 bf_arena_size;

#define IMAGE_AT 0 /* the image is all of the arena */

static_assert(BF_TUNNEL_UPGRADE == (int)HT_UPGRADE && BF_TUNNEL_CONNECT == (int)HT_CONNECT,
	      "enum bf_tunnel");

struct side {
	const struct bf_endpoint *local;
	bool egress;
	bool from_host;
	_Alignas(8) uint8_t remote[16];
};

/* As flow_judge() in bpf/stage/flow.h. Returns the decision's place, or 0. */
static __u32 judge_connection(const struct bf_question *q, const struct side *side,
			      struct bf_answer_side *a)
{
	__u32 endpoint = lookup_endpoint(IMAGE_AT, (__u32)side->local->slot), set, at;
	bool ports = q->protocol == IPPROTO_TCP || q->protocol == IPPROTO_UDP ||
		     q->protocol == IPPROTO_SCTP;

	a->judged = true;
	a->verdict = BPFAST_V_DROPPED;
	a->reason = BPFAST_R_NO_POLICY;
	a->l4 = BPFAST_D_DENY;
	if (!endpoint || !arena_u32(endpoint))
		return 0;
	a->identity_local = arena_u32(endpoint);
	if (side->from_host && !side->egress) {
		a->verdict = BPFAST_V_FORWARDED;
		a->reason = BPFAST_R_NONE;
		a->l4 = BPFAST_D_ALLOW;
		a->identity_remote = BPFAST_ID_HOST;
		return 0;
	}
	a->identity_remote = lookup_identity(IMAGE_AT, side->remote);
	if (!side->egress && a->identity_remote == BPFAST_ID_HOST)
		a->identity_remote = BPFAST_ID_WORLD;
	set = arena_u32(endpoint + (side->egress ? 8 : 4));
	if (set == BPFAST_SET_NONE) {
		a->verdict = BPFAST_V_FORWARDED;
		a->reason = BPFAST_R_NONE;
		a->l4 = BPFAST_D_ALLOW;
		return 0;
	}
	at = lookup_decision(IMAGE_AT, set, a->identity_remote,
			     BPFAST_PORT_KEY(q->protocol, ports ? q->port : 0));
	if (!at) {
		a->reason = BPFAST_R_POLICY_DENIED;
		return 0;
	}
	a->l4 = arena_u8(at);
	a->ref = arena_u32(at + 8);
	if (a->l4 > BPFAST_D_DENY_RULE) {
		a->verdict = BPFAST_V_FORWARDED;
		a->reason = BPFAST_R_NONE;
		return at;
	}
	a->reason = a->l4 == BPFAST_D_DENY_RULE ? BPFAST_R_DENY_RULE : BPFAST_R_POLICY_DENIED;
	if (arena_u8(at + 1) & BPFAST_DF_AUDIT)
		a->verdict = BPFAST_V_AUDIT;
	return at;
}

/*
 * Walks the bytes as one segment: to the end of the head, or a stream to its end.
 * Returns for what the first request would have been refused that mode audit let pass.
 */
static __u32 walk_request(const struct bf_question *q, struct http_walk *w)
{
	__u32 audited = BPFAST_R_NONE;

	while (w->pos < w->end && !w->reason && (q->stream || w->event != HE_HEAD)) {
		if (w->pos - w->window_off >= w->window_len) {
			__u32 n = w->end - w->pos;

			w->window_len = n < HTTP_WINDOW ? n : HTTP_WINDOW;
			w->window_off = w->pos;
			memcpy(w->window, q->request + w->pos, w->window_len);
		}
		request_step(w);
		if (w->event == HE_HEAD && !audited)
			audited = w->audited;
	}
	request_check_line(w);
	return audited;
}

static int judge_request(const struct bf_question *q, __u32 decision, struct bf_answer_side *a,
			 struct bf_error *err)
{
	struct http_walk *w = calloc(1, sizeof(*w));
	__u32 audited;
	int ret = 0;

	if (!w)
		return bf_err(err, -ENOMEM, "no memory to judge the request");
	w->image = IMAGE_AT;
	w->generation = 1;
	w->ruleset = IMAGE_AT + IMAGE_FIELD(IMAGE_AT, ruleset_off) +
		     arena_u32(decision + 4) * (__u32)sizeof(struct bpfast_image_ruleset);
	w->end = (__u32)q->request_len;
	w->rule_ref = a->ref; /* of a refusal before any rule is asked */
	w->audit = arena_u8(decision + 1) & BPFAST_DF_AUDIT;
	audited = walk_request(q, w);
	a->ref = w->rule_ref;
	a->requests = w->requests;
	if (audited || w->reason) {
		a->reason = (uint8_t)(audited ? audited : w->reason);
		a->verdict = w->audit ? BPFAST_V_AUDIT : BPFAST_V_DROPPED;
	} else if (w->event != HE_HEAD && !q->stream) {
		ret = bf_err(err, -EINVAL,
			     "the request head does not end: an empty line must close it");
	}
	if (!ret && !w->reason)
		a->tunnel = (uint8_t)w->tunnel;
	free(w);
	return ret;
}

static int judge_side(const struct bf_question *q, const struct side *side,
		      struct bf_answer_side *a, struct bf_error *err)
{
	__u32 decision;

	if (!side->local || side->local->slot < 0)
		return 0;
	decision = judge_connection(q, side, a);
	if (!decision || a->l4 != BPFAST_D_HTTP || !q->request || q->protocol != IPPROTO_TCP)
		return 0;
	return judge_request(q, decision, a, err);
}

static bool is_v4(const uint8_t a[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a, mapped, sizeof(mapped));
}

static bool is_set(const uint8_t a[16])
{
	static const uint8_t none[16];

	return memcmp(a, none, 16) != 0;
}

/* An address of the endpoint in the family: `wish` where it is one of them, else the first. */
static const uint8_t *address_of(const struct bf_endpoint *ep, const uint8_t wish[16], bool v4)
{
	const uint8_t *found = NULL;

	for (size_t i = 0; i < ep->addr_count; i++) {
		if (is_v4(ep->addrs[i]) != v4)
			continue;
		if (!found || !memcmp(ep->addrs[i], wish, 16))
			found = ep->addrs[i];
	}
	return found;
}

/*
 * The addresses on the packet. What the asker fixed decides the family: an
 * address that is nobody's, or one of an endpoint's own; else IPv4 where both
 * have it.
 */
static int choose_addresses(const struct bf_question *q, uint8_t from[16], uint8_t to[16],
			    struct bf_error *err)
{
	const uint8_t *a = NULL, *b = NULL, *fixed = NULL;

	if (is_set(q->to_addr))
		fixed = q->to_addr;
	else if (is_set(q->from_addr))
		fixed = q->from_addr;
	for (int try = 0; try < 2 && !(a && b); try++) {
		bool v4 = fixed ? is_v4(fixed) : !try;

		a = q->from ? address_of(q->from, q->from_addr, v4)
			    : (q->from_host || is_v4(q->from_addr) == v4 ? q->from_addr : NULL);
		b = q->to ? address_of(q->to, q->to_addr, v4)
			  : (is_v4(q->to_addr) == v4 ? q->to_addr : NULL);
	}
	if (!a || !b)
		return bf_err(err, -EINVAL,
			      "the two sides have no address of the same family: no packet can go "
			      "from one to the other");
	memcpy(from, a, 16);
	memcpy(to, b, 16);
	return 0;
}

/* A side that judges requests and lets it become nothing cuts the connection. */
static uint8_t tunnel_of(const struct bf_answer *a)
{
	const struct bf_answer_side *sides[2] = {&a->egress, &a->ingress};
	uint8_t tunnel = BF_TUNNEL_NONE;

	for (int i = 0; i < 2; i++) {
		if (!sides[i]->judged || sides[i]->l4 != BPFAST_D_HTTP)
			continue;
		if (!sides[i]->tunnel)
			return BF_TUNNEL_NONE;
		tunnel = sides[i]->tunnel;
	}
	return a->verdict == BPFAST_V_FORWARDED ? tunnel : BF_TUNNEL_NONE;
}

int bf_explain(const struct bf_image *image, const struct bf_question *q, struct bf_answer *answer,
	       struct bf_error *err)
{
	struct side egress = {.local = q->from, .egress = true};
	struct side ingress = {.local = q->to, .from_host = q->from_host && !q->from};
	/* The lookups read a little past an offset, so the image gets a guard behind it. */
	uint8_t *arena = calloc(1, image->blob.len + BPFAST_ARENA_GUARD);
	int ret;

	memset(answer, 0, sizeof(*answer));
	if (!arena)
		return bf_err(err, -ENOMEM, "no memory to read the policy image");
	if (image->blob.len)
		memcpy(arena, image->blob.data, image->blob.len);
	bf_arena_base = arena;
	bf_arena_size = (__u32)image->blob.len;
	ret = choose_addresses(q, ingress.remote, egress.remote, err);
	if (!ret)
		ret = judge_side(q, &egress, &answer->egress, err);
	if (!ret)
		ret = judge_side(q, &ingress, &answer->ingress, err);
	bf_arena_base = NULL;
	bf_arena_size = 0;
	free(arena);
	if (ret)
		return ret;

	/* The sender's hook is the first on the way; a drop there is the end of it. */
	answer->verdict = BPFAST_V_FORWARDED;
	for (int i = 0; i < 2; i++) {
		const struct bf_answer_side *side = i ? &answer->ingress : &answer->egress;

		if (!side->judged || side->verdict == BPFAST_V_FORWARDED ||
		    answer->verdict == BPFAST_V_DROPPED)
			continue;
		if (answer->verdict == BPFAST_V_AUDIT && side->verdict == BPFAST_V_AUDIT)
			continue;
		answer->verdict = side->verdict;
		answer->reason = side->reason;
	}
	answer->tunnel = tunnel_of(answer);
	return 0;
}
