#include "note.h"

#include "facts.h"

#include <string.h>

enum { SLOT_HANDLER = 1, SLOT_CALLBACK = 2 };

void note_error(struct world *world, struct record *record, struct ending end)
{
    record->errors++;
    if (world->first_error.kind != ENDING_NONE)
        return;
    world->first_error = end;
    record->error_first = true;
}

void note_abandoned(struct world *world, struct record *record)
{
    record->abandoned = true;
    if (record->kind == CORE_WORKER && record->life == UP && world->first_error.kind == ENDING_NONE)
        world->first_error = (struct ending){ENDING_EXITED, 125};
}

void note_wishes(struct world *world)
{
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        struct record *record = &world->records[i];
        bool wished = fact_is_wished(world, record);
        bool held = record->wanted && !wished;
        if (held != record->held)
            record->held_untold = held;
        record->held = held;
        if (wished == record->wished)
            continue;
        record->wished = wished;
        record->awaited = wished && !fact_serves(record);
        record->prepared = record->prepared && wished;
        record->renewing = record->renewing && wished;
    }
}

void note_ready(struct world *world, struct record *record)
{
    const struct core_worker *worker = fact_worker(world, record);
    record->ready = record->ready_untold = true;
    record->awaited = record->renewing = false;
    record->alive_until = msec_add(world->now, worker->rules->watchdog);
    record->health_at = msec_add(world->now, worker->rules->health_interval);
    record->misses = 0;
    record->rolled = record->rolled || record->generation != record->roll_from;
}

void note_failed(struct world *world, struct record *record, enum core_why why)
{
    if (!fact_is_watched(world, record))
        return;
    record->why = why;
    record->why_untold = true;
}

void note_limited(struct world *world)
{
    if (world->limit >= world->cap)
        return;
    world->cap = msec_max(world->limit, world->now);
    world->length = world->cap - world->entered_at;
    world->limited_at = world->now;
}

void note_entered(struct world *world, enum core_trigger trigger, int cause)
{
    if (world->entered)
        return;
    world->entered = true;
    world->trigger = trigger;
    world->causes = trigger == TRIGGER_SIGNAL ? (uint64_t)1 << cause : 0;
    world->entered_at = world->effect_at = world->now;
    world->cap = msec_add(world->now, world->setting->config.timeout);
    note_limited(world);
    world->records[SLOT_HANDLER].about_to_start = false;
    world->records[SLOT_CALLBACK].about_to_start = world->setting->config.has_callback;
}

static bool is_success(const struct core_worker *worker, struct ending end, bool requested)
{
    if (end.kind == ENDING_NOT_STARTED)
        return false;
    bool listed =
        end.kind == ENDING_EXITED && end.value == 3 && (worker->rules->success.codes[0] >> 3 & 1);
    bool zero = end.kind == ENDING_EXITED && end.value == 0;
    return zero || listed || (requested && worker->rules->success.requested);
}

/* The next start by the restart policy; NEVER: there is none. */
static msec plan_restart(struct world *world, struct record *record, bool success)
{
    const struct core_worker *worker = fact_worker(world, record);
    const struct policy_backoff *backoff = &worker->rules->backoff;
    if (worker->rules->restart == RESTART_NEVER ||
        (worker->rules->restart == RESTART_ON_FAILURE && success))
        return NEVER;
    if (backoff->limit > 0) {
        bool fresh = world->now - record->window_start >= backoff->limit_window;
        if (record->window_count == 0 || fresh) {
            record->window_start = world->now;
            record->window_count = 0;
        }
        if (record->window_count == backoff->limit)
            return NEVER;
        record->window_count++;
    }
    bool stable = world->now - record->started_at >= STABLE_AFTER;
    record->delay =
        stable || record->delay == 0 ? backoff->min : msec_min(2 * record->delay, backoff->max);
    return world->now + record->delay;
}

bool note_is_failure(enum core_why why)
{
    return why == WHY_READY || why == WHY_WATCHDOG || why == WHY_HEALTH;
}

static void note_worker_end(struct world *world, struct record *record, struct ending end,
                            bool requested)
{
    bool failed = note_is_failure(record->why) && record->wanted;
    bool success = is_success(fact_worker(world, record), end, requested) && !failed;
    bool renewed = record->requested && !failed;
    msec next = NEVER;
    if (!world->entered && record->wanted)
        next = renewed ? world->now : plan_restart(world, record, success);
    if (end.kind == ENDING_NOT_STARTED && !renewed)
        next = msec_max(next, world->now + 1);
    if (next != NEVER) {
        record->restart_at = next;
        return;
    }
    bool stopped = (record->requested || !record->wanted) && !world->entered;
    record->done = success && record->wanted && !record->requested && !world->entered;
    record->wanted = false;
    if (failed)
        note_error(world, record, (struct ending){ENDING_EXITED, 1});
    else if (!success && !requested && !stopped)
        note_error(world, record, end);
    note_wishes(world);
}

