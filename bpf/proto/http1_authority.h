/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_PROTO_HTTP1_AUTHORITY_H
#define BPFAST_PROTO_HTTP1_AUTHORITY_H
/*
 * Host and port, in a target and in Host: what all servers read alike of the
 * grammar of RFC 3986, section 3.2. A name of letters, digits, '-', '_' and
 * single dots, or an IPv6 address in brackets; then perhaps a colon and a port from
 * 1 to 65535 without zeroes in front. Of anything else some server takes a part
 * and another takes all of it, or refuses it.
 */
#include "proto/http1_ruleset.h"

/* How much of an authority was read. */
enum authority_state {
	AU_BAD = 0,
	AU_START,
	AU_NAME,
	AU_DOT, /* behind one in a name */
	AU_COLON, /* the one before a port */
	AU_LEFT4, /* in a port, of which as many digits may come still */
	AU_LEFT3,
	AU_LEFT2,
	AU_LEFT1,
	AU_LEFT0,
	AU_6, /* a port that begins so, and must not pass 65535 */
	AU_65,
	AU_655,
	AU_6553,
	AU_BRACKET,
	AU_IPV6,
	AU_CLOSED, /* behind the bracket */
};

#define AU_PORTS                                                                                   \
	(1 << AU_LEFT4 | 1 << AU_LEFT3 | 1 << AU_LEFT2 | 1 << AU_LEFT1 | 1 << AU_LEFT0 |           \
	 1 << AU_6 | 1 << AU_65 | 1 << AU_655 | 1 << AU_6553)
#define AU_WHOLE (1 << AU_NAME | 1 << AU_DOT | 1 << AU_CLOSED | AU_PORTS)

enum authority_class {
	AC_NONE = 0, /* no byte of an authority */
	AC_LETTER, /* of a name */
	AC_DASH,
	AC_HEX, /* of a name or of an IPv6 address */
	AC_DOT,
	AC_0,
	AC_1TO2,
	AC_3,
	AC_4,
	AC_5,
	AC_6,
	AC_7TO9,
	AC_COLON,
	AC_OPEN,
	AC_CLOSE,
	AC_COUNT = 16,
};

/* clang-format off */
static const __u8 authority_class[256] = {
	['A' ... 'F'] = AC_HEX, ['G' ... 'Z'] = AC_LETTER,
	['a' ... 'f'] = AC_HEX, ['g' ... 'z'] = AC_LETTER,
	['_'] = AC_LETTER, ['-'] = AC_DASH, ['.'] = AC_DOT,
	['0'] = AC_0, ['1' ... '2'] = AC_1TO2, ['3'] = AC_3, ['4'] = AC_4, ['5'] = AC_5, ['6'] = AC_6,
	['7' ... '9'] = AC_7TO9,
	[':'] = AC_COLON, ['['] = AC_OPEN, [']'] = AC_CLOSE,
};

#define AU_IN_NAME [AU_START] = AU_NAME, [AU_NAME] = AU_NAME, [AU_DOT] = AU_NAME
#define AU_IN_IPV6 [AU_BRACKET] = AU_IPV6, [AU_IPV6] = AU_IPV6
#define AU_DIGIT AU_IN_NAME, AU_IN_IPV6, \
	[AU_LEFT4] = AU_LEFT3, [AU_LEFT3] = AU_LEFT2, [AU_LEFT2] = AU_LEFT1, [AU_LEFT1] = AU_LEFT0

/* An automaton by table, so that the verifier follows one path through the loops. */
static const __u8 authority_table[AC_COUNT][32] = {
	[AC_LETTER] = {AU_IN_NAME},
	[AC_DASH] = {[AU_NAME] = AU_NAME, [AU_DOT] = AU_NAME},
	[AC_HEX] = {AU_IN_NAME, AU_IN_IPV6},
	[AC_DOT] = {[AU_NAME] = AU_DOT, [AU_IPV6] = AU_IPV6},
	[AC_COLON] = {[AU_NAME] = AU_COLON, [AU_DOT] = AU_COLON, [AU_CLOSED] = AU_COLON, AU_IN_IPV6},
	[AC_OPEN] = {[AU_START] = AU_BRACKET},
	[AC_CLOSE] = {[AU_IPV6] = AU_CLOSED},
	[AC_0] = {AU_DIGIT, [AU_6] = AU_LEFT3, [AU_65] = AU_LEFT2, [AU_655] = AU_LEFT1, [AU_6553] = AU_LEFT0},
	[AC_1TO2] = {AU_DIGIT, [AU_COLON] = AU_LEFT4, [AU_6] = AU_LEFT3, [AU_65] = AU_LEFT2, [AU_655] = AU_LEFT1,
		[AU_6553] = AU_LEFT0},
	[AC_3] = {AU_DIGIT, [AU_COLON] = AU_LEFT4, [AU_6] = AU_LEFT3, [AU_65] = AU_LEFT2, [AU_655] = AU_6553,
		[AU_6553] = AU_LEFT0},
	[AC_4] = {AU_DIGIT, [AU_COLON] = AU_LEFT4, [AU_6] = AU_LEFT3, [AU_65] = AU_LEFT2, [AU_655] = AU_LEFT0,
		[AU_6553] = AU_LEFT0},
	[AC_5] = {AU_DIGIT, [AU_COLON] = AU_LEFT4, [AU_6] = AU_65, [AU_65] = AU_655, [AU_655] = AU_LEFT0,
		[AU_6553] = AU_LEFT0},
	[AC_6] = {AU_DIGIT, [AU_COLON] = AU_6, [AU_6] = AU_LEFT2, [AU_65] = AU_LEFT1, [AU_655] = AU_LEFT0},
	[AC_7TO9] = {AU_DIGIT, [AU_COLON] = AU_LEFT3, [AU_6] = AU_LEFT2, [AU_65] = AU_LEFT1, [AU_655] = AU_LEFT0},
};
/* clang-format on */

/* The state as it was kept. */
static __always_inline __u32 authority_kept(__u32 word)
{
	return word & 31;
}

static __always_inline __u32 authority_next(__u32 state, __u8 c)
{
	/* Masked as in authority_kept(): to the verifier no pass of a loop makes a difference. */
	return authority_table[authority_class[c] & (AC_COUNT - 1)][state & 31] & 31;
}

/* Whether a state is one of a mask. */
static __always_inline __u32 authority_is(__u32 state, __u32 states)
{
	return states >> (state & 31) & 1;
}

/* Bytes that an authority may hold; another one ends it. */
static __always_inline int authority_byte(__u8 c)
{
	return authority_class[c] != AC_NONE;
}

/* A hash of the bytes, without case. That a target and Host lead to the same rules is
 * asked apart: this only tells names apart that rules do not. */
static __always_inline __u32 authority_hash(__u32 hash, __u8 c)
{
	/* FNV-1a, but never 0. Of the bytes that are left none but letters differ by 0x20. */
	return (hash ^ (c | 0x20)) * 16777619u | 1;
}

#endif
