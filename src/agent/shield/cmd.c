// SPDX-License-Identifier: Apache-2.0
/* shield attach, detach, block, unblock, allow, unallow, list, limit, and lists that come in parts */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/server.h"
#include "agent/shield/bars.h"
#include "agent/shield/status.h"

#define FOR_MAX (10LL * 365 * 86400) /* seconds: what is longer is forever */

static const char *text(const json_t *args, const char *key)
{
	return json_string_value(json_object_get(args, key));
}

static int find_device(const json_t *args, struct bf_link *link, struct bf_error *err)
{
	const char *iface = text(args, "interface");

	if (!iface)
		return bf_err(err, -EINVAL, "which interface?");
	return bf_link_by_name(iface, link, err);
}

/* What a policy says of a device is changed in the policy: a command would hold until its next look. */
static int not_by_policy(const struct bf_agent *a, const struct bf_link *link, struct bf_error *err)
{
	struct bf_shield_choice c;

	if (!bf_shield_policy_of(a, link->ifindex, link->name, &c))
		return 0;
	return bf_err(err, -EBUSY,
		      "ShieldPolicy %s says how %s is guarded; change it there, or name %s in "
		      "a policy of its own",
		      c.owner, link->name, link->name);
}

static int word_of(const char *const *words, int count, const char *word)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(words[i], word))
			return i;
	return -EINVAL;
}

/* --- devices --- */

/* Does it go into libxdp's dispatcher: because it is there already, because the hook is the dispatcher's, or as asked? */
static bool is_for_sharing(struct bf_agent *a, int ifindex, int want)
{
	struct bf_shield_shared shared;
	struct bpfast_shield_device d;

	if (want == BF_SHIELD_SHARED)
		return true;
	if (want != BF_SHIELD_BEST && want != BF_SHIELD_NATIVE && want != BF_SHIELD_GENERIC)
		return false;
	if (bf_shield_device_of(a, ifindex, &d) && d.hook == BPFAST_SH_SHARED)
		return true;
	return bf_shield_shared(a->shield, ifindex, &shared);
}

static json_t *attached_json(const struct bf_agent *a, const struct bf_link *link, const char *why)
{
	struct bpfast_shield_device d;

	bf_shield_device_of(a, link->ifindex, &d);
	bf_log_info("shield attached", "iface", link->name, "hook", bf_shield_hook_words[d.hook],
		    "mode", bf_shield_modes[d.mode], "why", why);
	return json_pack("{s:s, s:s, s:s, s:s}", "interface", link->name, "hook",
			 bf_shield_hook_words[d.hook], "mode", bf_shield_modes[d.mode], "why", why);
}

static int share_done(struct bf_agent *a, const struct bf_link *link, int mode, json_t **result,
		      struct bf_error *err)
{
	struct bf_shield_shared shared;
	struct bf_text others = {0};
	char note[300];
	int r = bf_shield_share_done(a->shield, link->ifindex, mode, err);

	if (r)
		return r;
	bf_shield_shared(a->shield, link->ifindex, &shared);
	for (unsigned int i = 0; i < shared.others; i++)
		bf_text_printf(&others, "%s%s", i ? ", " : "beside ", shared.other[i]);
	*result = attached_json(a, link, others.data ? others.data : "no other program is there");
	bf_text_free(&others);
	if (bf_shield_shared_note(a, link->ifindex, link->name, note, sizeof(note)))
		json_object_set_new(*result, "note", json_string(note));
	return 0;
}

/*
 * Three steps: here all but the program, and what the command has to know to put it into the dispatcher; then {step: done},
 * or {step: undo} where that failed. Who dies in between leaves a device that is not guarded, as status says.
 */
