// SPDX-License-Identifier: Apache-2.0
/*
 * Requests: wherever they are cut, the kernel side's parser says the same, and it reads the
 * same in them as the reference. The first four bytes of an input choose the cuts.
 */
#include "fuzz.h"

#include "../bpf/requests.h"
#include "../unit/http1_stream.h"
#include "hashes.h"
#include "policy/compile.h"
#include "policy/read.h"
#include "reference.h"

struct arena {
	const uint8_t *base;
	uint32_t size;
};

static struct arena rules, hashes;

/* What the parser read in one head. */
struct fact {
	uint32_t set[HF_COUNT], upgrade, tunnel, head, state, text_len;
	uint16_t header;
	uint64_t body;
	char text[BPFAST_FLOW_TEXT];
};

#define FACTS_MAX 512

static struct facts {
	struct fact fact[FACTS_MAX];
	size_t count;
} seen, again, *facts;

static void on_head(struct kept *k)
{
	struct fact *f = &facts->fact[facts->count];

	(void)k;
	if (w->reason || facts->count == FACTS_MAX)
		return;
	facts->count++;
	memset(f, 0, sizeof(*f));
	memcpy(f->set, w->set, sizeof(f->set));
	f->upgrade = w->upgrade_set;
	f->tunnel = w->tunnel;
	f->head = w->head_requests >> ((w->requests - 1) & 63) & 1;
	f->state = w->st.state;
	f->body = w->st.state == H1_BODY ? w->st.body_left : 0;
	f->header = w->header_set[0];
	f->text_len = w->text_len;
	memcpy(f->text, w->text, f->text_len < sizeof(f->text) ? f->text_len : sizeof(f->text));
}

static struct outcome read_by(const struct arena *arena, struct facts *to, const uint8_t *data,
			      size_t n, const size_t *cut, size_t cuts, uint8_t fill, bool audit)
{
	struct kept k = {.audit = audit};

	bf_arena_base = arena->base;
	bf_arena_size = arena->size;
	facts = to;
	to->count = 0;
	return in_pieces(judge, &k, data, n, cut, cuts, fill);
}

/* --- the reference's judges ---------------------------------------------------------------- */

struct asked {
	size_t count;
	bool was_head[FACTS_MAX];
	bool by_hashes;
};

static bool under(const struct ref_request *r, const char *path)
{
	return r->path_len >= strlen(path) && !memcmp(r->path, path, strlen(path));
}

static bool path_is(const struct ref_request *r, const char *path)
{
	return r->path_len == strlen(path) && under(r, path);
}

/* Every header of this name has this value (NULL: any), and there is one. */
static bool has(const struct ref_request *r, const char *name, const char *value)
{
	size_t found = 0;

	for (size_t i = 0; i < r->headers; i++) {
		if (!ref_is_any_case(r->header[i].name, name))
			continue;
		if (value && !ref_is(r->header[i].value, value))
			return false;
		found++;
	}
	return found > 0;
}

/* As ".*[.]example[.]com(:.*)?" */
static bool in_example_com(struct ref_span host)
{
	static const char end[] = ".example.com";
	size_t len = sizeof(end) - 1;

	for (size_t i = 0; i + len <= host.len; i++)
		if (ref_is_any_case((struct ref_span){host.at + i, len}, end) &&
		    (i + len == host.len || host.at[i + len] == ':'))
			return true;
	return false;
}

/* REQUESTS_RULES, by hand. */
static bool allowed(const struct ref_request *r, bool whole)
{
	bool get = ref_is(r->method, "GET");

	if (r->connect)
		return !whole || ref_is_any_case(r->authority, "db:5432");
	if ((get || ref_is(r->method, "POST") || ref_is(r->method, "HEAD")) && under(r, "/ok"))
		return true;
	if (get && (path_is(r, "/x%2Cy") || path_is(r, "/ws")))
		return true;
	if (get && path_is(r, "/tenant"))
		return !whole || has(r, "X-Tenant", "blue");
	if (get && path_is(r, "/there"))
		return !whole || has(r, "X-There", NULL);
	if (get && path_is(r, "/host"))
		return !whole || (r->host.at && ref_is_any_case(r->host, "api.example.com"));
	if (get && path_is(r, "/vhost"))
		return !whole || (r->host.at && in_example_com(r->host));
	if (!ref_is(r->method, "PUT") || r->path_len < 4 || (!under(r, "/a/") && !under(r, "/b/")))
		return false;
	for (size_t i = 3; i < r->path_len; i++)
		if (r->path[i] < '0' || r->path[i] > '9')
			return false;
	return true;
}

