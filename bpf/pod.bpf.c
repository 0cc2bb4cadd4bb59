/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hooks on the host side of a pod's veth: from_pod sees what the pod sends
 * (its egress rules judge), to_pod what it is sent (ingress rules). Both are
 * the same life of a packet:
 *
 *   parse -> own address? -> flow -> L3/L4 decision -> stream -> verdict
 *
 * Forward means: let the next program decide.
 */
#include "maps.h"
#include "stage/parse_quick.h"
#include "stage/identity.h"
#include "stage/memory.h"
#include "stage/flow.h"
#include "stream/handshake.h"
#include "stream/client.h"
#include "stream/server.h"

/* A stage has nothing to say: the next one decides. */
#define GO_ON 100

/* A later fragment goes where the first one went. */
static __noinline __u32 fragment(struct hook *h)
{
	struct packet *pkt = &h->scratch->pkt;
	struct bpfast_frag_key key = {
		.id = pkt->frag_id,
		.endpoint = h->endpoint->slot,
		.protocol = pkt->protocol,
		.egress = h->egress,
	};
	struct bpfast_frag frag = {}, *first;

	__builtin_memcpy(key.source, pkt->source, 16);
	__builtin_memcpy(key.destination, pkt->destination, 16);
	if (pkt->flags & PKT_LATER_FRAGMENT) {
		first = bpf_map_lookup_elem(&bpfast_frag, &key);
		if (!first)
			return BPFAST_R_FRAGMENT;
		pkt->source_port = first->source_port;
		pkt->destination_port = first->destination_port;
		pkt->icmp_type = first->icmp_type;
		return BPFAST_R_NONE;
	}
	frag.source_port = pkt->source_port;
	frag.destination_port = pkt->destination_port;
	frag.icmp_type = pkt->icmp_type;
	if (bpf_map_update_elem(&bpfast_frag, &key, &frag, BPF_ANY)) {
		h->metrics->helper_errors++;
		return BPFAST_R_INTERNAL;
	}
	return BPFAST_R_NONE;
}

/* DHCP: the answer comes from an address that no flow knows. One flow stands for "has asked". */
static __noinline int dhcp(struct hook *h)
{
	struct packet *pkt = &h->scratch->pkt;
	struct bpfast_flow_key *key = &h->scratch->key;
	struct decision d = {.verdict = BPFAST_D_ALLOW, .remote_identity = BPFAST_ID_WORLD};
	int request = h->egress && is_dhcp_request(pkt);
	int answer = !h->egress && pkt->protocol == PROTO_UDP &&
		     pkt->source_port == bpf_htons(67) && pkt->destination_port == bpf_htons(68);

	if (!request && !answer)
		return 0;
	__builtin_memset(key, 0, sizeof(*key));
	key->endpoint = h->endpoint->slot;
	key->protocol = PROTO_UDP;
	key->local_port = bpf_htons(68);
	key->remote_port = bpf_htons(67);
	if (answer)
		return bpf_map_lookup_elem(&bpfast_flow, key) != 0;
	if (!bpf_map_lookup_elem(&bpfast_flow, key))
		flow_make(h, BPFAST_FF_EGRESS, &d);
	return 1;
}

/* An L4 decision in mode audit, or a new flow: one record. */
static __noinline int record_flow(struct hook *h, struct bpfast_flow *flow, __u32 reason)
{
	struct record r = {
		.type = BPFAST_EV_L3_L4,
		.verdict = reason ? BPFAST_V_AUDIT : BPFAST_V_FORWARDED,
		.reason = (__u8)reason,
		.flags = flow->flags & BPFAST_FF_EGRESS ? BPFAST_EF_EGRESS : 0,
		.ref = flow->ref,
		.generation = flow->generation,
		.remote_identity = flow->remote_identity,
	};

	if (reason)
		count_reason(h->metrics->audited, reason);
	return record(h, &r);
}

