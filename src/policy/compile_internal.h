/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_COMPILE_INTERNAL_H
#define BF_POLICY_COMPILE_INTERNAL_H
/*
 * What the parts of the policy compiler share. A compile runs through them in
 * this order:
 *
 *   compile.c            which policies matter here, and the image's layout
 *   compile_identity.c   addresses -> identities
 *   compile_rule.c       rules -> which identities, which keys
 *   compile_set.c        an endpoint's rules -> sets, classes, ranges
 *   compile_decision.c   matching rules -> decision (the semantics)
 *   compile_text.c       attributions and the 403
 */
#include "bpfast/image.h"
#include "policy/compile.h"
#include "policy/compile_intern.h"

typedef unsigned __int128 bf_u128;

/* A block of addresses as a number; IPv4 lies in ::ffff:0:0/96. */
struct bf_block {
	bf_u128 first;
	uint8_t len; /* of the prefix, of 128 bits */
};

enum bf_ident_kind {
	BF_IDENT_UNKNOWN, /* what no table names: only rules for everybody match it */
	BF_IDENT_NODE,
	BF_IDENT_WORLD, /* in no CIDR of any rule */
	BF_IDENT_CIDR, /* in `block` */
	BF_IDENT_ENDPOINT,
};

/* The first three identities of a compile, by index. */
enum { BF_IDENT_AT_UNKNOWN, BF_IDENT_AT_NODE, BF_IDENT_AT_WORLD };

struct bf_ident {
	enum bf_ident_kind kind;
	const struct bf_endpoint *endpoint; /* one of those that have it */
	const struct bf_labels *ns_labels; /* of that endpoint; may be NULL */
	/* The narrowest CIDR of a rule that holds its addresses. CIDRs nest, so
	 * this says of every CIDR whether it holds them. Endpoints and the node:
	 * only CIDRs with cidr_matches_endpoints count. */
	bool has_block;
	struct bf_block block;
	uint32_t ports; /* its named ports, by content */
	uint32_t id; /* in the image */
};

/* Addresses from first on have an identity, up to the next entry. */
struct bf_span {
	bf_u128 first;
	uint32_t ident; /* index */
};

/* A rule with its object; rules are numbered through all objects, in order. */
struct bf_crule {
	const struct bf_policy *policy;
	const struct bf_rule *rule;
	uint32_t policy_index;
	uint64_t *idents; /* bitmap by identity index; NULL until needed */
	bool named_ports;
};

/* Keys first..last of struct bpfast_image_range, both included. */
struct bf_keys {
	uint32_t first, last;
};

struct bf_compiler {
	const struct bf_world *world;
	struct bf_error *err;
	struct bf_blob blob;

	uint8_t *policy_used; /* by policy: it selects an endpoint of this node */
	const struct bf_labels **ns_labels; /* by endpoint */

	struct bf_ident *idents;
	size_t ident_count, ident_cap;
	struct bf_intern ident_keys, port_lists;
	uint32_t *endpoint_ident; /* by endpoint: its own identity */
	struct bf_span *spans4, *spans6;
	size_t span4_count, span4_cap, span6_count, span6_cap;

	struct bf_crule *rules;
	size_t rule_count;
	size_t *policy_first_rule; /* by policy; one more at the end */

	struct bf_intern set_keys; /* what makes two endpoints share a set */
	uint32_t *set_of_key;
	size_t set_of_key_cap;

	/* Tables of the image, shared by content. */
	struct bf_intern sets, classes, decisions, range_lists, peer_lists;
	uint32_t *range_list_off, *peer_list_off;
	size_t range_list_cap, peer_list_cap;

	uint64_t work; /* left for the automata of all rulesets */
	struct bf_intern ruleset_keys;
	struct bpfast_image_ruleset *rulesets;
	size_t ruleset_cap;

	struct bf_intern strings;
	uint32_t *string_off; /* by number in strings */
	size_t string_cap;
	struct bf_buf string_block;
};

/* compile_identity.c: fills idents, endpoint_ident, spans4, spans6. */
int bf_compile_identities(struct bf_compiler *c);
/* A CIDR as a block, host bits cleared. */
struct bf_block bf_block_of(const struct bf_cidr *cidr);
/* Does a hold all of b? Never across address families. */
bool bf_block_holds(const struct bf_block *a, const struct bf_block *b);
/* "k8s:app=web;...", "cidr:10.0.0.0/8" or "reserved:world"; malloc'ed, NULL: no memory. */
char *bf_ident_text(const struct bf_ident *ident);

/* compile_rule.c: fills rules, policy_first_rule; checks what the reader promised. */
int bf_compile_rules(struct bf_compiler *c);
/* Makes rule->idents. */
int bf_rule_match_identities(struct bf_compiler *c, struct bf_crule *rule);
static inline bool bf_rule_has_ident(const struct bf_crule *rule, size_t ident)
{
	return rule->idents[ident / 64] >> (ident % 64) & 1;
}
/*
 * The keys that a rule covers, appended to *v (may overlap). `named` is the
 * endpoint whose named ports count; NULL: it has none.
 */
int bf_rule_keys(const struct bf_crule *rule, const struct bf_endpoint *named, struct bf_keys **v,
		 size_t *n, size_t *cap);
/* bf_err() with the object, the rule's place and its line in front; rule may be NULL. */
int bf_rule_err(struct bf_compiler *c, int code, const struct bf_policy *policy,
		const struct bf_rule *rule, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* compile_set.c: the set of an endpoint's direction, or BPFAST_SET_NONE. */
int bf_compile_set(struct bf_compiler *c, size_t endpoint, bool egress, uint32_t *set);

/* What decides in one direction of one set, apart from the matching rules. */
struct bf_direction {
	bool egress;
	bool isolated; /* by an object that enforces */
	bool isolated_audit; /* by any object */
	bool any_audit; /* an object in mode audit takes part */
	const uint32_t *policies; /* that take part, ascending */
	size_t policy_count;
};

/* compile_decision.c: the decision where exactly these rules (ascending) match. */
int bf_compile_decision(struct bf_compiler *c, const struct bf_direction *dir,
			const uint32_t *rules, size_t n, uint32_t *decision);

/* compile_text.c */
/* An attribution of several lines, one call a line; `http` is the index of an HTTP rule or -1. */
void bf_text_line(struct bf_buf *text, const struct bf_policy *policy, const struct bf_rule *rule,
		  long http);
/* The same for many rules; an object with more than BF_TEXT_RULES of them ends in "and N more". */
#define BF_TEXT_RULES 8
void bf_text_rules(struct bf_compiler *c, struct bf_buf *text, const uint32_t *rules, size_t n);
/* The ref of a text; the buffer is emptied. */
int bf_text_ref(struct bf_compiler *c, struct bf_buf *text, uint32_t *ref);
/* The 403 of these objects, of even length and at most BPFAST_REPLY_MAX bytes. */
size_t bf_text_reply(const struct bf_policy *const *policies, size_t n, char out[BPFAST_REPLY_MAX]);

#endif
