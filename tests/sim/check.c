#include "check.h"

#include "facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SLOT_HANDLER = 1, SLOT_CALLBACK = 2 };

char broken_text[256];
int broken_promise;

void broken(struct world *world, int promise, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(broken_text, sizeof broken_text, format, arguments);
    va_end(arguments);
    broken_promise = promise;
    if (world->trace)
        printf("%8lld  ** P%d is broken: %s\n", (long long)world->now, promise, broken_text);
    longjmp(*world->failed, 1);
}

/* ---- actions about a run ---- */

static bool is_forced_now(const struct world *world)
{
    return world->forced && world->forced_at == world->now;
}

/* Is it the instance's turn to start, and is it prepared? */
static void check_order(struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    const struct record *companion = &world->records[record->companion];
    if (!record->wished)
        broken(world, 24, "worker %u is started, but what it needs does not stand", slot);
    if (fact_is_blocked(world, record))
        broken(world, 23, "worker %u is started before what it comes after is ready", slot);
    if (record->companion != 0 && companion->life != GONE)
        broken(world, 27, "worker %u is started while its companion runs", slot);
    if (record->cleanup_due)
        broken(world, 27, "worker %u is started before its after-stop has run", slot);
    if (fact_rules(world, record)->has_before_start && !record->prepared)
        broken(world, 27, "worker %u is started without its before-start", slot);
}

static void check_start(struct world *world, const struct core_action *action)
{
    struct run_id run = action->run;
    const struct record *record = &world->records[run.slot];
    if (record->life != GONE || world_has_members(world, run.slot, record->generation))
        broken(world, 1, "slot %u is started while something of it is left", run.slot);
    switch (record->kind) {
    case CORE_ORPHANS:
        broken(world, 1, "orphans cannot be started");
    case CORE_HOOK:
        if (!record->about_to_start)
            broken(world, 1, "hook %u is started unasked", run.slot);
        break;
    case CORE_WORKER:
        if (world->entered)
            broken(world, 2, "worker %u is started during a shutdown", run.slot);
        if (!record->wanted || !world->begun)
            broken(world, 12, "worker %u is started but not wanted", run.slot);
        if (world->now < record->restart_at)
            broken(world, 12, "worker %u is started before its delay is over", run.slot);
        check_order(world, run.slot);
        break;
    case CORE_COMPANION:
        if (action->companion != fact_companion_due(world, record))
            broken(world, 27, "companion %u runs %d, not %d", run.slot, action->companion,
                   fact_companion_due(world, record));
        break;
    case CORE_JOB:
        if (world->queue_count == 0 || world->queue[0] != run.slot)
            broken(world, 19, "job %u is started out of turn", run.slot);
        if (fact_jobs_running(world) >= world->setting->config.job_workers)
            broken(world, 19, "job %u is one too many", run.slot);
        if (fact_is_over(world) || world->forced)
            broken(world, 19, "job %u is started too late", run.slot);
        break;
    }
    if (record->kind != CORE_JOB && run.generation != record->generation + 1)
        broken(world, 11, "slot %u starts generation %u after %u", run.slot, run.generation,
               record->generation);
}

/* Only what is said of the run that is there now can be meant. */
static void check_current(struct world *world, struct run_id run)
{
    const struct record *record = &world->records[run.slot];
    if (run.slot >= world->record_count || run.generation != record->generation ||
        record->life == GONE)
        broken(world, 11, "run %u.%u is not there", run.slot, run.generation);
}

static void check_job(struct world *world, const struct record *record)
{
    bool spared = record->kind == CORE_JOB && record->life == UP && !fact_is_over(world) &&
                  world->now < fact_spared_until(world, record);
    if (spared)
        broken(world, 16, "a job is disturbed before its time");
}

static void check_waves(struct world *world, const struct record *record)
{
    const struct record *callback = &world->records[SLOT_CALLBACK];
    if (!world->cancel)
        broken(world, 10, "a worker is asked to stop too early");
    if (fact_is_busy(callback))
        broken(world, 10, "a worker is asked to stop before the callback is over");
    bool hurried = world->forced || (world->trigger == TRIGGER_SIGNAL && world->keyboard);
    if (!hurried && world->now < fact_drain_end(world))
        broken(world, 10, "a worker is asked to stop before the drain delay is over");
    if (!fact_is_reached(world, record))
        broken(world, 10, "wave %u is asked before its turn", record->wave);
}