static __always_inline int drop_decision(struct hook *h, const struct decision *d, __u32 egress,
					 __u32 reason)
{
	struct record r = {
		.type = BPFAST_EV_L3_L4,
		.verdict = BPFAST_V_DROPPED,
		.reason = (__u8)reason,
		.flags = egress ? BPFAST_EF_EGRESS : 0,
		.ref = d->ref,
		.generation = h->generation,
		.remote_identity = d->remote_identity,
	};

	count_drop(h, reason);
	record(h, &r);
	return HOOK_DROP;
}

/*
 * TCP in the middle, of which we saw no beginning: nobody knows who began it.
 * It may go on only where either end could have begun it without inspection;
 * else it is reset once, and the client reconnects into view.
 */
static __noinline int midstream(struct __sk_buff *skb, struct hook *h, struct decision *d)
{
	struct decision other;

	flow_judge(h, h->egress, d);
	flow_judge(h, !h->egress, &other);
	if (d->verdict == BPFAST_D_ALLOW && other.verdict == BPFAST_D_ALLOW)
		return GO_ON;
	if ((d->verdict == BPFAST_D_ALLOW || d->flags & BPFAST_DF_AUDIT) &&
	    (other.verdict == BPFAST_D_ALLOW || other.flags & BPFAST_DF_AUDIT))
		return GO_ON;
	/* Nobody without any permission is answered. */
	if (is_deny(d) && is_deny(&other))
		return drop_decision(h, d, h->egress, deny_reason(d));
	drop_decision(h, d->verdict == BPFAST_D_ALLOW ? &other : d, h->egress,
		      BPFAST_R_TCP_MIDSTREAM);
	return reset_both(skb, h);
}

/* The first packet of a flow. */
static __noinline int first_packet(struct __sk_buff *skb, struct hook *h)
{
	struct packet *pkt = &h->scratch->pkt;
	const __u8 syn = TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN;
	__u32 flags = h->egress ? BPFAST_FF_EGRESS : 0, reason;
	struct bpfast_flow *flow;
	struct decision d;
	__u8 request;
	int way;

	if (pkt->flags & PKT_ICMP_ERROR) /* about a flow that we do not know */
		return drop(h, BPFAST_R_POLICY_DENIED, 0);
	if (h->from_host)
		flags |= BPFAST_FF_HOST;
	/* Shield is asked last: in another order the verifier has twice as many ways from here. */
	if (pkt->protocol == PROTO_TCP && (pkt->tcp_flags & syn) != TCP_SYN && !h->from_host &&
	    (h->egress || !shield_vouches(h->scratch))) {
		if (pkt->flags & PKT_LATER_FRAGMENT)
			return drop(h, BPFAST_R_FRAGMENT, 0);
		way = midstream(skb, h, &d);
		if (way != GO_ON)
			return way;
		flags |= BPFAST_FF_MIDSTREAM;
	} else {
		flow_judge(h, h->egress, &d);
		if (is_deny(&d) && !(d.flags & BPFAST_DF_AUDIT)) {
			way = drop_decision(h, &d, h->egress, deny_reason(&d));
			/* Its receiver has not heard of it: only the sender is told. */
			if (d.on_deny == BPFAST_ON_DENY_RESET && pkt->protocol == PROTO_TCP &&
			    !(pkt->flags & PKT_FRAGMENT))
				reset_sender(skb, h);
			return way;
		}
	}
	/* An echo reply that nobody asked for makes no flow. */
	if (is_echo(pkt, &request) && !request)
		return forward(h);
	flow = flow_make(h, flags, &d);
	if (!flow)
		return drop_decision(h, &d, h->egress, h->full);
	if (flags & BPFAST_FF_MIDSTREAM && flow->flags & BPFAST_FF_HTTP)
		flow->flags |= BPFAST_FF_OPAQUE; /* audit only */
	if (flow->flags & BPFAST_FF_HTTP && !(flags & BPFAST_FF_MIDSTREAM)) {
		if (!(pkt->tcp_flags & TCP_SYN) && !h->from_host)
			reason = stream_vouched(h->scratch, flow);
		else
			reason = stream_syn(skb, h, flow);
		if (reason)
			return refuse(h, flow, reason);
	}
	record_flow(h, flow, is_deny(&d) ? deny_reason(&d) : BPFAST_R_NONE);
	return forward(h);
}

