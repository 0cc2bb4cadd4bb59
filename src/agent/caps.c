// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent keeps once it runs, and why:
 *   CAP_BPF        maps, pins and loading a program again
 *   CAP_NET_ADMIN  attaching to interfaces; reading addresses in a pod's namespace
 *   CAP_PERFMON    programs that read kernel structures
 * CAP_SYS_ADMIN is not kept: it would only let status name foreign programs,
 * and `bpfast doctor`, run by root, does that.
 */
#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>

#include "agent/agent.h"

static const unsigned int kept[] = {CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON};

int bf_caps_drop(struct bf_error *err)
{
	bool setpcap;
	size_t i;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return bf_err(err, -errno, "cannot set no_new_privs: %s", strerror(errno));
	/* Only what is there can be kept: some containers give less. */
	if (capng_get_caps_process())
		return bf_err(err, -EPERM, "cannot read the capabilities of this process");
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (!capng_have_capability(CAPNG_PERMITTED, kept[i]))
			return bf_err(err, -EPERM,
				      "capability %s is missing; run bpfastd as root, or give it "
				      "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
				      capng_capability_to_name(kept[i]));
	setpcap = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_BOTH);
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
	/* Without CAP_SETPCAP the bounding set stays; with no_new_privs nothing hangs on it. */
	if (setpcap && capng_apply(CAPNG_SELECT_BOUNDS))
		return bf_err(err, -EPERM, "cannot drop the capability bounding set");
	if (capng_apply(CAPNG_SELECT_CAPS))
		return bf_err(err, -EPERM, "cannot drop the capabilities that are not needed");
	return 0;
}
