// SPDX-License-Identifier: Apache-2.0
/* Making a packaging small that made a difference, and telling it. */
#include "failure.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A stream, a packaging, and how that goes wrong. */
struct story {
	struct stream stream;
	struct reference ref;
	struct packaging how;
	struct outcome out;
	time_t until; /* it is not made smaller any more */
};

/* --- smaller ------------------------------------------------------------------- */

#define SECONDS_MAX 5
#define SAID_TOLD 6

static bool goes_wrong(struct story *s, enum violation as)
{
	return deliver(&s->stream, &s->ref, &s->how, &s->out) == as;
}

/* Takes over what is smaller where it still goes wrong in the same way. */
static bool accept(struct story *now, struct story *smaller, bool other_bytes)
{
	if (time(NULL) > now->until)
		return false;
	if (other_bytes &&
	    (!smaller->stream.len ||
	     reference_make(&smaller->stream, &smaller->ref, smaller->how.port == PORT_AUDIT)))
		return false;
	if (!goes_wrong(smaller, now->out.violation))
		return false;
	*now = *smaller;
	return true;
}

static bool fewer_steps(struct story *now, struct story *try)
{
	bool any = false;

	for (size_t n = now->how.steps; n; n /= 2) {
		for (size_t at = 0; at + n <= now->how.steps;) {
			struct packaging *p = &try->how;

			*try = *now;
			memmove(p->step + at, p->step + at + n,
				(p->steps - at - n) * sizeof(*p->step));
			p->steps -= n;
			if (accept(now, try, false))
				any = true;
			else
				at += n;
		}
	}
	return any;
}

/* Two segments become one. */
static bool joined(struct story *now, struct story *try)
{
	bool any = false;

	for (size_t i = 0; i + 1 < now->how.steps;) {
		struct packaging *p = &try->how;
		struct step *a = &p->step[i], *b = a + 1;

		*try = *now;
		if (a->kind != STEP_SEND || b->kind != STEP_SEND || a->off + a->len != b->off ||
		    a->len + b->len > SEGMENT_MAX) {
			i++;
			continue;
		}
		a->len = (uint16_t)(a->len + b->len);
		memmove(b, b + 1, (p->steps - i - 2) * sizeof(*b));
		p->steps--;
		if (accept(now, try, false))
			any = true;
		else
			i++;
	}
	return any;
}

static bool plainer(struct story *now, struct story *try)
{
	bool any = false;

	for (int what = 0; what < 15; what++) {
		struct packaging *p = &try->how;

		*try = *now;
		p->v6 &= what != 0;
		p->egress &= what != 1;
		p->fin &= what != 2;
		p->isn = what == 3 ? 1000 : p->isn;
		p->resend = what == 4 ? 1400 : p->resend;
		p->vlan &= what != 8;
		p->timestamps &= what != 9;
		p->reused &= what != 10;
		p->company &= what != 12;
		p->resend_gso = what == 13 ? 0 : p->resend_gso;
		p->answers = what == 11 ? ANSWERS_TOGETHER : p->answers;
		p->port = what == 5 && p->port != PORT_AUDIT ? PORT_REPLY : p->port;
		for (size_t i = 0; i < p->steps; i++) {
			p->step[i].gso = what == 6 ? 0 : p->step[i].gso;
			p->step[i].old_ack &= what != 7;
			p->step[i].lost &= what != 14;
		}
		if (memcmp(p, &now->how, sizeof(*p)) && accept(now, try, false))
			any = true;
	}
	return any;
}

/* Where a byte of the stream is when n bytes at `at` are gone. */
static size_t moved(size_t off, size_t at, size_t n)
{
	return off <= at ? off : off <= at + n ? at : off - n;
}

static bool fewer_bytes(struct story *now, struct story *try, uint8_t *room)
{
	bool any = false;

	for (size_t n = now->stream.len / 2; n; n /= 2) {
		for (size_t at = 0; at + n <= now->stream.len;) {
			struct stream *s = &try->stream;

			*try = *now;
			s->bytes = room;
			memcpy(room, now->stream.bytes, at);
			memcpy(room + at, now->stream.bytes + at + n, now->stream.len - at - n);
			s->len -= n;
			for (size_t i = 0; i < try->how.steps; i++) {
				struct step *step = &try->how.step[i];
				size_t to = moved((size_t)step->off + step->len, at, n);

				step->off = (uint16_t)moved(step->off, at, n);
				step->len = (uint16_t)(to - step->off);
				if (step->kind == STEP_SEND && !step->len)
					step->kind = STEP_ACK;
			}
			if (accept(now, try, true)) {
				memcpy(now->stream.bytes = room + STREAM_MAX, room, s->len);
				any = true;
			} else {
				at += n;
			}
		}
	}
	return any;
}

