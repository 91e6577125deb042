/* What follows: facts are compared with wishes, slot by slot, and each difference is one action.
 * Read settle_slot() and core_next() first. */

#include "core/core_private.h"

#include <string.h>

bool core_act(struct core *core, const struct core_slot *slot, enum core_action_kind kind,
              struct core_action *action)
{
    memset(action, 0, sizeof *action);
    action->kind = kind;
    action->phase = core->phase;
    action->trigger = core->trigger;
    action->cause = core->cause;
    if (slot != NULL) {
        action->run = core_run(core, core_index(core, slot));
        action->end = slot->end;
        action->why = (enum core_why)slot->why;
        action->companion = (enum core_companion)slot->companion;
    }
    return true;
}

/* ---- one slot ---- */

/* Gives the error to a hook that is free; false when there is one to be, and none is. */
static bool tell_hook(struct core *core, const struct core_slot *slot)
{
    if (!core->config.has_on_error || slot->kind == CORE_HOOK)
        return true;
    for (uint32_t i = SLOT_ERRORS; i < core->first_companion; i++) {
        struct core_slot *hook = core_slot(core, i);
        if (hook->life != CORE_DOWN || hook->wanted)
            continue;
        hook->about = core_index(core, slot);
        hook->end = slot->end;
        core_set_wanted(core, hook, true);
        return true;
    }
    return false;
}

static bool tell_error(struct core *core, struct core_slot *slot, struct core_action *action)
{
    core_act(core, slot, ACTION_ERROR, action);
    action->first = slot->error_first;
    slot->error_untold = slot->error_first = false;
    action->hookless = !tell_hook(core, slot);
    if (core->config.stop_on_unhandled_errors && !core_is_shutdown(core))
        core_enter_shutdown(core, TRIGGER_ERROR, 0);
    return true;
}

static bool start(struct core *core, struct core_slot *slot, struct core_action *action)
{
    if (slot->kind != CORE_JOB) /* a job was named when it was submitted */
        core_renew(core, slot);
    if (slot->kind == CORE_HOOK) /* once */
        core_set_wanted(core, slot, false);
    if (slot->kind == CORE_WORKER)
        core_member(core, slot)->prepared = false;
    core_set_life(core, slot, CORE_STARTING);
    return core_act(core, slot, ACTION_START, action);
}

static bool drop_cleanup(struct core *core, struct core_slot *slot, struct core_action *action)
{
    core_set_cleanup_due(core, slot, false);
    core_act(core, slot, ACTION_DROP, action);
    action->companion = COMPANION_AFTER_STOP;
    return true;
}

static bool settle_companion(struct core *core, struct core_slot *slot, struct core_action *action)
{
    enum core_companion due = core_companion_due(core, slot);
    if (due == COMPANION_NONE)
        return false;
    slot->companion = (uint8_t)due;
    start(core, slot, action);
    if (due == COMPANION_AFTER_STOP) /* now that the companion is there, and counts */
        core_set_cleanup_due(core, core_slot(core, slot->about), false);
    return true;
}

static bool settle_down(struct core *core, struct core_slot *slot, struct core_action *action)
{
    if (slot->kind == CORE_COMPANION)
        return settle_companion(core, slot, action);
    bool cleans = slot->kind == CORE_WORKER && core_member(core, slot)->cleanup_due;
    if (cleans && core->now >= core->cap)
        return drop_cleanup(core, slot, action);
    if (!core_may_start(core, slot))
        return false;
    if (slot->retry_untold) {
        slot->retry_untold = false;
        core_act(core, slot, ACTION_RETRY, action);
        action->until = msec_max(slot->start_at, core->now);
        return true;
    }
    if (slot->kind == CORE_WORKER && !core_is_prepared(core, slot))
        return false;
    return core->now >= slot->start_at && start(core, slot, action);
}

static bool kill_slot(struct core *core, struct core_slot *slot, struct core_action *action)
{
    slot->killed = true;
    slot->kill_at = core->now; /* what it leaves behind is as late as it is */
    /* A handler that does not answer must not make the supervisor deaf to its signals. */
    bool mute = core_index(core, slot) == SLOT_HANDLER && slot->life == CORE_UP;
    if (mute && !core_is_shutdown(core))
        core_enter_shutdown(core, TRIGGER_SIGNAL, core->cause);
    return core_act(core, slot, ACTION_KILL, action);
}

