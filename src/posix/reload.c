/* A new plan beside the one in force, and the switch between them. */

#include "plan/option_table.h"
#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool platform_must_wait(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISFIFO(status.st_mode);
}

static bool must_wait_for(const struct plan *plan, const struct plan_worker *worker,
                          struct faults *faults)
{
    const struct plan_strings *files = &worker->rules->attributes.env_files;
    char place[OPTION_PLACE_MAX];
    bool any = false;
    for (size_t i = 0; i < files->count; i++) {
        if (!platform_must_wait(files->items[i]))
            continue;
        fault_add(faults, option_place_of("env-file", plan, worker, place),
                  "'%s' is a pipe, which can be read once only", files->items[i]);
        any = true;
    }
    return any;
}

bool platform_prepare_reload(const struct plan *plan, struct faults *faults)
{
    size_t before = faults->count + faults->dropped;
    bool waits = false;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        waits = must_wait_for(plan, &plan->workers[i], faults) || waits;
    if (waits)
        return false;
    start_prepare(plan, faults);
    probe_prepare(plan, faults);
    bool good = listen_prepare(plan, faults) && faults->count + faults->dropped == before;
    if (!good)
        platform_drop_reload();
    return good;
}

/* What is half moved cannot be supervised: what moves finds its memory here. */
bool platform_reserve_reload(const struct plan *plan, uint32_t slots)
{
    return runs_prepare(slots) && channel_prepare(slots) && jobs_prepare(slots) &&
           ready_prepare(plan, slots) && probe_reserve(slots) && cgroup_prepare(plan, slots);
}

static void drop_tables(void)
{
    runs_drop();
    channel_drop();
    jobs_drop();
    ready_drop();
    cgroup_drop();
}

void platform_drop_reload(void)
{
    drop_tables();
    listen_drop();
    probe_drop();
    start_drop();
}

/* The place now of each place before. */
static uint32_t *invert(const uint32_t *old_of, uint32_t count, uint32_t old_count)
{
    uint32_t *new_of = malloc((old_count + 1) * sizeof *new_of);
    for (uint32_t i = 0; new_of != NULL && i < old_count; i++)
        new_of[i] = NO_SLOT;
    for (uint32_t i = 0; new_of != NULL && i < count; i++)
        if (old_of[i] < old_count)
            new_of[old_of[i]] = i;
    return new_of;
}

static bool move(const struct plan *plan, const struct reload *reload, unsigned char *census)
{
    bool made = census != NULL && reload->new_slot_of != NULL && reload->new_worker_of != NULL;
    errno = made ? errno : ENOMEM;
    if (made && !listen_open_due())
        return false;
    if (!made || !output_reload(plan, reload->slots, reload->old_slot_of)) {
        log_line(LEVEL_ERROR, "cannot open what the workers of the new file need: %s",
                 strerror(errno));
        return false;
    }
    reap_reload(census);
    runs_reload(plan, reload);
    channel_reload(reload);
    jobs_reload(reload);
    ready_reload(reload);
    probe_reload(reload);
    cgroup_reload(plan, reload->slots, reload->old_slot_of);
    listen_switch();
    start_switch(); /* last: what was asked before is in the old memory */
    return true;
}

bool platform_reload(const struct plan *plan, const struct platform_map *map)
{
    struct reload reload = {
        .slots = map->slots,
        .old_slots = map->old_slots,
        .old_workers = map->old_workers,
        .old_slot_of = map->old_slot_of,
        .new_slot_of = invert(map->old_slot_of, map->slots, map->old_slots),
        .new_worker_of = invert(map->old_worker_of, plan->worker_count, map->old_workers),
    };
    unsigned char *census = calloc(map->slots, 1);
    bool moved = move(plan, &reload, census);
    if (!moved)
        free(census);
    free(reload.new_slot_of);
    free(reload.new_worker_of);
    return moved;
}