static void note_health(struct world *world, struct record *record, bool success)
{
    const struct core_worker *worker = fact_worker(world, record);
    if (!fact_is_watched(world, record))
        return;
    record->health_at = msec_add(world->now, worker->rules->health_interval);
    record->misses = success ? 0 : record->misses + 1;
    if (record->misses >= worker->rules->health_retries + (worker->rules->health_retries == 0))
        note_failed(world, record, WHY_HEALTH);
}

static void note_companion_end(struct world *world, struct record *companion, struct ending end)
{
    struct record *record = &world->records[companion->companion];
    bool success = end.kind == ENDING_EXITED && end.value == 0;
    if (companion->requested || world->entered)
        return;
    if (companion->runs == COMPANION_HEALTH)
        note_health(world, record, success);
    if (companion->runs != COMPANION_BEFORE_START || !record->wished)
        return;
    record->prepared = success;
    if (success)
        return;
    record->requested = false;
    record->why = WHY_NONE;
    record->started_at = world->now;
    note_worker_end(world, record, end, false);
}

void note_gone(struct world *world, struct record *record)
{
    record->life = GONE;
    if (record->kind == CORE_WORKER && !record->abandoned)
        record->cleanup_due = fact_rules(world, record)->has_after_stop;
}

static void note_hook_end(struct world *world, struct record *record, struct ending end)
{
    bool success = end.kind == ENDING_EXITED && end.value == 0;
    if (record->owner == HOOK_CALLBACK && !success)
        note_error(world, record, end);
    if (record->owner == HOOK_HANDLER && (success || end.kind == ENDING_NOT_STARTED))
        note_entered(world, TRIGGER_SIGNAL, world->handler_cause);
}

void note_end(struct world *world, uint32_t slot, struct ending end, bool requested)
{
    struct record *record = &world->records[slot];
    record->planned = NEVER;
    if (record->tree_asked)
        record->planned = msec_min(fact_ladder_end(world, record), fact_limit(world, record));
    if (record->tree_asked && record->kind == CORE_COMPANION)
        record->planned = msec_min(record->planned, fact_hook_end(world, record));
    memset(record->shields, 0, sizeof record->shields);
    bool may_stay = world->setting->config.daemons_stay || world->setting->config.forever;
    bool well = end.kind == ENDING_EXITED && end.value == 0 && !requested;
    bool unasked = !world->entered && !record->requested && !record->tree_asked && !record->killed;
    record->settles_at = may_stay && well && unasked ? world->now + 100 : 0;
    record->killed = false;
    record->ended_at = record->left_since = world->now;
    record->life = TREE;
    record->ready = record->ready_untold = false;
    if (record->kind == CORE_WORKER)
        world->command = end;
    if (record->kind == CORE_WORKER)
        note_worker_end(world, record, end, requested);
    if (record->kind == CORE_COMPANION)
        note_companion_end(world, record, end);
    if (!world_has_members(world, slot, record->generation))
        note_gone(world, record);
    if (record->kind == CORE_HOOK)
        note_hook_end(world, record, end);
}

void note_start(struct world *world, struct record *record, uint32_t generation)
{
    record->generation = generation;
    record->life = UP;
    record->started_at = world->now;
    record->about_to_start = record->queued = false;
    record->requested = record->tree_asked = record->killed = record->abandoned = false;
    record->overruled = record->joined = record->ready = record->prepared = false;
    record->why = WHY_NONE;
    record->killed_at = record->extended = record->spared = 0;
    record->rungs = 0;
    record->forwards = 0;
    record->planned = NEVER;
}

void note_roll(struct world *world, uint32_t worker)
{
    bool fresh = true, wanted = false;
    for (uint32_t i = world->first_companion; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        bool ours = record->owner == worker;
        bool there = record->life != GONE || record->cleanup_due;
        fresh = fresh && !(ours && there);
        wanted = wanted || (ours && record->kind == CORE_WORKER && record->wanted);
    }
    world->rolling[worker] = true;
    world->at_once[worker] = fresh || !wanted;
    world->rolled_at[worker] = world->now;
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        struct record *record = &world->records[i];
        if (record->owner != worker)
            continue;
        if (fresh || !wanted) {
            record->wanted = true;
            record->done = false;
            record->restart_at = world->now;
            record->delay = 0;
            record->window_count = 0;
        }
        record->to_roll = record->wanted;
        record->rolled = false;
        record->roll_from = record->generation;
    }
    note_wishes(world);
}
