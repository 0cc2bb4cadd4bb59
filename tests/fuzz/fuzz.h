/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_FUZZ_H
#define BF_FUZZ_H
/* What the targets share. libFuzzer calls LLVMFuzzerTestOneInput() with one input after the other. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer keeps the input that led here. */
#define FUZZ_FAIL(...)                                                                             \
	do {                                                                                       \
		fprintf(stderr, __VA_ARGS__);                                                      \
		fputc('\n', stderr);                                                               \
		abort();                                                                           \
	} while (0)

#define STREAM_FAIL FUZZ_FAIL

/* The first bytes of an input choose where the rest is cut. */
#define CUTS_BYTES 4
#define CUTS_MAX 24

/* Up to CUTS_MAX places from 0 to n, ascending; returns how many. */
static inline size_t choose_cuts(const uint8_t *bytes, size_t n, size_t *cut)
{
	uint64_t seed = (uint64_t)bytes[1] << 16 | (uint64_t)bytes[2] << 8 | bytes[3];
	size_t cuts = bytes[0] % (CUTS_MAX + 1), at = 0;

	for (size_t i = 0; i < cuts; i++) {
		size_t left = n - at;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		/* Small steps more often than large ones: cuts lie close together. */
		if (seed >> 63 && left > 4)
			left = 4;
		at += (size_t)(seed >> 33) % (left + 1);
		cut[i] = at;
	}
	return cuts;
}

#endif
