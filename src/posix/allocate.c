#include "posix/posix.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What is used stands right behind our variables, and shares pages with them: the Makefile links
 * this file last of ours.  With a section for each variable they go by name, the C library's too.
 */
#ifdef SECTIONS_BY_NAME
#define NEAR UNTOUCHED("!")
#else
#define NEAR
#endif

#define NEAR_SIZE 32768
#define FAR_SIZE  524288

/* What most supervisors need comes from here, and only the rest from the heap, which would cost its
 * first user system calls and pages.  Nothing is given back: what is allocated at the start mostly
 * stays, and libev's tables only grow, and by doubling. */
static _Alignas(max_align_t) char near[NEAR_SIZE] NEAR;
static _Alignas(max_align_t) char far[FAR_SIZE] UNTOUCHED("far");
static size_t near_used, far_used;

/* Zeroed; NULL when it does not fit. */
static void *take(char *arena, size_t arena_size, size_t *used, size_t size)
{
    size_t alignment = sizeof(max_align_t), at = *used;
    if (size > arena_size - at)
        return NULL;
    *used += (size + alignment - 1) / alignment * alignment;
    return arena + at;
}

void *platform_allocate(size_t size)
{
    void *memory = take(near, sizeof near, &near_used, size);
    return memory != NULL ? memory : platform_reserve(size);
}

void *platform_reserve(size_t size)
{
    void *memory = take(far, sizeof far, &far_used, size);
    return memory != NULL ? memory : calloc(1, size);
}

static bool is_within(const void *memory, const char *arena, size_t size)
{
    uintptr_t at = (uintptr_t)memory, start = (uintptr_t)arena;
    return at >= start && at < start + size;
}

void platform_free(void *memory)
{
    if (!is_within(memory, near, sizeof near) && !is_within(memory, far, sizeof far))
        free(memory);
}

/* ---- tables by slot ---- */

#define FIRST_SLOTS 4 /* a launcher's hooks, and its command */

bool platform_allocate_slots(struct platform_slots *table, uint32_t count, size_t size)
{
    uint32_t first = count < FIRST_SLOTS ? count : FIRST_SLOTS;
    table->size = size;
    table->first = platform_allocate(first * size);
    table->others = count > first ? platform_reserve((count - first) * size) : NULL;
    return table->first != NULL && (count == first || table->others != NULL);
}

void *platform_slot(const struct platform_slots *table, uint32_t slot)
{
    return slot < FIRST_SLOTS ? table->first + slot * table->size
                              : table->others + (slot - FIRST_SLOTS) * table->size;
}

void platform_free_slots(struct platform_slots *table)
{
    platform_free(table->first);
    platform_free(table->others);
    *table = (struct platform_slots){0};
}

/* ---- for libev, which aborts the program when it gets none ---- */

struct block {
    _Alignas(max_align_t) size_t size; /* of the memory that follows */
};

void *allocate_for_libev(void *old, long size)
{
    struct block *before = old != NULL ? (struct block *)old - 1 : NULL;
    struct block *block = size > 0 ? platform_allocate(sizeof *block + (size_t)size) : NULL;
    if (size > 0 && block == NULL)
        return NULL;
    if (block != NULL) {
        block->size = (size_t)size;
        size_t kept = before == NULL ? 0 : before->size < block->size ? before->size : block->size;
        memcpy(block + 1, old != NULL ? old : "", kept);
    }
    platform_free(before);
    return block != NULL ? block + 1 : NULL;
}
