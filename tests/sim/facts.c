#include "facts.h"

#define SLOT_CALLBACK 2

const struct core_worker *fact_worker(const struct world *world, const struct record *record)
{
    static const struct core_rules rules = {
        .rung_count = 1, .rung_time = {10 * SECOND}, .shield_timeout = NEVER};
    static const struct core_worker plain = {.rules = &rules};
    bool owned = record->kind == CORE_WORKER || record->kind == CORE_JOB;
    if (!owned || record->owner >= world->setting->config.worker_count)
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
    return msec_min(2 * SECOND, world->length / 2 / shares);
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
    return msec_min(fact_rules(world, record)->rung_time[rung], cap_time(world));
}

msec fact_rungs_time(const struct world *world, const struct record *record, uint32_t first)
{
    msec time = 0;
    for (uint32_t i = first; i < fact_rules(world, record)->rung_count; i++)
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
    msec span = fact_rules(world, record)->shield_timeout;
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
    return msec_add(world->entered_at, fact_rules(world, record)->shield_timeout);
}

msec fact_hook_end(const struct world *world, const struct record *record)
{
    msec time = cap_time(world);
    if (record->kind == CORE_COMPANION) {
        if (record->runs == COMPANION_HEALTH)
            time = msec_min(time, world->setting->workers[record->owner].rules->health_timeout);
        return msec_add(record->started_at, time);
    }
    if (record->owner != HOOK_CALLBACK)
        return msec_add(record->started_at, time);
    msec quarter = world->length / 4;
    if (world->limited_at <= record->started_at)
        return msec_add(record->started_at,
                        time != NEVER || world->limited_at >= 0 ? quarter : time);
    msec before = time != NEVER ? time / 4 : NEVER;
    return msec_min(msec_add(record->started_at, before), world->entered_at + quarter);
}

msec fact_drain_end(const struct world *world)
{
    msec delay = world->setting->config.drain_delay, quarter = world->length / 4;
    bool shortened = world->limited_at > world->drain_from;
    msec end = world->drain_from + (shortened ? delay : msec_min(delay, quarter));
    return world->limited_at < 0 ? end : msec_min(end, world->entered_at + world->length / 2);
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
    for (uint32_t i = world->first_companion; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->wave > wave && (is_waited_for(record) || record->cleanup_due) &&
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
    case CORE_COMPANION:
        return record->life == TREE || record->requested || fact_is_moot(world, record);
    case CORE_JOB:
        return record->life == TREE || world->now >= fact_spared_until(world, record);
    case CORE_WORKER:
        break;
    }
    if (record->requested)
        return true;
    if (!world->entered)
        return record->life == TREE || record->why != WHY_NONE ||
               (!record->wished && !fact_is_in_use(world, record));
    return world->cancel && (world->forced || is_turn(world, record->wave));
}

/* ---- the fleet ---- */

bool fact_stands(const struct world *world, uint32_t worker)
{
    const struct core_worker *asked = &world->setting->workers[worker];
    bool serves = false;
    for (uint32_t i = 0; i < asked->after_count; i++)
        if (asked->after[i].needs && !fact_stands(world, asked->after[i].worker))
            return false;
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        serves = serves || (record->owner == worker && (record->wanted || record->done));
    }
    return serves;
}

bool fact_is_wished(const struct world *world, const struct record *record)
{
    const struct core_worker *worker = fact_worker(world, record);
    for (uint32_t i = 0; i < worker->after_count; i++)
        if (worker->after[i].needs && !fact_stands(world, worker->after[i].worker))
            return false;
    return record->wanted;
}

bool fact_is_blocked(const struct world *world, const struct record *record)
{
    const struct core_worker *worker = fact_worker(world, record);
    for (uint32_t i = world->first_instance; i < world->first_job && record->awaited; i++)
        for (uint32_t n = 0; n < worker->after_count; n++)
            if (world->records[i].owner == worker->after[n].worker && world->records[i].awaited)
                return true;
    return false;
}

