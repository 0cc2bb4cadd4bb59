/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_LISTS_H
#define BF_SHIELD_LISTS_H
/*
 * Block and allow lists: from text to entries, from entries to the image that
 * bpf/shield/lists.h walks. Pure: times are given, nothing is read or written.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "bpfast/shield.h"

/* Entries of one image; their place in it is 24 bytes, their tables some 100 bytes at most. */
#define BF_SHIELD_ENTRIES_MAX (4u << 20)

struct bf_shield_list {
	struct bpfast_shield_entry *v;
	size_t n, cap;
};

void bf_shield_list_free(struct bf_shield_list *list);
int bf_shield_list_add(struct bf_shield_list *list, const struct bpfast_shield_entry *entry);
/* By address, then length; of entries that say the same of one prefix the latest remains. */
void bf_shield_list_sort(struct bf_shield_list *list);
/* Removes what ended before now; returns how many did. */
size_t bf_shield_list_expire(struct bf_shield_list *list, uint32_t now);
/* Removes entries of that prefix, kind and origin (policy); returns how many there were. */
size_t bf_shield_list_remove(struct bf_shield_list *list, const struct bpfast_shield_entry *entry);
/* The first entry of the other list's kind that holds all of `entry`, alive at now; or NULL. list: sorted. */
const struct bpfast_shield_entry *bf_shield_list_holder(const struct bf_shield_list *list,
							const struct bpfast_shield_entry *entry,
							bool allow, uint32_t now);

/* ADDRESS[/LENGTH]. -EINVAL with a sentence: not one, or bits set behind the length. */
int bf_shield_cidr(const char *text, size_t len, struct bpfast_shield_entry *out,
		   struct bf_error *err);
/* Text of an entry's prefix; size: at least 50. */
const char *bf_shield_cidr_text(const struct bpfast_shield_entry *entry, char *buf, size_t size);
bool bf_shield_is4(const struct bpfast_shield_entry *entry);

/*
 * One prefix a line; blanks and what follows '#' or ';' is skipped. All or nothing: on an error
 * the list is as it was. line: the number of the text's first line, for the sentence.
 */
int bf_shield_read(const char *text, size_t len, size_t line, bool allow, uint32_t until,
		   struct bf_shield_list *list, struct bf_error *err);

struct bf_shield_image {
	uint8_t *bytes; /* malloc'ed */
	size_t len; /* a multiple of BPFAST_SHIELD_LINE */
};

/* Sorts the list and compiles it. -ENOMEM. */
int bf_shield_compile(struct bf_shield_list *list, uint64_t seed, struct bf_shield_image *out);
/* The entries of an image. -EINVAL: it is none of this version. */
int bf_shield_entries(const void *image, size_t len, struct bf_shield_list *out);

#endif
