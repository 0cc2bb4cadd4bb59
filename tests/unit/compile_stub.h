/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in until the reader is there; weak, so that its own wins. */
#include "policy/model.h"

const char *__attribute__((weak)) bf_policy_kind_name(enum bf_policy_kind kind)
{
	static const char *const names[] = {"NetworkPolicy", "PayloadPolicy",
					    "ClusterPayloadPolicy", "CiliumNetworkPolicy",
					    "CiliumClusterwideNetworkPolicy"};

	return names[kind];
}
