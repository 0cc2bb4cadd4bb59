/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_TEXT_H
#define BF_OBSERVE_TEXT_H
/*
 * Growing text, and the only ways in which bytes that others chose may get
 * into it. Memory that runs out is noted in `failed`, looked at once at the end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bf_text {
	char *data; /* NUL-terminated once something was added */
	size_t len, cap;
	bool failed; /* memory ran out; what is there is incomplete */
};

void bf_text_free(struct bf_text *t);
void bf_text_clear(struct bf_text *t); /* keeps the memory */
void bf_text_add(struct bf_text *t, const char *bytes, size_t len);
static inline void bf_text_puts(struct bf_text *t, const char *s)
{
	bf_text_add(t, s, strlen(s));
}
void bf_text_printf(struct bf_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void bf_text_u64(struct bf_text *t, uint64_t n); /* decimal */
/* Decimal with leading zeroes, `width` digits, at most 20. */
void bf_text_padded(struct bf_text *t, uint64_t n, int width);

/*
 * Text for people: printable ASCII and well-formed UTF-8 above U+009F pass, a
 * newline passes where `lines`; every other byte becomes \xNN. So no control
 * sequence ever reaches a terminal.
 */
void bf_text_safe(struct bf_text *t, const char *s, size_t len, bool lines);

/* Bytes from the wire: printable ASCII passes, a blank too; everything else and the
 * backslash become \xNN, so that the original can be told from the result. */
void bf_text_wire(struct bf_text *t, const char *bytes, size_t len);

/* A quoted JSON string. Ill-formed UTF-8 becomes \\xNN. */
void bf_text_json(struct bf_text *t, const char *s, size_t len);
/* A quoted JSON string of bytes from the wire, as bf_text_wire(). */
void bf_text_json_wire(struct bf_text *t, const char *bytes, size_t len);

/* Length in bytes of the well-formed UTF-8 sequence at s (RFC 3629, section 4), 0: none. */
size_t bf_utf8_len(const char *s, size_t len);

#endif
