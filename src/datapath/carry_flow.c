// SPDX-License-Identifier: Apache-2.0
/*
 * Flows of another layout. They are read as that layout's note says, member by
 * member, and made by the program bpfast_carry. Nothing is written over there: until
 * an endpoint has left it, what lies there is the truth.
 */
#include "datapath/carry_flow.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpfast/retain.h"
#include "carry.skel.h"

/* Without these a flow is nothing that can be gone on with. */
static const char *const flow_needs[] = {
	"seen_ns",
	"flags",
	"remote_identity",
	"ref",
	"ruleset",
	"on_deny",
	"reason",
	"reply_len",
	"requests",
	"responses",
	"recorded",
	"head_requests",
	"held",
	"client.first",
	"client.next",
	"client.state",
	"client.body_left",
	"client.value",
	"client.bits",
	"client.head_len",
	"server.first",
	"server.next",
	"server.state",
	"server.body_left",
	"server.bits",
	"server.acked",
	"server.other_syn",
	NULL,
};
static const char *const key_needs[] = {
	"local", "remote", "local_port", "remote_port", "endpoint", "protocol", "pad", NULL,
};
static const char *const endpoint_needs[] = {"slot", "flags", NULL};

/* --- sources --- */

static int map_of(const char *pin_dir, const char *layout, enum bf_map m)
{
	return bf_pins_open(pin_dir, layout, "maps", bf_map_name[m]);
}

/* Are the map's elements as large as its note says? */
static bool map_fits(int fd, uint32_t key, uint32_t value)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.key_size == key &&
	       info.value_size == value;
}

static bool chunk_members(struct bf_source *s)
{
	const struct {
		const char *name;
		struct bf_member *to;
	} want[] = {
		{"next", &s->next}, {"owner", &s->owner}, {"seq", &s->seq},
		{"len", &s->len},   {"taken", &s->taken}, {"data", &s->data},
	};
	int64_t size = btf__resolve_size(s->note.btf, s->note.chunk);

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		if (!bf_member_find(s->note.btf, s->note.chunk, want[i].name, want[i].to))
			return false;
	s->chunk_bytes = (uint32_t)size;
	return size > 0;
}

static bool source_read(const struct bf_carrier *c, const char *pin_dir, struct bf_source *s)
{
	const struct bf_note *own = &c->own, *n = &s->note;
	const char *missing;

	if (bf_note_read(pin_dir, s->layout, &s->note) || n->flow_meaning != own->flow_meaning)
		return false;
	s->same_streams = n->stream_meaning == own->stream_meaning;
	return !bf_plan_make(&s->endpoint_plan, n->btf, n->endpoint, own->btf, own->endpoint,
			     endpoint_needs, &missing) &&
	       !bf_plan_make(&s->key_plan, n->btf, n->flow_key, own->btf, own->flow_key, key_needs,
			     &missing) &&
	       !bf_plan_make(&s->flow_plan, n->btf, n->flow, own->btf, own->flow, flow_needs,
			     &missing) &&
	       chunk_members(s) && map_fits(s->endp, 4, s->endpoint_plan.from_size) &&
	       map_fits(s->flow, s->key_plan.from_size, s->flow_plan.from_size) &&
	       map_fits(s->chunk, 4, s->chunk_bytes);
}

/* What is in a table of which nothing is known. */
static uint32_t flows_in(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info), n = 0;

	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
		bf_map_count(fd, info.key_size, info.value_size, &n);
	return n;
}

struct opening {
	struct bf_datapath *dp;
	struct bf_carrier *c;
};

static int open_source(void *arg, const char *pin_dir, const char *layout)
{
	const struct opening *o = arg;
	struct bf_carrier *c = o->c;
	struct bf_source *s = &c->source[c->sources];

	if (!bf_layout_is_other(o->dp, layout) || c->sources == BF_SOURCES_MAX ||
	    strlen(layout) >= sizeof(s->layout))
		return 0;
	snprintf(s->layout, sizeof(s->layout), "%s", layout);
	s->endp = map_of(pin_dir, layout, BF_MAP_ENDP);
	if (s->endp < 0) /* the marks of qdiscs, and what else is no layout */
		return 0;
	s->flow = map_of(pin_dir, layout, BF_MAP_FLOW);
	s->chunk = map_of(pin_dir, layout, BF_MAP_CHUNK);
	s->readable = source_read(c, pin_dir, s);
	if (!s->readable && s->flow >= 0)
		c->done.lost += flows_in(s->flow);
	c->sources++;
	return 0;
}

