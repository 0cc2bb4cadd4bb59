// SPDX-License-Identifier: Apache-2.0
/* The shield of devices: loaded when somebody first asks for it, adopted by the next agent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/shield/attacks.h"
#include "agent/shield/bars.h"
#include "agent/shield/status.h"

static int read_lists(struct bf_agent *a, struct bf_error *err)
{
	for (int which = 0; which < BPFAST_SI_COUNT; which++) {
		size_t len;
		const void *image = bf_shield_image(a->shield, which, &len);
		int r = image ? bf_shield_entries(image, len, &a->shield_lists[which]) : 0;

		if (!r && which == BPFAST_SI_ENTRIES)
			r = bf_shield_policies_take(a, &a->shield_lists[which]);
		if (r)
			return bf_err(err, r, "the list in force cannot be read: %s", strerror(-r));
	}
	return 0;
}

/* What only a command can mend. */
static void tell_of_shared(const struct bf_agent *a)
{
	for (int i = 0; i < BPFAST_SHIELD_SLOTS; i++) {
		const struct bpfast_shield_device *d = &bf_shield_control(a->shield)->device[i];
		struct bf_link link;
		char note[300];

		if (d->ifindex && d->hook == BPFAST_SH_SHARED &&
		    !bf_link_by_index((int)d->ifindex, &link) &&
		    bf_shield_shared_note(a, link.ifindex, link.name, note, sizeof(note)))
			bf_log_warn("a device is shared with other programs", "why", note);
	}
}

static int rewrite(const void *image, size_t len, uint64_t seed, uint8_t **out, size_t *out_len)
{
	struct bf_shield_list list;
	struct bf_shield_image fresh;
	int r = bf_shield_entries(image, len, &list);

	if (r)
		return r;
	r = bf_shield_compile(&list, seed, &fresh);
	bf_shield_list_free(&list);
	*out = fresh.bytes;
	*out_len = fresh.len;
	return r;
}

int bf_agent_shield_open(struct bf_agent *a, struct bf_error *err)
{
	bool adopted;
	int r;

	if (a->shield)
		return 0;
	r = bf_shield_open(a->config.pin_dir, a->config.force_clsact, bf_datapath_vouch_fd(a->dp),
			   rewrite, &a->shield, &adopted, err);
	if (!r) {
		bf_shield_after(a->shield, bf_datapath_from_pod_fd(a->dp));
		r = read_lists(a, err);
	}
	if (r) {
		bf_agent_shield_close(a);
		return r;
	}
	a->shield_error[0] = '\0';
	/* Limits and lists do not need it. */
	if (bf_defence_start(a, err)) {
		memcpy(a->shield_error, err->msg, sizeof(a->shield_error));
		bf_log_error("no attack is looked for", "why", err->msg);
	}
	bf_log_info("shield loaded", "adopted", adopted ? "yes" : "no", "entries",
		    bf_num((long long)(a->shield_lists[BPFAST_SI_ENTRIES].n +
				       a->shield_lists[BPFAST_SI_FILES].n)));
	tell_of_shared(a);
	return 0;
}

void bf_agent_shield_adopt(struct bf_agent *a)
{
	struct bf_error err;

	if (!bf_shield_pinned(a->config.pin_dir) || !bf_agent_shield_open(a, &err)) {
		bf_shield_policies_start(a);
		return;
	}
	/* Policies must not wait for it; what is in force stays. */
	memcpy(a->shield_error, err.msg, sizeof(a->shield_error));
	bf_log_error("shield not adopted; it goes on as it was", "why", err.msg);
	bf_shield_policies_start(a);
}

void bf_agent_shield_gone(struct bf_agent *a, int ifindex)
{
	bf_agent_shield_cookies_check(a, ifindex);
	if (a->shield && !bf_shield_detach(a->shield, ifindex, NULL))
		bf_log_info("a guarded device is gone", "ifindex", bf_num(ifindex));
}

int bf_agent_shield_install(struct bf_agent *a, enum bpfast_shield_image which,
			    struct bf_shield_list *list, struct bf_error *err)
{
	struct bf_shield_list all = {0}; /* with what policies say */
	struct bf_shield_image image = {0};
	int r = 0;

	if (which == BPFAST_SI_ENTRIES)
		r = bf_shield_policies_join(a, list, &all);
	if (r)
		bf_err(err, r, "no memory");
	else if (all.n || list->n) {
		bf_shield_list_sort(list);
		r = bf_shield_compile(all.n ? &all : list, bf_shield_control(a->shield)->seed,
				      &image);
		if (r)
			bf_err(err, r, "no memory to compile %zu entries; what was in force stays",
			       list->n);
	}
	if (!r)
		r = bf_shield_install(a->shield, which, image.bytes, image.len, err);
	bf_shield_list_free(&all);
	free(image.bytes);
	if (r) {
		bf_shield_list_free(list);
		return r;
	}
	bf_shield_list_free(&a->shield_lists[which]);
	a->shield_lists[which] = *list;
	memset(list, 0, sizeof(*list));
	return 0;
}

/* The kernel side looks at the times itself: this only gives the memory back. */
static void expire(struct bf_agent *a, enum bpfast_shield_image which, uint32_t now)
{
	struct bf_shield_list left = {0}, *list = &a->shield_lists[which];
	struct bf_error err = {""};
	size_t ended = 0;
	int r = 0;

	for (size_t i = 0; i < list->n; i++)
		ended += now >= list->v[i].until;
	if (!ended)
		return;
	for (size_t i = 0; i < list->n && !r; i++)
		if (now < list->v[i].until)
			r = bf_shield_list_add(&left, &list->v[i]);
	if (r)
		bf_shield_list_free(&left);
	else
		r = bf_agent_shield_install(a, which, &left, &err);
	if (r)
		bf_log_warn("entries that ended stay in the tables, without effect", "why",
			    *err.msg ? err.msg : strerror(-r));
	else
		bf_log_info("entries ended", "entries", bf_num((long long)ended));
}

void bf_agent_shield_tick(struct bf_agent *a)
{
	uint32_t now = bf_shield_now();
	struct bf_link link;

	/* Should the news of it be lost. */
	for (int i = 0; a->shield && i < BPFAST_SHIELD_SLOTS; i++) {
		int ifindex = (int)bf_shield_control(a->shield)->device[i].ifindex;

		if (ifindex && bf_link_by_index(ifindex, &link) == -ENODEV)
			bf_agent_shield_gone(a, ifindex);
	}
	bf_agent_shield_cookies_check(a, 0);
	for (int which = 0; a->shield && which < BPFAST_SI_COUNT; which++)
		expire(a, which, now);
	bf_shield_bars_expire(a);
	bf_shield_policies_renew(a);
}

void bf_agent_shield_close(struct bf_agent *a)
{
	bf_defence_stop(a);
	bf_shield_close(a->shield);
	a->shield = NULL;
	for (int which = 0; which < BPFAST_SI_COUNT; which++)
		bf_shield_list_free(&a->shield_lists[which]);
	bf_shield_list_free(&a->shield_policies.list);
}