/* Of one worker one is renewed at a time, when it has its age or a roll has come to it. */
static void check_renewal(struct world *world, const struct core_action *action)
{
    const struct record *record = &world->records[action->run.slot];
    if (!fact_is_watched(world, record))
        broken(world, 26, "run %u is renewed, but is to stop anyway", action->run.slot);
    if (action->why == WHY_AGE && world->now < fact_age_limit(world, record))
        broken(world, 26, "run %u is renewed before it has its age", action->run.slot);
    bool is_new = record->rolled && record->started_at > world->rolled_at[record->owner];
    if (action->why == WHY_RESTART && (!world->rolling[record->owner] || is_new))
        broken(world, 26, "run %u is renewed, but no roll comes to it", action->run.slot);
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        const struct record *other = &world->records[i];
        bool at_once = world->at_once[record->owner] && action->why == WHY_RESTART;
        if (other != record && other->owner == record->owner && other->renewing && !at_once)
            broken(world, 26, "run %u is renewed while %u is", action->run.slot, i);
    }
}

static void check_request(struct world *world, const struct core_action *action)
{
    struct run_id run = action->run;
    const struct record *record = &world->records[run.slot];
    bool renews = action->why == WHY_AGE || action->why == WHY_RESTART;
    check_current(world, run);
    if (renews && record->why == WHY_NONE && !world->entered)
        check_renewal(world, action);
    else if (action->why != record->why)
        broken(world, 25, "run %u is asked for another reason than it has", run.slot);
    check_job(world, record);
    if (record->requested)
        broken(world, 3, "run %u.%u is asked twice", run.slot, run.generation);
    if (record->life != UP)
        broken(world, 3, "run %u.%u is asked after its end", run.slot, run.generation);
    if (record->kind == CORE_WORKER && world->entered)
        check_waves(world, record);
    else if (record->kind == CORE_WORKER && !renews && record->why == WHY_NONE &&
             fact_is_in_use(world, record))
        broken(world, 24, "run %u is asked while it is needed", run.slot);
    else if (!renews && !fact_is_reached(world, record))
        broken(world, 3, "run %u.%u is asked to stop for no reason", run.slot, run.generation);
}

static void check_signal(struct world *world, const struct core_action *action)
{
    const struct record *record = &world->records[action->run.slot];
    check_current(world, action->run);
    check_job(world, record);
    if (fact_is_shielded(world, record))
        broken(world, 4, "run %u is signalled while shielded", action->run.slot);
    if (!record->requested || record->life != UP || record->killed)
        broken(world, 3, "run %u is signalled, but not asked, or gone", action->run.slot);
    if (action->rung != record->rungs || action->rung >= fact_rules(world, record)->rung_count)
        broken(world, 3, "rung %u follows rung %u", action->rung, record->rungs);
    if (world->now < fact_rung_end(world, record) && !is_forced_now(world))
        broken(world, 3, "rung %u comes before its time", action->rung);
}

static void check_forward(struct world *world, const struct core_action *action)
{
    const struct record *record = &world->records[action->run.slot];
    check_current(world, action->run);
    if (fact_is_shielded(world, record))
        broken(world, 4, "run %u is passed a signal while shielded", action->run.slot);
    if (!(record->forwards >> action->cause & 1))
        broken(world, 20, "signal %d is passed on, but did not come", action->cause);
    if (record->life != UP || record->rungs == 0)
        broken(world, 20, "signal %d is passed on before the stop signal", action->cause);
}

