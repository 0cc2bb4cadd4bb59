// SPDX-License-Identifier: Apache-2.0
/*
 * Runs pinned programs over packets with BPF_PROG_TEST_RUN and prints, for every class of packets, what a
 * run took in nanoseconds: prog_run IFINDEX FROM_POD TO_POD < PACKETS
 *
 * PACKETS is a row of records: struct record, then its bytes. A record with repeat > 1 is run that often and
 * counts with its mean; records with repeat 1 count each, so that flows whose state moves on with every
 * packet can be measured too. The kernel's own clock reads are part of a run: an empty program, class 0, is
 * measured the same way and printed beside.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
	uint8_t hook; /* 0: from_pod, 1: to_pod, 2: an empty program */
	uint8_t class; /* 255: not counted */
	uint16_t len; /* bytes of the frame */
	uint32_t repeat;
	int32_t expect; /* the program's return value; -2: any */
};

#define CLASSES 8
#define SAMPLES 400000

struct class_samples {
	uint32_t *ns;
	size_t n;
};

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* return TCX_NEXT; */
static int load_empty(void)
{
	struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "bench_empty", "GPL", code, 2, NULL);
}

int main(int argc, char **argv)
{
	static uint8_t frame[65536], out[65536];
	struct class_samples samples[CLASSES] = {0};
	int prog[3], ifindex, i;
	struct record r;
	size_t done = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: prog_run IFINDEX FROM_POD TO_POD < PACKETS\n");
		return 2;
	}
	ifindex = atoi(argv[1]);
	prog[0] = bpf_obj_get(argv[2]);
	prog[1] = bpf_obj_get(argv[3]);
	prog[2] = load_empty();
	for (i = 0; i < 3; i++) {
		if (prog[i] < 0) {
			fprintf(stderr, "program %d: %s\n", i, strerror(errno));
			return 1;
		}
	}
	for (i = 0; i < CLASSES; i++) {
		samples[i].ns = malloc(SAMPLES * sizeof(uint32_t));
		if (!samples[i].ns)
			return 1;
	}
	while (fread(&r, sizeof(r), 1, stdin) == 1) {
		/* from_pod: the packet came in by this device; to_pod: by another. */
		struct __sk_buff ctx = {.ifindex = ifindex,
					.ingress_ifindex = r.hook == 1 ? ifindex + 1000 : ifindex};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = r.len,
			    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &ctx,
			    .ctx_size_in = sizeof(ctx), .repeat = (int)r.repeat);

		if (r.hook > 2 || fread(frame, 1, r.len, stdin) != r.len)
			return 1;
		if (bpf_prog_test_run_opts(prog[r.hook], &opts) < 0) {
			fprintf(stderr, "packet %zu: %s\n", done, strerror(errno));
			return 1;
		}
		if (r.expect != -2 && (int32_t)opts.retval != r.expect) {
			fprintf(stderr, "packet %zu (class %u): the program returned %d, not %d\n",
				done, r.class, (int32_t)opts.retval, r.expect);
			return 1;
		}
		done++;
		if (r.class < CLASSES && samples[r.class].n < SAMPLES)
			samples[r.class].ns[samples[r.class].n++] = opts.duration;
	}
	for (i = 0; i < CLASSES; i++) {
		struct class_samples *s = &samples[i];

		if (s->n) {
			qsort(s->ns, s->n, sizeof(uint32_t), by_value);
			printf("%d %zu %u %u %u\n", i, s->n, s->ns[s->n / 10], s->ns[s->n / 2],
			       s->ns[s->n * 9 / 10]);
		}
		free(s->ns);
	}
	return 0;
}