static int share(struct bf_agent *a, const json_t *args, const struct bf_link *link, int mode,
		 json_t **result, struct bf_error *err)
{
	const char *step = text(args, "step");
	struct bf_shield_shared shared;
	struct bpfast_shield_device d;
	uint32_t holder, prog_id;
	char dir[PATH_MAX];
	bool fresh;
	int r;

	if (step && !strcmp(step, "done"))
		return share_done(a, link, mode, result, err);
	if (step && !strcmp(step, "undo") && bf_shield_device_of(a, link->ifindex, &d) &&
	    d.hook == BPFAST_SH_SHARED)
		return bf_shield_detach(a->shield, link->ifindex, err);
	if (step)
		return bf_err(err, -EINVAL, "'%s' is no step of sharing %s", step, link->name);
	r = bf_shield_share(a->shield, link->ifindex, &fresh, &holder, err);
	if (r && holder)
		*result = json_pack("{s:i}", "program", (int)holder);
	if (r)
		return r;
	bf_shield_shared(a->shield, link->ifindex, &shared);
	if (!fresh && shared.current)
		return share_done(a, link, mode, result, err);
	r = bf_shield_share_where(a->shield, dir, sizeof(dir), &prog_id);
	if (r)
		return bf_err(err, r, "the pin directory's name is too long");
	*result = json_pack("{s:{s:s, s:i, s:s, s:I, s:b}}", "share", "interface", link->name,
			    "ifindex", link->ifindex, "pins", dir, "program", (json_int_t)prog_id,
			    "fresh", fresh);
	return 0;
}

static int attach(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	static const char *const wants[] = {"best", "native", "generic", "offload",
					    "tc",   "pod",    "shared"};
	const char *hook = text(args, "hook"), *mode = text(args, "mode");
	uint32_t holder = 0;
	struct bf_link link;
	int r, want, m;
	char why[160];

	(void)c;
	m = mode ? word_of(bf_shield_modes, BPFAST_SM_COUNT, mode) : BPFAST_SM_ENFORCE;
	if (m < 0)
		return bf_err(err, -EINVAL, "--mode: '%s' is not enforce, audit or off", mode);
	want = hook ? word_of(wants, sizeof(wants) / sizeof(wants[0]), hook) : BF_SHIELD_BEST;
	if (want < 0)
		return bf_err(err, -EINVAL, "'%s' is not a kind of hook", hook);
	r = find_device(args, &link, err);
	if (!r)
		r = bf_agent_shield_open(a, err);
	/* A policy has nobody to put the program there for it. */
	if (!r && is_for_sharing(a, link.ifindex, want))
		return share(a, args, &link, m, result, err);
	if (!r)
		r = not_by_policy(a, &link, err);
	if (!r)
		r = bf_shield_attach(a->shield, link.ifindex, want, m, why, sizeof(why), &holder,
				     err);
	if (r) {
		/* Who may read its name can say more than its number. */
		if (holder)
			*result = json_pack("{s:i}", "program", (int)holder);
		return r;
	}
	*result = attached_json(a, &link, why);
	return 0;
}

static int detach(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	struct bf_link link;
	struct bpfast_shield_device d = {0};
	int r = find_device(args, &link, err);

	(void)c;
	if (!r)
		r = not_by_policy(a, &link, err);
	if (r)
		return r;
	if (bf_shield_device_of(a, link.ifindex, &d))
		r = bf_shield_detach(a->shield, link.ifindex, err);
	else
		r = bf_err(err, -ENOENT, "%s is not guarded by shield", link.name);
	/* Who may will look whether a program of ours is in a dispatcher still. */
	if (r == -ENOENT || d.hook == BPFAST_SH_SHARED)
		*result = json_pack("{s:s, s:i}", "interface", link.name, "ifindex", link.ifindex);
	if (!r)
		bf_log_info("shield detached", "iface", link.name);
	return r;
}

/* --- lists --- */

static int until_of(const json_t *args, uint32_t *until, struct bf_error *err)
{
	json_int_t seconds = json_integer_value(json_object_get(args, "seconds"));

	*until = BPFAST_SHIELD_FOREVER;
	if (!json_object_get(args, "seconds"))
		return 0;
	if (seconds < 1 || seconds > FOR_MAX)
		return bf_err(err, -EINVAL, "--for: a time from 1 s to ten years is expected");
	*until = bf_shield_now() + (uint32_t)(((uint64_t)seconds * 1000000000u) >> 30) + 1;
	return 0;
}

