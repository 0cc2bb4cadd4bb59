// SPDX-License-Identifier: Apache-2.0
#include "replay/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfast/limits.h"
#include "datapath/datapath.h"
#include "policy/compile.h"
#include "replay/clock.h"
#include "replay/held.h"
#include "replay/refused.h"
#include "replay/segment.h"

/* What frames above BF_TRIAL_MAX are cut to: Ethernet's own size. */
#define PIECE_BYTES 1514

/* A short connection's share of a capture file, and a table of some 400 MB. */
#define FLOW_BYTES 512
#define FLOWS_MAX (1u << 20)

struct pod_address {
	uint8_t addr[16];
	const struct bpfast_endpoint *pod;
};

struct bf_replay {
	struct bf_datapath *dp;
	struct bf_view *view;
	struct bpfast_endpoint *pods;
	struct pod_address *addrs; /* sorted */
	size_t addr_count;
	uint8_t (*node)[16];
	size_t node_count;
	void (*record)(void *arg, const struct bpfast_event *ev, const struct bf_view *view);
	void *arg;
	struct bf_replay_clock clock;
	struct bf_held_list held;
	struct bf_refused refused;
	struct bf_replay_summary *sum;
	int64_t now_ns; /* the capture's */
	struct bpfast_event *events; /* of the offer under way */
	size_t event_count, event_cap;
	uint64_t dropped[BPFAST_DIRECTIONS][BPFAST_R_COUNT]; /* as counted before the run */
	uint8_t out[2][BF_TRIAL_OUT_MAX];
	bool failed; /* no memory */
};

/* What became of one offer of a packet. */
struct outcome {
	uint32_t reason; /* of a drop; BPFAST_R_NONE: it went on, maybe not all of it */
	bool refused; /* the test runner did not take it */
	bool cut; /* only its beginning went on: */
	size_t went; /* bytes of payload */
};

/* --- one hook --------------------------------------------------------------------- */

static void on_event(void *arg, const struct bpfast_event *ev)
{
	struct bf_replay *r = arg;
	struct bpfast_event *more;
	size_t cap = r->event_cap ? r->event_cap * 2 : 64;

	if (r->event_count == r->event_cap) {
		more = realloc(r->events, cap * sizeof(*more));
		if (!more) {
			r->failed = true;
			return;
		}
		r->events = more;
		r->event_cap = cap;
	}
	r->events[r->event_count] = *ev;
	if (bf_replay_clock_set(&r->clock, &r->events[r->event_count], r->now_ns))
		r->failed = true;
	r->event_count++;
}

/* The reason that was counted since the last call, or NONE. */
static int counted_reason(struct bf_replay *r, uint32_t *reason)
{
	struct bpfast_metrics m;
	int ret = bf_datapath_metrics(r->dp, &m);

	*reason = BPFAST_R_NONE;
	for (int d = 0; !ret && d < BPFAST_DIRECTIONS; d++)
		for (uint32_t i = 0; i < BPFAST_R_COUNT; i++)
			if (m.dropped[d][i] != r->dropped[d][i])
				*reason = i;
	memcpy(r->dropped, m.dropped, sizeof(r->dropped));
	return ret;
}

static int hook(struct bf_replay *r, struct bf_trial *t, struct outcome *o)
{
	int ret = bf_trial_run(r->dp, t);
	struct bf_frame out;

	if (ret == -EINVAL) {
		o->refused = true;
		return 0;
	}
	if (ret)
		return ret;
	/* A dropped packet has a reason, and so has one whose place was taken by a reset. What
	 * went through untouched has none, and needs no look at the counters. */
	if (!t->forwarded || t->out_len != t->len || memcmp(t->out, t->frame, t->len))
		ret = counted_reason(r, &o->reason);
	if (!t->forwarded && !o->reason)
		o->reason = BPFAST_R_INTERNAL;
	if (t->forwarded && !o->reason && t->out_len < t->len) {
		bf_frame_read(t->out, t->out_len, &out);
		o->cut = out.tcp;
		o->went = out.payload_len;
	}
	return ret < 0 ? ret : bf_datapath_events(r->dp, on_event, r) < 0 ? -EIO : 0;
}