static void check_stop_tree(struct world *world, struct run_id run)
{
    const struct record *record = &world->records[run.slot];
    check_current(world, run);
    check_job(world, record);
    if (run.slot == 0 && fact_orphans_stay(world))
        broken(world, 7, "orphans that are to stay are asked");
    if (!fact_is_reached(world, record))
        broken(world, 10, "the tree of run %u is asked before its turn", run.slot);
    msec reserve = fact_tree_reserve(world, record);
    bool late = world->now >= msec_before(fact_limit(world, record), reserve);
    if (record->life == UP && fact_is_shielded(world, record) && !late)
        broken(world, 4, "the tree of run %u is asked while it is shielded", run.slot);
}

/* ---- deadlines ---- */

static bool is_ladder_due(const struct world *world, const struct record *record)
{
    return record->rungs > 0 && world->now >= fact_ladder_end(world, record);
}

static bool is_tree_due(const struct world *world, const struct record *record)
{
    if (record->killed_at > 0)
        return true;
    if (record->planned != NEVER)
        return world->now >= record->planned;
    msec time = fact_tree_time(world, record);
    return record->tree_asked && world->now >= msec_add(record->tree_asked_at, time);
}

static bool is_due(const struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    if (slot == SLOT_HANDLER && world->handler_forced_at == world->now)
        return true;
    if (is_forced_now(world) || world->now >= fact_limit(world, record))
        return true;
    if (record->life == TREE)
        return is_tree_due(world, record);
    if (record->kind == CORE_COMPANION && fact_is_moot(world, record) &&
        record->runs == COMPANION_HEALTH)
        return true;
    bool timed = record->kind == CORE_HOOK || record->kind == CORE_COMPANION;
    if (timed && world->now >= fact_hook_end(world, record))
        return true;
    return is_ladder_due(world, record);
}

/* Did those who are killed with the run, or after it, have their time? */
static void check_tree_kill(struct world *world, uint32_t slot)
{
    const struct record *record = &world->records[slot];
    msec reserve = fact_tree_reserve(world, record);
    bool forced = world->forced && world->now - world->forced_at < msec_max(reserve, 1);
    bool exempt = record->life == UP && record->kind != CORE_WORKER;
    /* Who gets less time all of a sudden cannot keep what was to come of it. */
    exempt = exempt || (world->limited_at >= 0 && world->now - world->limited_at <= reserve);
    bool again = record->killed_at > 0;
    if (forced || exempt || again || reserve == 0 || world->setting->lazy ||
        !world_has_members(world, slot, record->generation))
        return;
    bool late = record->life == TREE && world->now - record->left_since < reserve;
    if (!record->tree_asked && !late)
        broken(world, 17, "what is left of run %u is killed without being asked", slot);
    if (record->tree_asked && world->now - record->tree_asked_at < reserve && !late)
        broken(world, 17, "what is left of run %u is killed before it had the reserve", slot);
}

static void check_kill(struct world *world, struct run_id run)
{
    const struct record *record = &world->records[run.slot];
    check_current(world, run);
    check_job(world, record);
    if (run.slot == 0 && fact_orphans_stay(world))
        broken(world, 7, "orphans that are to stay are killed");
    if (!is_due(world, run.slot))
        broken(world, 5, "run %u.%u is killed before its deadline", run.slot, run.generation);
    bool skips = record->life == UP && record->rungs > 0 && !is_forced_now(world) &&
                 record->kind != CORE_COMPANION && world->now < fact_limit(world, record) &&
                 fact_rungs_time(world, record, record->rungs) > 0;
    if (skips)
        broken(world, 3, "run %u.%u is killed and a rung was left out", run.slot, run.generation);
    check_tree_kill(world, run.slot);
}

static void check_abandon(struct world *world, struct run_id run)
{
    const struct record *record = &world->records[run.slot];
    check_current(world, run);
    msec since = msec_min(record->killed_at, world->cap_seen);
    if (!world->entered || !record->killed || world->now < since + ABANDON_AFTER)
        broken(world, 7, "run %u.%u is abandoned too early", run.slot, run.generation);
}

/* ---- actions about the fleet ---- */

static void check_failed(struct world *world, const struct core_action *action)
{
    const struct record *record = &world->records[action->run.slot];
    bool reported = record->why_untold && action->why == record->why;
    bool watched = fact_is_watched(world, record);
    bool late = action->why == WHY_READY && world->now >= fact_ready_limit(world, record);
    bool silent = action->why == WHY_WATCHDOG && world->now >= fact_alive_limit(world, record);
    if (!reported && !(watched && (late || silent)))
        broken(world, 25, "run %u has not failed of %d", action->run.slot, action->why);
}

