/* Facts: what has happened is written down here, and nothing is done about it. */

#include "core/core_private.h"

#include <assert.h>
#include <string.h>

/* ---- ends ---- */

static void record_error(struct core *core, struct core_slot *slot, struct ending end)
{
    slot->error_untold = true;
    slot->end = end;
    if (core->outcome.first_error.kind != ENDING_NONE)
        return;
    slot->error_first = true;
    core->outcome.first_error = end;
}

static void record_hook_end(struct core *core, struct core_slot *slot, struct ending end)
{
    bool success = end.kind == ENDING_EXITED && end.value == 0;
    if (slot->owner == HOOK_CALLBACK && !success)
        record_error(core, slot, end);
    bool goes_on = success || end.kind == ENDING_NOT_STARTED;
    if (slot->owner == HOOK_HANDLER && goes_on && !core_is_shutdown(core))
        core_enter_shutdown(core, TRIGGER_SIGNAL, core->cause);
}

/* Will the instance start again?  When it was stopped or renewed and is wanted by now, at once. */
static bool record_restart(struct core *core, struct core_slot *slot, struct ending end,
                           bool success)
{
    const struct core_rules *rules = core_rules_of(core, slot);
    if (core_is_shutdown(core) || !slot->wanted)
        return false;
    if (slot->requested && !core_why_is_failure((enum core_why)slot->why))
        return true;
    if (!policy_wants_restart(rules->restart, success))
        return false;
    msec uptime = core->now - slot->up_since;
    msec start_at =
        policy_next_start(&rules->backoff, &core_watch_of(core, slot)->history, core->now, uptime);
    if (start_at == NEVER)
        return false;
    /* What cannot be started has taken no time: without a delay it would be tried for ever now. */
    slot->start_at = end.kind == ENDING_NOT_STARTED ? msec_max(start_at, core->now + 1) : start_at;
    slot->retry_untold = true;
    return true;
}

/* It is not started again: why? */
static enum core_rest rest_after(const struct core *core, const struct core_slot *slot,
                                 bool success, bool unasked)
{
    if (!unasked)
        return REST_STOPPED;
    if (!core_is_shutdown(core) &&
        policy_wants_restart(core_rules_of(core, slot)->restart, success))
        return REST_GIVEN_UP;
    return success ? REST_FINISHED : REST_FAILED;
}

void core_record_instance_end(struct core *core, struct core_slot *slot, struct ending end,
                              bool requested)
{
    const struct success_set *set = &core_rules_of(core, slot)->success;
    bool failed = core_why_is_failure((enum core_why)slot->why) && slot->wanted;
    bool success = policy_is_success(set, end, requested) && !failed;
    bool unasked = !slot->requested && slot->wanted;
    bool stopped = !unasked && !core_is_shutdown(core); /* maybe it was only about to be asked */
    slot->end = end;
    if (record_restart(core, slot, end, success))
        return;
    core_member(core, slot)->rest = (uint8_t)rest_after(core, slot, success, unasked || failed);
    core_set_done(core, slot, success && unasked && !core_is_shutdown(core));
    core_set_wanted(core, slot, false);
    if (failed) /* how it ended says nothing: we have stopped it */
        record_error(core, slot, (struct ending){ENDING_EXITED, 1});
    else if (!success && !requested && !stopped)
        record_error(core, slot, end);
}

/* Can what is left be a daemon that may stay, and has not come to its setsid(2) yet? */
static bool may_be_daemon(const struct core *core, const struct core_slot *slot,
                          const struct core_event *event)
{
    bool may_stay = core->config.daemons_stay || core->config.forever;
    bool well = event->end.kind == ENDING_EXITED && event->end.value == 0 && !event->requested;
    return may_stay && well && !slot->requested && !core_is_shutdown(core);
}

static void record_end(struct core *core, struct core_slot *slot, const struct core_event *event)
{
    msec planned = core_slot_kill_time(core, slot);
    bool may_go = may_be_daemon(core, slot, event); /* as it was before what follows from the end */
    shield_drop(core_shields(core), &slot->shields);
    switch (slot->kind) {
    case CORE_ORPHANS:
        break;
    case CORE_HOOK:
        record_hook_end(core, slot, event->end);
        break;
    case CORE_JOB:
        slot->end = event->end;
        break;
    case CORE_WORKER:
        slot->ready = slot->ready_untold = false;
        core->outcome.command = event->end;
        core_record_instance_end(core, slot, event->end, event->requested);
        break;
    case CORE_COMPANION:
        core_record_companion_end(core, slot, event->end);
        break;
    }
    core_set_life(core, slot, event->left ? CORE_TREE : CORE_DOWN);
    if (!event->left)
        return;
    bool dated = slot->killed || slot->tree_asked;
    slot->kill_at = dated ? planned : NEVER; /* NEVER: until it is asked */
    slot->killed = false;                    /* who is left gets a KILL of its own */
    slot->settles_at = may_go && !dated ? core->now + SETTLE_TIME : 0;
}

/* ---- other reports of runs ---- */

