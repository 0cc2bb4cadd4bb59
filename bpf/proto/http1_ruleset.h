/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_PROTO_HTTP1_RULESET_H
#define BPFAST_PROTO_HTTP1_RULESET_H
/* Where the tables lie that judge the current head; see struct bpfast_image_ruleset. */
#include "proto/http1.h"

/* Arena offset of a member of the ruleset that judges the current head. */
#define RULESET_FIELD(w, member)                                                                   \
	arena_u32((w)->st.ruleset_off +                                                            \
		  (__u32) __builtin_offsetof(struct bpfast_image_ruleset, member))

/* The same, whole: at least as many bytes can be read there. NULL never happens. */
static __always_inline const struct bpfast_image_ruleset *request_rules(const struct http_walk *w)
{
	return arena_at(w->st.ruleset_off & ~7u);
}

/* The image in which the current head's ruleset lies: rulesets hold offsets from there. */
static __always_inline __u32 request_image(const struct http_walk *w)
{
	return w->st.image_off;
}

/* Arena offset of an automaton of the ruleset, 0: no rule looks at the field. */
static __always_inline __u32 request_dfa(const struct http_walk *w, __u32 off)
{
	return off ? request_image(w) + off : 0;
}

/* Arena offset of a header slot's struct bpfast_image_header. */
static __always_inline __u32 request_slot(const struct http_walk *w, __u32 slot)
{
	return w->st.ruleset_off + (__u32) __builtin_offsetof(struct bpfast_image_ruleset, header) +
	       slot * (__u32)sizeof(struct bpfast_image_header);
}

/* The set of a slot whose header is not there. */
static __always_inline __u32 request_absent(const struct http_walk *w, __u32 slot)
{
	return arena_u32(request_slot(w, slot) + 4);
}

/* The tables that are in force now judge what begins here. */
static __always_inline void request_tables(struct http_walk *w)
{
	w->st.generation = w->generation;
	w->st.image_off = w->image;
	w->st.ruleset_off = w->ruleset;
}

#endif