static void check_all_ready(struct world *world)
{
    if (world->all_ready_told)
        broken(world, 22, "all are told to be ready again");
    if (!fact_is_all_ready(world))
        broken(world, 22, "all are told to be ready, and are not");
}

static void check_rolled(struct world *world, const struct core_action *action)
{
    bool lost = false;
    if (!world->rolling[action->worker])
        broken(world, 26, "a roll is over that there was not");
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->owner != action->worker)
            continue;
        lost = lost || !record->wished;
        if (action->ok && record->to_roll && record->wanted && !record->rolled)
            broken(world, 26, "a roll has ended well without %u", i);
    }
    if (!action->ok && !lost)
        broken(world, 26, "a roll has failed though all are wished for");
}

/* ---- actions about the whole ---- */

static void check_retry(struct world *world, const struct core_action *action)
{
    const struct record *record = &world->records[action->run.slot];
    if (world->entered)
        broken(world, 2, "worker %u is to be started again in a shutdown", action->run.slot);
    if (!record->wanted)
        broken(world, 12, "run %u will not be started again", action->run.slot);
    if (action->until != msec_max(record->restart_at, world->now))
        broken(world, 12, "run %u starts at another time than is told", action->run.slot);
}

static void check_error(struct world *world, const struct core_action *action)
{
    const struct record *record = &world->records[action->run.slot];
    const struct core_config *config = &world->setting->config;
    if (record->errors == 0)
        broken(world, 9, "there is no error to tell");
    if (action->first != record->error_first)
        broken(world, 9, "it is %sthe first error", record->error_first ? "" : "not ");
    bool free = false;
    for (uint32_t i = 3; i < world->first_companion; i++)
        free = free || (world->records[i].life == GONE && !world->records[i].about_to_start);
    bool needed = config->has_on_error && record->kind != CORE_HOOK;
    if (action->hookless != (needed && !free))
        broken(world, 9, "the error is told to a hook, or not, but wrongly");
}

static void check_entered(struct world *world, const struct core_action *action)
{
    if (world->entered)
        return;
    switch (action->trigger) {
    case TRIGGER_SIGNAL:
    case TRIGGER_REQUEST:
        broken(world, 7, "a shutdown that nobody asked for");
    case TRIGGER_ERROR:
        if (!world->setting->config.stop_on_unhandled_errors ||
            world->first_error.kind == ENDING_NONE)
            broken(world, 7, "a shutdown for an error that there was not");
        break;
    case TRIGGER_NOTHING_LEFT:
        if (!fact_is_work_done(world))
            broken(world, 7, "a shutdown although there is work left");
        break;
    }
}

static void check_phase(struct world *world, const struct core_action *action)
{
    if (action->phase != world->phase + 1)
        broken(world, 7, "phase %d follows phase %d", action->phase, world->phase);
    if (action->phase == PHASE_ENTERED)
        check_entered(world, action);
}

static bool same_ending(struct ending a, struct ending b)
{
    return a.kind == b.kind && a.value == b.value;
}

static void check_exit(struct world *world, const struct core_action *action)
{
    struct ending expected = fact_exit(world);
    if (world->phase != PHASE_CLOSED || fact_is_anything_left(world))
        broken(world, 7, "the exit comes although something is left");
    for (uint32_t i = 0; i < world->proc_count; i++) {
        const struct proc *proc = &world->procs[i];
        bool stays = proc->slot == 0 && fact_orphans_stay(world);
        if (proc->alive && !proc->killed && !stays)
            broken(world, 7, "process %u is alive and was never killed", i);
        if (proc->alive && !proc->unkillable && !stays && !fact_is_over(world) &&
            !world->setting->silent)
            broken(world, 7, "process %u is killed, but not waited for", i);
    }
    if (!same_ending(action->end, expected))
        broken(world, 9, "the end is %d %u, not %d %u", action->end.kind, action->end.value,
               expected.kind, expected.value);
}

