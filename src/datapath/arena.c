// SPDX-License-Identifier: Apache-2.0
/* Places policy images in the arena and puts them into force. See bpfast/arena.h. */
#include "datapath/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bpfast/image.h"

static struct bpfast_arena *directory(const struct bf_datapath *dp)
{
	return (struct bpfast_arena *)dp->arena;
}

static uint64_t root(const struct bf_datapath *dp)
{
	return __atomic_load_n(&dp->control->root, __ATOMIC_ACQUIRE);
}

static uint32_t current_generation(const struct bf_datapath *dp)
{
	return (uint32_t)(root(dp) >> 32);
}

/* Bytes that an image takes: whole units of BPFAST_ARENA_ALIGN. */
static uint32_t room_of(uint32_t size)
{
	return (size + BPFAST_ARENA_ALIGN - 1) & ~(BPFAST_ARENA_ALIGN - 1);
}

static bool entry_is_live(const struct bf_datapath *dp, const struct bpfast_arena_image *e)
{
	return e->generation && e->generation >= dp->control->oldest_generation &&
	       e->generation <= current_generation(dp);
}

static void entry_set(struct bpfast_arena_image *e, uint32_t generation, uint32_t offset,
		      uint32_t size)
{
	/* Never a generation beside another image's place. */
	__atomic_store_n(&e->generation, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&e->offset, offset, __ATOMIC_RELEASE);
	__atomic_store_n(&e->size, size, __ATOMIC_RELEASE);
	__atomic_store_n(&e->generation, generation, __ATOMIC_RELEASE);
}

/* Interface indexes mean something in one network namespace only. */
static uint64_t own_netns(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/net", &st) == 0 ? st.st_ino : 0;
}

int bf_arena_init(struct bf_datapath *dp)
{
	struct bpfast_arena *dir = directory(dp);

	memset(dir, 0, sizeof(*dir));
	dir->bytes = dp->arena_bytes;
	dir->netns = own_netns();
	__atomic_store_n(&dir->magic, BPFAST_ARENA_MAGIC, __ATOMIC_RELEASE);
	__atomic_store_n(&dp->control->oldest_generation, 1, __ATOMIC_RELEASE);
	return 0;
}

const struct bpfast_arena_image *bf_arena_current(const struct bf_datapath *dp)
{
	uint64_t r = root(dp);

	for (uint32_t i = 0; r && i < BPFAST_ARENA_IMAGES; i++) {
		const struct bpfast_arena_image *e = &directory(dp)->image[i];

		if (e->generation == r >> 32 && e->offset == (uint32_t)r)
			return e;
	}
	return NULL;
}

static bool entry_is_sound(const struct bf_datapath *dp, const struct bpfast_arena_image *e)
{
	return e->offset >= BPFAST_ARENA_FIRST && e->offset % BPFAST_ARENA_ALIGN == 0 &&
	       e->offset < dp->arena_bytes && e->size >= sizeof(struct bpfast_image) &&
	       e->size <= dp->arena_bytes - e->offset;
}

int bf_arena_adopt(struct bf_datapath *dp, struct bf_error *err)
{
	struct bpfast_arena *dir = directory(dp);
	const struct bpfast_arena_image *current;

	if (dir->magic != BPFAST_ARENA_MAGIC || dir->bytes != dp->arena_bytes)
		return bf_err(
			err, -EUCLEAN,
			"the pinned directory of policy images is damaged; run bpfast down and "
			"start again");
	if (dir->netns && dir->netns != own_netns())
		return bf_err(err, -EXDEV,
			      "%s is in use in another network namespace; start there, or with "
			      "another pin directory",
			      dp->pin_dir);
	for (uint32_t i = 0; i < BPFAST_ARENA_IMAGES; i++) {
		struct bpfast_arena_image *e = &dir->image[i];

		if (e->generation && (!entry_is_live(dp, e) || !entry_is_sound(dp, e)))
			entry_set(e, 0, 0, 0);
	}
	current = bf_arena_current(dp);
	if (root(dp) && !current)
		return bf_err(
			err, -EUCLEAN,
			"the policy image in force is not in its pinned directory; run bpfast "
			"down and start again");
	/* The former agent may have died between raising oldest_generation and the wait. */
	return bf_grace(dp);
}

static int by_offset(const void *a, const void *b)
{
	const struct bpfast_arena_image *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/*
 * The first gap of `need` bytes between the images of generation `oldest` and
 * later: its offset; 0: there is none. *largest: the largest gap.
 */
static uint32_t place(const struct bf_datapath *dp, uint32_t oldest, uint32_t need,
		      uint32_t *largest, uint32_t *kept)
{
	struct bpfast_arena_image live[BPFAST_ARENA_IMAGES];
	uint32_t n = 0, at = BPFAST_ARENA_FIRST, found = 0;

	for (uint32_t i = 0; i < BPFAST_ARENA_IMAGES; i++) {
		const struct bpfast_arena_image *e = &directory(dp)->image[i];

		if (entry_is_live(dp, e) && e->generation >= oldest)
			live[n++] = *e;
	}
	qsort(live, n, sizeof(live[0]), by_offset);
	*largest = 0;
	*kept = n;
	for (uint32_t i = 0; i <= n; i++) {
		uint32_t end = i < n ? live[i].offset : dp->arena_bytes;

		if (end > at && end - at > *largest)
			*largest = end - at;
		if (!found && end > at && end - at >= need)
			found = at;
		if (i < n)
			at = live[i].offset + room_of(live[i].size);
	}
	return found;
}

static struct bpfast_arena_image *free_entry(const struct bf_datapath *dp)
{
	for (uint32_t i = 0; i < BPFAST_ARENA_IMAGES; i++)
		if (!directory(dp)->image[i].generation)
			return &directory(dp)->image[i];
	return NULL;
}

/* Gives up all images before generation `oldest`; their place may be written afterwards. */
static int give_up(struct bf_datapath *dp, uint32_t oldest)
{
	int ret;

	__atomic_store_n(&dp->control->oldest_generation, oldest, __ATOMIC_RELEASE);
	bf_step("oldest generation raised");
	/* A program may have looked at oldest_generation just before. */
	ret = bf_grace(dp);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < BPFAST_ARENA_IMAGES; i++) {
		struct bpfast_arena_image *e = &directory(dp)->image[i];

		if (e->generation && e->generation < oldest)
			entry_set(e, 0, 0, 0);
	}
	bf_step("old images given up");
	return 0;
}

