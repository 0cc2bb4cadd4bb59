/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_READ_MODEL_H
#define BF_POLICY_READ_MODEL_H
/* Parts of the model's objects, for the reader: their end and their copies. */
#include "policy/model.h"

void bf_selector_free(struct bf_selector *s); /* what it holds; then empty */
void bf_peers_free(struct bf_peer *peers, size_t n); /* the array too */
void bf_rule_free(struct bf_rule *rule); /* what it holds; then empty */
void bf_namespace_free(struct bf_namespace *ns); /* what it holds; then empty */

/* *to has to be zero. false: no memory; *to can then be freed all the same. */
bool bf_selector_copy(struct bf_selector *to, const struct bf_selector *from);
/* *to becomes a new array of n (NULL for none); NULL on failure. */
bool bf_peers_copy(struct bf_peer **to, const struct bf_peer *from, size_t n);

#endif