/* The policy changed since the flow was judged. */
static __noinline int judge_again(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow)
{
	__u32 was_http = flow->flags & BPFAST_FF_HTTP, egress = !!(flow->flags & BPFAST_FF_EGRESS);
	struct packet *pkt = &h->scratch->pkt;
	__u8 from_host = h->from_host;
	struct decision d;

	h->from_host = !!(flow->flags & BPFAST_FF_HOST);
	flow_judge(h, egress, &d);
	h->from_host = from_host;
	if (is_deny(&d) && !(d.flags & BPFAST_DF_AUDIT)) {
		flow_delete(h, flow);
		drop_decision(h, &d, egress, BPFAST_R_POLICY_REVOKED);
		if (pkt->protocol != PROTO_TCP || pkt->flags & PKT_FRAGMENT ||
		    pkt->flags & PKT_ICMP_ERROR)
			return HOOK_DROP;
		return reset_both(skb, h);
	}
	flow_apply(h, flow, &d);
	/* A stream that was not followed from its beginning cannot be judged now. */
	if (flow->flags & BPFAST_FF_HTTP && (!was_http || flow->flags & BPFAST_FF_OPAQUE)) {
		if (d.flags & BPFAST_DF_AUDIT) {
			__sync_fetch_and_or(&flow->flags, BPFAST_FF_OPAQUE);
			return GO_ON;
		}
		flow_delete(h, flow);
		drop_decision(h, &d, egress, BPFAST_R_TCP_MIDSTREAM);
		return pkt->flags & (PKT_FRAGMENT | PKT_ICMP_ERROR) ? HOOK_DROP
								    : reset_both(skb, h);
	}
	return GO_ON;
}

/* A packet of an inspected flow. */
static __always_inline int inspect(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow,
				   int from_client)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 reason;

	if (pkt->flags & PKT_FRAGMENT)
		return refuse(h, flow, BPFAST_R_FRAGMENT);
	/* Who makes segments of it goes by the frame, and by what lies behind the IP packet, too. */
	if (skb->gso_size && pkt->l3_off + pkt->ip_len != skb->len)
		return refuse(h, flow, BPFAST_R_MALFORMED);
	if (pkt->tcp_flags & TCP_SYN) {
		if ((pkt->tcp_flags & TCP_SYN && pkt->tcp_flags & (TCP_FIN | TCP_RST)) ||
		    from_client == !!(pkt->tcp_flags & TCP_ACK))
			return refuse(h, flow, BPFAST_R_TCP_FLAGS);
		if (!from_client && flow->flags & BPFAST_FF_DENIED)
			return denied_packet(skb, h, flow, from_client);
		reason = from_client ? stream_syn(skb, h, flow) : stream_syn_ack(skb, h, flow);
		return reason ? refuse(h, flow, reason) : forward(h);
	}
	if (!from_client && !(flow->flags & BPFAST_FF_WENT_ON) &&
	    flow->flags & BPFAST_FF_SYN_ACKED && !(pkt->tcp_flags & TCP_RST))
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_WENT_ON);
	if (flow->flags & BPFAST_FF_DENIED)
		return denied_packet(skb, h, flow, from_client);
	return from_client ? stream_client(skb, h, flow) : stream_server(skb, h, flow);
}