/* --- one packet ------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static const struct bpfast_endpoint *pod_of(const struct bf_replay *r, const uint8_t addr[16])
{
	const struct pod_address *found =
		bsearch(addr, r->addrs, r->addr_count, sizeof(*r->addrs), by_address);

	return found ? found->pod : NULL;
}

static bool is_node(const struct bf_replay *r, const uint8_t addr[16])
{
	for (size_t i = 0; i < r->node_count; i++)
		if (!memcmp(r->node[i], addr, 16))
			return true;
	return false;
}

/* Through the sender's hook, and what that leaves through the receiver's. */
static int offer(struct bf_replay *r, const uint8_t *frame, size_t len, const struct bf_frame *f,
		 struct outcome *o)
{
	struct bf_trial t = {.frame = frame, .len = len, .from_pod = true, .out = r->out[0]};
	int ret;

	memset(o, 0, sizeof(*o));
	r->event_count = 0;
	t.endpoint = pod_of(r, f->source);
	if (t.endpoint) {
		ret = hook(r, &t, o);
		if (ret || o->refused || !t.forwarded)
			return ret;
		t.frame = t.out;
		t.len = t.out_len;
	}
	t.endpoint = pod_of(r, f->destination);
	if (t.endpoint && t.len <= BF_TRIAL_MAX) {
		struct outcome second = {0};

		t.from_pod = false;
		t.from_node = is_node(r, f->source);
		t.out = r->out[1];
		ret = hook(r, &t, &second);
		if (ret)
			return ret;
		/* The reset that took the place of a denied packet has no verdict of its own. */
		if (!o->reason)
			o->reason = second.reason;
		if (second.cut) {
			o->cut = true;
			o->went = second.went;
		}
		/* What the first hook let through did not arrive. */
		if (second.reason)
			o->cut = false;
		o->refused |= second.refused;
	}
	return 0;
}

static bool denied_a_request(const struct bf_replay *r)
{
	for (size_t i = 0; i < r->event_count; i++)
		if (r->events[i].type == BPFAST_EV_HTTP_REQUEST &&
		    r->events[i].verdict == BPFAST_V_DROPPED)
			return true;
	return false;
}

/*
 * Would its sender send it again, and would that change anything? The programs
 * count on it where they have no room ahead of a gap, where they hold a denied
 * request until earlier responses are through, and where they cut a packet.
 */
static bool comes_again(const struct bf_replay *r, const struct bf_frame *f,
			const struct outcome *o)
{
	if (!f->tcp || (!f->payload_len && !(f->tcp_flags & BF_TCP_FIN)))
		return false;
	if (o->cut || o->reason == BPFAST_R_TCP_GAP || o->reason == BPFAST_R_RETAIN_FULL)
		return true;
	return o->reason >= BPFAST_R_HTTP_DENIED && !denied_a_request(r);
}

static void tell(struct bf_replay *r)
{
	for (size_t i = 0; i < r->event_count; i++)
		r->record(r->arg, &r->events[i], r->view);
}

/* A drop behind which there would have been no more of the connection. */
static bool refuses(const struct bf_replay *r, uint32_t reason)
{
	switch (reason) {
	case BPFAST_R_POLICY_DENIED:
	case BPFAST_R_DENY_RULE:
	case BPFAST_R_POLICY_REVOKED:
	case BPFAST_R_TCP_MIDSTREAM:
		return true;
	}
	return denied_a_request(r);
}

/* The last word on a packet: told, and counted. */
static int settle(struct bf_replay *r, const struct bf_frame *f, uint32_t reason)
{
	const uint8_t flags = f->tcp_flags & (BF_TCP_SYN | BF_TCP_ACK);
	bool begins = f->tcp && flags == BF_TCP_SYN;

	if (reason && !begins && bf_refused_has(&r->refused, f)) {
		r->sum->behind[reason]++;
		return 0;
	}
	tell(r);
	if (!reason) {
		r->sum->forwarded++;
		bf_held_heard(&r->held, f);
		if (begins)
			bf_refused_remove(&r->refused, f);
		return 0;
	}
	r->sum->dropped[reason]++;
	return refuses(r, reason) ? bf_refused_add(&r->refused, f) : 0;
}

/* --- what is sent again ----------------------------------------------------------- */

/* A refusal that was told before is not told again. */
static void forget_repeated(struct bf_replay *r, uint32_t reason)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->event_count; i++)
		if (r->events[i].type != BPFAST_EV_L3_L4 || r->events[i].reason != reason)
			r->events[kept++] = r->events[i];
	r->event_count = kept;
}

/* What went on of it need not come again. */
static int keep_the_rest(struct bf_held *h, const struct outcome *o)
{
	int len = o->cut ? bf_segment_skip(h->frame, h->len, o->went) : (int)h->len;

	if (len < 0)
		return len;
	h->len = (size_t)len;
	bf_frame_read(h->frame, h->len, &h->f);
	return 0;
}

