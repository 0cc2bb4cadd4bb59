// SPDX-License-Identifier: Apache-2.0
/* A capture file to frames, and each frame to what replay looks at in it. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "replay/capture.h"
#include "replay/frame.h"
#include "replay/segment.h"

/* More than BF_TRIAL_MAX would be cut by replay; small here, so that small inputs are. */
#define MOST 300

static int piece(void *arg, const uint8_t *frame, size_t len)
{
	struct bf_frame f;

	bf_frame_read(frame, len, &f);
	if (len > MOST || !f.tcp)
		FUZZ_FAIL("a piece of %zu bytes that is %s", len, f.tcp ? "too long" : "not TCP");
	*(size_t *)arg += f.payload_len;
	return 0;
}

static void look_at(const struct bf_captured *got)
{
	uint8_t *copy = malloc(got->len + 1);
	size_t sum = 0;
	struct bf_frame f;
	int r;

	memcpy(copy, got->frame, got->len);
	bf_frame_read(copy, got->len, &f);
	if (f.tcp && (f.payload_off > got->len || f.payload_len > got->len - f.payload_off))
		FUZZ_FAIL("%zu bytes of payload in a frame of %zu", f.payload_len, got->len);
	r = bf_segment_cut(copy, got->len, MOST, piece, &sum);
	if (r > 0 && (!f.tcp || sum != f.payload_len))
		FUZZ_FAIL("%zu bytes of payload were cut to %zu", f.payload_len, sum);
	if (f.tcp) {
		bf_frame_set_ack(copy, &f, 1);
		bf_segment_skip(copy, got->len, f.payload_len / 2);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int file = -1;
	struct bf_capture *c;
	struct bf_captured got;
	struct bf_error err = {""};
	char path[32];
	int r;

	if (file < 0)
		file = memfd_create("capture", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, 0) || pwrite(file, data, size, 0) != (ssize_t)size)
		FUZZ_FAIL("no file");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (bf_capture_open(path, &c, &err)) {
		if (!*err.msg)
			FUZZ_FAIL("refused without a word");
		return 0;
	}
	while ((r = bf_capture_next(c, &got, &err)) > 0)
		look_at(&got);
	if (r < 0 && !*err.msg)
		FUZZ_FAIL("damaged without a word");
	bf_capture_close(c);
	return 0;
}