static bool record_started(struct core *core, struct core_slot *slot)
{
    if (slot->life != CORE_STARTING)
        return false;
    slot->up_since = core->now;
    core_set_life(core, slot, CORE_UP);
    if (slot->kind != CORE_WORKER)
        return true;
    core->outcome.never_started = (struct ending){ENDING_NONE, 0};
    if (!core_rules_of(core, slot)->ready_told)
        core_set_ready(core, slot);
    return true;
}

static bool record_not_started(struct core *core, struct core_slot *slot,
                               const struct core_event *event)
{
    if (slot->life != CORE_STARTING)
        return false;
    slot->up_since = core->now;
    if (slot->kind == CORE_WORKER && core->outcome.command.kind == ENDING_NONE)
        core->outcome.never_started = event->end;
    record_end(core, slot, event);
    return true;
}

static bool record_exited(struct core *core, struct core_slot *slot, const struct core_event *event)
{
    if (!core_is_up(slot))
        return false;
    record_end(core, slot, event);
    return true;
}

static void record_orphans(struct core *core, struct core_slot *slot,
                           const struct core_event *event)
{
    /* Orphans come from everywhere: after those that were killed, others start anew. */
    bool anew = slot->life == CORE_DOWN || (event->fresh && slot->killed);
    core->orphans_known = true;
    if (!event->left || !anew)
        return;
    slot->tree_asked = slot->killed = slot->abandoned = false;
    slot->kill_at = NEVER;
    core_set_life(core, slot, CORE_TREE);
}

static bool record_tree(struct core *core, struct core_slot *slot, const struct core_event *event)
{
    if (slot->kind == CORE_ORPHANS)
        record_orphans(core, slot, event);
    else if (slot->life != CORE_TREE)
        return false;
    if (!event->left)
        core_set_life(core, slot, CORE_DOWN);
    else if (event->fresh)
        slot->tree_asked = slot->killed = false;
    return true;
}

static bool record_hold(struct core *core, struct core_slot *slot, const struct core_event *event)
{
    struct shield_table *table = core_shields(core);
    uint32_t capacity = core->config.shield_capacity;
    bool up = slot->kind == CORE_WORKER && slot->life == CORE_UP && !slot->killed;
    if (!up || core->now >= core->cap)
        return false;
    msec undated = core_undated(core, slot);
    bool held = shield_hold(table, capacity, &slot->shields, event->name, event->until);
    if (!held && shield_expire(table, &slot->shields, undated, core->now))
        held = shield_hold(table, capacity, &slot->shields, event->name, event->until);
    if (!held)
        return false;
    struct shield *newest = &table->cells[slot->shields];
    if (newest->since == 0) /* zeroed: it is fresh */
        newest->since = core->now;
    slot->shielded_until =
        msec_max(slot->shielded_until, shield_until(table, slot->shields, undated));
    return true;
}

static bool record_release(struct core *core, struct core_slot *slot,
                           const struct core_event *event)
{
    struct shield_table *table = core_shields(core);
    if (!shield_release(table, &slot->shields, event->name))
        return false;
    /* A shield that was over before this ended when it was over. */
    if (slot->shielded_until > core->now)
        slot->shielded_until =
            msec_max(core->now, shield_until(table, slot->shields, core_undated(core, slot)));
    return true;
}

static bool record_extend(struct core *core, struct core_slot *slot, const struct core_event *event)
{
    bool asked = core_is_shutdown(core) || slot->requested;
    if (slot->kind != CORE_WORKER || slot->life != CORE_UP || !asked || slot->killed)
        return false;
    slot->extended_until = msec_max(slot->extended_until, event->until);
    return true;
}

static bool record_run(struct core *core, struct core_slot *slot, const struct core_event *event)
{
    switch (event->kind) {
    case EVENT_STARTED:
        return record_started(core, slot);
    case EVENT_NOT_STARTED:
        return record_not_started(core, slot, event);
    case EVENT_EXITED:
        return record_exited(core, slot, event);
    case EVENT_TREE:
        return record_tree(core, slot, event);
    case EVENT_HOLD:
        return record_hold(core, slot, event);
    case EVENT_RELEASE:
        return record_release(core, slot, event);
    case EVENT_EXTEND:
        return record_extend(core, slot, event);
    case EVENT_ERROR:
        if (slot->life != CORE_UP)
            return false;
        record_error(core, slot, (struct ending){ENDING_EXITED, 1});
        return true;
    case EVENT_READY:
        return core_record_ready(core, slot);
    case EVENT_ALIVE:
        return core_record_alive(core, slot);
    case EVENT_FAILED:
        assert(core_why_is_failure(event->why));
        return core_fail(core, slot, event->why);
    case EVENT_BEGIN:
    case EVENT_REAPED:
    case EVENT_TRIGGER:
    case EVENT_SUBMIT:
    case EVENT_JOIN:
    case EVENT_WANT:
    case EVENT_RESTART:
    case EVENT_DRAIN:
    case EVENT_LIMIT:
    case EVENT_TIME:
        break;
    }
    return false;
}

/* ---- reports of no run ---- */

static bool is_instance(const struct core *core, uint32_t slot)
{
    return slot >= core->first_instance && slot < core->first_job;
}

