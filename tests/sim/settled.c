/* The promises about what was to be done, checked when all is settled. */

#include "check.h"
#include "facts.h"

/* ---- runs ---- */

static void check_asked(struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    const struct core_worker *worker = fact_worker(world, record);
    if (record->life != UP || record->killed || record->kind == CORE_HOOK ||
        !fact_is_reached(world, record))
        return;
    if (!record->requested && record->kind == CORE_WORKER && !record->wished && !world->entered)
        broken(world, 24, "run %u is not asked, though nothing wishes for it", slot);
    if (record->kind == CORE_COMPANION && record->runs == COMPANION_HEALTH)
        broken(world, 27, "the health check %u is of no use, but not killed", slot);
    if (!record->requested)
        broken(world, 3, "run %u is not asked, though a stop reached it", slot);
    bool due = world->now >= fact_rung_end(world, record);
    if (record->rungs < worker->rules->rung_count && due)
        broken(world, 3, "run %u is not sent rung %u", slot, record->rungs);
    if (record->forwards != 0 && !fact_is_shielded(world, record))
        broken(world, 20, "run %u is not passed a signal", slot);
}

static void check_tree(struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    bool settling = world->now < record->settles_at && !world->forced;
    if (record->life != TREE || record->killed || !fact_is_reached(world, record) || settling)
        return;
    for (uint32_t i = 0; i < world->proc_count; i++) {
        const struct proc *proc = &world->procs[i];
        if (proc->alive && proc->slot == slot && proc->known && !proc->asked)
            broken(world, 17, "process %u, left of run %u, is not asked", i, slot);
    }
}

static void check_cap(struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    bool stays = slot == 0 && fact_orphans_stay(world);
    if (fact_is_over(world) && record->life != GONE && !record->killed && !stays)
        broken(world, 6, "run %u is there after the cap, and was not killed", slot);
}

static void check_restart(struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    const struct record *companion = &world->records[record->companion];
    bool busy = record->kind == CORE_WORKER && record->companion != 0 && companion->life != GONE;
    bool due = record->kind == CORE_WORKER && record->life == GONE && record->wished &&
               world->begun && !world->entered && world->now >= record->restart_at;
    if (record->kind == CORE_COMPANION && fact_companion_due(world, record) != COMPANION_NONE)
        broken(world, 27, "companion %u does not run %d", slot, fact_companion_due(world, record));
    if (record->cleanup_due && fact_is_over(world))
        broken(world, 27, "the after-stop of %u is not dropped at the cap", slot);
    if (due && !busy && !fact_is_blocked(world, record))
        broken(world, 12, "worker %u is not started at its time", slot);
    if (record->about_to_start && record->life == GONE)
        broken(world, 12, "hook %u is not started", slot);
}

/* What was to be said or done of an instance by now. */
static void check_instance(struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    bool watched = fact_is_watched(world, record);
    if (record->ready_untold)
        broken(world, 22, "run %u is not told to be ready", slot);
    if (record->held_untold && !world->entered)
        broken(world, 24, "run %u is not told to be held", slot);
    if (record->why_untold)
        broken(world, 25, "run %u is not told to have failed", slot);
    if (watched && world->now >= fact_ready_limit(world, record))
        broken(world, 25, "run %u is not ready in time, and does not fail", slot);
    if (watched && world->now >= fact_alive_limit(world, record))
        broken(world, 25, "run %u has missed its watchdog, and does not fail", slot);
}

/* Is there an instance of the worker for which a renewal may wait? */
static bool is_renewing(const struct world *world, uint32_t worker)
{
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->owner == worker && record->wished && !fact_serves(record))
            return true;
    }
    return false;
}

static void check_renewals(struct world *world)
{
    for (uint32_t i = 0; i < world->setting->config.worker_count && !world->entered; i++)
        if (world->rolling[i] && !is_renewing(world, i))
            broken(world, 26, "the roll of worker %u stands still", i);
    for (uint32_t i = world->first_instance; i < world->first_job && !world->entered; i++) {
        const struct record *record = &world->records[i];
        if (fact_is_watched(world, record) && world->now >= fact_age_limit(world, record) &&
            !is_renewing(world, record->owner))
            broken(world, 26, "run %u has its age, and stays", i);
    }
    if (!world->all_ready_told && fact_is_all_ready(world))
        broken(world, 22, "all are ready, which is not told");
}

