#include "facts.h"

#define SLOT_CALLBACK 2

const struct core_worker *fact_worker(const struct world *world, const struct record *record)
{
    static const struct core_worker plain = {
        .rung_count = 1, .rung_time = {10 * SECOND}, .shield_timeout = NEVER};
    bool owned = record->kind == CORE_WORKER || record->kind == CORE_JOB;
    if (!owned || world->setting->config.worker_count == 0)
        return &plain;
    return &world->setting->workers[record->owner];
}

static msec cap_time(const struct world *world)
{
    return world->setting->config.timeout;
}

msec fact_reserve(const struct world *world)
{
    /* Of N waves, N - 1 are followed by another; then come the trees and the orphans. */
    msec shares = (msec)world->waves + 1;
    return msec_min(2 * SECOND, cap_time(world) / 2 / shares);
}

static msec wave_limit(const struct world *world, uint32_t wave)
{
    if (!world->entered || world->cap == NEVER)
        return NEVER;
    return world->cap - fact_reserve(world) * (msec)wave;
}

msec fact_limit(const struct world *world, const struct record *record)
{
    return wave_limit(world, record->kind == CORE_WORKER ? record->wave : 0);
}

msec fact_rung_time(const struct world *world, const struct record *record, uint32_t rung)
{
    return msec_min(fact_worker(world, record)->rung_time[rung], cap_time(world));
}

msec fact_rungs_time(const struct world *world, const struct record *record, uint32_t first)
{
    msec time = 0;
    for (uint32_t i = first; i < fact_worker(world, record)->rung_count; i++)
        time = msec_add(time, fact_rung_time(world, record, i));
    return time;
}

msec fact_tree_time(const struct world *world, const struct record *record)
{
    if (record->kind == CORE_WORKER || record->kind == CORE_JOB)
        return fact_rungs_time(world, record, 0);
    return msec_min(world->setting->config.orphan_time, cap_time(world));
}

msec fact_tree_reserve(const struct world *world, const struct record *record)
{
    return msec_min(fact_reserve(world), fact_tree_time(world, record) / 2);
}

msec fact_hold_until(const struct world *world, const struct record *record,
                     const struct hold *hold)
{
    if (hold->holds == 0)
        return 0;
    if (!hold->undated)
        return hold->until;
    msec span = fact_worker(world, record)->shield_timeout;
    msec undated = record->requested ? msec_add(record->requested_at, span) : NEVER;
    return msec_max(hold->until, undated);
}

msec fact_shielded_until(const struct world *world, const struct record *record)
{
    msec until = 0;
    for (uint32_t i = 0; i < NAMES && !record->overruled; i++)
        until = msec_max(until, fact_hold_until(world, record, &record->shields[i]));
    return until;
}

bool fact_is_shielded(const struct world *world, const struct record *record)
{
    return fact_shielded_until(world, record) > world->now;
}

msec fact_rung_end(const struct world *world, const struct record *record)
{
    if (record->rungs == 0)
        return fact_shielded_until(world, record);
    msec rest = fact_rungs_time(world, record, record->rungs);
    msec end = msec_add(record->rung_at, fact_rung_time(world, record, record->rungs - 1));
    if (record->extended == NEVER)
        return NEVER;
    if (rest != NEVER)
        end = msec_max(end, record->extended - rest);
    return msec_max(end, fact_shielded_until(world, record));
}

msec fact_ladder_end(const struct world *world, const struct record *record)
{
    if (record->rungs == 0)
        return NEVER;
    return msec_add(fact_rung_end(world, record), fact_rungs_time(world, record, record->rungs));
}

msec fact_spared_until(const struct world *world, const struct record *record)
{
    if (!world->entered)
        return NEVER;
    if (record->overruled)
        return world->entered_at;
    if (!record->joined)
        return NEVER;
    if (record->spared != 0)
        return record->spared;
    return msec_add(world->entered_at, fact_worker(world, record)->shield_timeout);
}