/* The program that makes flows, over our maps. */
static int load_carry(struct bf_datapath *dp, struct bf_carrier *c)
{
	struct bpf_map *map;
	int ret = 0;

	c->skel = carry_bpf__open();
	if (!c->skel)
		return -errno;
	for (int m = 0; !ret && m < BF_MAPS; m++) {
		map = bpf_object__find_map_by_name(c->skel->obj, bf_map_name[m]);
		ret = map ? bpf_map__reuse_fd(map, dp->map[m]) : -ENOENT;
	}
	if (!ret)
		ret = bpf_map__set_autocreate(c->skel->maps.bpfast_scratch, false);
	if (!ret)
		ret = carry_bpf__load(c->skel);
	c->prog = ret ? -1 : bpf_program__fd(c->skel->progs.bpfast_carry);
	return ret;
}

int bf_carrier_open(struct bf_datapath *dp, struct bf_carrier *c, struct bf_error *err)
{
	struct opening o = {dp, c};
	struct bf_blob note = {dp->note, dp->note_bytes};
	bool any = false;
	int ret;

	memset(c, 0, sizeof(*c));
	c->prog = -1;
	c->source = calloc(BF_SOURCES_MAX, sizeof(*c->source));
	if (!c->source)
		return bf_err(err, -ENOMEM, "out of memory");
	ret = bf_note_parse(&note, &c->own);
	if (!ret)
		ret = bf_pins_each(dp->pin_dir, open_source, &o);
	for (size_t i = 0; i < c->sources; i++)
		any |= c->source[i].readable;
	if (!ret && any)
		ret = load_carry(dp, c);
	return ret ? bf_err(err, ret, "cannot load the program that carries flows over: %s",
			    strerror(-ret))
		   : 0;
}

void bf_carrier_close(struct bf_carrier *c)
{
	for (size_t i = 0; i < c->sources; i++) {
		struct bf_source *s = &c->source[i];
		const int fds[] = {s->endp, s->flow, s->chunk};

		for (size_t f = 0; f < sizeof(fds) / sizeof(fds[0]); f++)
			if (fds[f] >= 0)
				close(fds[f]);
		bf_plan_free(&s->endpoint_plan);
		bf_plan_free(&s->key_plan);
		bf_plan_free(&s->flow_plan);
		bf_note_free(&s->note);
	}
	carry_bpf__destroy(c->skel);
	bf_note_free(&c->own);
	free(c->chunk);
	free(c->source);
	memset(c, 0, sizeof(*c));
}

/* Its entry in a source. flags: 0 where they cannot be read. */
static bool source_endpoint(const struct bf_source *s, int ifindex, struct bpfast_endpoint *out)
{
	uint8_t value[512];
	uint32_t key = (uint32_t)ifindex;

	memset(out, 0, sizeof(*out));
	if (s->readable && s->endpoint_plan.from_size <= sizeof(value))
		return bpf_map_lookup_elem(s->endp, &key, value) == 0 &&
		       bf_plan_run(&s->endpoint_plan, value, out) == 0;
	return bpf_map_get_next_key(s->endp, &key, &key) == 0 || errno != ENOENT;
}

struct bf_source *bf_carrier_source(struct bf_carrier *c, int ifindex)
{
	struct bf_source *found = NULL;
	struct bpfast_endpoint e;

	/* Where it is on its way only, another one knows its flows, if there is one. */
	for (size_t i = 0; i < c->sources; i++) {
		struct bf_source *s = &c->source[i];

		if (!s->readable || !source_endpoint(s, ifindex, &e))
			continue;
		if (!(e.flags & BPFAST_EPF_CARRYING))
			return s;
		found = s;
	}
	return found;
}

void bf_source_want(struct bf_source *s, const struct bf_datapath_endpoint *want)
{
	struct bpfast_endpoint e;

	if (want->endpoint.slot < BPFAST_ENDPOINTS_MAX && source_endpoint(s, want->ifindex, &e))
		s->slot[e.slot] = want->endpoint.slot;
}

/* --- making --- */

