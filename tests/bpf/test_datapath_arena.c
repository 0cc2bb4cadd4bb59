// SPDX-License-Identifier: Apache-2.0
/* Images in the arena: placing, giving up, what does not fit, damage. */
#include "test_datapath_env.h"

#define ARENA (64u << 10)
#define ROOM (ARENA - BPFAST_ARENA_FIRST)

static struct bf_datapath *dp;
static struct bf_error err;

static int start(void **state)
{
	(void)state;
	dp = dp_open(false, false);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	bf_datapath_close(dp);
	dp_down();
	return 0;
}

static struct bpfast_arena *directory(void)
{
	return (struct bpfast_arena *)dp->arena;
}

/* The image of a generation, or NULL when it was given up. */
static const struct bpfast_arena_image *entry(uint32_t generation)
{
	for (uint32_t i = 0; i < BPFAST_ARENA_IMAGES; i++)
		if (directory()->image[i].generation == generation)
			return &directory()->image[i];
	return NULL;
}

/* What the kernel side relies on: from oldest_generation on every image lies whole. */
static void assert_kept_images(uint32_t current, size_t (*len)(uint32_t))
{
	uint32_t oldest = dp->control->oldest_generation;

	assert_in_range(oldest, 1, current);
	for (uint32_t g = oldest; g <= current; g++) {
		const struct bpfast_arena_image *e = entry(g);

		assert_non_null(e);
		assert_int_equal(e->size, len(g));
		assert_int_equal(e->offset % BPFAST_ARENA_ALIGN, 0);
		assert_in_range(e->offset, BPFAST_ARENA_FIRST, ARENA - e->size);
		for (uint32_t i = sizeof(struct bpfast_image); i < e->size; i++)
			assert_int_equal(dp->arena[e->offset + i], g & 0xff);
	}
}

static size_t some_len(uint32_t g)
{
	return 4096 + (g * 2711) % 16000 / 8 * 8;
}

static void many_images_wrap_around(void **state)
{
	uint32_t g, oldest_seen = 0;

	(void)state;
	for (uint32_t i = 1; i <= 100; i++) {
		assert_int_equal(install(dp, some_len(i), (uint8_t)i, &g, &err), 0);
		assert_int_equal(g, i);
		assert_int_equal(dp->control->root >> 32, i);
		assert_image(dp, some_len(i), (uint8_t)i);
		assert_kept_images(i, some_len);
		assert_true(dp->control->oldest_generation >= oldest_seen);
		oldest_seen = dp->control->oldest_generation;
	}
	/* As many were kept as there was room for, and no more. */
	assert_in_range(oldest_seen, 90, 99);
}

static size_t small_len(uint32_t g)
{
	(void)g;
	return 128;
}

static void the_directory_may_fill_up(void **state)
{
	uint32_t g;

	(void)state;
	for (uint32_t i = 1; i <= BPFAST_ARENA_IMAGES + 20; i++)
		assert_int_equal(install(dp, 128, (uint8_t)i, &g, &err), 0);
	assert_int_equal(dp->control->oldest_generation, 21);
	assert_kept_images(g, small_len);
}

static void too_large_an_image_changes_nothing(void **state)
{
	uint32_t g;

	(void)state;
	assert_int_equal(install(dp, ROOM + 8, 1, &g, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "61448"));
	assert_non_null(strstr(err.msg, "arena_bytes"));
	assert_null(bf_datapath_image(dp, NULL, NULL));

	assert_int_equal(install(dp, 4096, 1, &g, &err), 0);
	assert_int_equal(install(dp, 4096, 2, &g, &err), 0);
	assert_int_equal(install(dp, ROOM, 3, &g, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "arena_bytes (now 65536)"));
	assert_image(dp, 4096, 2);
	assert_int_equal(dp->control->oldest_generation, 1);
	assert_non_null(entry(1));
}

