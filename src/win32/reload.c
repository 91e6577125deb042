/* A new plan beside the one in force, and the switch between them. */

#include "report/log.h"
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

bool platform_reserve_reload(const struct plan *plan, uint32_t slots)
{
    return runs_prepare(slots) && control_prepare(slots) && limits_prepare(plan);
}

void platform_drop_reload(void)
{
    runs_drop();
    control_drop();
    limits_drop();
    start_drop();
    ready_drop();
}

/* The place now of each worker before; NULL without memory. */
static uint32_t *invert_workers(const struct plan *plan, const struct platform_map *map)
{
    uint32_t *new_of = platform_allocate((map->old_workers + 1) * sizeof *new_of);
    for (uint32_t i = 0; new_of != NULL && i < map->old_workers; i++)
        new_of[i] = NO_WORKER;
    for (uint32_t i = 0; new_of != NULL && i < plan->worker_count; i++)
        if (map->old_worker_of[i] < map->old_workers)
            new_of[map->old_worker_of[i]] = i;
    return new_of;
}

bool platform_reload(const struct plan *plan, const struct platform_map *map)
{
    uint32_t *new_worker_of = invert_workers(plan, map);
    bool made = new_worker_of != NULL && output_reload(plan, map);
    if (made) {
        loop_reload(plan);
        runs_reload(map, new_worker_of);
        control_reload(map);
        limits_switch(plan);
        ready_switch();
        start_switch(); /* last: what was asked before is in the old memory */
    } else {
        log_line(LEVEL_ERROR, "cannot allocate what the workers of the new file need");
    }
    if (new_worker_of != NULL)
        platform_free(new_worker_of);
    return made;
}
