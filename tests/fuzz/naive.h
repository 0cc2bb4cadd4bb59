/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_FUZZ_NAIVE_H
#define BF_FUZZ_NAIVE_H
/*
 * Regular expressions matched naively: an expression says at which places in the input it
 * may end when it begins at one of a set of places. Knows a part of the syntax: groups,
 * alternatives, classes, repeats and anchors, in ASCII.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAIVE_INPUT_MAX 63 /* a set of places fits 64 bits */

enum naive_flags { NAIVE_FOLD = 1, NAIVE_ASCII = 2 };

/* 1: the whole input matches; 0: it does not; -1: syntax that is not known here. */
int naive_match(const char *pattern, size_t pattern_len, unsigned int flags, const uint8_t *input,
		size_t n);

#endif