static bool request(struct core *core, struct core_slot *slot, struct core_action *action)
{
    slot->requested = true;
    slot->asked_at = core->now;
    if (core_is_shutdown(core) && !core_why_is_failure((enum core_why)slot->why))
        slot->why = WHY_NONE; /* a renewal that the shutdown was faster than */
    /* Now shields that named no deadline have one. */
    msec until = shield_until(core_shields(core), slot->shields, core_undated(core, slot));
    slot->shielded_until = msec_min(slot->shielded_until, until);
    return core_act(core, slot, ACTION_REQUEST, action);
}

static bool stop_tree(struct core *core, struct core_slot *slot, struct core_action *action)
{
    slot->tree_asked = true;
    if (slot->life == CORE_TREE && slot->kill_at == NEVER)
        slot->kill_at = msec_add(core->now, core_tree_length(core, slot));
    return core_act(core, slot, ACTION_STOP_TREE, action);
}

static bool has_rung(const struct core *core, const struct core_slot *slot)
{
    return slot->rungs_sent < core_rules_of(core, slot)->rung_count;
}

static bool send_rung(struct core *core, struct core_slot *slot, struct core_action *action)
{
    core_act(core, slot, ACTION_SIGNAL, action);
    action->rung = slot->rungs_sent;
    slot->rung_until = msec_add(core->now, core_rung_time(core, slot, slot->rungs_sent));
    slot->rungs_sent++;
    return true;
}

static bool pass_on(struct core *core, struct core_slot *slot, struct core_action *action)
{
    core_act(core, slot, ACTION_FORWARD, action);
    action->cause = 0;
    while (!(slot->forwards >> action->cause & 1))
        action->cause++;
    slot->forwards &= slot->forwards - 1;
    return true;
}

/* Is this left alone, whatever it does? */
static bool is_left_alone(const struct core *core, const struct core_slot *slot)
{
    return slot->kind == CORE_ORPHANS && (core_orphans_stay(core) || !core_is_stopping(core, slot));
}

/* Is it a health check that nobody waits for any more?  There is no need to be gentle with it. */
static bool is_useless(const struct core *core, const struct core_slot *slot)
{
    return slot->kind == CORE_COMPANION && slot->life == CORE_UP &&
           slot->companion == COMPANION_HEALTH && core_is_moot(core, slot);
}

static bool settle_killed(struct core *core, struct core_slot *slot, struct core_action *action)
{
    if (!core_is_shutdown(core) || slot->abandoned || core->now < core_abandon_time(core, slot))
        return false;
    core_set_abandoned(core, slot);
    return core_act(core, slot, ACTION_ABANDON, action);
}

static bool settle_up(struct core *core, struct core_slot *slot, struct core_action *action)
{
    if (!slot->requested)
        return request(core, slot, action);
    if (has_rung(core, slot) && core->now >= core_rung_end(core, slot))
        return send_rung(core, slot, action);
    if (slot->forwards != 0 && !core_is_shielded(core, slot))
        return pass_on(core, slot, action);
    return !slot->tree_asked && core->now >= core_tree_time(core, slot) &&
           stop_tree(core, slot, action);
}

/* Until when who is left may leave the tree, without losing the reserve if it does not. */
static msec settling_until(const struct core *core, const struct core_slot *slot)
{
    return core->forced ? 0 : msec_min(slot->settles_at, core_tree_time(core, slot));
}

/* Nothing tells when a process leaves its session, so somebody has to look after a while. */
static bool settle_tree(struct core *core, struct core_slot *slot, struct core_action *action)
{
    if (slot->tree_asked || core->now < settling_until(core, slot))
        return false;
    if (slot->settles_at == 0)
        return stop_tree(core, slot, action);
    slot->settles_at = 0;
    core->census_due = true; /* which comes back here, if the slot still has a tree */
    return false;
}

static bool settle_present(struct core *core, struct core_slot *slot, struct core_action *action)
{
    if (slot->killed)
        return settle_killed(core, slot, action);
    if (is_left_alone(core, slot))
        return false;
    if (is_useless(core, slot)) {
        slot->requested = true;
        return kill_slot(core, slot, action);
    }
    if (core->now >= core_slot_kill_time(core, slot))
        return kill_slot(core, slot, action);
    if (!core_is_stopping(core, slot))
        return false;
    if (slot->life == CORE_TREE)
        return settle_tree(core, slot, action);
    return settle_up(core, slot, action);
}

