/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_IMAGE_H
#define BPFAST_IMAGE_H
/*
 * The policy image: one flat, relocatable block that the policy compiler emits
 * and the kernel reads. All of a policy generation lies in one image, so that
 * storing one 64-bit root (struct bpfast_control) puts it into force at once.
 *
 * - Offsets (`_off`) are bytes from the start of the image and multiples of 8.
 * - Integers are in host byte order, ports and IPv4 addresses too.
 * - The kernel never trusts an offset for memory safety: it masks every access
 *   to the arena. The compiler is trusted for meaning.
 */
#include "types.h"
#include "limits.h"

#define BPFAST_IMAGE_MAGIC 0x49465042u /* "BPFI" */
#define BPFAST_IMAGE_VERSION 4u

/* Identities below 256 are reserved; the compiler hands out the others. */
enum bpfast_identity {
	BPFAST_ID_UNKNOWN = 0,
	BPFAST_ID_HOST = 1, /* an address of the node itself (as a destination) */
	BPFAST_ID_WORLD = 2, /* any address that is neither endpoint, node nor CIDR */
	BPFAST_ID_FIRST = 256,
};

/* The head of an image. */
struct bpfast_image {
	__u32 magic;
	__u32 version;
	__u32 size; /* bytes, header included; a multiple of 8 */
	__u32 endpoint_off; /* struct bpfast_image_endpoint[], indexed by slot */
	__u32 endpoint_count;
	__u32 ip4_off; /* struct bpfast_image_ip4[], sorted by first */
	__u32 ip4_count; /* 0: every IPv4 address is BPFAST_ID_WORLD */
	__u32 ip6_off; /* struct bpfast_image_ip6[], sorted by (hi, lo) */
	__u32 ip6_count;
	__u32 set_off; /* struct bpfast_image_set[] */
	__u32 set_count;
	__u32 class_off; /* struct bpfast_image_class[] */
	__u32 class_count;
	__u32 decision_off; /* struct bpfast_image_decision[] */
	__u32 decision_count;
	__u32 ruleset_off; /* struct bpfast_image_ruleset[] */
	__u32 ruleset_count;
	__u32 response_name_dfa_off; /* names a response parser needs: BPFAST_HN_* */
	__u32 string_off; /* attribution texts; only user space reads them */
	__u32 string_size;
};

static_assert(sizeof(struct bpfast_image) == 80, "image header");

#define BPFAST_SET_NONE 0xffffffffu

/* What applies to the endpoint in a slot. */
struct bpfast_image_endpoint {
	__u32 identity; /* the endpoint's own; 0: slot not in use, everything is denied */
	__u32 ingress_set; /* index, or BPFAST_SET_NONE: not isolated, all is allowed */
	__u32 egress_set;
	__u32 pad;
};

/* Addresses from `first` up to the next entry's `first` have `identity`. The
 * first entry begins at address 0, so that a search always finds one. */
struct bpfast_image_ip4 {
	__u32 first; /* host byte order */
	__u32 identity;
};

struct bpfast_image_ip6 {
	__u64 hi; /* first eight bytes of the address as a big-endian number, in host order */
	__u64 lo;
	__u32 identity;
	__u32 pad;
};

/* One direction of a policy set; endpoints under the same rules share it. */
struct bpfast_image_set {
	__u32 peer_off; /* struct bpfast_image_peer[], sorted by identity */
	__u32 peer_count;
	__u32 default_class; /* of identities that are not in the list */
	__u32 pad;
};

struct bpfast_image_peer {
	__u32 identity;
	__u32 class; /* index */
};

/* Peers to which the same rules apply: what they may reach. */
struct bpfast_image_class {
	__u32 range_off; /* struct bpfast_image_range[], sorted by first; the first is 0 */
	__u32 range_count;
};

/* Keys from `first` up to the next range's have `decision`. A key is
 * (protocol << 16 | destination port); the port is 0 where there is none. */
struct bpfast_image_range {
	__u32 first;
	__u32 decision; /* index */
};

#define BPFAST_PORT_KEY(protocol, port) ((__u32)(protocol) << 16 | (__u32)(port))

enum bpfast_decision_verdict {
	BPFAST_D_DENY = 0, /* no rule allows it */
	BPFAST_D_DENY_RULE = 1, /* a deny rule matches */
	BPFAST_D_ALLOW = 2,
	BPFAST_D_HTTP = 3, /* allowed as far as `ruleset` allows each request */
};

enum bpfast_decision_flags {
	/* Deny: forward all the same and record AUDIT. HTTP: judge, but never drop. */
	BPFAST_DF_AUDIT = 1 << 0,
};

enum bpfast_on_deny {
	BPFAST_ON_DENY_REPLY = 0, /* HTTP: 403, then close. L4: drop */
	BPFAST_ON_DENY_RESET = 1, /* TCP RST to both sides */
	BPFAST_ON_DENY_DROP = 2,
};

struct bpfast_image_decision {
	__u8 verdict;
	__u8 flags;
	__u8 on_deny;
	__u8 pad;
	__u32 ruleset; /* index, where verdict is BPFAST_D_HTTP */
	__u32 ref; /* string_off-relative offset of the attribution; see below */
	__u32 pad2;
};

/*
 * Attribution. A `ref` is the offset, from string_off, of a NUL-terminated
 * text: one line for each policy that gave the decision,
 *   KIND '\t' NAMESPACE '\t' NAME '\t' RULE
 * with RULE such as "spec.ingress[0].toPorts[0]" or, where the policy denies
 * because nothing in it allows, "". Offset 0 is the empty text.
 */

