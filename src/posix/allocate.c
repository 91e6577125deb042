#include "posix/posix.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What most supervisors need comes from here, and only the rest from the heap, which would cost its
 * first user system calls and pages.  Small blocks are taken from the front, where they share
 * pages; large ones, which are tables with room for more, from the back.  Nothing is given back to
 * it: what is allocated at the start mostly stays, and libev's tables only grow, and by doubling.
 */
static union {
    max_align_t alignment;
    char bytes[262144];
} arena UNTOUCHED("arena");
static size_t front, back = sizeof arena.bytes;

#define LARGE 4096

/* Zeroed; NULL when it does not fit. */
static void *take(size_t size)
{
    size_t alignment = sizeof(max_align_t);
    if (size > back - front - alignment)
        return NULL;
    size_t room = (size + alignment - 1) / alignment * alignment;
    if (size >= LARGE)
        return arena.bytes + (back -= room);
    front += room;
    return arena.bytes + front - room;
}

void *platform_allocate(size_t size)
{
    void *memory = take(size);
    return memory != NULL ? memory : calloc(1, size);
}

static bool in_arena(const void *memory)
{
    uintptr_t at = (uintptr_t)memory, start = (uintptr_t)arena.bytes;
    return at >= start && at < start + sizeof arena.bytes;
}

void platform_free(void *memory)
{
    if (!in_arena(memory))
        free(memory);
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
