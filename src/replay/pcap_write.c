// SPDX-License-Identifier: Apache-2.0
#include "replay/pcap_write.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bf_pcap_writer {
	pcap_t *pcap;
	pcap_dumper_t *dump;
};

int bf_pcap_create(const char *path, struct bf_pcap_writer **out, struct bf_error *err)
{
	struct bf_pcap_writer *w = calloc(1, sizeof(*w));
	/* What was sent to a host is its owner's business alone. */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), e = errno;
	FILE *f = fd >= 0 ? fdopen(fd, "we") : NULL;

	if (!w || !f) {
		free(w);
		if (fd >= 0)
			close(fd);
		return bf_err(err, fd < 0 ? -e : -ENOMEM, "%s: %s", path,
			      strerror(fd < 0 ? e : ENOMEM));
	}
	w->pcap = pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 262144,
						       PCAP_TSTAMP_PRECISION_NANO);
	w->dump = w->pcap ? pcap_dump_fopen(w->pcap, f) : NULL;
	if (!w->dump) {
		bf_err(err, -EIO, "%s: %s", path, w->pcap ? pcap_geterr(w->pcap) : "no memory");
		if (w->pcap)
			pcap_close(w->pcap);
		free(w);
		fclose(f);
		return -EIO;
	}
	*out = w;
	return 0;
}

int bf_pcap_put(struct bf_pcap_writer *w, uint64_t time_ns, const void *frame, size_t len,
		size_t wire, struct bf_error *err)
{
	struct pcap_pkthdr h = {
		.ts = {.tv_sec = (time_t)(time_ns / 1000000000u),
		       .tv_usec = (suseconds_t)(time_ns % 1000000000u)},
		.caplen = (bpf_u_int32)len,
		.len = (bpf_u_int32)(wire < len ? len : wire),
	};

	pcap_dump((unsigned char *)w->dump, &h, frame);
	return ferror(pcap_dump_file(w->dump)) ? bf_err(err, -EIO, "writing failed") : 0;
}

int bf_pcap_close(struct bf_pcap_writer *w, struct bf_error *err)
{
	int r = pcap_dump_flush(w->dump) ? bf_err(err, -EIO, "writing failed: %s", strerror(errno))
					 : 0;

	pcap_dump_close(w->dump);
	pcap_close(w->pcap);
	free(w);
	return r;
}