/* Where the header names of a ruleset lead. A name automaton accepts with
 * (BPFAST_HN_* | slot + 1 << 8); slot + 1 is 0 where no rule looks at it. */
enum bpfast_header_name {
	BPFAST_HN_OTHER = 0, /* a well-formed name of no interest */
	BPFAST_HN_CONTENT_LENGTH = 1,
	BPFAST_HN_TRANSFER_ENCODING = 2,
	BPFAST_HN_CONNECTION = 3,
	BPFAST_HN_UPGRADE = 4,
	BPFAST_HN_HOST = 5,
	BPFAST_HN_EXPECT = 6,
	BPFAST_HN_INVALID = 255, /* not a token of RFC 9110, section 5.6.2 */
};

/* One header name at which rules look. */
struct bpfast_image_header {
	__u32 dfa_off; /* over the value without outer blanks; accepts with a set */
	__u32 absent_set; /* rules still possible where the header is not there. It and what
			   * dfa_off accepts with are below BPFAST_HEADER_SETS_MAX */
};

/*
 * Sets of rules. A set is a number: below set_count, or BPFAST_SET_ONE with the only rule
 * that is in it. Up to 64 rules, set n is the n-th of __u64[set_count], bit r says that rule r
 * is in it, and there is no BPFAST_SET_ONE. Over 64 there is __u32[set_count], where the set
 * with that number is described, and behind them what the descriptions mean:
 *   BPFAST_SET_ONE | rule
 *   BPFAST_SET_FEW | n: n * 8 bytes from set_off __u16 count, then __u16[count], ascending, and
 *     all ones up to the next multiple of 8
 *   n: n * 8 bytes from set_off a bitmap, __u64[words]
 */
#define BPFAST_SET_ONE (1u << 31)
#define BPFAST_SET_FEW (1u << 30)
/* Rules in a set that is a list. */
#define BPFAST_SET_FEW_MAX 15

/*
 * HTTP rules that are judged together. A field's automaton accepts with a
 * set: the rules whose pattern for the field matches and those that have none.
 * A request is allowed where the intersection over all fields is not empty.
 */
struct bpfast_image_ruleset {
	__u32 rule_count; /* 0: no request is allowed. With no set at all, every rule is possible */
	__u32 words; /* of a bitmap: (rule_count + 63) / 64 */
	__u32 set_off; /* see BPFAST_SET_ONE */
	__u32 set_count;
	__u32 method_dfa_off; /* 0: no rule looks at it */
	__u32 path_dfa_off; /* over the normalised path, without the query */
	__u32 target_dfa_off; /* over the normalised path and, raw, '?' and the query */
	/* Over Host, its rules' patterns folded, and what rules want of it as a header (it has
	 * no slot). State 0 accepts with the rules that are possible without Host. */
	__u32 host_dfa_off;
	/* Over Upgrade, folded, and "connect" for CONNECT: accepts with the rules that let the
	 * request become a tunnel. 0: no rule does. */
	__u32 upgrade_dfa_off;
	__u32 name_dfa_off; /* over header names, case folded; never 0 */
	__u32 header_count;
	__u32 rule_ref_off; /* __u32[rule_count]: attribution of each rule */
	__u32 reply_off; /* the whole 403, as sent; 0 with reply_len 0: none */
	__u16 reply_len; /* bytes, at most BPFAST_REPLY_MAX, even (the compiler pads the body) */
	/* Ones' complement sum, folded to 16 bits and not inverted, of the reply's 16-bit words as
	 * the CPU loads them from memory: what bpf_csum_diff(NULL, 0, reply, reply_len, 0) gives,
	 * folded. Stored like a __u16 it is in the byte order of a checksum field. */
	__u16 reply_sum;
	__u32 set_size; /* bytes at set_off; a multiple of 8 */
	__u32 ref; /* attribution of a denial: the policies whose rules were asked */
	struct bpfast_image_header header[BPFAST_HEADER_SLOTS];
};

static_assert(sizeof(struct bpfast_image_ruleset) == 64 + 8 * BPFAST_HEADER_SLOTS, "ruleset");

/*
 * A deterministic automaton over bytes. Its rows are BPFAST_DFA_UNIT words or a multiple
 * of that. The `bits` low bits of a state say where its row is, in units: the row's first
 * word is what the state accepts with (a set, or BPFAST_HN_*), word 1 + class_of[byte] is the
 * next state. State 0 is dead: nothing leaves it; it accepts with what holds where no
 * pattern matches.
 *
 * What many patterns have in common at their ends is there once: the rows from
 * first_tail up, which nothing but death leaves. An entry that leads there from below
 * has BPFAST_DFA_TOOK and in its high bits a number, which are kept from then on: a row
 * there that accepts with BPFAST_DFA_TAIL | n accepts with value[number + n].
 */
#define BPFAST_DFA_UNIT 8u
#define BPFAST_DFA_TAIL (1u << 30)
#define BPFAST_DFA_TOOK (1u << 31)

struct bpfast_image_dfa {
	__u32 start; /* state */
	__u32 classes;
	__u32 entries; /* of table[], before the values */
	/* A state that every byte keeps or leads to state 0, or 0 where there is none:
	 * over header names, where a name can no longer be one of those asked for. */
	__u32 sink;
	__u32 bits; /* 1 to 30 */
	__u32 mask; /* (1 << bits) - 1 */
	__u32 first_tail; /* row, in units; all of them where there is no tail */
	__u32 value_count; /* behind table[]: __u32[value_count] */
	__u8 class_of[256];
	__u32 table[]; /* length `entries` */
};

#endif