/* Has the program do what c->order says: its answer, or -errno. */
static int order(struct bf_carrier *c, enum bpfast_carry_what what)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &c->order,
		    .data_size_in = sizeof(c->order));
	int ret;

	c->order.what = what;
	ret = bpf_prog_test_run_opts(c->prog, &opts);
	return ret < 0 ? ret : (int)opts.retval;
}

static void give_back(struct bf_carrier *c, const uint32_t *links, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		c->order.link = links[i];
		order(c, BPFAST_CARRY_GIVE);
	}
}

/* What of a chunk's member is where. */
static uint32_t chunk_number(const struct bf_carrier *c, const struct bf_member *m)
{
	return (uint32_t)bf_number_at(c->chunk + m->at, m->size);
}

/* Bytes seq.. of a flow into our chunks, behind the n that it has; how many it has then, or -errno. */
static int keep_bytes(struct bf_datapath *dp, struct bf_carrier *c, const struct bf_source *s,
		      struct bpfast_chunk **list, uint32_t *links, uint32_t n)
{
	uint32_t len = chunk_number(c, &s->len), seq = chunk_number(c, &s->seq), at = 0;

	(void)dp;
	if (len > s->data.size)
		return -EINVAL;
	while (at < len) {
		uint32_t part = len - at < BPFAST_CHUNK_BYTES ? len - at : BPFAST_CHUNK_BYTES;
		struct bpfast_chunk *chunk;
		int link;

		if (n == BPFAST_FLOW_CHUNKS)
			return -ENOSPC;
		chunk = calloc(1, sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		list[n] = chunk;
		links[n] = 0;
		link = order(c, BPFAST_CARRY_TAKE);
		if (link <= 0) {
			free(chunk);
			return link ? link : -ENOSPC;
		}
		links[n] = (uint32_t)link;
		chunk->owner = c->order.tag;
		chunk->seq = seq + at;
		chunk->len = (uint16_t)part;
		chunk->endpoint = (uint16_t)c->order.endpoint;
		chunk->taken = chunk_number(c, &s->taken);
		memcpy(chunk->data, c->chunk + s->data.at + at, part);
		at += part;
		n++;
	}
	return (int)n;
}

/* The bytes that a flow has kept, as a list of our chunks: its first, 0: none, or -errno. */
static int copy_chunks(struct bf_datapath *dp, struct bf_carrier *c, const struct bf_source *s,
		       const struct bpfast_flow_key *key, uint32_t held)
{
	struct bpfast_chunk *list[BPFAST_FLOW_CHUNKS];
	uint32_t links[BPFAST_FLOW_CHUNKS], owner = 0;
	int n = 0, ret = 0, more;

	c->order.tag = bpfast_chunk_tag(key);
	c->order.endpoint = key->endpoint;
	for (int i = 0; !ret && held && i < 4 * BPFAST_FLOW_CHUNKS; i++) {
		uint32_t index = held - 1;

		if (bpf_map_lookup_elem(s->chunk, &index, c->chunk) < 0)
			ret = -errno;
		/* One list, one owner: or it was given back to others. */
		else if (!chunk_number(c, &s->owner) ||
			 (owner && owner != chunk_number(c, &s->owner)))
			ret = -ESTALE;
		owner = chunk_number(c, &s->owner);
		held = chunk_number(c, &s->next);
		more = ret ? ret : keep_bytes(dp, c, s, list, links, (uint32_t)n);
		if (more < 0)
			ret = more;
		else
			n = more;
	}
	for (int i = n; i-- > 0;) {
		uint32_t index = links[i] - 1;

		list[i]->next = i + 1 < n ? links[i + 1] : 0;
		list[i]->last = links[n - 1];
		list[i]->count = (uint16_t)n;
		if (!ret &&
		    bpf_map_update_elem(dp->map[BF_MAP_CHUNK], &index, list[i], BPF_ANY) < 0)
			ret = -errno;
		free(list[i]);
	}
	if (ret)
		give_back(c, links, (uint32_t)n);
	return ret ? ret : n ? (int)links[0] : 0;
}

static bool in_head(const struct bpfast_flow *flow)
{
	const uint32_t over = BPFAST_FF_AUDIT | BPFAST_FF_DENIED | BPFAST_FF_OPAQUE |
			      BPFAST_FF_TUNNEL | BPFAST_FF_RST;

	return flow->flags & BPFAST_FF_HTTP && !(flow->flags & over) &&
	       flow->client.state > BPFAST_STREAM_BETWEEN &&
	       flow->client.state <= BPFAST_STREAM_HEAD_LAST;
}

/* Of a stream between two messages: where it is. All else begins anew with the next. */
static void only_place(struct bpfast_stream *st, bool server)
{
	struct bpfast_stream place = {.first = st->first, .next = st->next};

	if (server) {
		place.other_syn = st->other_syn;
		place.acked = st->acked;
	}
	*st = place;
}

/* Makes a flow ours, but for its kept bytes. False: it cannot be gone on with. */
static bool adapt(const struct bf_source *s, struct bpfast_flow *flow)
{
	const uint32_t asked = BPFAST_FF_UPGRADE | BPFAST_FF_CONNECT | BPFAST_FF_TUNNEL;

	flow->flags &= ~(uint32_t)BPFAST_FF_NO_TIMER;
	/* Of no generation: the policy is asked at the next packet. */
	flow->generation = 0;
	flow->client.owner = flow->server.owner = 0;
	if (!(flow->flags & BPFAST_FF_HTTP))
		return true;
	if (!s->same_streams) {
		if (flow->client.state != BPFAST_STREAM_BETWEEN ||
		    flow->server.state != BPFAST_STREAM_BETWEEN || flow->flags & asked)
			return false;
		only_place(&flow->client, false);
		only_place(&flow->server, true);
	}
	/* Tables that are no longer there: a head that is half judged ends as stale-tables, an
	 * answer's as unknown. Bodies, and what comes behind them, do not look at these. */
	flow->client.generation = flow->server.generation = 0;
	flow->client.image_off = flow->server.image_off = 0;
	flow->client.ruleset_off = 0;
	return true;
}

/* Gives back the chunks of a flow that was not made. */
static void give_back_of(struct bf_datapath *dp, struct bf_carrier *c, uint32_t i)
{
	uint32_t link = c->first[i];
	struct bpfast_chunk chunk;

	c->order.tag = bpfast_chunk_tag(&c->order.one[i].key);
	while (link) {
		uint32_t index = link - 1;

		c->order.link = link;
		link = bpf_map_lookup_elem(dp->map[BF_MAP_CHUNK], &index, &chunk) ? 0 : chunk.next;
		order(c, BPFAST_CARRY_GIVE);
	}
}

/* Has the flows made that are in the order. */
static int flush(struct bf_datapath *dp, struct bf_carrier *c, bool all)
{
	int got = c->order.n ? order(c, BPFAST_CARRY_FLOWS) : 0;

	if (got < 0)
		return got == -1 ? -EIO : got;
	for (uint32_t i = 0; i < c->order.n; i++) {
		uint32_t result = (uint32_t)got >> 2 * i & 3;

		if (result != BPFAST_CARRY_DONE)
			give_back_of(dp, c, i);
		if (result == BPFAST_CARRY_DONE) {
			c->done.flows++;
			c->done.heads += c->head[i];
		} else if (result != BPFAST_CARRY_THERE) {
			c->done.lost += all;
		}
	}
	c->order.n = 0;
	bf_step("some flows copied");
	return 0;
}

struct copying {
	struct bf_datapath *dp;
	struct bf_carrier *c;
	struct bf_source *s;
	bool all;
	uint8_t *value; /* of a flow that is read again */
	unsigned int waits; /* for the other version's sweep */
};

/* Milliseconds in all: so long a program runs that is not under way because its CPU is not, and no longer. */
#define WAITS_MAX 200

/* What the other version's flow holds now; -ENOENT: it is gone. */
static int held_now(struct copying *x, const uint8_t *key, uint32_t *held)
{
	struct bpfast_flow flow;

	if (bpf_map_lookup_elem(x->s->flow, key, x->value) < 0)
		return -errno;
	if (bf_plan_run(&x->s->flow_plan, x->value, &flow))
		return -ERANGE;
	*held = flow.held;
	return 0;
}

/*
 * The bytes that the next flow of the order has kept: first chunk, 0: none, or -errno. No packet changes them, but the
 * other version's sweep gives back what is acknowledged: the chunks first, and then the flow says so.
 */
static int copy_kept(struct copying *x, const uint8_t *key, uint32_t held)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	struct bf_carrier *c = x->c;
	uint32_t was;
	int first, ret;

