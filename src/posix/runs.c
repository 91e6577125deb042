#include "posix/posix.h"

#include <stdlib.h>

/* Slots by number, and an index from pids to them: open addressing with linear probing, at most
 * half full, so that ten thousand runs are found as fast as ten. */
struct table {
    struct platform_slots runs;
    uint32_t *index; /* slot + 1; 0: empty */
    uint32_t size, count, mask, alive;
};

static struct table table, next_table;

static bool make_table(struct table *made, uint32_t slots)
{
    uint32_t size = 4;
    while (size < 2 * slots)
        size *= 2;
    bool allocated = platform_allocate_slots(&made->runs, slots, sizeof(struct run));
    made->index = platform_allocate(size * sizeof *made->index);
    made->size = slots;
    made->count = 1;
    made->mask = size - 1;
    made->alive = 0;
    return allocated && made->index != NULL;
}

bool runs_open(uint32_t slots)
{
    return make_table(&table, slots);
}

uint32_t runs_count(void)
{
    return table.count;
}

uint32_t runs_alive(void)
{
    return table.alive;
}

struct run *runs_at(uint32_t slot)
{
    return platform_slot(&table.runs, slot);
}

struct run *runs_named(struct run_id run)
{
    bool there = run.slot < table.size && runs_at(run.slot)->generation == run.generation;
    return there ? runs_at(run.slot) : NULL;
}

static uint32_t home(pid_t pid)
{
    return (uint32_t)pid * 2654435761u & table.mask; /* Knuth's multiplicative hash */
}

/* The place of `pid`, or the empty one where it would be. */
static uint32_t place_of(pid_t pid)
{
    uint32_t at = home(pid);
    while (table.index[at] != 0 && runs_at(table.index[at] - 1)->pid != pid)
        at = (at + 1) & table.mask;
    return at;
}

void runs_insert(uint32_t slot, pid_t pid)
{
    table.index[place_of(pid)] = slot + 1;
    runs_at(slot)->pid = runs_at(slot)->last_pid = pid;
    table.alive++;
    if (slot >= table.count)
        table.count = slot + 1;
}

uint32_t runs_find(pid_t pid)
{
    return table.index[place_of(pid)] - 1; /* an empty place gives NO_SLOT */
}

void runs_remove(uint32_t slot)
{
    uint32_t hole = place_of(runs_at(slot)->pid);
    runs_at(slot)->pid = 0;
    table.alive--;
    table.index[hole] = 0;
    /* Whoever was pushed on by the one that left moves back, or the search would stop at the hole.
     */
    for (uint32_t at = (hole + 1) & table.mask; table.index[at] != 0; at = (at + 1) & table.mask) {
        uint32_t wanted = home(runs_at(table.index[at] - 1)->pid);
        if (((at - wanted) & table.mask) < ((at - hole) & table.mask))
            continue;
        table.index[hole] = table.index[at];
        table.index[at] = 0;
        hole = at;
    }
}

/* ---- a new plan ---- */

bool runs_prepare(uint32_t slots)
{
    return make_table(&next_table, slots);
}

void runs_drop(void)
{
    platform_free_slots(&next_table.runs);
    platform_free(next_table.index);
    next_table = (struct table){0};
}

void runs_reload(const struct reload *reload)
{
    struct table old = table;
    table = next_table;
    next_table = old; /* to be dropped */
    for (uint32_t slot = 0; slot < reload->slots; slot++) {
        uint32_t was = reload->old_slot_of[slot];
        if (was == NO_SLOT || was >= old.size)
            continue;
        struct run *run = runs_at(slot);
        *run = *(const struct run *)platform_slot(&old.runs, was);
        if (run->worker < reload->old_workers)
            run->worker = reload->new_worker_of[run->worker];
        if (run->pid != 0)
            runs_insert(slot, run->pid);
        if (was < old.count && slot >= table.count)
            table.count = slot + 1;
    }
    runs_drop();
}
