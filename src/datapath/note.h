/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_NOTE_H
#define BF_DATAPATH_NOTE_H
/* What a layout says of itself, for versions that have another. */
#include <stddef.h>
#include <stdint.h>

struct btf;

struct bf_blob {
	void *data;
	size_t size;
};

struct bf_note {
	struct btf *btf; /* of the notes that were read: its own */
	uint32_t flow_meaning, stream_meaning; /* BPFAST_FLOW_MEANING, BPFAST_STREAM_MEANING */
	uint32_t endpoint, flow_key, flow, chunk; /* BTF ids of the types in the maps */
};

/* The note as bytes, malloc'ed; note->btf is not looked at. */
int bf_note_make(struct bf_blob *out, const struct btf *btf, const struct bf_note *note);
/* -EINVAL: it is none. */
int bf_note_parse(const struct bf_blob *blob, struct bf_note *out);
void bf_note_free(struct bf_note *note);
/* As a map beside those of a layout. */
int bf_note_pin(const struct bf_blob *blob, const char *pin_dir, const char *layout);
/* -ENOENT: the layout has none: an early version's, or damaged. */
int bf_note_read(const char *pin_dir, const char *layout, struct bf_note *out);

#endif
