/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_FAILING_MALLOC_H
#define BF_TEST_FAILING_MALLOC_H
/* An allocator that fails at the allocation of one's choice. */
#include <stdbool.h>
#include <stddef.h>

/* Linked with --wrap: these stand in front of the allocator. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long left = -1; /* allocations that still succeed; negative: all */

static bool refused(void)
{
	return left >= 0 && !left--;
}

void *__wrap_malloc(size_t size)
{
	return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refused() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return refused() ? NULL : __real_realloc(old, size);
}

#endif
