// SPDX-License-Identifier: Apache-2.0
/*
 * A layout's note about itself: the types of its maps, as BTF, and what version of their
 * meaning it follows. It lies beside the maps, as one, for the kernel shows their own
 * BTF to CAP_SYS_ADMIN only, which the agent has not.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/internal.h"
#include "datapath/note.h"

#define NOTE_MAGIC 0x4e465042u /* "BPFN" */
#define NOTE_MAP "bpfast_layout"
#define NOTE_MAX (16u << 20)

struct head {
	uint32_t magic;
	uint32_t bytes; /* of all this head; grows with its members */
	uint32_t flow_meaning, stream_meaning;
	uint32_t endpoint, flow_key, flow, chunk; /* BTF ids */
	uint32_t btf_bytes; /* behind the head */
};

int bf_note_make(struct bf_blob *out, const struct btf *btf, const struct bf_note *note)
{
	struct head h = {
		.magic = NOTE_MAGIC,
		.bytes = sizeof(h),
		.flow_meaning = note->flow_meaning,
		.stream_meaning = note->stream_meaning,
		.endpoint = note->endpoint,
		.flow_key = note->flow_key,
		.flow = note->flow,
		.chunk = note->chunk,
	};
	const void *raw = btf__raw_data(btf, &h.btf_bytes);
	/* As long as the longest: a map's value has whole words. */
	size_t size = (sizeof(h) + h.btf_bytes + 7) & ~(size_t)7;

	out->data = raw ? calloc(1, size) : NULL;
	if (!out->data)
		return -ENOMEM;
	out->size = size;
	memcpy(out->data, &h, sizeof(h));
	memcpy((uint8_t *)out->data + sizeof(h), raw, h.btf_bytes);
	return 0;
}

int bf_note_parse(const struct bf_blob *blob, struct bf_note *out)
{
	struct head h;

	memset(out, 0, sizeof(*out));
	if (blob->size < sizeof(h))
		return -EINVAL;
	memcpy(&h, blob->data, sizeof(h));
	if (h.magic != NOTE_MAGIC || h.bytes < sizeof(h) || h.bytes > blob->size ||
	    h.btf_bytes > blob->size - h.bytes)
		return -EINVAL;
	out->btf = btf__new((const uint8_t *)blob->data + h.bytes, h.btf_bytes);
	if (!out->btf)
		return -EINVAL;
	out->flow_meaning = h.flow_meaning;
	out->stream_meaning = h.stream_meaning;
	out->endpoint = h.endpoint;
	out->flow_key = h.flow_key;
	out->flow = h.flow;
	out->chunk = h.chunk;
	return 0;
}

void bf_note_free(struct bf_note *note)
{
	btf__free(note->btf);
	memset(note, 0, sizeof(*note));
}

int bf_note_pin(const struct bf_blob *blob, const char *pin_dir, const char *layout)
{
	uint32_t zero = 0;
	int ret = 0, fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, NOTE_MAP, sizeof(zero),
					 (uint32_t)blob->size, 1, NULL);

	if (fd < 0)
		return -errno;
	if (bpf_map_update_elem(fd, &zero, blob->data, BPF_ANY) < 0)
		ret = -errno;
	else
		ret = bf_pins_put(fd, pin_dir, layout, "maps", NOTE_MAP);
	close(fd);
	return ret;
}

int bf_note_read(const char *pin_dir, const char *layout, struct bf_note *out)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info), zero = 0;
	struct bf_blob blob = {0};
	int ret = 0, fd = bf_pins_open(pin_dir, layout, "maps", NOTE_MAP);

	if (fd < 0)
		return fd;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		ret = -errno;
	else if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size > NOTE_MAX)
		ret = -EINVAL;
	blob.size = info.value_size;
	blob.data = ret ? NULL : malloc(blob.size);
	if (!ret && !blob.data)
		ret = -ENOMEM;
	if (!ret && bpf_map_lookup_elem(fd, &zero, blob.data) < 0)
		ret = -errno;
	if (!ret)
		ret = bf_note_parse(&blob, out);
	free(blob.data);
	close(fd);
	return ret;
}