/* Writes an image as the next generation and puts it into force. */
static int put(struct bf_datapath *dp, const void *image, uint32_t len, uint32_t offset)
{
	uint32_t generation = current_generation(dp) + 1;
	struct bpfast_arena_image *e = free_entry(dp);

	if (!e)
		return -ENOSPC;
	memcpy(dp->arena + offset, image, len);
	bf_step("image written");
	entry_set(e, generation, offset, len);
	bf_step("image entered");
	/* The instant of the change. */
	__atomic_store_n(&dp->control->root, (uint64_t)generation << 32 | offset, __ATOMIC_RELEASE);
	bf_step("root stored");
	return 0;
}

/*
 * The image in force lies in the middle, and the gaps at its sides are too
 * small: moves it to one end, as a generation of its own. -ENOSPC: cannot help.
 */
static int make_way(struct bf_datapath *dp, uint32_t need)
{
	const struct bpfast_arena_image *e = bf_arena_current(dp);
	uint32_t room, below, above, to;
	int ret;

	if (!e)
		return -ENOSPC;
	room = room_of(e->size);
	below = e->offset - BPFAST_ARENA_FIRST;
	above = dp->arena_bytes - e->offset - room;
	if (below + above < need)
		return -ENOSPC;
	if (below >= room)
		to = BPFAST_ARENA_FIRST;
	else if (above >= room)
		to = dp->arena_bytes - room;
	else
		return -ENOSPC;
	ret = give_up(dp, e->generation);
	if (!ret)
		ret = put(dp, dp->arena + e->offset, e->size, to);
	return ret ? ret : give_up(dp, current_generation(dp));
}

static int check_image(const void *image, size_t len, struct bf_error *err)
{
	const struct bpfast_image *h = image;

	if (len < sizeof(*h) || h->magic != BPFAST_IMAGE_MAGIC ||
	    h->version != BPFAST_IMAGE_VERSION || h->size != len)
		return bf_err(err, -EINVAL, "not a policy image of version %u",
			      BPFAST_IMAGE_VERSION);
	return 0;
}

int bf_datapath_install(struct bf_datapath *dp, const void *image, size_t len, uint32_t *generation,
			struct bf_error *err)
{
	uint32_t current = current_generation(dp), oldest = dp->control->oldest_generation;
	uint32_t capacity = dp->arena_bytes - BPFAST_ARENA_FIRST;
	uint32_t largest = 0, kept, offset, need;
	int ret = check_image(image, len, err);

	if (ret)
		return ret;
	if (len > capacity)
		return bf_err(
			err, -ENOSPC,
			"the policies compile to %zu bytes of tables, and the arena holds %u; "
			"raise arena_bytes in the configuration",
			len, capacity);
	if (current >= UINT32_MAX - 2)
		return bf_err(err, -EOVERFLOW,
			      "policy generations are used up; run bpfast down and start again");
	need = room_of((uint32_t)len);

	/* Keep as many of the former images as leave room; the one in force always. */
	offset = place(dp, oldest, need, &largest, &kept);
	while ((!offset || kept == BPFAST_ARENA_IMAGES) && oldest < current)
		offset = place(dp, ++oldest, need, &largest, &kept);
	if (!offset) {
		ret = make_way(dp, need);
		if (ret == -ENOSPC)
			return bf_err(
				err, ret,
				"the policies compile to %zu bytes of tables, and %u are free "
				"in one piece beside the tables in force; raise arena_bytes "
				"(now %u) in the configuration",
				len, largest, dp->arena_bytes);
		oldest = current_generation(dp);
		offset = ret ? 0 : place(dp, oldest, need, &largest, &kept);
	} else if (oldest != dp->control->oldest_generation) {
		ret = give_up(dp, oldest);
	}
	if (ret)
		return bf_err(err, ret, "cannot wait for running programs: %s", strerror(-ret));
	ret = offset ? put(dp, image, (uint32_t)len, offset) : -ENOSPC;
	if (ret)
		return bf_err(err, ret, "cannot place the policy image: %s", strerror(-ret));
	if (generation)
		*generation = current_generation(dp);
	return 0;
}

const void *bf_datapath_image(struct bf_datapath *dp, size_t *len, uint32_t *generation)
{
	const struct bpfast_arena_image *e = bf_arena_current(dp);

	if (len)
		*len = e ? e->size : 0;
	if (generation)
		*generation = e ? e->generation : 0;
	return e ? dp->arena + e->offset : NULL;
}
