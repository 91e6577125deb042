#include "posix/posix.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* libev aborts the program when it cannot allocate.  What it needs while descriptors are few comes
 * from here, and only the rest from the heap.  What is given back to the arena is lost: little,
 * since libev's tables only grow, and by doubling. */
static union {
    max_align_t alignment;
    char bytes[12288];
} arena;
static size_t arena_used;

struct block {
    _Alignas(max_align_t) size_t size; /* of the memory that follows */
};

static bool in_arena(const struct block *block)
{
    uintptr_t at = (uintptr_t)block, start = (uintptr_t)arena.bytes;
    return at >= start && at < start + sizeof arena.bytes;
}

static struct block *take(size_t size)
{
    size_t alignment = sizeof(max_align_t);
    size_t room = sizeof(struct block) + (size + alignment - 1) / alignment * alignment;
    if (room > sizeof arena.bytes - arena_used)
        return malloc(room);
    struct block *block = (struct block *)(void *)(arena.bytes + arena_used);
    arena_used += room;
    return block;
}

void *allocate_for_libev(void *old, long size)
{
    struct block *before = old != NULL ? (struct block *)old - 1 : NULL;
    struct block *block = size > 0 ? take((size_t)size) : NULL;
    if (size > 0 && block == NULL)
        return NULL;
    if (block != NULL) {
        block->size = (size_t)size;
        size_t kept = before == NULL ? 0 : before->size < block->size ? before->size : block->size;
        memcpy(block + 1, old != NULL ? old : "", kept);
    }
    if (before != NULL && !in_arena(before))
        free(before);
    return block != NULL ? block + 1 : NULL;
}