/* One packet again. *moved: that changed something. */
static int offer_again(struct bf_replay *r, struct bf_held *h, bool *moved)
{
	struct bf_frame f = h->f;
	struct outcome o;
	int ret;

	bf_frame_set_ack(h->frame, &f, h->ack);
	h->f.ack = f.ack = h->ack;
	r->sum->sent_again++;
	ret = offer(r, h->frame, h->len, &f, &o);
	if (ret)
		return ret;
	if (comes_again(r, &f, &o)) {
		*moved |= o.cut && o.went;
		if (h->reason && o.reason == h->reason)
			forget_repeated(r, o.reason);
		h->reason = o.cut ? BPFAST_R_NONE : o.reason;
		tell(r);
		return keep_the_rest(h, &o);
	}
	*moved = true;
	bf_held_remove(&r->held, h);
	free(h);
	return settle(r, &f, o.reason);
}

/* All of a connection that wait, in the order in which they came, until none moves. f NULL: of
 * every connection. */
static int send_again(struct bf_replay *r, const struct bf_frame *f)
{
	bool moved = r->held.n != 0;
	int ret = 0;

	while (moved && !ret) {
		struct bf_held *h = r->held.first, *next;

		moved = false;
		for (; h && !ret; h = next) {
			next = h->next;
			if (!f || bf_held_same(h, f))
				ret = offer_again(r, h, &moved);
		}
	}
	return ret;
}

/* --- the capture ------------------------------------------------------------------ */

/* It was told when it was held. */
static void give_up(struct bf_replay *r, const struct bf_held *h)
{
	if (h->reason)
		r->sum->dropped[h->reason]++;
	else
		r->sum->forwarded++;
	r->sum->waiting++;
}

static int packet(void *arg, const uint8_t *frame, size_t len)
{
	struct bf_replay *r = arg;
	struct bf_held *held, *given_up;
	struct bf_frame f;
	struct outcome o;
	int ret;

	bf_frame_read(frame, len, &f);
	ret = offer(r, frame, len, &f, &o);
	if (ret)
		return ret;
	if (o.refused) {
		r->sum->refused++;
		return 0;
	}
	r->sum->packets++;
	if (!comes_again(r, &f, &o)) {
		ret = settle(r, &f, o.reason);
		return ret || o.reason ? ret : send_again(r, &f);
	}
	tell(r);
	ret = bf_held_add(&r->held, frame, len, &f, o.reason, &held, &given_up);
	if (given_up) {
		give_up(r, given_up);
		free(given_up);
	}
	if (!ret)
		ret = keep_the_rest(held, &o);
	return ret || !o.cut ? ret : send_again(r, &f);
}

static int captured(struct bf_replay *r, const struct bf_captured *c)
{
	struct bf_replay_summary *sum = r->sum;
	struct bf_frame f;
	int ret;

	sum->frames++;
	r->now_ns = c->time_ns;
	if (c->missing) {
		sum->truncated++;
		return 0;
	}
	bf_frame_read(c->frame, c->len, &f);
	if (!f.addressed || (!pod_of(r, f.source) && !pod_of(r, f.destination))) {
		sum->no_pod++;
		return 0;
	}
	if (c->len <= BF_TRIAL_MAX)
		return packet(r, c->frame, c->len);
	ret = bf_segment_cut(c->frame, c->len, PIECE_BYTES, packet, r);
	if (ret == -EINVAL) {
		sum->too_large++;
		return 0;
	}
	if (ret < 0)
		return ret;
	sum->cut++;
	sum->cut_into += (uint64_t)ret;
	return 0;
}

static int finish(struct bf_replay *r)
{
	int ret = send_again(r, NULL);

	for (struct bf_held *h = r->held.first; !ret && h; h = h->next)
		give_up(r, h);
	return ret ? ret : bf_datapath_metrics(r->dp, &r->sum->metrics);
}

int bf_replay_run(struct bf_replay *r, struct bf_capture *capture,
		  struct bf_replay_summary *summary, struct bf_error *err)
{
	struct bf_captured c;
	struct bf_error why;
	int more = 0, ret = 0;

	memset(summary, 0, sizeof(*summary));
	r->sum = summary;
	while (!ret && !r->failed && (more = bf_capture_next(capture, &c, &why)) > 0)
		ret = captured(r, &c);
	if (!ret && r->failed)
		ret = -ENOMEM;
	if (!ret)
		ret = finish(r);
	if (ret)
		return bf_err(err, ret, "cannot run frame %llu: %s",
			      (unsigned long long)summary->frames, strerror(-ret));
	return more < 0 ? bf_err(err, more, "%s", why.msg) : 0;
}

