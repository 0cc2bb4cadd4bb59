/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins until the matcher and the reader are there; weak, so that theirs win. */
#include "match/blob.h"
#include "policy/model.h"
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include "bpfast/image.h"

int __attribute__((weak)) bf_blob_append(struct bf_blob *b, const void *bytes, size_t len,
					 uint32_t *off)
{
	size_t padded = (len + 7) / 8 * 8;
	if (b->len + padded > b->cap) {
		b->cap = (b->len + padded) * 2;
		b->data = realloc(b->data, b->cap);
	}
	*off = (uint32_t)b->len;
	memset(b->data + b->len, 0, padded);
	if (bytes)
		memcpy(b->data + b->len, bytes, len);
	b->len += padded;
	return 0;
}
void __attribute__((weak)) bf_blob_free(struct bf_blob *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}
int __attribute__((weak)) bf_response_names_emit(struct bf_blob *blob, uint32_t *off,
						 struct bf_error *err)
{
	struct {
		struct bpfast_image_dfa d;
		uint32_t t[2];
	} x = {.d = {.classes = 1, .entries = 2}};
	(void)err;
	return bf_blob_append(blob, &x, sizeof(x), off);
}
int __attribute__((weak)) bf_ruleset_emit(struct bf_blob *blob, const struct bf_http_rule *rules,
					  size_t n, const char *reply, size_t reply_len,
					  struct bpfast_image_ruleset *out, size_t *bad,
					  struct bf_error *err)
{
	uint32_t *refs = calloc(n + 1, 4), sum = 0;
	(void)bad;
	memset(out, 0, sizeof(*out));
	out->rule_count = n;
	out->words = (n + 63) / 64;
	out->set_count = 1;
	for (size_t i = 0; i < n; i++)
		refs[i] = rules[i].ref;
	bf_blob_append(blob, refs, n * 4, &out->rule_ref_off);
	free(refs);
	bf_blob_append(blob, NULL, out->words * 8, &out->set_off);
	bf_blob_append(blob, reply, reply_len, &out->reply_off);
	out->reply_len = reply_len;
	for (size_t i = 0; i < reply_len; i += 2) {
		uint16_t x;
		memcpy(&x, reply + i, 2);
		sum += x;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	out->reply_sum = sum;
	return bf_response_names_emit(blob, &out->name_dfa_off, err);
}
const char *__attribute__((weak)) bf_policy_kind_name(enum bf_policy_kind kind)
{
	static const char *const n[] = {"NetworkPolicy", "PayloadPolicy", "ClusterPayloadPolicy",
					"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"};
	return n[kind];
}
