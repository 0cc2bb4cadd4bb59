/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_RULESET_H
#define BF_MATCH_RULESET_H
/*
 * HTTP rules to the ruleset tables of include/bpfast/image.h. Pure.
 */
#include "match/dfa.h"
#include "match/blob.h"

enum bf_header_op {
	BF_HEADER_PRESENT, /* the header is there, whatever its value */
	BF_HEADER_EQUALS, /* the value, without outer blanks, is this */
};

struct bf_http_header {
	char *name; /* as written; compared without case */
	char *value; /* NULL for PRESENT */
	enum bf_header_op op;
};

/* One HTTP rule: all fields that are there must match. Of a header that occurs several
 * times every occurrence must; Content-Length and Transfer-Encoding are refused. */
struct bf_http_rule {
	char *method; /* RE2 expression over the whole value; NULL: any */
	char *path; /* likewise */
	char *host; /* likewise, without case; NULL: any */
	char *upgrade; /* likewise, over the Upgrade header or "connect"; NULL: no tunnel */
	bool path_has_query; /* path is matched against "path?query" (CiliumNetworkPolicy) */
	struct bf_http_header *headers;
	size_t header_count;
	uint32_t ref; /* attribution: offset in the image's strings */
};

/*
 * Appends one ruleset's automata, sets and reply to the blob and fills *out
 * (a struct bpfast_image_ruleset without `ref`, which the caller sets). The
 * blob must hold something already (the image's head): offset 0 means none.
 * reply is the whole HTTP answer to a denied request; it is padded to an even
 * length by one blank at its end, so the caller counts on that in
 * Content-Length (hand in an even length to be exact).
 * work: as in struct bf_dfa_limits; NULL: no limit over several rulesets.
 * On error *bad (may be NULL) is the index of the rule to blame.
 */
struct bpfast_image_ruleset;
int bf_ruleset_emit(struct bf_blob *blob, const struct bf_http_rule *rules, size_t n,
		    const char *reply, size_t reply_len, uint64_t *work,
		    struct bpfast_image_ruleset *out, size_t *bad, struct bf_error *err);

/* Appends the automaton over response header names (BPFAST_HN_*); returns its
 * offset through *off. */
int bf_response_names_emit(struct bf_blob *blob, uint32_t *off, struct bf_error *err);

#endif