	for (;;) {
		was = held;
		first = 0;
		if (held && !(held & BPFAST_CHUNK_SPARE))
			first = copy_chunks(x->dp, c, x->s, &c->order.one[c->order.n].key, held);
		bf_step("chunks copied");
		ret = first ? held_now(x, key, &held) : 0;
		if (!ret && held == was && first >= 0)
			return first;
		if (first > 0) {
			c->first[c->order.n] = (uint32_t)first;
			give_back_of(x->dp, c, c->order.n);
		}
		if (ret || x->waits++ >= WAITS_MAX)
			return ret ? ret : -ESTALE;
		nanosleep(&moment, NULL);
	}
}

/* Into the order, if it is wanted: 1; 0: not now. -errno: it cannot be had. */
static int take_flow(struct copying *x, const uint8_t *key, const uint8_t *value)
{
	/* Its timer is the kernel's; sizes are of whole words. */
	static_assert(sizeof(x->c->order.one[0].flow) >= sizeof(struct bpfast_flow),
		      "a flow fits its order");
	struct bf_carrier *c = x->c;
	struct bpfast_carry_flow *one = &c->order.one[c->order.n];
	struct bpfast_flow flow;
	int first = 0;

	if (bf_plan_run(&x->s->key_plan, key, &one->key))
		return 0;
	one->key.endpoint = x->s->slot[one->key.endpoint];
	if (one->key.endpoint == UINT16_MAX)
		return 0;
	if (bf_plan_run(&x->s->flow_plan, value, &flow))
		return -ERANGE;
	if (!x->all && flow.flags & BPFAST_FF_HTTP)
		return 0;
	c->head[c->order.n] = in_head(&flow);
	if (!adapt(x->s, &flow))
		return -ENOTSUP;
	if (flow.held)
		first = copy_kept(x, key, flow.held);
	if (first < 0)
		return first == -ENOENT ? 0 : first;
	flow.held = c->first[c->order.n] = (uint32_t)first;
	memcpy(one->flow, &flow, sizeof(flow));
	return 1;
}