/* TCP of a flow that nobody inspects: only its end matters. */
static __always_inline void follow_close(struct hook *h, struct bpfast_flow *flow, int from_client)
{
	struct packet *pkt = &h->scratch->pkt;
	const __u32 fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;
	__u32 flags = flow->flags;

	if (!(pkt->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) || pkt->protocol != PROTO_TCP)
		return;
	/* A new connection on the ports of one that is over. */
	if ((pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		if (flags & BPFAST_FF_RST || (flags & fins) == fins)
			__sync_fetch_and_and(&flow->flags,
					     ~(fins | BPFAST_FF_RST | BPFAST_FF_ANSWERED |
					       BPFAST_FF_SEEN_REPLY));
		return;
	}
	if (pkt->tcp_flags & TCP_RST)
		flags |= BPFAST_FF_RST;
	if (pkt->tcp_flags & TCP_FIN)
		flags |= from_client ? BPFAST_FF_FIN_FROM_CLIENT : BPFAST_FF_FIN_FROM_SERVER;
	flow_mark(h, flow, flags);
}

/*
 * A SYN-ACK opens nothing: an initiator with a forged address never goes on behind it, for it
 * does not know the number to acknowledge. Whatever else it sends is no sign: a server says
 * nothing to much of it.
 */
static __noinline int seen_reply(struct hook *h, struct bpfast_flow *flow, int from_client)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 flags = 0,
	      first = flow->flags & BPFAST_FF_HTTP ? flow->server.first : flow->server.other_syn;
	int syn = pkt->tcp_flags & TCP_SYN;

	if (pkt->protocol != PROTO_TCP) {
		flags = from_client ? 0 : BPFAST_FF_SEEN_REPLY;
	} else if (!from_client) {
		if (syn && !(flow->flags & BPFAST_FF_HTTP))
			flow->server.other_syn = pkt->seq + 1;
		/* It sends data to nobody whom it does not know, and where it has no
		 * connection at all, a reset or nothing. */
		flags = BPFAST_FF_ANSWERED;
		if (!syn && !(pkt->tcp_flags & TCP_RST) &&
		    (pkt->payload_len || flow->flags & BPFAST_FF_MIDSTREAM))
			flags |= BPFAST_FF_SEEN_REPLY;
	} else if (flow->flags & BPFAST_FF_ANSWERED && pkt->tcp_flags & TCP_ACK && !syn &&
		   pkt->ack - first <= 0xffff) {
		flags = BPFAST_FF_SEEN_REPLY;
	}
	if (flags & ~flow->flags)
		__sync_fetch_and_or(&flow->flags, flags);
	return 0;
}

static __always_inline int known_flow(struct __sk_buff *skb, struct hook *h,
				      struct bpfast_flow *flow)
{
	__u32 jiffies = (__u32)bpf_jiffies64();
	int from_client = !!(flow->flags & BPFAST_FF_EGRESS) == h->egress, way;
	struct packet *pkt = &h->scratch->pkt;

