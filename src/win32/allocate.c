#include "win32/win32.h"

#include <assert.h>

void *platform_allocate(size_t size)
{
    return HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, size);
}

/* Large blocks have pages of their own in a heap of Windows. */
void *platform_reserve(size_t size)
{
    return platform_allocate(size);
}

/* What malloc(3) has made is of another heap, and refused. */
void platform_free(void *memory)
{
    bool freed = memory == NULL || HeapFree(GetProcessHeap(), 0, memory);
    assert(freed);
}

bool platform_allocate_slots(struct platform_slots *table, uint32_t count, size_t size)
{
    table->size = size;
    table->first = platform_allocate(count * size);
    table->others = NULL;
    return table->first != NULL;
}

void *platform_slot(const struct platform_slots *table, uint32_t slot)
{
    return table->first + slot * table->size;
}

void platform_free_slots(struct platform_slots *table)
{
    platform_free(table->first);
    *table = (struct platform_slots){0};
}