void check_action(struct world *world, const struct core_action *action)
{
    if (world->exited)
        broken(world, 18, "an action after EXIT");
    switch (action->kind) {
    case ACTION_START:
        check_start(world, action);
        break;
    case ACTION_REQUEST:
        check_request(world, action);
        break;
    case ACTION_SIGNAL:
        check_signal(world, action);
        break;
    case ACTION_FORWARD:
        check_forward(world, action);
        break;
    case ACTION_STOP_TREE:
        check_stop_tree(world, action->run);
        break;
    case ACTION_KILL:
        check_kill(world, action->run);
        break;
    case ACTION_ABANDON:
        check_abandon(world, action->run);
        break;
    case ACTION_DROP:
        if (action->companion != COMPANION_NONE) {
            if (!fact_is_over(world) || !world->records[action->run.slot].cleanup_due)
                broken(world, 27, "the after-stop of %u is dropped too early", action->run.slot);
            break;
        }
        if (!(fact_is_over(world) || world->forced) || !world->records[action->run.slot].queued)
            broken(world, 19, "job %u is dropped too early", action->run.slot);
        break;
    case ACTION_RETRY:
        check_retry(world, action);
        break;
    case ACTION_ERROR:
        check_error(world, action);
        break;
    case ACTION_PHASE:
        check_phase(world, action);
        break;
    case ACTION_FORCED:
        if (!world->force_expected)
            broken(world, 20, "forced without a reason");
        break;
    case ACTION_READY:
        if (!world->records[action->run.slot].ready_untold)
            broken(world, 22, "run %u is told to be ready, and is not", action->run.slot);
        check_current(world, action->run);
        break;
    case ACTION_ALL_READY:
        check_all_ready(world);
        break;
    case ACTION_FAILED:
        check_failed(world, action);
        break;
    case ACTION_HELD:
        if (!world->records[action->run.slot].held_untold || world->entered)
            broken(world, 24, "run %u is told to be held, and is not", action->run.slot);
        break;
    case ACTION_ROLLED:
        check_rolled(world, action);
        break;
    case ACTION_EXIT:
        check_exit(world, action);
        break;
    case ACTION_CENSUS:
    case ACTION_WAITING:
        break;
    }
}

void check_time(struct world *world, msec next)
{
    msec slack = world->setting->lazy ? 4 * SECOND : 0;
    msec cap = world->cap_seen != NEVER ? world->cap_seen : world->cap;
    if (world->entered && next > msec_add(cap, ABANDON_AFTER + slack))
        broken(world, 8, "the exit does not come in time");
}

void check_reload(struct world *world, const struct core *old, const uint32_t *old_slot_of)
{
    const struct core *core = world_core(world);
    for (uint32_t i = 0; i < world->record_count; i++) {
        uint32_t was = old_slot_of[i];
        bool made = i < core->slot_count; /* a job's slot has no generation before it is needed */
        if (made && core_run(core, i).generation != world->records[i].generation)
            broken(world, 28, "slot %u has another generation after a reload", i);
        if (was == CORE_NONE)
            continue;
        if (core_present(core, i) != core_present(old, was) ||
            core_shielded_until(core, i) != core_shielded_until(old, was) ||
            (!world->setting->lazy && core_kill_time(core, i) != core_kill_time(old, was)))
            broken(world, 28, "slot %u is another after a reload", i);
    }
}

void check_refusal(struct world *world, const void *before, const struct core_event *event,
                   bool expected, bool accepted, int promise)
{
    static _Alignas(16) unsigned char copy[CORE_BYTES];
    const struct core_event time = {.kind = EVENT_TIME};
    struct core *core = world_core(world);
    if (accepted != expected)
        broken(world, promise, "event %d is %s", event->kind, accepted ? "accepted" : "refused");
    if (accepted)
        return;
    memcpy(copy, before, core->size);
    core_step((struct core *)copy, world->now, &time);
    if (memcmp(copy, core, core->size) != 0)
        broken(world, promise, "event %d is refused, but changes something", event->kind);
}