static void make_small(struct story *now)
{
	static uint8_t room[2 * STREAM_MAX];
	static struct story try;

	memcpy(room + STREAM_MAX, now->stream.bytes, now->stream.len);
	now->stream.bytes = room + STREAM_MAX;
	now->until = time(NULL) + SECONDS_MAX;
	while (fewer_steps(now, &try) | joined(now, &try) | plainer(now, &try) |
	       (now->stream.len < 8000 && fewer_bytes(now, &try, room)))
		;
}

/* --- telling ------------------------------------------------------------------- */

static void print_line(const char *text)
{
	print_error("    %s\n", text);
}

static void print_said(const char *who, const struct said *s, size_t n)
{
	print_error("  %s:\n", who);
	for (size_t i = 0; i < n && i < SAID_TOLD; i++)
		print_error("    %s\n", said_line(&s[i]));
	if (n > SAID_TOLD)
		print_error("    and %zu more\n", n - SAID_TOLD);
}

/* --- for replay ------------------------------------------------------------------ */

static FILE *capture;
static uint32_t captured; /* packets */

static FILE *open_in(const char *dir, const char *name)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		print_error("%s: %s\n", path, strerror(errno));
	return f;
}

/* One packet, as it came to the hook, a millisecond behind the one before. */
static void capture_packet(bool to_pod, const struct frame *frame, bool forwarded)
{
	uint32_t header[4] = {captured / 1000, captured % 1000 * 1000, (uint32_t)frame->len,
			      (uint32_t)frame->len};

	(void)to_pod;
	(void)forwarded;
	fwrite(header, sizeof(header), 1, capture);
	fwrite(frame->b, frame->len, 1, capture);
	captured++;
}

static void write_capture(struct story *now, const char *dir)
{
	/* Of libpcap's format, version 2.4; the link type is Ethernet. */
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, most, link;
	} header = {0xa1b2c3d4, 2, 4, 0, 0, 65535, 1};

	capture = open_in(dir, "capture.pcap");
	if (!capture)
		return;
	captured = 0;
	fwrite(&header, sizeof(header), 1, capture);
	delivery_watch = capture_packet;
	deliver(&now->stream, &now->ref, &now->how, &now->out);
	delivery_watch = NULL;
	fclose(capture);
}

static FILE *readme;

static void write_line(const char *text)
{
	fprintf(readme, "    %s\n", text);
}

static void write_said(const char *who, const struct said *s, size_t n)
{
	fprintf(readme, "\n%s:\n\n", who);
	for (size_t i = 0; i < n; i++)
		fprintf(readme, "    %s\n", said_line(&s[i]));
}

/* A folder for each; two runs at the same time have their own. */
static void write_down(struct story *now, const char *name, const char *what)
{
	static unsigned int number;
	char dir[80];
	FILE *f;

	mkdir("build", 0777);
	mkdir(FAILURE_DIR, 0777);
	snprintf(dir, sizeof(dir), FAILURE_DIR "/%d-%u", (int)getpid(), ++number);
	mkdir(dir, 0777);
	f = open_in(dir, "policy.yaml");
	if (!f)
		return;
	fputs(now->how.port == PORT_AUDIT ? corpus_audit_policy : corpus_policy, f);
	fclose(f);
	write_capture(now, dir);
	readme = open_in(dir, "README.md");
	if (!readme)
		return;
	fprintf(readme,
		"# %s\n\n%s: %s.\n\n"
		"    bpfast replay capture.pcap --policy policy.yaml \\\n"
		"        --endpoint shop/web-1=%s,%s,app=web\n\n"
		"The packets are as they came to the hook, with what the client sends again.\n\n",
		name, what, violation_text(now->out.violation), POD4, POD6);
	packaging_print(&now->how, write_line);
	write_said("Expected", now->ref.said, now->ref.requests);
	write_said("Got", now->out.said, now->out.requests);
	fclose(readme);
	print_error("  written to %s\n", dir);
}

void failure_tell(const struct stream *s, const struct packaging *p, const char *what)
{
	static struct story now;

	now.stream = *s;
	now.how = *p;
	if (reference_make(s, &now.ref, p->port == PORT_AUDIT) ||
	    !deliver(&now.stream, &now.ref, &now.how, &now.out)) {
		print_error("%s, %s: failed once, but not a second time\n", s->name, what);
		return;
	}
	make_small(&now);
	print_error("%s, %s: %s\n", s->name, what, violation_text(now.out.violation));
	print_error("  %zu bytes: %s\n", now.stream.len,
		    said_quoted(now.stream.bytes, now.stream.len));
	packaging_print(&now.how, print_line);
	print_error("  delivered: %zu bytes; expected: %zu to %zu\n", now.out.delivered,
		    now.ref.sure, now.ref.fence);
	print_said("expected", now.ref.said, now.ref.requests);
	print_said("got", now.out.said, now.out.requests);
	write_down(&now, s->name, what);
}
