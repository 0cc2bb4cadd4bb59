// SPDX-License-Identifier: Apache-2.0
#include "agent/shield/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/shield/attacks.h"

/* --- writing --- */

static void collect(const struct bf_defence *d, struct bf_history *h)
{
	const struct bf_attack *at;
	size_t n = 0;

	memset(h, 0, sizeof(*h));
	bf_detect_numbers(d->detect, &h->last_id, &h->last_rule);
	memcpy(h->begun, d->attacks, sizeof(h->begun));
	while (h->running < BF_ATTACKS_MAX && (at = bf_detect_active(d->detect, h->running))) {
		for (unsigned int i = 0; i < at->rules; i++)
			for (unsigned int r = 0; r < BPFAST_FP_RULES; r++)
				if (d->rule_id[r] == at->rule[i].id)
					h->hits[h->running][i] = d->rule_hits[r];
		h->v[h->running++] = *at;
	}
	while (n < BF_HISTORY_KEPT && bf_detect_ended(d->detect, n))
		n++;
	while (n-- > 0)
		h->v[h->running + h->ended++] = *bf_detect_ended(d->detect, n);
}

void bf_history_save(struct bf_agent *a, bool now)
{
	static struct bf_history h;
	struct bf_defence *d = a->defence;
	char *text;
	json_t *o;
	int r;

	if (!d->detect || !d->history_read ||
	    (!now &&
	     (!bf_detect_active(d->detect, 0) || d->now_ns - d->history_ns < BF_HISTORY_NS)))
		return;
	d->history_ns = d->now_ns;
	collect(d, &h);
	o = bf_history_json(&h, bf_wall_offset_ns());
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	r = text ? bf_rundir_write(a, BF_HISTORY_FILE, text, strlen(text)) : -ENOMEM;
	free(text);
	if (r && !d->history_errno)
		bf_log_error("attacks.json cannot be written, so a restarted agent would not know "
			     "these attacks",
			     "why", strerror(-r));
	d->history_errno = -r;
}

/* --- reading --- */

static int read_file(const struct bf_agent *a, char **text, size_t *len, struct bf_error *err)
{
	int fd = openat(a->run_fd, BF_HISTORY_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;
	int r = 0;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : bf_err(err, -errno, "%s", strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > BF_HISTORY_BYTES)
		r = bf_err(err, -EINVAL, "it is no file of at most %u bytes", BF_HISTORY_BYTES);
	if (!r && !(*text = malloc((size_t)st.st_size + 1)))
		r = bf_err(err, -ENOMEM, "no memory");
	if (!r && (n = read(fd, *text, (size_t)st.st_size)) < 0)
		r = bf_err(err, -errno, "%s", strerror(errno));
	close(fd);
	if (!r)
		*len = (size_t)n;
	return r;
}

/* The place of a rule in the kernel that an earlier agent has put there; BPFAST_FP_RULES: none. */
static unsigned int place_of(const struct bf_defence *d, uint32_t id)
{
	unsigned int r = 0;

	while (r < BPFAST_FP_RULES &&
	       !(d->adopted.rules >> r & 1 && d->maps.force->rule[r].id == id))
		r++;
	return r;
}

/* Rules that are not in force any more are no rules of it; the others are ours from now on. */
static void take_rules(struct bf_defence *d, struct bf_attack *at, const uint64_t *hits)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < at->rules; i++) {
		unsigned int r = place_of(d, at->rule[i].id);

		if (r == BPFAST_FP_RULES)
			continue;
		d->adopted.rules &= ~(1u << r);
		d->rule_id[r] = at->rule[i].id;
		d->rule_hits[r] = hits[i];
		at->rule[n] = at->rule[i];
		at->score[n++] = at->score[i];
	}
	at->rules = (uint8_t)n;
}

static bool limited(const struct bf_defence *d, const struct bf_attack *at)
{
	uint32_t number = bf_defence_number(d, &at->dest);

	return number < BPFAST_DESTS && d->adopted.on[number] & at->classes;
}

static void go_on(struct bf_agent *a, struct bf_attack *at, const uint64_t *hits, uint64_t now_ns)
{
	struct bf_defence *d = a->defence;

	if (limited(d, at)) {
		take_rules(d, at, hits);
		if (bf_detect_resume(d->detect, at, now_ns)) {
			bf_log_warn("attack is taken over from the agent before", "id",
				    bf_num((long long)at->id), "kind", bf_class_name(at->kind));
			return;
		}
	}
	/* When it was last seen is the best that is known of its end. */
	if (!at->end_ns)
		at->end_ns = at->detected_ns;
	at->released_ns = now_ns;
	at->note = BF_NOTE_GONE;
	at->restarts++;
	bf_detect_put_ended(d->detect, at);
}

void bf_history_load(struct bf_agent *a, uint64_t now_ns)
{
	static struct bf_history h;
	struct bf_defence *d = a->defence;
	struct bf_error err = {""};
	const struct bf_attack *at;
	char *text;
	size_t len = 0;
	int r = read_file(a, &text, &len, &err);

	d->history_read = true;
	if (!r)
		r = bf_history_parse(text, len, bf_wall_offset_ns(), now_ns, &h, &err);
	free(text);
	/* Also where the file is lost: no two rules in force have one number. */
	for (unsigned int i = 0; i < BPFAST_FP_RULES; i++)
		bf_detect_number(d->detect, 0, d->maps.force->rule[i].id);
	if (r == -ENOENT)
		return;
	if (r) {
		bf_log_error("attacks.json cannot be used; the history of attacks begins anew",
			     "why", err.msg);
		return;
	}
	bf_detect_number(d->detect, h.last_id, h.last_rule);
	memcpy(d->attacks, h.begun, sizeof(d->attacks));
	d->told = h.last_id;
	for (size_t i = h.running; i < h.running + h.ended; i++)
		bf_detect_put_ended(d->detect, &h.v[i]);
	/* What ended before was told by the agent that saw it. */
	at = bf_detect_ended(d->detect, 0);
	d->ended = at ? at->released_ns : 0;
	for (size_t i = 0; i < h.running; i++)
		go_on(a, &h.v[i], h.hits[i], now_ns);
}

unsigned bf_history_let_go(struct bf_agent *a)
{
	struct bf_defence *d = a->defence;
	const struct bf_attack *at;
	unsigned changes = 0;

	for (size_t i = 0; (at = bf_detect_active(d->detect, i));) {
		uint32_t number = bf_defence_number(d, &at->dest);
		uint64_t end = number < BPFAST_DESTS ? d->adopted.hit_ns[number] : at->end_ns;

		if (!at->awaited || limited(d, at)) {
			i++;
			continue;
		}
		changes |= bf_detect_let_go(d->detect, at->id, end, BF_NOTE_QUIET);
	}
	return changes;
}