static bool settle_slot(struct core *core, struct core_slot *slot, struct core_action *action)
{
    if (slot->kind == CORE_WORKER && core_settle_watch(core, slot, action))
        return true;
    if (slot->error_untold)
        return tell_error(core, slot, action);
    switch (slot->life) {
    case CORE_DOWN:
        return settle_down(core, slot, action);
    case CORE_STARTING:
        return false;
    case CORE_UP:
    case CORE_TREE:
        return settle_present(core, slot, action);
    }
    return false;
}

static msec present_deadline(const struct core *core, const struct core_slot *slot)
{
    if (slot->killed)
        return core_is_shutdown(core) && !slot->abandoned ? core_abandon_time(core, slot) : NEVER;
    if (is_left_alone(core, slot))
        return NEVER;
    msec when = core_slot_kill_time(core, slot);
    bool settling = !slot->tree_asked && slot->settles_at != 0 && core_is_stopping(core, slot);
    if (slot->life == CORE_TREE)
        return settling ? msec_min(when, settling_until(core, slot)) : when;
    if (slot->kind == CORE_WORKER)
        when = msec_min(when, core_watch_deadline(core, slot));
    if (!core_is_stopping(core, slot))
        return slot->kind == CORE_JOB ? msec_min(when, core_spared_until(core, slot)) : when;
    if (!slot->tree_asked)
        when = msec_min(when, core_tree_time(core, slot));
    if (has_rung(core, slot))
        when = msec_min(when, core_rung_end(core, slot));
    if (slot->forwards != 0)
        when = msec_min(when, slot->shielded_until);
    return when;
}

/* What waits for something else than time is looked at when that comes. */
static msec down_deadline(const struct core *core, const struct core_slot *slot)
{
    if (slot->kind == CORE_COMPANION)
        return core_companion_deadline(core, slot);
    if (slot->kind == CORE_WORKER && core_member(core, slot)->cleanup_due)
        return core->cap;
    if (slot->kind == CORE_WORKER && core_has_busy_companion(core, slot))
        return NEVER;
    return core_may_start(core, slot) && slot->start_at > core->now ? slot->start_at : NEVER;
}

/* When a slot in which nothing is to be done now is to be looked at again. */
static msec slot_deadline(const struct core *core, const struct core_slot *slot)
{
    switch (slot->life) {
    case CORE_DOWN:
        return down_deadline(core, slot);
    case CORE_STARTING:
        return NEVER;
    case CORE_UP:
    case CORE_TREE:
        return present_deadline(core, slot);
    }
    return NEVER;
}

/* ---- the whole ---- */

/* Starts the next queued job, or drops it when its turn will not come any more. */
static bool settle_queue(struct core *core, struct core_action *action)
{
    uint32_t index = core->queue_first;
    bool over = core->forced || core->now >= core->cap;
    if (index == NONE || (!over && core->jobs_running >= core->config.job_workers))
        return false;
    struct core_slot *slot = core_slot(core, index);
    core->queue_first = slot->next_job;
    slot->next_job = NONE;
    if (!over)
        return start(core, slot, action);
    core_free_job(core, slot);
    return core_act(core, slot, ACTION_DROP, action);
}

/* Looks at the next slot that may have something to do. */
static bool settle_next(struct core *core, struct core_action *action)
{
    uint32_t index = core->dirty_first;
    struct core_slot *slot = core_slot(core, index);
    if (settle_slot(core, slot, action))
        return true; /* and looked at again: there may be more */
    core->dirty_first = slot->next_dirty;
    slot->dirty = false;
    deadline_set(core_deadlines(core), index, slot_deadline(core, slot));
    struct core_slot *companion = slot->kind == CORE_WORKER ? core_companion_of(core, slot) : NULL;
    if (companion != NULL)
        core_touch(core, companion);
    return false;
}

bool core_next(struct core *core, struct core_action *action)
{
    for (;;) {
        if (core_settle_phase(core, action))
            return true;
        if (core->phase == PHASE_CLOSED)
            return false;
        if (settle_queue(core, action))
            return true;
        if (core_settle_steps(core) || core->census_due)
            continue;
        if (core_settle_teams(core, action))
            return true;
        if (core->dirty_first == NONE)
            break;
        if (settle_next(core, action))
            return true;
    }
    if (core_settle_all_ready(core, action))
        return true;
    deadline_set(core_deadlines(core), core->slot_limit, core_phase_deadline(core));
    return false;
}