msec fact_hook_end(const struct world *world, const struct record *record)
{
    msec time = cap_time(world);
    if (time != NEVER && record->owner == HOOK_CALLBACK)
        time /= 4;
    return msec_add(record->started_at, time);
}

bool fact_orphans_stay(const struct world *world)
{
    const struct core_config *config = &world->setting->config;
    bool unasked = world->trigger == TRIGGER_NOTHING_LEFT;
    bool well = world->command.kind == ENDING_EXITED && world->command.value == 0;
    return config->orphans == CORE_ORPHANS_LEAVE || (config->daemons_stay && unasked && well);
}

static bool is_waited_for(const struct record *record)
{
    return record->life != GONE && !record->abandoned;
}

/* Are the waves above this one gone, or out of time? */
static bool is_turn(const struct world *world, uint32_t wave)
{
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->wave > wave && is_waited_for(record) &&
            world->now < wave_limit(world, record->wave))
            return false;
    }
    return true;
}

bool fact_is_reached(const struct world *world, const struct record *record)
{
    switch (record->kind) {
    case CORE_ORPHANS:
        return world->entered && !fact_orphans_stay(world) &&
               (world->phase == PHASE_ORPHANS ||
                world->now >= msec_before(world->cap, fact_reserve(world)));
    case CORE_HOOK:
        return record->life == TREE;
    case CORE_JOB:
        return record->life == TREE || world->now >= fact_spared_until(world, record);
    case CORE_WORKER:
        break;
    }
    if (record->requested)
        return true;
    if (!world->entered)
        return !record->wanted || record->life == TREE;
    return world->cancel && (world->forced || is_turn(world, record->wave));
}

bool fact_is_busy(const struct record *hook)
{
    return hook->about_to_start || (hook->life == UP && !hook->killed);
}

uint32_t fact_workers_up(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = world->first_instance; i < world->first_job; i++)
        count += world->records[i].life == UP;
    return count;
}

uint32_t fact_jobs_running(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = world->first_job; i < world->record_count; i++)
        count += world->records[i].life == UP && !world->records[i].joined;
    return count;
}

bool fact_has_orphans(const struct world *world)
{
    for (uint32_t i = 0; i < world->proc_count; i++)
        if (world->procs[i].alive && world->procs[i].slot == 0)
            return true;
    return false;
}

bool fact_is_anything_left(const struct world *world)
{
    for (uint32_t i = 1; i < world->record_count; i++)
        if (is_waited_for(&world->records[i]) || world->records[i].about_to_start)
            return true;
    bool orphans = fact_has_orphans(world) && !fact_orphans_stay(world);
    return world->queue_count > 0 || (orphans && !world->records[0].abandoned);
}

bool fact_is_work_done(const struct world *world)
{
    const struct core_config *config = &world->setting->config;
    if (!world->begun || config->forever || fact_workers_up(world) > 0)
        return false;
    for (uint32_t i = world->first_instance; i < world->first_job; i++)
        if (world->records[i].wanted)
            return false;
    for (uint32_t i = world->first_job; i < world->record_count && !config->launcher; i++)
        if (world->records[i].life != GONE || world->queue_count > 0)
            return false;
    return config->orphans != CORE_ORPHANS_WAIT || !fact_has_orphans(world);
}

struct ending fact_exit(const struct world *world)
{
    const struct core_config *config = &world->setting->config;
    bool launcher = config->launcher && !config->forever;
    if (launcher && !world->ever_started && world->never_started.kind != ENDING_NONE)
        return world->never_started;
    if (world->status_given)
        return (struct ending){ENDING_EXITED, world->status};
    if (world->first_error.kind != ENDING_NONE)
        return world->first_error;
    if (launcher && world->command.kind != ENDING_NONE)
        return world->command;
    return (struct ending){ENDING_EXITED, 0};
}