static bool judge_line(const struct ref_request *r, void *arg)
{
	const struct asked *asked = arg;

	return asked->by_hashes || allowed(r, false);
}

static bool same(uint32_t set, const void *bytes, size_t n, bool fold)
{
	return set == hash_of(bytes, n, fold);
}

/* Does the parser's account of this request agree? */
static void compare(const struct ref_request *r, const struct fact *f)
{
	uint32_t header = HASH_ABSENT, upgrade = HTTP_SLOT_UNSEEN;
	size_t text = r->method.len + 1 + r->raw_target.len, n, headers = 0;

	for (size_t i = 0; i < r->headers; i++) {
		const struct ref_span value = r->header[i].value;
		uint32_t hash = hash_of(value.at, value.len, false);

		if (ref_is_any_case(r->header[i].name, "X-Hash"))
			header = !headers++ || header == hash ? hash : HASH_ABSENT;
		if (ref_is_any_case(r->header[i].name, "Upgrade"))
			upgrade = upgrade == HTTP_SLOT_UNSEEN ? hash_of(value.at, value.len, true)
							      : HASH_NO_TUNNEL;
	}
	if (r->connect)
		upgrade = hash_of("connect", 7, false);
	if (!same(f->set[HF_METHOD], r->method.at, r->method.len, false))
		FUZZ_FAIL("another method");
	if (r->connect ? f->set[HF_PATH] || f->set[HF_TARGET]
		       : !same(f->set[HF_PATH], r->path, r->path_len, false))
		FUZZ_FAIL("another path than %.*s", (int)r->path_len, (const char *)r->path);
	if (!r->connect && !same(f->set[HF_TARGET], r->target, r->target_len, false))
		FUZZ_FAIL("another target than %.*s", (int)r->target_len, (const char *)r->target);
	if (r->host.at ? !same(f->set[HF_HOST], r->host.at, r->host.len, true)
		       : f->set[HF_HOST] != HTTP_SET_UNSEEN)
		FUZZ_FAIL("another host");
	if ((f->header == HTTP_SLOT_UNSEEN ? HASH_ABSENT : f->header) != header)
		FUZZ_FAIL("another X-Hash: %u, expected %u", f->header, header);
	if (f->upgrade != upgrade)
		FUZZ_FAIL("another Upgrade: %u, expected %u", f->upgrade, upgrade);
	if (f->tunnel != (r->connect				? HT_CONNECT
			  : !r->http10 && upgrade < HASH_ABSENT ? HT_UPGRADE
								: HT_NONE))
		FUZZ_FAIL("another tunnel: %u", f->tunnel);
	if (f->head != ref_is(r->method, "HEAD"))
		FUZZ_FAIL("not the same of HEAD");
	if (f->state != (r->chunked  ? H1_CHUNK_SIZE
			 : r->length ? H1_BODY
				     : H1_START) ||
	    f->body != r->length)
		FUZZ_FAIL("another body: state %u, %llu bytes", f->state,
			  (unsigned long long)f->body);
	n = text < sizeof(f->text) ? text : sizeof(f->text);
	if (f->text_len != text || memcmp(f->text, r->method.at, n))
		FUZZ_FAIL("another text: %.*s", (int)n, f->text);
}

static bool judge_head(const struct ref_request *r, void *arg)
{
	struct asked *asked = arg;
	bool head = ref_is(r->method, "HEAD");

	/* A tunnel needs HTTP/1.1 and to be asked for once. */
	if (r->connect && (r->http10 || has(r, "Upgrade", NULL)))
		return false;
	if (!asked->by_hashes && !allowed(r, true))
		return false;
	/* Responses to HEAD are told apart among the last 64 requests. */
	if (asked->count >= BPFAST_PIPELINE_MAX &&
	    (head || asked->was_head[asked->count - BPFAST_PIPELINE_MAX]))
		return false;
	if (asked->by_hashes && asked->count < seen.count && r->headers < REF_HEADERS_MAX)
		compare(r, &seen.fact[asked->count]);
	if (asked->count < FACTS_MAX)
		asked->was_head[asked->count] = head;
	asked->count++;
	return true;
}