	/* Reading the clock costs more than a load: only now and then. */
	if (jiffies - flow->seen_jiffies >= 64) {
		flow->seen_jiffies = jiffies;
		flow->seen_ns = bpf_ktime_get_coarse_ns();
	}
	if (flow->generation != h->generation) {
		if (flow->flags & BPFAST_FF_MIDSTREAM) {
			flow_delete(h, flow);
			return first_packet(skb, h);
		}
		way = judge_again(skb, h, flow);
		if (way != GO_ON)
			return way;
	}
	if (pkt->flags & PKT_ICMP_ERROR)
		return forward(h);
	/* What the node began only the node goes on with, whoever has its address and ports. */
	if (flow->flags & BPFAST_FF_HOST && from_client && !h->from_host)
		return drop(h, BPFAST_R_POLICY_DENIED, flow);
	if (!(flow->flags & BPFAST_FF_SEEN_REPLY))
		seen_reply(h, flow, from_client);
	/* A SYN from the responder begins another connection: it needs its own permission. */
	if (pkt->protocol == PROTO_TCP && !from_client &&
	    (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		const __u32 fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;

		if (!(flow->flags & BPFAST_FF_RST) && (flow->flags & fins) != fins)
			return drop(h, BPFAST_R_TCP_FLAGS, flow);
		flow_delete(h, flow);
		return first_packet(skb, h);
	}
	if (flow->flags & BPFAST_FF_HTTP)
		return inspect(skb, h, flow, from_client);
	follow_close(h, flow, from_client);
	return forward(h);
}

/* What is known of a connection lies in another version's table still: TCP sends again. */
static __always_inline int carry_waits(const struct hook *h, const struct bpfast_flow *flow)
{
	const struct packet *pkt = &h->scratch->pkt;

	return pkt->protocol == PROTO_TCP && !(pkt->flags & PKT_ICMP_ERROR) &&
	       (!flow || flow->flags & BPFAST_FF_HTTP);
}

static __always_inline int pod(struct __sk_buff *skb, __u8 egress)
{
	__u32 zero = 0, ifindex = skb->ifindex, reason;
	struct bpfast_flow *flow;
	struct hook h = {.egress = egress};
	struct packet *pkt;
	__u64 root;

	if (skb->mark == REPLY_MARK) { /* made by the other hook of this veth */
		skb->mark = 0;
		return HOOK_NEXT;
	}
	h.scratch = bpf_map_lookup_elem(&bpfast_scratch, &zero);
	h.metrics = bpf_map_lookup_elem(&bpfast_metrics, &zero);
	h.control = bpf_map_lookup_elem(&bpfast_control, &zero);
	if (!h.scratch || !h.metrics || !h.control)
		return HOOK_DROP;
	pkt = &h.scratch->pkt;
	h.scratch->now = 0;
	h.endpoint = bpf_map_lookup_elem(&bpfast_endp, &ifindex);
	h.from_host = !egress && skb->ingress_ifindex == 0;

	reason = parse_quick(skb, h.scratch) ? BPFAST_R_NONE : parse(skb, h.scratch);
	root = *(volatile __u64 *)&h.control->root;
	h.generation = root >> 32;
	h.image = (__u32)root;
	if (!h.endpoint || !root)
		return drop(&h, BPFAST_R_NO_POLICY, 0);
	if (!reason)
		reason = checksum_check(skb, h.scratch);
	if (reason)
		return drop(&h, reason, 0);
	if (egress) {
		reason = check_source(&h);
		if (reason)
			return drop(&h, reason, 0);
	}
	if (!(pkt->flags & ~PKT_COPIED))
		goto flow;
	/* Where the node reassembles and fragments anew, IPv6 forgets by which device a packet came
	 * (ip6_copy_metadata(), up to Linux 6.18): then it is no proof of being the node's. */
	if (pkt->flags & PKT_FRAGMENT_HEADER)
		h.from_host = 0;
	if (pkt->flags & PKT_ARP)
		return forward(&h);
	if (pkt->flags & PKT_LINK_CONTROL) {
		reason = check_link_control(&h);
		return reason ? drop(&h, reason, 0) : forward(&h);
	}
	if (pkt->flags & PKT_FRAGMENT) {
		reason = fragment(&h);
		if (reason)
			return drop(&h, reason, 0);
	}
flow:
	if (pkt->protocol == PROTO_UDP && dhcp(&h))
		return forward(&h);

	flow_key(&h);
	flow = bpf_map_lookup_elem(&bpfast_flow, &h.scratch->key);
	if (h.endpoint->flags & BPFAST_EPF_CARRYING && carry_waits(&h, flow))
		return drop(&h, BPFAST_R_CARRYING, flow);
	return flow ? known_flow(skb, &h, flow) : first_packet(skb, &h);
}

SEC("tc")
int bpfast_from_pod(struct __sk_buff *skb)
{
	return pod(skb, 1);
}

SEC("tc")
int bpfast_to_pod(struct __sk_buff *skb)
{
	return pod(skb, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