static int entry_of(const json_t *args, bool allow, struct bpfast_shield_entry *e,
		    struct bf_error *err)
{
	const char *cidr = text(args, "cidr");
	int r;

	if (!cidr)
		return bf_err(err, -EINVAL, "which addresses?");
	r = bf_shield_cidr(cidr, strlen(cidr), e, err);
	e->allow = allow;
	return r;
}

/* Blocking what is allowed would do nothing: allow always wins. */
static int check_useful(const struct bf_agent *a, const struct bpfast_shield_entry *e,
			struct bf_error *err)
{
	const struct bpfast_shield_entry *holder = NULL;
	const char *owner = NULL;
	char what[64], by[64];

	for (int which = 0; !e->allow && !holder && which < BPFAST_SI_COUNT; which++)
		holder = bf_shield_list_holder(&a->shield_lists[which], e, true, bf_shield_now());
	if (!e->allow && !holder) {
		holder = bf_shield_list_holder(&a->shield_policies.list, e, true, bf_shield_now());
		owner = holder ? bf_shield_policy_of_entry(a, holder) : NULL;
	}
	if (!holder)
		return 0;
	if (owner)
		return bf_err(err, -EEXIST,
			      "%s is inside %s, which ShieldPolicy %s allows, and allow always "
			      "wins: blocking it would do nothing; change the policy first",
			      bf_shield_cidr_text(e, what, sizeof(what)),
			      bf_shield_cidr_text(holder, by, sizeof(by)), owner);
	return bf_err(
		err, -EEXIST,
		"%s is inside %s, which is on the allow list, and allow always wins: blocking "
		"it would do nothing; `bpfast shield unallow %s` first",
		bf_shield_cidr_text(e, what, sizeof(what)),
		bf_shield_cidr_text(holder, by, sizeof(by)), by);
}

static int copy_list(const struct bf_shield_list *from, struct bf_shield_list *to)
{
	int r = 0;

	memset(to, 0, sizeof(*to));
	for (size_t i = 0; i < from->n && !r; i++)
		r = bf_shield_list_add(to, &from->v[i]);
	if (r)
		bf_shield_list_free(to);
	return r;
}

static json_t *entry_json(const struct bpfast_shield_entry *e, const char *from)
{
	uint32_t now = bf_shield_now();
	char cidr[64];
	json_t *o = json_pack("{s:s, s:s, s:s}", "cidr", bf_shield_cidr_text(e, cidr, sizeof(cidr)),
			      "list", e->allow ? "allow" : "block", "from", from);

	if (e->until != BPFAST_SHIELD_FOREVER)
		json_object_set_new(
			o, "seconds_left",
			json_integer(e->until > now
					     ? (json_int_t)(((uint64_t)(e->until - now) << 30) /
							    1000000000u)
					     : 0));
	return o;
}

static const char *from_of(int which)
{
	return which == BPFAST_SI_FILES ? "file" : "command";
}

static int put(struct bf_agent *a, const json_t *args, bool allow, json_t **result,
	       struct bf_error *err)
{
	struct bpfast_shield_entry e;
	struct bf_shield_list list;
	int r = entry_of(args, allow, &e, err);

	if (!r)
		r = until_of(args, &e.until, err);
	if (!r)
		r = bf_agent_shield_open(a, err);
	if (!r)
		r = check_useful(a, &e, err);
	if (r)
		return r;
	if (a->shield_lists[BPFAST_SI_ENTRIES].n + a->shield_policies.list.n >=
	    BF_SHIELD_ENTRIES_MAX)
		return bf_err(err, -E2BIG, "there are %u entries already", BF_SHIELD_ENTRIES_MAX);
	r = copy_list(&a->shield_lists[BPFAST_SI_ENTRIES], &list);
	if (r)
		return bf_err(err, r, "no memory");
	bf_shield_list_expire(&list, bf_shield_now());
	/* Said again, the newest time holds, also where it is shorter. */
	bf_shield_list_remove(&list, &e);
	r = bf_shield_list_add(&list, &e);
	if (r) {
		bf_shield_list_free(&list);
		return bf_err(err, r, "no memory");
	}
	r = bf_agent_shield_install(a, BPFAST_SI_ENTRIES, &list, err);
	if (!r)
		*result = entry_json(&e, "command");
	return r;
}

