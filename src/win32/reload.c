/* A new plan beside the one in force, and the switch between them. */

#include "win32/win32.h"

bool platform_prepare_reload(const struct plan *plan, struct faults *faults)
{
    size_t before = faults->count + faults->dropped;
    refuse_options(plan, faults);
    start_prepare(plan, faults);
    ready_prepare(plan, faults);
    bool good = faults->count + faults->dropped == before;
    if (!good)
        platform_drop_reload();
    return good;
}

bool platform_must_wait(const char *path)
{
    (void)path;
    return false;
}

static uint32_t *new_worker_of; /* by old worker */

bool platform_reserve_reload(const struct plan *plan, const struct platform_map *map)
{
    new_worker_of = platform_allocate((map->old_workers + 1) * sizeof *new_worker_of);
    return new_worker_of != NULL && runs_prepare(map->slots) && control_prepare(map->slots) &&
           limits_prepare(plan) && output_prepare(plan, map);
}

static void free_reserved(void)
{
    platform_free(new_worker_of);
    new_worker_of = NULL;
}

void platform_drop_reload(void)
{
    free_reserved();
    output_drop();
    runs_drop();
    control_drop();
    limits_drop();
    start_drop();
    ready_drop();
}

/* The place now of each worker before. */
static void invert_workers(const struct plan *plan, const struct platform_map *map)
{
    for (uint32_t i = 0; i < map->old_workers; i++)
        new_worker_of[i] = NO_WORKER;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        if (map->old_worker_of[i] < map->old_workers)
            new_worker_of[map->old_worker_of[i]] = i;
}

bool platform_reload(const struct plan *plan, const struct platform_map *map)
{
    invert_workers(plan, map);
    output_reload(plan, map, new_worker_of);
    loop_reload(plan);
    runs_reload(map, new_worker_of);
    control_reload(map);
    limits_switch(plan);
    ready_switch();
    start_switch(); /* last: what was asked before is in the old memory */
    free_reserved();
    return true;
}