/* The parser tells hosts apart by 16 bits of a hash where rules do not: see authority_hash(). */
static uint16_t host_hash(struct ref_span host)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < host.len; i++)
		hash = authority_hash(hash, host.at[i]);
	return (uint16_t)(hash ^ hash >> 16);
}

static void against_reference(const uint8_t *data, size_t n, const struct outcome *out,
			      bool by_hashes)
{
	static const char *const rules_names[] = {"x-tenant", "x-there", NULL};
	static const char *const hashes_names[] = {"x-hash", NULL};
	static struct asked asked;
	static struct ref_request r;
	struct ref_judge judge = {judge_line, judge_head, &asked,
				  by_hashes ? hashes_names : rules_names};
	enum ref_end end;
	size_t count;

	asked.count = 0;
	asked.by_hashes = by_hashes;
	end = ref_requests(data, n, &judge, &r, &count);
	if (end == REF_HOST_DIFFERS && r.host.len && host_hash(r.host) == host_hash(r.authority))
		return;
	if (count != seen.count)
		FUZZ_FAIL("%zu requests, %zu by the reference, which ended with %d; reason %u",
			  seen.count, count, end, out->reason);
	if (end == REF_IN_LINE)
		return;
	if ((end != REF_CLEAN) != (out->reason != 0))
		FUZZ_FAIL("behind %zu requests: reason %u, the reference ended with %d", count,
			  out->reason, end);
}

/* --- */

static void prepare(void)
{
	uint8_t addr[1][16] = {{[10] = 0xff, 0xff, 10, 0, 0, 2}};
	struct bf_label web = {(char *)"app", (char *)"web"};
	struct bf_endpoint ep = {.name = (char *)"web",
				 .namespace = (char *)"shop",
				 .labels = {&web, 1},
				 .addrs = addr,
				 .addr_count = 1};
	struct bf_objects objects = {0};
	struct bf_world world = {.objects = &objects, .endpoints = &ep, .endpoint_count = 1};
	struct bf_image image = {0};
	struct bf_blob blob = {0};
	struct bf_error err = {{0}};

	if (bf_objects_read(&objects, NULL, REQUESTS_POLICY, strlen(REQUESTS_POLICY), NULL, NULL) ||
	    bf_image_compile(&world, &image, &err))
		FUZZ_FAIL("the policy: %s", err.msg);
	use_image(image.blob.data, image.blob.len);
	rules = (struct arena){bf_arena_base, bf_arena_size};
	hash_image(&blob);
	use_image(blob.data, blob.len);
	hashes = (struct arena){bf_arena_base, bf_arena_size};
	bf_image_free(&image);
	bf_objects_free(&objects);
	bf_blob_free(&blob);
	on_event = on_head;
}

static void expect_same(const char *what, const struct outcome *a, const struct outcome *b)
{
	if (a->reason != b->reason || a->rule_ref != b->rule_ref || a->audited != b->audited ||
	    seen.count != again.count ||
	    memcmp(seen.fact, again.fact, seen.count * sizeof(seen.fact[0])) ||
	    (!a->reason && (a->tunnel != b->tunnel || a->state != b->state)))
		FUZZ_FAIL("%s: reason %u, %zu requests, state %u; in pieces: %u, %zu, %u", what,
			  a->reason, seen.count, a->state, b->reason, again.count, b->state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut[CUTS_MAX], cuts, n = size - CUTS_BYTES;
	const uint8_t *bytes = data + CUTS_BYTES;
	struct outcome a, b;
	uint8_t fill;

	if (size <= CUTS_BYTES || n > INPUT_MAX)
		return 0;
	if (!w)
		prepare();
	cuts = choose_cuts(data, n, cut);
	fill = data[3];
	for (int by_hashes = 0; by_hashes <= 1; by_hashes++) {
		const struct arena *arena = by_hashes ? &hashes : &rules;

		for (int audit = by_hashes ? 0 : 1; audit >= 0; audit--) {
			a = read_by(arena, &seen, bytes, n, NULL, 0, 0, audit);
			b = read_by(arena, &again, bytes, n, cut, cuts, fill, audit);
			expect_same(audit ? "audit" : "enforce", &a, &b);
		}
		against_reference(bytes, n, &a, by_hashes);
	}
	return 0;
}