static void the_whole_arena_can_be_used(void **state)
{
	uint32_t g;

	(void)state;
	assert_int_equal(install(dp, ROOM, 1, &g, &err), 0);
	assert_image(dp, ROOM, 1);
	/* It cannot be replaced: the image in force is never overwritten. */
	assert_int_equal(install(dp, 128, 2, &g, &err), -ENOSPC);
	assert_image(dp, ROOM, 1);
}

static void an_image_in_the_middle_makes_way(void **state)
{
	uint32_t g;

	(void)state;
	assert_int_equal(install(dp, 24 << 10, 1, &g, &err), 0);
	assert_int_equal(install(dp, 8 << 10, 2, &g, &err), 0);
	/* 24 KiB below, 28 KiB above, but 52 KiB together. */
	assert_int_equal(install(dp, 50 << 10, 3, &g, &err), 0);
	assert_int_equal(g, 4);
	assert_image(dp, 50 << 10, 3);
	assert_int_equal(dp->control->oldest_generation, 3);
	assert_non_null(entry(3));
	assert_int_equal(entry(3)->size, 8 << 10);
	assert_int_equal(dp->arena[entry(3)->offset + 100], 2);
}

static void nonsense_is_no_image(void **state)
{
	struct bpfast_image *image = image_make(4096, 1);

	(void)state;
	image->magic++;
	assert_int_equal(bf_datapath_install(dp, image, 4096, NULL, &err), -EINVAL);
	image->magic--;
	assert_int_equal(bf_datapath_install(dp, image, 4088, NULL, &err), -EINVAL);
	assert_int_equal(bf_datapath_install(dp, image, 8, NULL, &err), -EINVAL);
	assert_int_equal(bf_datapath_install(dp, image, 4096, NULL, &err), 0);
	free(image);
}

/* Closes, lets somebody tamper with the pinned memory, and opens again. */
static void adoption_drops_what_does_not_count(void **state)
{
	struct bpfast_arena *d = directory();
	uint32_t g;

	(void)state;
	for (uint8_t i = 1; i <= 4; i++)
		assert_int_equal(install(dp, 4096, i, &g, &err), 0);
	/* Left by a crash: announced but not in force; given up but not removed. */
	d->image[10] = (struct bpfast_arena_image){.generation = 5, .offset = 32768, .size = 4096};
	dp->control->oldest_generation = 3;
	/* Damaged: outside the arena. */
	d->image[11] = (struct bpfast_arena_image){.generation = 3, .offset = 65472, .size = 4096};
	bf_datapath_close(dp);
	dp = dp_open(false, true);
	assert_image(dp, 4096, 4);
	assert_null(entry(5));
	assert_null(entry(1));
	assert_null(entry(2));
	assert_non_null(entry(3));
	assert_int_not_equal(entry(3)->offset, 65472);
	assert_int_equal(install(dp, 4096, 5, &g, &err), 0);
	assert_int_equal(g, 5);
}

static void damage_is_told(void **state)
{
	struct bf_datapath_options o = {.pin_dir = PIN};
	uint32_t zero = 0;
	char path[BF_PATH];
	struct bpfast_control c;
	int fd;

	(void)state;
	assert_int_equal(install(dp, 4096, 1, NULL, &err), 0);
	assert_int_equal(bf_pins_path(path, PIN, dp->layout, "maps", "bpfast_control"), 0);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	bf_datapath_close(dp);
	dp = NULL;
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &c), 0);
	c.root += 64;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &c, 0), 0);
	assert_int_equal(bf_datapath_open(&o, &dp, NULL, &err), -EUCLEAN);
	assert_non_null(strstr(err.msg, "bpfast down"));
	dp = NULL;
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		T(many_images_wrap_around),
		T(the_directory_may_fill_up),
		T(too_large_an_image_changes_nothing),
		T(the_whole_arena_can_be_used),
		T(an_image_in_the_middle_makes_way),
		T(nonsense_is_no_image),
		T(adoption_drops_what_does_not_count),
		T(damage_is_told),
	};

	return cmocka_run_group_tests_name("datapath arena", tests, env_enter_stubbed, NULL);
}
