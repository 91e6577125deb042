/* A new plan beside the one in force, and the switch between them. */

#include "plan/option_table.h"
#include "posix/posix.h"

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

/* What of a reload is nobody else's. */
static struct {
    unsigned char *census; /* the next one of reap.c */
    uint32_t *new_slot_of, *new_worker_of;
} reserved;

static bool reserve(const struct platform_map *map)
{
    reserved.census = calloc(map->slots, 1);
    reserved.new_slot_of = calloc(map->old_slots + 1, sizeof *reserved.new_slot_of);
    reserved.new_worker_of = calloc(map->old_workers + 1, sizeof *reserved.new_worker_of);
    return reserved.census != NULL && reserved.new_slot_of != NULL &&
           reserved.new_worker_of != NULL;
}

static void free_reserved(void)
{
    free(reserved.census);
    free(reserved.new_slot_of);
    free(reserved.new_worker_of);
    memset(&reserved, 0, sizeof reserved);
}

/* What is half moved cannot be supervised, and who was restarted for a file that is refused was so
 * for nothing: what moves finds its memory and its descriptors here. */
bool platform_reserve_reload(const struct plan *plan, const struct platform_map *map)
{
    uint32_t slots = map->slots;
    bool made = reserve(map) && runs_prepare(slots) && channel_prepare(slots) &&
                jobs_prepare(slots) && ready_prepare(plan, slots) && probe_reserve(slots) &&
                cgroup_prepare(plan, slots);
    errno = ENOMEM;
    return made && output_prepare(plan, slots, map->old_slot_of);
}

static void drop_tables(void)
{
    free_reserved();
    runs_drop();
    channel_drop();
    jobs_drop();
    ready_drop();
    cgroup_drop();
    output_drop();
}

void platform_drop_reload(void)
{
    drop_tables();
    listen_drop();
    probe_drop();
    start_drop();
}

/* The place now of each place before. */
static uint32_t *invert(uint32_t *new_of, const uint32_t *old_of, uint32_t count,
                        uint32_t old_count)
{
    for (uint32_t i = 0; i < old_count; i++)
        new_of[i] = NO_SLOT;
    for (uint32_t i = 0; i < count; i++)
        if (old_of[i] < old_count)
            new_of[old_of[i]] = i;
    return new_of;
}

bool platform_reload(const struct plan *plan, const struct platform_map *map)
{
    const struct reload reload = {
        .slots = map->slots,
        .old_slots = map->old_slots,
        .old_workers = map->old_workers,
        .old_slot_of = map->old_slot_of,
        .new_slot_of = invert(reserved.new_slot_of, map->old_slot_of, map->slots, map->old_slots),
        .new_worker_of = invert(reserved.new_worker_of, map->old_worker_of, plan->worker_count,
                                map->old_workers),
    };
    if (!listen_open_due())
        return false;
    output_reload(plan, &reload);
    reap_reload(reserved.census);
    reserved.census = NULL;
    runs_reload(plan, &reload);
    channel_reload(&reload);
    jobs_reload(&reload);
    ready_reload(&reload);
    probe_reload(&reload);
    cgroup_reload(plan, reload.slots, reload.old_slot_of);
    listen_switch();
    start_switch(); /* last: what was asked before is in the old memory */
    free_reserved();
    return true;
}
