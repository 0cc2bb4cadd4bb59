// SPDX-License-Identifier: Apache-2.0
#include "replay/capture.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "replay/frame.h"

/* libpcap refuses longer ones itself (MAXIMUM_SNAPLEN, and USB's in pcapng). */
#define FRAME_MAX (256u << 20)
/* Far from where nanoseconds, and what is counted from them, leave 64 bits: the year 2200. */
#define SECONDS_MAX 7258118400ll

struct bf_capture {
	char *name; /* for messages */
	pcap_t *pcap;
	int link_type;
	uint64_t frames, bytes;
	uint8_t *frame;
	size_t room;
};

static FILE *open_file(const char *path, uint64_t *bytes, struct bf_error *err)
{
	struct stat st;
	FILE *f;

	if (!strcmp(path, "-"))
		return stdin;
	f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st)) {
		bf_err(err, -errno, "cannot read %s: %s", path, strerror(errno));
		if (f)
			fclose(f);
		return NULL;
	}
	if (S_ISDIR(st.st_mode))
		bf_err(err, -EISDIR, "%s is a directory; a capture is one file", path);
	else if (S_ISREG(st.st_mode) && !st.st_size)
		bf_err(err, -EINVAL, "%s is empty; a capture begins with a header of 24 bytes",
		       path);
	else {
		*bytes = (uint64_t)st.st_size;
		return f;
	}
	fclose(f);
	return NULL;
}

int bf_capture_open(const char *path, struct bf_capture **out, struct bf_error *err)
{
	struct bf_capture *c = calloc(1, sizeof(*c));
	char why[PCAP_ERRBUF_SIZE] = "";
	const char *type;
	int r = 0;
	FILE *f;

	if (!c || !(c->name = strdup(strcmp(path, "-") ? path : "standard input"))) {
		free(c);
		return bf_err(err, -ENOMEM, "no memory");
	}
	f = open_file(path, &c->bytes, err);
	if (!f) {
		bf_capture_close(c);
		return -EINVAL;
	}
	c->pcap = pcap_fopen_offline_with_tstamp_precision(f, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!c->pcap) {
		if (f != stdin)
			fclose(f);
		r = bf_err(err, -EINVAL, "%s is not a pcap or pcapng file: %s", c->name, why);
	} else {
		c->link_type = pcap_datalink(c->pcap);
		if (!bf_link_known(c->link_type)) {
			type = pcap_datalink_val_to_name(c->link_type);
			r = bf_err(err, -EINVAL,
				   "%s was captured on a link of type %s (%d), whose frames are "
				   "not read here; capture on an Ethernet, loopback or tunnel "
				   "device, or with tcpdump -i any",
				   c->name, type ? type : "unknown", c->link_type);
		}
	}
	if (r) {
		bf_capture_close(c);
		return r;
	}
	*out = c;
	return 0;
}

int bf_capture_next(struct bf_capture *c, struct bf_captured *out, struct bf_error *err)
{
	struct pcap_pkthdr *h;
	const uint8_t *bytes;
	uint8_t *more;
	int r = pcap_next_ex(c->pcap, &h, &bytes);

	if (r == PCAP_ERROR_BREAK)
		return 0;
	if (r != 1)
		return bf_err(err, -EINVAL, "%s cannot be read past its frame %llu: %s", c->name,
			      (unsigned long long)c->frames, pcap_geterr(c->pcap));
	c->frames++;
	if (h->caplen > FRAME_MAX)
		return bf_err(err, -EINVAL, "%s is damaged: its frame %llu has %u bytes", c->name,
			      (unsigned long long)c->frames, h->caplen);
	if (h->ts.tv_sec < 0 || h->ts.tv_sec > SECONDS_MAX)
		return bf_err(err, -EINVAL,
			      "%s is damaged: its frame %llu is of second %lld since 1970", c->name,
			      (unsigned long long)c->frames, (long long)h->ts.tv_sec);
	if (h->caplen + BF_LINK_GROWTH > c->room) {
		more = realloc(c->frame, (size_t)h->caplen * 2 + BF_LINK_GROWTH);
		if (!more)
			return bf_err(err, -ENOMEM, "no memory");
		c->frame = more;
		c->room = (size_t)h->caplen * 2 + BF_LINK_GROWTH;
	}
	/* With nanosecond precision tv_usec counts nanoseconds. */
	out->time_ns = (int64_t)h->ts.tv_sec * 1000000000 + h->ts.tv_usec;
	out->frame = c->frame;
	out->len = bf_link_to_ethernet(c->link_type, bytes, h->caplen, c->frame);
	out->missing = h->len > h->caplen ? h->len - h->caplen : 0;
	return 1;
}

uint64_t bf_capture_bytes(const struct bf_capture *c)
{
	return c->bytes;
}

void bf_capture_close(struct bf_capture *c)
{
	if (!c)
		return;
	if (c->pcap)
		pcap_close(c->pcap);
	free(c->frame);
	free(c->name);
	free(c);
}