/* Takes one entry off one list. Returns how many it were, or -errno. */
static int take_one(struct bf_agent *a, int which, const struct bpfast_shield_entry *e,
		    struct bf_error *err)
{
	struct bf_shield_list list;
	int r = copy_list(&a->shield_lists[which], &list);
	size_t n;

	if (r)
		return bf_err(err, r, "no memory");
	n = bf_shield_list_remove(&list, e);
	if (n)
		r = bf_agent_shield_install(a, which, &list, err);
	else
		bf_shield_list_free(&list);
	return r ? r : (int)n;
}

static void add_from(json_t *from, const struct bpfast_shield_entry *e, const char *word)
{
	char cidr[64];

	json_array_append_new(from, json_pack("{s:s, s:s}", "from", word, "cidr",
					      bf_shield_cidr_text(e, cidr, sizeof(cidr))));
}

/* What holds the addresses still; "": nothing. */
static void still(const struct bf_agent *a, const struct bpfast_shield_entry *e, bool allow,
		  json_t *result)
{
	const struct bpfast_shield_entry *holder = NULL;
	const char *from = NULL, *owner;
	char by[64];

	for (int which = 0; !holder && which < BPFAST_SI_COUNT; which++) {
		holder = bf_shield_list_holder(&a->shield_lists[which], e, allow, bf_shield_now());
		from = holder ? from_of(which) : NULL;
	}
	if (!holder) {
		holder = bf_shield_list_holder(&a->shield_policies.list, e, allow, bf_shield_now());
		from = "policy";
	}
	if (!holder)
		return;
	json_object_set_new(result, "still",
			    json_pack("{s:s, s:s}", "cidr",
				      bf_shield_cidr_text(holder, by, sizeof(by)), "from", from));
	owner = !strcmp(from, "policy") ? bf_shield_policy_of_entry(a, holder) : NULL;
	if (owner)
		json_object_set_new(json_object_get(result, "still"), "policy", json_string(owner));
}

/*
 * Exactly that prefix, from whatever list it is on but a policy's. Others that lie within it or
 * around it stay, and are told.
 */
static int take(struct bf_agent *a, const json_t *args, bool allow, json_t **result,
		struct bf_error *err)
{
	const struct bpfast_shield_entry *holder = NULL;
	struct bpfast_shield_entry e;
	json_t *from = json_array();
	char what[64], by[64];
	const char *owner;
	size_t inside;
	int removed = 0, r = entry_of(args, allow, &e, err);

	for (int which = 0; r >= 0 && a->shield && which < BPFAST_SI_COUNT; which++) {
		if (!holder)
			holder = bf_shield_list_holder(&a->shield_lists[which], &e, allow,
						       bf_shield_now());
		r = take_one(a, which, &e, err);
		if (r > 0) {
			removed += r;
			add_from(from, &e, from_of(which));
			holder = NULL;
		}
	}
	if (r >= 0 && !allow) {
		r = bf_shield_bars_take(a, &e, from);
		if (r < 0)
			bf_err(err, r, "cannot unblock: %s", strerror(-r));
		else
			removed += r;
	}
	if (r < 0 || removed) {
		*result = json_pack("{s:i, s:o}", "removed", removed, "entries", from);
		if (r >= 0)
			still(a, &e, allow, *result);
		inside = r >= 0 && !allow ? bf_shield_bars_inside(a, &e) : 0;
		if (inside)
			json_object_set_new(*result, "http_inside",
					    json_integer((json_int_t)inside));
		return r < 0 ? r : 0;
	}
	json_decref(from);
	bf_shield_cidr_text(&e, what, sizeof(what));
	owner = bf_shield_policy_of_entry(a, &e);
	if (owner)
		return bf_err(err, -EBUSY,
			      "%s is on the %s list by ShieldPolicy %s; change it there", what,
			      allow ? "allow" : "block", owner);
	if (holder)
		return bf_err(err, -ENOENT,
			      "%s is not on the %s list by itself; %s, which holds it, is", what,
			      allow ? "allow" : "block",
			      bf_shield_cidr_text(holder, by, sizeof(by)));
	return bf_err(err, -ENOENT, "%s is not on the %s list", what, allow ? "allow" : "block");
}

