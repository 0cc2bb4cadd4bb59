/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_DELIVERY_H
#define BF_TEST_DELIVERY_H
/*
 * A connection between an honest client and an honest server, through the
 * programs: the client sends a stream as its packaging says, and again what did not
 * arrive; the server puts together what it is sent, acknowledges, and answers.
 *
 * What a packaging must not change was learned once from the stream by itself
 * (struct reference); what a delivery breaks of that is a violation.
 */
#include "corpus.h"
#include "lane.h"
#include "packaging.h"
#include "said.h"

#define REQUESTS_MAX 64

struct reference {
	size_t requests;
	struct said said[REQUESTS_MAX];
	size_t messages; /* that are complete */
	size_t end[REQUESTS_MAX]; /* behind each of them */
	size_t heads;
	size_t head_end[REQUESTS_MAX];
	bool denied;
	size_t fence; /* a server may have the bytes before it, not the one there */
	size_t sure; /* and it gets at least these: the messages before a refused one, or all */
	bool opaque; /* mode audit: what comes behind some byte is not judged */
	bool clean; /* not denied, and ends where a message does */
	bool torn; /* not denied, and ends inside a head: it is, where a FIN says that it ends */
	struct said at_end; /* what is said of that */
};

#define VIOLATIONS(X)                                                                              \
	X(NONE, "")                                                                                \
	X(VERDICTS, "the requests got other verdicts")                                             \
	X(TEXTS, "the records have other texts")                                                   \
	X(COUNTED, "the counters do not say what the records say")                                 \
	X(BEYOND, "the server has bytes that it may not have")                                     \
	X(LESS, "the server lacks bytes that it may have")                                         \
	X(BYTES, "bytes left that nobody sent there")                                              \
	X(FRAME, "what left is not a well-formed segment")                                         \
	X(AUDIT, "something was dropped or changed in mode audit")                                 \
	X(AFTER, "data left behind the reset")                                                     \
	X(RESET, "the reset is not for the place where the server is")                             \
	X(TOLD, "the client was not told of the refusal")                                          \
	X(FIN, "the end did not reach the server")                                                 \
	X(ANSWER, "a server's segment was dropped")                                                \
	X(KEPT, "bytes are kept although all was acknowledged")                                    \
	X(COMPANY, "a request of another connection was dropped or not recorded")                  \
	X(HELPER, "a helper failed, or an internal error was given as a reason")

enum violation {
#define VIOLATION_ENUM(sym, text) VIOLATION_##sym,
	VIOLATIONS(VIOLATION_ENUM)
#undef VIOLATION_ENUM
		VIOLATION_KINDS
};

const char *violation_text(enum violation v);

/* What came of a delivery. */
struct outcome {
	enum violation violation;
	size_t requests;
	struct said said[REQUESTS_MAX];
	size_t delivered; /* without a gap, from the start */
	size_t packets;
	unsigned int rounds; /* of sending again */
};

/* Called for each packet, if set: for those who write them down. */
typedef void (*delivery_tap)(bool to_pod, const struct frame *frame, bool forwarded);
extern delivery_tap delivery_watch;

/*
 * Sends the stream a byte at a time, and answers at once. NULL, or what was wrong with that.
 * In mode audit it says other things.
 */
const char *reference_make(const struct stream *s, struct reference *ref, bool audit);

enum violation deliver(const struct stream *s, const struct reference *ref,
		       const struct packaging *p, struct outcome *out);

#endif