/* May it be a worker's?  Not only its instances and their companions are: a job may submit one,
 * too, whose rights are its own worker's, handed on. */
static bool has_worker(const struct core *core, uint32_t slot)
{
    return slot >= core->first_companion && slot < core->slot_count;
}

static void enqueue(struct core *core, uint32_t index)
{
    if (core->queue_first == NONE)
        core->queue_first = index;
    else
        core_slot(core, core->queue_last)->next_job = index;
    core->queue_last = index;
}

static bool record_job(struct core *core, const struct core_event *event, bool runs)
{
    if ((core_is_shutdown(core) && !runs) || core->now >= core->cap || core->drained)
        return false;
    uint32_t index = core_take_job(core);
    if (index == NONE)
        return false;
    struct core_slot *slot = core_slot(core, index);
    uint32_t submitter = event->run.slot;
    core->submitted = index;
    core->jobs_present++;
    slot->next_job = NONE;
    slot->owner = has_worker(core, submitter) ? core_slot(core, submitter)->owner : NONE;
    core_renew(core, slot);
    if (runs) {
        slot->joined = true;
        slot->up_since = core->now;
        slot->spared_until = event->until;
        core_set_life(core, slot, CORE_UP);
    } else {
        enqueue(core, index);
    }
    return true;
}

static bool record_want(struct core *core, const struct core_event *event)
{
    if (!is_instance(core, event->run.slot) || core_is_shutdown(core))
        return false;
    struct core_slot *slot = core_slot(core, event->run.slot);
    slot->start_at = core->now;
    slot->retry_untold = false;
    core_forget_restarts(core, slot);
    if (core_why_is_failure((enum core_why)slot->why) && event->wanted) {
        slot->why = WHY_RESTART; /* and no failure any more: what is wanted now is a new run */
        slot->why_untold = false;
    }
    core_member(core, slot)->rest = REST_STOPPED;
    core_set_done(core, slot, false);
    core_set_wanted(core, slot, event->wanted);
    if (core_team_of(core, slot)->wanted == 0)
        core_roll(core, slot->owner)->again = false; /* who stops it last has the last word */
    return true;
}

static void record_begin(struct core *core)
{
    core->begun = true;
    for (uint32_t i = core->first_instance; i < core->first_job; i++) {
        core_slot(core, i)->start_at = core->now;
        if (core_rules_of(core, core_slot(core, i))->autostart)
            core_set_wanted(core, core_slot(core, i), true);
    }
}

static void record_time(struct core *core)
{
    uint32_t index;
    while (deadline_expired(core_deadlines(core), core->now, &index))
        if (index < core->slot_count)
            core_touch(core, core_slot(core, index));
}

/* A report about a run names the run: a slot that has gone on to another one is another matter. */
static struct core_slot *find_run(struct core *core, struct run_id run)
{
    if (run.slot >= core->slot_count || core_slot(core, run.slot)->generation != run.generation)
        return NULL;
    return core_slot(core, run.slot);
}

static bool record(struct core *core, const struct core_event *event)
{
    switch (event->kind) {
    case EVENT_BEGIN:
        record_begin(core);
        return true;
    case EVENT_TIME:
        return true;
    case EVENT_REAPED:
        core->census_due = core->census_due || core->trees > 0 || core->late;
        return true;
    case EVENT_TRIGGER:
        core_record_trigger(core, event);
        return true;
    case EVENT_SUBMIT:
        return record_job(core, event, false);
    case EVENT_JOIN:
        return record_job(core, event, true);
    case EVENT_WANT:
        return record_want(core, event);
    case EVENT_RESTART:
        return core_record_restart(core, event->worker);
    case EVENT_DRAIN:
        core->drained = event->wanted;
        return true;
    case EVENT_LIMIT:
        core->limit = event->until;
        if (core_is_shutdown(core))
            core_shorten(core);
        return true;
    case EVENT_STARTED:
    case EVENT_NOT_STARTED:
    case EVENT_EXITED:
    case EVENT_TREE:
    case EVENT_HOLD:
    case EVENT_RELEASE:
    case EVENT_EXTEND:
    case EVENT_ERROR:
    case EVENT_READY:
    case EVENT_ALIVE:
    case EVENT_FAILED:
        break;
    }
    struct core_slot *slot = find_run(core, event->run);
    if (slot == NULL)
        return false;
    bool held = slot->shields != SHIELD_NONE;
    if (!record_run(core, slot, event))
        return false;
    core_count_holders(core, slot, held);
    core_touch(core, slot);
    return true;
}

bool core_step(struct core *core, msec now, const struct core_event *event)
{
    core->now = msec_max(core->now, now);
    if (core->now >= core->cap)
        core->cap_seen = msec_min(core->cap_seen, core->now);
    record_time(core);
    if (core->phase == PHASE_CLOSED || !record(core, event))
        return false;
    core_settle_standings(core);
    /* Orphans come unreported: what a census found holds until something else happens. */
    if (event->kind != EVENT_TREE && event->kind != EVENT_TIME)
        core->orphans_known = false;
    return true;
}