static int copy_one(struct copying *x, const uint8_t *key, const uint8_t *value)
{
	int ret = take_flow(x, key, value);

	if (ret < 0)
		x->c->done.lost += x->all;
	if (ret == 1 && ++x->c->order.n == BPFAST_CARRY_MAX)
		return flush(x->dp, x->c, x->all);
	return 0;
}

static int copy_batch(void *arg, int map_fd, const uint8_t *keys, const uint8_t *values, uint32_t n)
{
	struct copying *x = arg;

	int ret = 0;

	(void)map_fd;
	for (uint32_t i = 0; !ret && i < n; i++)
		ret = copy_one(x, keys + (size_t)i * x->s->key_plan.from_size,
			       values + (size_t)i * x->s->flow_plan.from_size);
	return ret;
}

int bf_source_copy(struct bf_datapath *dp, struct bf_carrier *c, struct bf_source *s, bool all)
{
	struct copying x = {.dp = dp, .c = c, .s = s, .all = all};
	int ret;

	c->order.n = 0;
	free(c->chunk);
	c->chunk = malloc(s->chunk_bytes);
	x.value = malloc(s->flow_plan.from_size);
	if (!c->chunk || !x.value) {
		free(x.value);
		return -ENOMEM;
	}
	ret = bf_map_walk(s->flow, s->key_plan.from_size, s->flow_plan.from_size, copy_batch, &x);
	free(x.value);
	return ret ? ret : flush(dp, c, all);
}

/* --- what an earlier time left --- */

int bf_carrier_purge(struct bf_datapath *dp, struct bf_carrier *c, struct bf_error *err)
{
	bool *ours = calloc(UINT16_MAX + 1, sizeof(*ours));
	struct bpfast_endpoint e;
	uint32_t key, prev = 0;
	int ret = ours ? 0 : -ENOMEM;

	(void)c;
	for (bool first = true; !ret; first = false, prev = key) {
		if (bpf_map_get_next_key(dp->map[BF_MAP_ENDP], first ? NULL : &prev, &key) < 0)
			break;
		if (!bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &key, &e))
			ours[e.slot] = true;
	}
	if (!ret)
		ret = bf_flows_keep(dp, ours);
	free(ours);
	return ret ? bf_err(err, ret, "cannot remove old flows: %s", strerror(-ret)) : 0;
}