#define COMMAND(name, fn, allow)                                                                   \
	static int name(struct bf_agent *a, struct bf_client *c, const json_t *args,               \
			json_t **result, struct bf_error *err)                                     \
	{                                                                                          \
		(void)c;                                                                           \
		return fn(a, args, allow, result, err);                                            \
	}
COMMAND(block, put, false)
COMMAND(allow, put, true)
COMMAND(unblock, take, false)
COMMAND(unallow, take, true)

/*
 * A file's prefixes come in parts, for a request has its limit: "shield stage" takes the next
 * part, "shield commit" puts all of them into force, or none. They are the connection's, and end with it.
 */
static int stage(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		 struct bf_error *err)
{
	bool allowed = json_is_true(json_object_get(args, "allow"));
	json_int_t line = json_integer_value(json_object_get(args, "line"));
	const json_t *part = json_object_get(args, "text");
	uint32_t until;
	int r = until_of(args, &until, err);

	(void)a;
	if (!r && !json_is_string(part))
		r = bf_err(err, -EINVAL, "a part of a list has no text");
	if (!r)
		r = bf_shield_read(json_string_value(part), json_string_length(part),
				   line > 0 ? (size_t)line : 1, allowed, until, &c->staged, err);
	if (!r && c->staged.n > BF_SHIELD_ENTRIES_MAX)
		r = bf_err(err, -E2BIG, "more than %u prefixes", BF_SHIELD_ENTRIES_MAX);
	if (r)
		bf_shield_list_free(&c->staged);
	else
		*result = json_pack("{s:I}", "prefixes", (json_int_t)c->staged.n);
	return r;
}

static bool any_allowed(const struct bf_agent *a)
{
	for (int which = 0; which < BPFAST_SI_COUNT; which++)
		for (size_t i = 0; i < a->shield_lists[which].n; i++)
			if (a->shield_lists[which].v[i].allow)
				return true;
	return false;
}

/* Moves what is staged to the end of what stays. */
static int join(struct bf_shield_list *staged, const struct bf_shield_list *old, bool replace,
		bool allowed)
{
	int r = 0;

	for (size_t i = 0; i < old->n && !r; i++)
		if (!replace || old->v[i].allow != allowed)
			r = bf_shield_list_add(staged, &old->v[i]);
	return r;
}

static int commit(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	bool allowed = json_is_true(json_object_get(args, "allow"));
	bool replace = json_is_true(json_object_get(args, "replace"));
	size_t given = c->staged.n, i;
	int r = bf_agent_shield_open(a, err);
	bool useful = any_allowed(a);

	for (i = 0; !r && useful && i < c->staged.n; i++)
		r = check_useful(a, &c->staged.v[i], err);
	if (!r) {
		r = join(&c->staged, &a->shield_lists[BPFAST_SI_FILES], replace, allowed);
		if (!r && c->staged.n > BF_SHIELD_ENTRIES_MAX)
			r = bf_err(
				err, -E2BIG,
				"with what other files gave these are %zu prefixes, and %u is the "
				"most; --replace takes those out",
				c->staged.n, BF_SHIELD_ENTRIES_MAX);
		else if (r)
			bf_err(err, r, "no memory");
	}
	if (!r)
		r = bf_agent_shield_install(a, BPFAST_SI_FILES, &c->staged, err);
	bf_shield_list_free(&c->staged);
	if (!r)
		*result = json_pack("{s:I, s:I}", "prefixes", (json_int_t)given, "in_force",
				    (json_int_t)a->shield_lists[BPFAST_SI_FILES].n);
	return r;
}