/* Is there something of a run's life that a time was set for? */
static bool has_limit(const struct world *world, const struct record *record)
{
    bool checked = record->kind == CORE_WORKER && fact_rules(world, record)->has_health;
    return fact_is_watched(world, record) &&
           ((checked && record->ready) || fact_ready_limit(world, record) != NEVER ||
            fact_alive_limit(world, record) != NEVER || fact_age_limit(world, record) != NEVER);
}

/* Is there anything that only time will change? */
static bool is_waiting(const struct world *world)
{
    for (uint32_t i = 0; i < world->record_count; i++) {
        const struct record *record = &world->records[i];
        bool retry = record->kind == CORE_WORKER && record->life == GONE && record->wished &&
                     record->restart_at > world->now;
        bool command = record->kind == CORE_HOOK || record->kind == CORE_COMPANION;
        bool hook = (command && record->life != GONE) || has_limit(world, record);
        bool stop = record->life == UP && record->requested;
        bool tree = record->life == TREE && i > 0;
        if (retry || hook || stop || tree)
            return true;
    }
    return world->entered;
}

static void check_deadline(struct world *world)
{
    msec deadline = core_deadline(world_core(world));
    if (deadline <= world->now)
        broken(world, 14, "the deadline is not in the future");
    if (deadline != NEVER && (world->exited || !is_waiting(world)))
        broken(world, 14, "there is a deadline, but nothing to wait for");
}

/* What people are told: who is waited for, why, and how long. */
static void check_answers(struct world *world, uint32_t slot)
{
    const struct core *core = world_core(world);
    const struct record *record = &world->records[slot];
    msec shielded = 0;
    for (uint32_t i = 0; i < NAMES; i++)
        shielded = msec_max(shielded, fact_hold_until(world, record, &record->shields[i]));
    if (core_present(core, slot) != (record->life != GONE && !record->abandoned))
        broken(world, 21, "slot %u is told to be there, or not, but wrongly", slot);
    msec told = core_shielded_until(core, slot);
    if (told != shielded && msec_max(told, shielded) > world->now)
        broken(world, 21, "slot %u is told to be shielded until another time", slot);
    bool doomed = record->life != GONE && !record->killed && fact_is_reached(world, record);
    if (doomed && core_kill_time(core, slot) <= world->now)
        broken(world, 21, "slot %u is told to be killed by now", slot);
    if (doomed && core_kill_time(core, slot) > fact_limit(world, record))
        broken(world, 21, "slot %u is told to be killed later than its limit", slot);
}

static void check_jobs(struct world *world)
{
    bool idle = world->queue_count == 0;
    for (uint32_t i = 0; i < world->record_count; i++) {
        const struct record *record = &world->records[i];
        idle = idle && (record->kind != CORE_JOB || record->life == GONE || record->abandoned);
        for (uint32_t name = 0; name < NAMES; name++)
            idle = idle && record->shields[name].holds == 0;
    }
    if (core_is_idle(world_core(world)) != idle)
        broken(world, 21, "it is told to be idle, or not, but wrongly");
    if (world->queue_count == 0)
        return;
    if (fact_is_over(world) || world->forced)
        broken(world, 19, "a job is queued though its turn will not come");
    if (fact_jobs_running(world) < world->setting->config.job_workers)
        broken(world, 19, "a job is not started though there is room");
}

static void check_end(struct world *world)
{
    if (!world->entered && fact_is_work_done(world))
        broken(world, 7, "nothing is left to do, but no shutdown comes");
    if (world->entered && !world->exited && !fact_is_anything_left(world))
        broken(world, 7, "nothing is left, but the exit does not come");
    bool unhandled =
        world->setting->config.stop_on_unhandled_errors && world->first_error.kind != ENDING_NONE;
    if (unhandled && !world->entered)
        broken(world, 9, "an unhandled error does not start a shutdown");
    if (world->force_expected)
        broken(world, 20, "a repeated signal has no effect");
}

void check_settled(struct world *world)
{
    for (uint32_t i = 0; i < world->record_count && !world->exited; i++) {
        check_asked(world, i);
        check_tree(world, i);
        check_cap(world, i);
        check_restart(world, i);
        check_answers(world, i);
        check_instance(world, i);
        if (world->records[i].errors > 0)
            broken(world, 9, "an error of run %u is not told", i);
    }
    if (!world->exited) {
        check_end(world);
        check_jobs(world);
        check_renewals(world);
    }
    check_deadline(world);
}
