// SPDX-License-Identifier: Apache-2.0
/*
 * Responses: which status, and where each ends, wherever they are cut and as the reference
 * reads them. The first four bytes choose the cuts, eight more which requests were HEAD, and one
 * whether it is CONNECT that waits.
 */
#include "fuzz.h"

#include "../unit/http1_stream.h"
#include "hashes.h"
#include "reference.h"

#define HEADS_BYTES 8

struct told {
	uint32_t count, statuses;
};

static void tell(void *arg, unsigned int status)
{
	struct told *t = arg;

	t->count++;
	t->statuses = t->statuses * 31 + status;
}

static void against_reference(const uint8_t *data, size_t n, const struct kept *k,
			      const struct outcome *out)
{
	static const uint32_t state_of[] = {
		[REF_REFUSED] = H1_UNKNOWN,
		[REF_UNTIL_CLOSE] = H1_UNTIL_CLOSE,
		[REF_TUNNEL] = H1_TUNNEL,
	};
	struct told told = {0};
	enum ref_end end = ref_responses(data, n, k->head_requests, k->connect, tell, &told);

	if (told.count != out->responses || told.statuses != out->status)
		FUZZ_FAIL("%u responses, %u by the reference, which ended with %d", out->responses,
			  told.count, end);
	if (end == REF_IN_LINE)
		return;
	if (end == REF_CLEAN ? out->state >= H1_UNTIL_CLOSE : out->state != state_of[end])
		FUZZ_FAIL("state %u behind %u responses, the reference ended with %d", out->state,
			  out->responses, end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *bytes = data + CUTS_BYTES + HEADS_BYTES + 1;
	size_t cut[CUTS_MAX], cuts, n = size - (size_t)(bytes - data);
	struct outcome a, b;
	struct kept k = {0};

	if (size <= (size_t)(bytes - data) || n > INPUT_MAX)
		return 0;
	if (!w) {
		struct bf_blob blob = {0};

		hash_image(&blob);
		use_image(blob.data, blob.len);
		bf_blob_free(&blob);
	}
	memcpy(&k.head_requests, data + CUTS_BYTES, HEADS_BYTES);
	k.connect = data[CUTS_BYTES + HEADS_BYTES] & 1;
	cuts = choose_cuts(data, n, cut);
	a = in_pieces(answer, &k, bytes, n, NULL, 0, 0);
	b = in_pieces(answer, &k, bytes, n, cut, cuts, data[3]);
	if (a.responses != b.responses || a.status != b.status || a.state != b.state)
		FUZZ_FAIL("%u responses, state %u; in pieces: %u, state %u", a.responses, a.state,
			  b.responses, b.state);
	against_reference(bytes, n, &k, &a);
	return 0;
}
