/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_PACKAGING_H
#define BF_TEST_PACKAGING_H
/*
 * A packaging: how the bytes of a stream become packets. All of it is written
 * down, so that running it again does the same, and leaving out parts of it
 * makes a smaller one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEPS_MAX 1024
/* Most bytes in one segment: what BPF_PROG_TEST_RUN takes, less headers. */
#define SEGMENT_MAX 3000

enum step_kind {
	STEP_SEND, /* the client sends bytes off..off+len, for the first time or not */
	STEP_ACK, /* the server acknowledges what it has without a gap */
	STEP_ANSWER, /* the server answers the requests that it has whole */
};

struct step {
	uint8_t kind;
	bool old_ack; /* sent before the client had any answer */
	bool lost; /* between the hook and the server */
	uint16_t gso; /* a super-packet of segments of that size, or 0 */
	uint16_t off, len;
};

/* When and in which segments the server answers requests. */
enum answers {
	ANSWERS_TOGETHER,
	ANSWERS_EACH,
	ANSWERS_LAST_FIRST,
	ANSWERS_EARLY, /* each by itself, behind the head: it does not wait for the body */
	ANSWERS_KINDS
};

struct packaging {
	bool v6, egress, vlan;
	bool timestamps; /* an option on every segment */
	bool fin; /* the segment with the last byte bears FIN */
	bool reused; /* another connection on these ports ended within a head */
	bool company; /* requests of another connection come between */
	uint8_t answers;
	uint16_t port; /* how is refused: corpus.h */
	uint32_t isn; /* the client's */
	uint16_t resend; /* the size of the segments in which is sent again what did not arrive */
	uint16_t resend_gso; /* as super-packets of segments of that size, or 0 */
	size_t steps;
	struct step step[STEPS_MAX];
};

/* Two segments, in order or the second first. */
void packaging_split(struct packaging *p, size_t len, size_t at, bool swapped);
/* All in order, in segments of that size, acknowledged and answered one by one. */
void packaging_plain(struct packaging *p, size_t len, size_t size);
/* Everything at random, by its number alone. */
void packaging_random(struct packaging *p, const uint8_t *bytes, size_t len, uint64_t number);

void packaging_print(const struct packaging *p, void (*line)(const char *text));

/* A mixing of two numbers. */
uint64_t random_mix(uint64_t a, uint64_t b);

#endif