/* Is there anything of the worker: runs, their trees, their companions? */
static bool is_there(const struct world *world, uint32_t worker)
{
    for (uint32_t i = world->first_companion; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->owner == worker && (is_waited_for(record) || record->cleanup_due))
            return true;
    }
    return false;
}

bool fact_is_in_use(const struct world *world, const struct record *record)
{
    if (fact_stands(world, record->owner))
        return false;
    for (uint32_t i = 0; i < world->setting->config.worker_count; i++) {
        const struct core_worker *other = &world->setting->workers[i];
        for (uint32_t n = 0; n < other->after_count; n++)
            if (other->after[n].worker == record->owner && other->after[n].needs &&
                is_there(world, i))
                return true;
    }
    return false;
}

bool fact_is_watched(const struct world *world, const struct record *record)
{
    return record->kind == CORE_WORKER && record->life == UP && record->wished &&
           !record->requested && record->why == WHY_NONE && !world->entered;
}

bool fact_serves(const struct record *record)
{
    return record->life == UP && record->ready && !record->requested && record->why == WHY_NONE;
}

msec fact_ready_limit(const struct world *world, const struct record *record)
{
    if (record->ready)
        return NEVER;
    return msec_add(record->started_at, fact_rules(world, record)->ready_timeout);
}

msec fact_alive_limit(const struct world *world, const struct record *record)
{
    bool watched = fact_rules(world, record)->watchdog > 0 && record->ready;
    return watched ? record->alive_until : NEVER;
}

msec fact_age_limit(const struct world *world, const struct record *record)
{
    msec max_age = fact_rules(world, record)->max_age;
    return max_age > 0 ? msec_add(record->started_at, max_age) : NEVER;
}

bool fact_is_moot(const struct world *world, const struct record *record)
{
    const struct record *instance = &world->records[record->companion];
    if (record->life != UP || record->runs == COMPANION_AFTER_STOP)
        return false;
    if (record->runs == COMPANION_HEALTH)
        return !fact_is_watched(world, instance);
    return world->entered ? world->cancel : !instance->wished;
}

enum core_companion fact_companion_due(const struct world *world, const struct record *record)
{
    const struct record *instance = &world->records[record->companion];
    const struct core_worker *worker = &world->setting->workers[record->owner];
    bool starts = !world->entered && world->begun && instance->wished && instance->life == GONE &&
                  world->now >= instance->restart_at && !fact_is_blocked(world, instance);
    if (record->life != GONE)
        return COMPANION_NONE;
    if (instance->cleanup_due)
        return world->now < world->cap ? COMPANION_AFTER_STOP : COMPANION_NONE;
    if (worker->rules->has_before_start && starts && !instance->prepared)
        return COMPANION_BEFORE_START;
    bool checked = worker->rules->has_health && instance->ready && fact_is_watched(world, instance);
    return checked && world->now >= instance->health_at ? COMPANION_HEALTH : COMPANION_NONE;
}

/* Does nobody run, and will nobody? */
static bool is_quiet(const struct world *world)
{
    const struct core_config *config = &world->setting->config;
    if (!world->begun || config->forever || fact_workers_up(world) > 0)
        return false;
    for (uint32_t i = world->first_instance; i < world->first_job; i++)
        if (fact_is_wished(world, &world->records[i]))
            return false;
    for (uint32_t i = world->first_job; i < world->record_count && !config->launcher; i++)
        if (world->records[i].life != GONE || world->queue_count > 0)
            return false;
    return true;
}

bool fact_is_all_ready(const struct world *world)
{
    if (world->entered || !world->begun || is_quiet(world))
        return false;
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->awaited && fact_rules(world, record)->autostart)
            return false;
    }
    return true;
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
        if (is_waited_for(&world->records[i]) || world->records[i].about_to_start ||
            world->records[i].cleanup_due)
            return true;
    bool orphans = fact_has_orphans(world) && !fact_orphans_stay(world);
    return world->queue_count > 0 || (orphans && !world->records[0].abandoned);
}

bool fact_is_work_done(const struct world *world)
{
    const struct core_config *config = &world->setting->config;
    if (!is_quiet(world))
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

bool fact_is_over(const struct world *world)
{
    return world->entered && world->now >= world->cap;
}
