/* deadline.h - who wants to be woken when: a binary heap with one place an owner.
 *
 *     deadline_set(heap, slot, now + 20 * SECOND);
 *     arm_timer(deadline_first(heap));
 *     while (deadline_expired(heap, now, &slot)) look_at(slot);
 *
 * Promises: O(log n) per change, no allocation, and the memory may be copied
 * with memcpy(deadline_size(capacity)) bytes.
 */
#ifndef AIORUN_DEADLINE_H
#define AIORUN_DEADLINE_H

#include "core/msec.h"

#include <stdbool.h>
#include <stddef.h>

struct deadline_cell {
    msec when;      /* of the heap's entry at this index */
    uint32_t owner; /* of the heap's entry at this index */
    uint32_t place; /* one more than where in the heap the owner with this index is; 0: out */
};

struct deadline_heap {
    uint32_t capacity, count;
    struct deadline_cell cells[];
};

/* Bytes a heap for owners 0..capacity-1 takes. */
size_t deadline_size(uint32_t capacity);

/* Makes the `deadline_size(capacity)` zeroed bytes at `heap` an empty heap, without touching more
 * of them than it must. */
void deadline_init(struct deadline_heap *heap, uint32_t capacity);

/* `owner` (< capacity) is due at `when`, instead of when it was; NEVER takes it out. */
void deadline_set(struct deadline_heap *heap, uint32_t owner, msec when);

/* When the first is due; NEVER when nobody waits. */
msec deadline_first(const struct deadline_heap *heap);

/* Takes out one owner that is due at or before `now`; false when there is none. */
bool deadline_expired(struct deadline_heap *heap, msec now, uint32_t *owner);

#endif