static int list(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		struct bf_error *err)
{
	json_int_t limit = json_integer_value(json_object_get(args, "limit")), n = 0, total = 0;
	json_t *entries = json_array(), *o;

	(void)c, (void)err;
	for (int which = 0; which < BPFAST_SI_COUNT; which++) {
		const struct bf_shield_list *l = &a->shield_lists[which];

		for (size_t i = 0; i < l->n; i++) {
			if (bf_shield_now() >= l->v[i].until)
				continue;
			total++;
			if (n < limit) {
				n++;
				json_array_append_new(entries,
						      entry_json(&l->v[i], from_of(which)));
			}
		}
	}
	for (size_t i = 0; i < a->shield_policies.list.n; i++) {
		const struct bpfast_shield_entry *e = &a->shield_policies.list.v[i];
		const char *owner;

		if (bf_shield_now() >= e->until)
			continue;
		total++;
		if (n >= limit)
			continue;
		n++;
		owner = bf_shield_policy_of_entry(a, e);
		o = entry_json(e, "policy");
		json_object_set_new(o, "policy", json_string(owner ? owner : ""));
		json_array_append_new(entries, o);
	}
	total += (json_int_t)bf_shield_bars_json(a, entries, (size_t)(limit - n));
	*result = json_pack("{s:o, s:I}", "entries", entries, "total", total);
	return 0;
}

/* --- limits --- */

static int scope_limit(const json_t *o, struct bpfast_shield_limit *limit, struct bf_error *err)
{
	json_int_t rate = json_integer_value(json_object_get(o, "rate"));
	json_int_t burst = json_integer_value(json_object_get(o, "burst"));

	if (!o)
		return 0;
	if (rate < 0 || rate > 100000000 || burst < 0 || burst > 100000000)
		return bf_err(err, -EINVAL,
			      "a limit is RATE[:BURST], packets a second and packets at once, at "
			      "most 100000000 each; rate 0 is no limit");
	if (limit)
		bf_shield_set_limit(limit, (uint32_t)rate, (uint32_t)(burst ? burst : rate));
	return 0;
}

static int limit(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		 struct bf_error *err)
{
	const char *word = text(args, "class");
	int r = bf_agent_shield_open(a, err), class = -1;

	(void)c;
	if (r)
		return r;
	if (json_is_true(json_object_get(args, "defaults"))) {
		bf_shield_set_defaults(bf_shield_control(a->shield));
		bf_shield_policies_defaults(a);
	} else if (word) {
		class = word_of(bf_shield_classes, BPFAST_SC_COUNT, word);
		if (class < 0)
			return bf_err(
				err, -EINVAL,
				"'%s' is not a class; there are syn, out-of-state, udp, icmp, "
				"fragment and other",
				word);
		/* All are looked at before one is set. */
		for (int s = 0; !r && s < BPFAST_SS_COUNT; s++) {
			const char *owner = a->shield_policies.plan.limit[class][s].owner;

			r = scope_limit(json_object_get(args, bf_shield_scopes[s]), NULL, err);
			if (!r && owner && json_object_get(args, bf_shield_scopes[s]))
				r = bf_err(err, -EBUSY,
					   "ShieldPolicy %s sets the limit of %s for each %s; "
					   "change it there",
					   owner, word, bf_shield_scopes[s]);
		}
		for (int s = 0; !r && s < BPFAST_SS_COUNT; s++)
			r = scope_limit(json_object_get(args, bf_shield_scopes[s]),
					&bf_shield_control(a->shield)->limit[class][s], err);
	}
	if (!r)
		*result = bf_shield_limits_json(a);
	return r;
}

static int status(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	(void)c, (void)args;
	*result = bf_shield_status_json(a);
	return *result ? 0 : bf_err(err, -ENOMEM, "no memory");
}

const struct bf_command bf_shield_commands[] = {
	{"shield attach", attach},
	{"shield detach", detach},
	{"shield status", status},
	{"shield block", block},
	{"shield unblock", unblock},
	{"shield allow", allow},
	{"shield unallow", unallow},
	{"shield stage", stage},
	{"shield commit", commit},
	{"shield list", list},
	{"shield limit", limit},
	{"shield cookies", bf_shield_cookies_command},
	{NULL, NULL},
};
