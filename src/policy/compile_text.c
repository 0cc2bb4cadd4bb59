// SPDX-License-Identifier: Apache-2.0
/* What people read: attributions and the body of the 403. */
#include "policy/compile_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names come from users. The API server lets only harmless ones through, a
 * file may hold anything: a line break would forge a line, or a header. */
static void put_clean(struct bf_buf *buf, const char *s)
{
	for (; s && *s; s++) {
		unsigned char ch = (unsigned char)*s;

		bf_buf_put(buf, ch < 0x20 || ch == 0x7f ? "?" : s, 1);
	}
}

static void put_object(struct bf_buf *text, const struct bf_policy *policy)
{
	if (text->n)
		bf_buf_put(text, "\n", 1);
	put_clean(text, bf_policy_kind_name(policy->kind));
	bf_buf_put(text, "\t", 1);
	put_clean(text, policy->namespace);
	bf_buf_put(text, "\t", 1);
	put_clean(text, policy->name);
	bf_buf_put(text, "\t", 1);
}

void bf_text_line(struct bf_buf *text, const struct bf_policy *policy, const struct bf_rule *rule,
		  long http)
{
	char at[40];

	put_object(text, policy);
	if (rule)
		put_clean(text, rule->where);
	if (http >= 0) {
		snprintf(at, sizeof(at), "%srules.http[%ld]",
			 rule && rule->where && *rule->where ? "." : "", http);
		put_clean(text, at);
	}
}

void bf_text_rules(struct bf_compiler *c, struct bf_buf *text, const uint32_t *rules, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		const struct bf_policy *policy = c->rules[rules[i]].policy;

		for (end = i; end < n && c->rules[rules[end]].policy == policy; end++) {
			if (end - i < BF_TEXT_RULES)
				bf_text_line(text, policy, c->rules[rules[end]].rule, -1);
		}
		if (end - i > BF_TEXT_RULES) {
			char more[40];

			snprintf(more, sizeof(more), " and %zu more", end - i - BF_TEXT_RULES);
			put_clean(text, more);
		}
	}
}

int bf_text_ref(struct bf_compiler *c, struct bf_buf *text, uint32_t *ref)
{
	uint32_t index;
	int ret;

	bf_buf_put(text, "", 1);
	ret = bf_intern_buf(&c->strings, text, &index);
	if (ret == 1) {
		ret = bf_grow(&c->string_off, &c->string_cap, index, sizeof(*c->string_off));
		if (!ret && c->string_block.n + text->n > INT32_MAX)
			ret = bf_err(c->err, -E2BIG, "attribution texts exceed 2 GiB");
		if (!ret) {
			c->string_off[index] = (uint32_t)c->string_block.n;
			bf_buf_put(&c->string_block, text->v, text->n);
			ret = c->string_block.error;
		}
	}
	bf_buf_free(text);
	if (ret)
		return ret;
	*ref = c->string_off[index];
	return 0;
}

/* --- the 403 ------------------------------------------------------------------- */

/* The response around a body, or 0 where it does not fit. RFC 9110, 15.5.4; RFC 9112, 9.6. */
static size_t response(const char *body, size_t body_len, char out[BPFAST_REPLY_MAX])
{
	char head[160];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 403 Forbidden\r\n"
			 "Content-Type: text/plain\r\n"
			 "Content-Length: %zu\r\n"
			 "Connection: close\r\n"
			 "\r\n",
			 body_len);

	if ((size_t)n + body_len > BPFAST_REPLY_MAX)
		return 0;
	memcpy(out, head, (size_t)n);
	memcpy(out + n, body, body_len);
	return (size_t)n + body_len;
}

/* The same, with a blank before the line's end where the length would be odd. */
static size_t even_response(struct bf_buf *body, char out[BPFAST_REPLY_MAX])
{
	for (int blanks = 0; blanks < 3; blanks++) {
		size_t len = body->error ? 0 : response((char *)body->v, body->n, out);

		if (!len || !(len & 1))
			return len;
		body->v[body->n - 1] = ' ';
		bf_buf_put(body, "\n", 1);
	}
	return 0;
}

static void put_named(struct bf_buf *body, const struct bf_policy *const *policies, size_t named,
		      size_t n)
{
	char more[40];

	body->n = 0;
	bf_buf_put(body, "Denied by ", 10);
	for (size_t i = 0; i < named; i++) {
		const char *ns = policies[i]->namespace;

		bf_buf_put(body, ", ", i ? 2 : 0);
		put_clean(body, bf_policy_kind_name(policies[i]->kind));
		bf_buf_put(body, " ", 1);
		put_clean(body, ns);
		bf_buf_put(body, "/", ns && *ns ? 1 : 0);
		put_clean(body, policies[i]->name);
	}
	if (named < n) {
		snprintf(more, sizeof(more), " and %zu more", n - named);
		put_clean(body, more);
	}
	bf_buf_put(body, " (BPFast).\n", 11);
}

size_t bf_text_reply(const struct bf_policy *const *policies, size_t n, char out[BPFAST_REPLY_MAX])
{
	static const char mute[] = "Access denied.\n";
	struct bf_buf body = {0};
	bool silent = false;
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		silent |= policies[i]->silent;
	/* More than these cannot fit, whatever their names. */
	for (size_t named = n < 32 ? n : 32; !silent && !len && named; named--) {
		put_named(&body, policies, named, n);
		len = even_response(&body, out);
	}
	if (!len) {
		body.n = 0;
		bf_buf_put(&body, mute, sizeof(mute) - 1);
		len = even_response(&body, out);
	}
	bf_buf_free(&body);
	return len;
}
