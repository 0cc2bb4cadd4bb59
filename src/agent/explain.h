/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_EXPLAIN_H
#define BF_AGENT_EXPLAIN_H
/*
 * policy explain: a question in words to the tables. The agent asks the
 * tables in force; the command line can ask tables made of files.
 */
#include <jansson.h>

#include "agent/endpoints.h"
#include "observe/view.h"
#include "policy/compile.h"

/* Most bytes that may be asked about as a stream: two of the longest heads. */
#define BF_EXPLAIN_RAW_MAX 65536

struct bf_explain_world {
	const struct bf_endpoints *endpoints;
	const struct bf_world *world; /* that the image was compiled of */
	const struct bf_image *image;
	const struct bf_view *view; /* for the texts of identities; may be NULL */
	uint32_t generation;
};

/*
 * args: from, to (endpoint, address or "host"), port, protocol, http ("METHOD
 * TARGET"), headers (["NAME: VALUE"]); or raw (what the client sends, its bytes as
 * hexadecimal digits). 0 with *result, or -errno with err.
 */
int bf_explain_words(const struct bf_explain_world *w, const json_t *args, json_t **result,
		     struct bf_error *err);

#endif
