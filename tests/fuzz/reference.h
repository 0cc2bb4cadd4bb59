/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_FUZZ_REFERENCE_H
#define BF_FUZZ_REFERENCE_H
/*
 * HTTP/1 read a second time, slowly: the whole stream in memory, line by line, after
 * RFC 9112, RFC 9110 and docs/guide/policies.md. Shares no code with bpf/proto.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ref_span {
	const uint8_t *at;
	size_t len;
};

#define REF_HEADERS_MAX 128
#define REF_TARGET_MAX 8192

struct ref_request {
	struct ref_span method, raw_target;
	/* Normalised; with '?' and the query behind it in `target`. CONNECT has neither. */
	uint8_t path[REF_TARGET_MAX], target[REF_TARGET_MAX];
	size_t path_len, target_len;
	bool connect, http10;
	struct ref_span authority; /* that the target names; .at NULL: none */
	struct ref_span host; /* .at NULL: no Host */
	struct {
		struct ref_span name, value; /* without outer blanks */
	} header[REF_HEADERS_MAX];
	size_t headers;
	bool chunked, has_length;
	uint64_t length;
};

enum ref_end {
	REF_CLEAN, /* behind a message, a line, or within a body: nothing more can be said */
	REF_IN_LINE, /* a line has begun; whether it is a good one is not looked at */
	REF_REFUSED,
	REF_HOST_DIFFERS, /* refused, for Host is not what the target names */
	REF_UNTIL_CLOSE,
	REF_TUNNEL,
};

/* What the policy says; false refuses. */
struct ref_judge {
	bool (*line)(const struct ref_request *r, void *arg); /* the request line alone */
	bool (*head)(const struct ref_request *r, void *arg);
	void *arg;
	/* Header names that rules look at, NULL-terminated: not in trailers. */
	const char *const *names;
};

/* All requests of a stream, in order. *count: judged and allowed; *r: the last one that began. */
enum ref_end ref_requests(const uint8_t *data, size_t n, const struct ref_judge *judge,
			  struct ref_request *r, size_t *count);

/*
 * All responses. heads: bit i: request i was HEAD. connect: the request that waits is CONNECT.
 * message() is called at the end of each.
 */
enum ref_end ref_responses(const uint8_t *data, size_t n, uint64_t heads, bool connect,
			   void (*message)(void *arg, unsigned int status), void *arg);

bool ref_is(struct ref_span a, const char *text); /* exactly */
bool ref_is_any_case(struct ref_span a, const char *text); /* but for case */

#endif
