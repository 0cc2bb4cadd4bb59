// SPDX-License-Identifier: Apache-2.0
/*
 * Where Cilium would decide otherwise. The objects are compiled once more, read
 * as Cilium reads them (struct bf_world, as_cilium), and asked the same question
 * by the same code; what comes out differently is the difference.
 */
#include "policy/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfast/reasons.h"
#include "policy/selector.h"

static bool selects(const struct bf_objects *objects, const struct bf_policy *policy,
		    const struct bf_endpoint *ep)
{
	return ep && ep->slot >= 0 && bf_policy_selects(objects, policy, ep);
}

static bool names_remote_node(const struct bf_policy *policy)
{
	for (size_t r = 0; r < policy->rule_count; r++)
		for (size_t p = 0; p < policy->rules[r].peer_count; p++)
			if (policy->rules[r].peers[p].remote_node)
				return true;
	return false;
}

/*
 * Of all objects those that judge the question, as they are (borrowed): a world
 * of them is quickly compiled. Returns what may make a difference: what was
 * refused can pass in Cilium only if HTTP rules refused it, and what passed can
 * be refused there only if a rule says remote-node.
 */
static unsigned int choose_policies(const struct bf_objects *all, const struct bf_question *q,
				    const struct bf_answer *ours, struct bf_objects *out)
{
	unsigned int may = 0;

	for (size_t i = 0; i < all->policy_count; i++) {
		const struct bf_policy *policy = &all->policies[i];

		if (!selects(all, policy, q->from) && !selects(all, policy, q->to))
			continue;
		out->policies[out->policy_count++] = *policy;
		if (!bf_kind_is_cilium(policy->kind))
			continue;
		may |= BF_CILIUM_CANCELS;
		if (names_remote_node(policy))
			may |= BF_CILIUM_REMOTE_NODE;
	}
	if (ours->verdict != BPFAST_V_DROPPED)
		return may & BF_CILIUM_REMOTE_NODE;
	return ours->reason == BPFAST_R_HTTP_DENIED ? may : 0;
}

static bool differ(uint8_t ours, uint8_t theirs)
{
	return (ours == BPFAST_V_DROPPED) != (theirs == BPFAST_V_DROPPED);
}

/* The same question where `differences` count. *image is the caller's in any case. */
static int ask(const struct bf_world *world, unsigned int differences, const struct bf_question *q,
	       struct bf_image *image, struct bf_answer *answer, struct bf_error *err)
{
	struct bf_world theirs = *world;
	int ret;

	theirs.as_cilium = differences;
	ret = bf_image_compile(&theirs, image, err);
	return ret ?: bf_explain(image, q, answer, err);
}

static int copy_rules(const struct bf_image *image, uint32_t ref, char **rules,
		      struct bf_error *err)
{
	*rules = strdup(bf_image_ref(image->blob.data, image->blob.len, ref));
	return *rules ? 0 : bf_err(err, -ENOMEM, "no memory to compare with Cilium");
}

/* The rules of a side that mean something else in Cilium, where it changes the verdict. */
static int blame(const struct bf_image *image, const struct bf_answer_side *ours,
		 const struct bf_image *their_image, const struct bf_answer_side *theirs,
		 unsigned int difference, char **rules, struct bf_error *err)
{
	if (!ours->judged || !differ(ours->verdict, theirs->verdict))
		return 0;
	return difference == BF_CILIUM_CANCELS ? copy_rules(their_image, theirs->ref, rules, err)
					       : copy_rules(image, ours->ref, rules, err);
}

/* Refused for its form: what Cilium's proxy makes of such a request no rule says. */
static bool refused_for_form(const struct bf_answer_side *side)
{
	return side->judged && side->verdict == BPFAST_V_DROPPED &&
	       side->reason != BPFAST_R_HTTP_DENIED;
}

static int compare(const struct bf_world *world, unsigned int may, const struct bf_image *image,
		   const struct bf_question *q, const struct bf_answer *ours,
		   struct bf_cilium_answer *out, struct bf_error *err)
{
	struct bf_image their_image = {0}, partly_image = {0};
	struct bf_answer theirs, partly;
	int ret = ask(world, BF_CILIUM_ALL, q, &their_image, &theirs, err);

	if (ret || !differ(ours->verdict, theirs.verdict) || refused_for_form(&ours->egress) ||
	    refused_for_form(&ours->ingress))
		goto out;
	out->verdict = theirs.verdict;
	out->reason = theirs.reason;
	out->difference = may;
	if (may == BF_CILIUM_ALL) {
		ret = ask(world, BF_CILIUM_CANCELS, q, &partly_image, &partly, err);
		if (ret)
			goto out;
		out->difference = differ(ours->verdict, partly.verdict) ? BF_CILIUM_CANCELS
									: BF_CILIUM_REMOTE_NODE;
	}
	ret = blame(image, &ours->egress, &their_image, &theirs.egress, out->difference,
		    &out->egress, err);
	ret = ret
		      ?: blame(image, &ours->ingress, &their_image, &theirs.ingress,
			       out->difference, &out->ingress, err);
out:
	bf_image_free(&their_image);
	bf_image_free(&partly_image);
	return ret;
}

int bf_explain_cilium(const struct bf_world *world, const struct bf_image *image,
		      const struct bf_question *q, const struct bf_answer *ours,
		      struct bf_cilium_answer *out, struct bf_error *err)
{
	struct bf_objects objects = *world->objects;
	struct bf_world chosen = *world;
	unsigned int may;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	objects.policy_count = 0;
	objects.policies = calloc(world->objects->policy_count + 1, sizeof(*objects.policies));
	if (!objects.policies)
		return bf_err(err, -ENOMEM, "no memory to compare with Cilium");
	chosen.objects = &objects;
	may = choose_policies(world->objects, q, ours, &objects);
	if (may)
		ret = compare(&chosen, may, image, q, ours, out, err);
	if (ret)
		bf_cilium_answer_free(out);
	free(objects.policies);
	return ret;
}

void bf_cilium_answer_free(struct bf_cilium_answer *answer)
{
	free(answer->egress);
	free(answer->ingress);
	memset(answer, 0, sizeof(*answer));
}
