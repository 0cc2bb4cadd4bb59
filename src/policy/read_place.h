/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_READ_PLACE_H
#define BF_POLICY_READ_PLACE_H
/*
 * How the reader walks a tree: a place is a node and the way that led to it,
 * so that a flaw can say where it is in the text and in the object
 * ("spec.ingress[0].toPorts[0].ports[0].port"). Readers go on after a flaw and
 * report the next; what they made is thrown away in the end.
 */
#include "policy/read.h"
#include "policy/read_tree.h"

/* Flaws kept of one text; the rest is counted in one last sentence. */
#define BF_FLAWS_MAX 50u

struct bf_told {
	int line, column;
	unsigned int number; /* in the order of finding */
	char *message;
};

struct bf_reader {
	unsigned int flaws; /* all, kept or not */
	struct bf_told told[BF_FLAWS_MAX];
	bool no_memory;
	size_t copies; /* of peers, see BF_PEER_COPIES_MAX */

	/* Of the object being read. */
	const char *file; /* or NULL */
	enum bf_policy_kind kind;
	bool null_is_absent; /* built-in kinds of Kubernetes; elsewhere a null is a flaw */
	const char *ns; /* "" for cluster-wide kinds */
};

struct bf_place {
	const struct bf_place *up;
	const char *name; /* of a field; NULL for an element of a list */
	size_t index;
	const struct bf_node *node;
};

/* A field that a map may have. */
struct bf_field {
	const char *name;
	const char *refusal; /* NULL: read. Else why an object with this field is refused */
};

/* One flaw at a place; the text gets the place's way in front. */
void bf_flaw(struct bf_reader *r, const struct bf_place *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* One flaw at a line and column, with nothing in front. */
void bf_flaw_at(struct bf_reader *r, int line, int column, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Tells what was found, by place in the text, and forgets it. */
void bf_flaws_tell(struct bf_reader *r, bf_flaw_fn flaw, void *arg);

/* "spec.ingress[0]"; NULL without memory (which is noted). */
char *bf_place_text(struct bf_reader *r, const struct bf_place *at);

/*
 * A field of a map. False where it is absent, or null and that counts as
 * absent; a null that does not is a flaw. The key is not copied.
 */
bool bf_field_get(struct bf_reader *r, const struct bf_place *map, const char *name,
		  struct bf_place *out);
/* The same for a field that has to be there. */
bool bf_field_need(struct bf_reader *r, const struct bf_place *map, const char *name,
		   struct bf_place *out, const char *remedy);
/* Element i of a list. */
struct bf_place bf_element(const struct bf_place *list, size_t i);

/* Flaws for fields that are not in the table (ends with name NULL) or are refused by it. */
void bf_fields_check(struct bf_reader *r, const struct bf_place *map,
		     const struct bf_field *fields);

/* Types. Each gives false / NULL after a flaw. */
bool bf_want_map(struct bf_reader *r, const struct bf_place *at);
bool bf_want_list(struct bf_reader *r, const struct bf_place *at);
const char *bf_want_string(struct bf_reader *r, const struct bf_place *at);
bool bf_want_bool(struct bf_reader *r, const struct bf_place *at, bool *out);
bool bf_want_int(struct bf_reader *r, const struct bf_place *at, long *out);
/* A string out of a list of words (ends with NULL): its index, or -1. */
int bf_want_word(struct bf_reader *r, const struct bf_place *at, const char *const *words);

/* The word nearest to text, or NULL where none is near. words ends with NULL. */
const char *bf_nearest(const char *text, const char *const *words);

/* Memory that notes its lack in the reader. n = 0 gives NULL. */
void *bf_reader_array(struct bf_reader *r, size_t n, size_t size);
char *bf_reader_text(struct bf_reader *r, const char *text);
char *bf_reader_textn(struct bf_reader *r, const char *text, size_t len);

#endif