/* --- life ------------------------------------------------------------------------- */

static int set_pods(struct bf_replay *r, const struct bf_replay_options *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->endpoint_count; i++)
		n += o->endpoints[i].addr_count;
	r->pods = calloc(o->endpoint_count + 1, sizeof(*r->pods));
	r->addrs = calloc(n + 1, sizeof(*r->addrs));
	r->node = calloc(o->node_addr_count + 1, 16);
	if (!r->pods || !r->addrs || !r->node)
		return -ENOMEM;
	for (size_t i = 0; i < o->endpoint_count; i++) {
		const struct bf_endpoint *e = &o->endpoints[i];
		struct bpfast_endpoint *pod = &r->pods[i];

		/* No MAC: captures on other links have none, and it is not checked then. */
		pod->slot = (uint16_t)e->slot;
		pod->addr_count = (uint8_t)e->addr_count;
		memcpy(pod->addr, e->addrs, e->addr_count * 16);
		for (size_t k = 0; k < e->addr_count; k++) {
			memcpy(r->addrs[r->addr_count].addr, e->addrs[k], 16);
			r->addrs[r->addr_count++].pod = pod;
		}
	}
	qsort(r->addrs, r->addr_count, sizeof(*r->addrs), by_address);
	if (o->node_addr_count)
		memcpy(r->node, o->node_addrs, o->node_addr_count * 16);
	r->node_count = o->node_addr_count;
	return 0;
}

/* Policies into force. */
static int enforce(struct bf_replay *r, const struct bf_replay_options *o, struct bf_error *err)
{
	struct bf_world world = {
		.objects = o->objects,
		.endpoints = o->endpoints,
		.endpoint_count = o->endpoint_count,
		.node_addrs = o->node_addrs,
		.node_addr_count = o->node_addr_count,
	};
	struct bf_image image = {0};
	uint32_t generation;
	int ret = bf_image_compile(&world, &image, err);

	if (ret)
		return ret;
	ret = bf_datapath_install(r->dp, image.blob.data, image.blob.len, &generation, err);
	if (!ret) {
		r->view = bf_view_new(generation, &image, &world);
		if (!r->view)
			ret = bf_err(err, -ENOMEM, "no memory");
	}
	bf_image_free(&image);
	return ret;
}

/* Silent flows are not forgotten in a replay, so a large capture needs a larger table, and no
 * endpoint a quota. */
static uint32_t flows_for(uint64_t bytes)
{
	uint64_t flows = bytes / FLOW_BYTES;

	if (flows > FLOWS_MAX)
		flows = FLOWS_MAX;
	return flows > BPFAST_FLOWS_DEFAULT ? (uint32_t)flows : BPFAST_FLOWS_DEFAULT;
}

int bf_replay_open(const struct bf_replay_options *options, struct bf_replay **out,
		   struct bf_error *err)
{
	struct bf_replay *r = calloc(1, sizeof(*r));
	struct bf_datapath_options datapath = {.flows = flows_for(options->capture_bytes),
					       .flows_per_endpoint = INT32_MAX};
	int ret;

	if (!r)
		return bf_err(err, -ENOMEM, "no memory");
	r->record = options->record;
	r->arg = options->arg;
	ret = bf_trial_enter(err);
	if (!ret && set_pods(r, options))
		ret = bf_err(err, -ENOMEM, "no memory");
	if (!ret)
		ret = bf_datapath_open_private(&datapath, &r->dp, err);
	if (!ret) {
		struct bpfast_control *control = bf_datapath_control(r->dp);

		/* Every record, and no flow forgotten for being silent on a clock that is not
		 * the capture's. */
		control->observed = 1;
		control->tcp_idle_s = control->other_idle_s = 86400;
		ret = enforce(r, options, err);
	}
	if (ret) {
		bf_replay_close(r);
		return ret;
	}
	*out = r;
	return 0;
}

void bf_replay_close(struct bf_replay *r)
{
	struct bf_held *h;

	if (!r)
		return;
	while ((h = r->held.first)) {
		bf_held_remove(&r->held, h);
		free(h);
	}
	bf_refused_free(&r->refused);
	bf_replay_clock_free(&r->clock);
	bf_view_free(r->view);
	bf_datapath_close(r->dp);
	free(r->events);
	free(r->pods);
	free(r->addrs);
	free(r->node);
	free(r);
}
