/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_EXPLAIN_H
#define BF_POLICY_EXPLAIN_H
/*
 * What the kernel would decide, by the very lookups and parsers of bpf/
 * compiled for user space, over the very image.
 */
#include "policy/compile.h"

struct bf_question {
	const struct bf_endpoint *from; /* NULL: an address that is no endpoint */
	const struct bf_endpoint *to;
	uint8_t from_addr[16]; /* used where from / to is NULL, else one of theirs */
	uint8_t to_addr[16];
	bool from_host; /* the node itself asks */
	uint8_t protocol; /* IPPROTO_* */
	uint16_t port; /* destination */
	const char *request; /* HTTP request head bytes, or NULL: only the connection */
	size_t request_len;
	bool stream; /* `request` is all that the client sends: bodies and further requests too */
};

/* What a request may become, if the server agrees: as enum http_tunnel in bpf/proto/http1.h. */
enum bf_tunnel { BF_TUNNEL_NONE = 0, BF_TUNNEL_UPGRADE = 1, BF_TUNNEL_CONNECT = 2 };

/* One side's answer: egress of `from`, ingress of `to`. */
struct bf_answer_side {
	bool judged; /* the side is a local endpoint */
	uint8_t verdict; /* enum bpfast_verdict */
	uint8_t reason; /* enum bpfast_reason */
	uint8_t l4; /* enum bpfast_decision_verdict */
	uint8_t tunnel; /* enum bf_tunnel: what its rules let the request become */
	uint32_t ref; /* attribution in the image */
	uint32_t requests; /* how many requests of a stream pass before one is refused */
	uint32_t identity_local, identity_remote;
};

struct bf_answer {
	uint8_t verdict; /* of both sides together */
	uint8_t reason;
	uint8_t tunnel; /* enum bf_tunnel: where every side that judges requests lets it */
	struct bf_answer_side egress, ingress;
};

int bf_explain(const struct bf_image *image, const struct bf_question *question,
	       struct bf_answer *answer, struct bf_error *err);

/*
 * What Cilium would make of the same question, where that is not the same. A
 * side's text names the rules (attribution as in the image, one a line) that
 * mean something else there; NULL: on this side they do not.
 */
struct bf_cilium_answer {
	/* Why it would pass there and not here, or here and not there; 0: it is the same. */
	unsigned int difference; /* enum bf_cilium_difference, one of them */
	uint8_t verdict, reason;
	char *egress, *ingress;
};

/*
 * `world` is the one that `image` was compiled of, `ours` what bf_explain()
 * answered. 0, or -errno with err; *out is freed with bf_cilium_answer_free().
 */
int bf_explain_cilium(const struct bf_world *world, const struct bf_image *image,
		      const struct bf_question *question, const struct bf_answer *ours,
		      struct bf_cilium_answer *out, struct bf_error *err);
void bf_cilium_answer_free(struct bf_cilium_answer *answer); /* what it holds, not itself */

#endif
