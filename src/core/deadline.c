#include "core/deadline.h"

#include <assert.h>

size_t deadline_size(uint32_t capacity)
{
    return sizeof(struct deadline_heap) + capacity * sizeof(struct deadline_cell);
}

void deadline_init(struct deadline_heap *heap, uint32_t capacity)
{
    heap->capacity = capacity;
    heap->count = 0;
}

static void put(struct deadline_heap *heap, uint32_t at, msec when, uint32_t owner)
{
    heap->cells[at].when = when;
    heap->cells[at].owner = owner;
    heap->cells[owner].place = at + 1;
}

/* Finds the place of an entry by moving the hole at `at` up, then down. */
static void settle(struct deadline_heap *heap, uint32_t at, msec when, uint32_t owner)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (heap->cells[parent].when <= when)
            break;
        put(heap, at, heap->cells[parent].when, heap->cells[parent].owner);
        at = parent;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->cells[child + 1].when < heap->cells[child].when)
            child++;
        if (heap->cells[child].when >= when)
            break;
        put(heap, at, heap->cells[child].when, heap->cells[child].owner);
        at = child;
    }
    put(heap, at, when, owner);
}

static void take_out(struct deadline_heap *heap, uint32_t owner)
{
    uint32_t at = heap->cells[owner].place - 1;
    heap->cells[owner].place = 0;
    heap->count--;
    if (at < heap->count)
        settle(heap, at, heap->cells[heap->count].when, heap->cells[heap->count].owner);
}

void deadline_set(struct deadline_heap *heap, uint32_t owner, msec when)
{
    assert(owner < heap->capacity);
    uint32_t place = heap->cells[owner].place;
    if (when == NEVER) {
        if (place != 0)
            take_out(heap, owner);
        return;
    }
    settle(heap, place != 0 ? place - 1 : heap->count++, when, owner);
}

msec deadline_first(const struct deadline_heap *heap)
{
    return heap->count ? heap->cells[0].when : NEVER;
}

bool deadline_expired(struct deadline_heap *heap, msec now, uint32_t *owner)
{
    if (deadline_first(heap) > now || heap->count == 0)
        return false;
    *owner = heap->cells[0].owner;
    take_out(heap, *owner);
    return true;
}
