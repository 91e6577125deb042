#include "core/core_private.h"

/* ---- is it? ---- */

const struct core_worker *core_worker_of(const struct core *core, const struct core_slot *slot)
{
    static const struct core_rules rules = {
        .rung_count = 1, .rung_time = {10 * SECOND}, .shield_timeout = NEVER};
    static const struct core_worker plain = {.rules = &rules};
    bool owned = slot->kind == CORE_WORKER || slot->kind == CORE_JOB;
    return owned && slot->owner < core->config.worker_count ? &core->config.workers[slot->owner]
                                                            : &plain;
}

bool core_is_shutdown(const struct core *core)
{
    return core->phase != PHASE_RUNNING;
}

bool core_is_up(const struct core_slot *slot)
{
    return slot->life == CORE_STARTING || slot->life == CORE_UP;
}

bool core_is_present(const struct core_slot *slot)
{
    return slot->life != CORE_DOWN && !slot->abandoned;
}

bool core_is_shielded(const struct core *core, const struct core_slot *slot)
{
    return !slot->shields_overruled && slot->shielded_until > core->now;
}

bool core_is_busy(const struct core_slot *hook)
{
    return hook->wanted || (core_is_up(hook) && !hook->killed);
}

bool core_may_start(const struct core *core, const struct core_slot *slot)
{
    if (slot->kind != CORE_WORKER)
        return slot->wanted;
    bool wished = core->begun && core_member(core, slot)->wished;
    return wished && !core_is_shutdown(core) && !core_is_blocked(core, slot);
}

bool core_orphans_stay(const struct core *core)
{
    const struct ending *end = &core->outcome.command;
    if (core->config.orphans == CORE_ORPHANS_LEAVE)
        return true;
    return core->config.daemons_stay && core->trigger == TRIGGER_NOTHING_LEFT &&
           end->kind == ENDING_EXITED && end->value == 0;
}

bool core_is_stopping(const struct core *core, const struct core_slot *slot)
{
    if (slot->requested)
        return true;
    switch (slot->kind) {
    case CORE_ORPHANS:
        return (core->phase == PHASE_ORPHANS || core->late) && !core_orphans_stay(core);
    case CORE_HOOK:
        return slot->life == CORE_TREE;
    case CORE_COMPANION:
        return slot->life == CORE_TREE || core_is_moot(core, slot);
    case CORE_JOB:
        return slot->life == CORE_TREE || core->now >= core_spared_until(core, slot);
    case CORE_WORKER:
        if (core->phase >= PHASE_CANCEL)
            return core_worker_of(core, slot)->wave >= core->wave_open;
        /* Between the trigger and the stop requests the callback comes first. */
        if (core_is_shutdown(core))
            return false;
        if (slot->life == CORE_TREE || core_is_replaced(slot))
            return true;
        return !core_member(core, slot)->wished && !core_is_in_use(core, slot);
    }
    return false;
}

/* ---- when? ---- */

msec core_rung_time(const struct core *core, const struct core_slot *slot, uint32_t rung)
{
    /* NEVER means what the cap leaves.  A stop outside a shutdown has a cap of its own so. */
    return msec_min(core_rules_of(core, slot)->rung_time[rung], core->config.timeout);
}

/* What the ladder takes from this rung on. */
static msec ladder_rest(const struct core *core, const struct core_slot *slot, uint32_t rung)
{
    msec rest = 0;
    for (uint32_t i = rung; i < core_rules_of(core, slot)->rung_count; i++)
        rest = msec_add(rest, core_rung_time(core, slot, i));
    return rest;
}

msec core_tree_length(const struct core *core, const struct core_slot *slot)
{
    bool has_ladder = slot->kind == CORE_WORKER || slot->kind == CORE_JOB;
    return has_ladder ? ladder_rest(core, slot, 0)
                      : msec_min(core->config.orphan_time, core->config.timeout);
}

/* Each wave that is asked later keeps its reserve. */
msec core_wave_limit(const struct core *core, uint32_t wave)
{
    return msec_before(core->cap, core->reserve * (msec)wave);
}

/* The latest moment of a slot, whatever its own clocks say; the cap is NEVER before a shutdown. */
static msec limit_of(const struct core *core, const struct core_slot *slot)
{
    if (slot->kind != CORE_WORKER)
        return core->cap;
    return core_wave_limit(core, core_worker_of(core, slot)->wave);
}

/* The time between the stop request to a tree and its KILL, at least. */
static msec tree_reserve(const struct core *core, const struct core_slot *slot)
{
    return msec_min(core->reserve, core_tree_length(core, slot) / 2);
}

msec core_rung_end(const struct core *core, const struct core_slot *slot)
{
    msec end = slot->rung_until;
    if (slot->rungs_sent > 0) {
        /* This rung grows until the ladder's end is as far away as was asked for. */
        msec rest = ladder_rest(core, slot, slot->rungs_sent);
        end = msec_max(end, slot->extended_until == NEVER ? NEVER : slot->extended_until - rest);
    }
    return slot->shields_overruled ? end : msec_max(end, slot->shielded_until);
}

/* When the ladder ends in KILL.  Who held a shield meanwhile still gets the reserve after it. */
static msec ladder_end(const struct core *core, const struct core_slot *slot)
{
    msec end = core_rung_end(core, slot);
    if (slot->rungs_sent < core_rules_of(core, slot)->rung_count)
        end = msec_max(end, core->now); /* who comes late does not skip a rung */
    end = msec_add(end, ladder_rest(core, slot, slot->rungs_sent));
    if (slot->shields_overruled)
        return end;
    return msec_max(end, msec_add(slot->shielded_until, tree_reserve(core, slot)));
}

msec core_slot_kill_time(const struct core *core, const struct core_slot *slot)
{
    msec own = slot->kill_at;
    if (slot->life == CORE_UP && slot->rungs_sent > 0)
        own = msec_min(own, ladder_end(core, slot));
    return msec_min(own, limit_of(core, slot));
}

msec core_slot_planned_end(const struct core *core, const struct core_slot *slot)
{
    bool asked = slot->life == CORE_UP && slot->requested;
    msec end = core_slot_kill_time(core, slot);
    return asked ? msec_min(end, ladder_end(core, slot)) : end;
}

msec core_run_time(const struct core *core, const struct core_slot *slot)
{
    msec cap = core->config.timeout;
    bool is_callback = slot->kind == CORE_HOOK && slot->owner == HOOK_CALLBACK;
    if (slot->kind == CORE_COMPANION && slot->companion == COMPANION_HEALTH)
        return msec_min(cap, core->config.workers[slot->owner].rules->health_timeout);
    if (is_callback)
        return core->length == NEVER ? NEVER : core->length / 4;
    return slot->kind == CORE_HOOK || slot->kind == CORE_COMPANION ? cap : NEVER;
}

msec core_tree_time(const struct core *core, const struct core_slot *slot)
{
    return msec_before(core_slot_kill_time(core, slot), tree_reserve(core, slot));
}

msec core_abandon_time(const struct core *core, const struct core_slot *slot)
{
    return msec_add(msec_min(slot->kill_at, core->cap_seen), ABANDON_AFTER);
}

msec core_spared_until(const struct core *core, const struct core_slot *slot)
{
    if (!core_is_shutdown(core))
        return NEVER;
    if (slot->spared_until != SHIELD_UNDATED)
        return slot->spared_until;
    return msec_add(core->entered_at, core_rules_of(core, slot)->shield_timeout);
}

msec core_undated(const struct core *core, const struct core_slot *slot)
{
    if (!slot->requested)
        return NEVER;
    return msec_add(slot->asked_at, core_rules_of(core, slot)->shield_timeout);
}

/* ---- changes ---- */

void core_touch(struct core *core, struct core_slot *slot)
{
    if (slot->dirty)
        return;
    slot->dirty = true;
    slot->next_dirty = NONE;
    uint32_t index = core_index(core, slot);
    if (core->dirty_first == NONE)
        core->dirty_first = index;
    else
        core_slot(core, core->dirty_last)->next_dirty = index;
    core->dirty_last = index;
}

void core_touch_range(struct core *core, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        core_touch(core, core_slot(core, i));
}

void core_count_presence(struct core *core, const struct core_slot *slot, uint32_t change)
{
    switch (slot->kind) {
    case CORE_ORPHANS:
    case CORE_JOB: /* counted from the submission on */
        break;
    case CORE_HOOK:
        core->hooks_present += change;
        break;
    case CORE_WORKER:
    case CORE_COMPANION:
        core->workers_present += change;
        core_waves(core)[core->config.workers[slot->owner].wave].present += change;
        core_count_team(core, core_team_of(core, slot), change);
        break;
    }
}

void core_count_holders(struct core *core, const struct core_slot *slot, bool held)
{
    core->holders += (uint32_t)(slot->shields != SHIELD_NONE) - (uint32_t)held;
}

void core_init_slot(struct core_slot *slot, enum core_kind kind, uint32_t owner)
{
    slot->kind = kind;
    slot->owner = owner;
    slot->shields = SHIELD_NONE;
    slot->kill_at = NEVER;
    slot->next_dirty = NONE;
    slot->next_job = NONE;
}

uint32_t core_take_job(struct core *core)
{
    uint32_t index = core->job_free;
    if (index != NONE) {
        core->job_free = core_slot(core, index)->next_job;
    } else if (core->slot_count < core->slot_limit) {
        index = core->slot_count++;
        core_init_slot(core_slot(core, index), CORE_JOB, NONE);
        core_slot(core, index)->generation = core->generation_floor;
    }
    return index;
}

void core_free_job(struct core *core, struct core_slot *slot)
{
    slot->next_job = core->job_free;
    core->job_free = core_index(core, slot);
    if (!slot->abandoned)
        core->jobs_present--;
}

/* Is it a worker's, and one to run on for? */
static bool counts(const struct core *core, const struct core_slot *slot)
{
    return slot->kind == CORE_WORKER && !core->config.workers[slot->owner].attends;
}

void core_set_life(struct core *core, struct core_slot *slot, enum core_life life)
{
    bool was_present = core_is_present(slot);
    bool was_up = core_is_up(slot);
    bool was_tree = slot->life == CORE_TREE;
    bool ends = slot->life != CORE_DOWN && life == CORE_DOWN;
    if (slot->kind == CORE_WORKER && ends && !slot->abandoned) /* before it is not there any more */
        core_set_cleanup_due(core, slot, core->config.workers[slot->owner].rules->has_after_stop);
    slot->life = life;
    if (core_is_present(slot) != was_present)
        core_count_presence(core, slot, was_present ? (uint32_t)-1 : 1);
    uint32_t change = (uint32_t)core_is_up(slot) - (uint32_t)was_up;
    if (counts(core, slot))
        core->workers_up += change;
    if (slot->kind == CORE_JOB && !slot->joined)
        core->jobs_running += change;
    if (slot->kind != CORE_ORPHANS)
        core->trees += (uint32_t)(life == CORE_TREE) - (uint32_t)was_tree;
    if (slot->kind == CORE_JOB && life == CORE_DOWN)
        core_free_job(core, slot);
    if (slot->kind == CORE_COMPANION)
        core_touch(core, core_slot(core, slot->about));
    core_touch(core, slot);
}

void core_set_wanted(struct core *core, struct core_slot *slot, bool wanted)
{
    if (slot->kind == CORE_WORKER) {
        core_set_instance_wanted(core, slot, wanted);
        return;
    }
    slot->wanted = wanted;
    core_touch(core, slot);
}

void core_set_abandoned(struct core *core, struct core_slot *slot)
{
    if (slot->kind == CORE_JOB)
        core->jobs_present--;
    core_count_presence(core, slot, (uint32_t)-1);
    slot->abandoned = true;
    /* Its end was asked for, and has not come: that must not look like one. */
    bool runs = slot->kind == CORE_WORKER && slot->life == CORE_UP;
    if (runs && core->outcome.first_error.kind == ENDING_NONE)
        core->outcome.first_error = (struct ending){ENDING_EXITED, STATUS_OWN_FAILURE};
}

void core_renew(struct core *core, struct core_slot *slot)
{
    slot->generation++;
    slot->requested = slot->tree_asked = slot->killed = slot->abandoned = false;
    slot->shields_overruled = slot->joined = slot->ready = slot->ready_untold = false;
    slot->why = WHY_NONE;
    slot->rungs_sent = 0;
    slot->rung_until = slot->shielded_until = slot->extended_until = 0;
    slot->spared_until = NEVER;
    slot->kill_at = msec_add(core->now, core_run_time(core, slot));
    slot->forwards = 0;
}

/* Everything goes on as if the timeout had been so short, but what was done already. */
void core_shorten(struct core *core)
{
    struct core_slot *callback = core_slot(core, SLOT_CALLBACK);
    if (core->limit >= core->cap)
        return;
    core->cap = msec_max(core->limit, core->now);
    core->length = core->cap - core->entered_at;
    core->reserve = policy_reserve(core->length, core->wave_count);
    core->drained_at = msec_min(core->drained_at, core->entered_at + core->length / 2);
    if (core_is_up(callback) && !callback->killed)
        callback->kill_at = msec_min(callback->kill_at, core->entered_at + core->length / 4);
    core_touch_range(core, 0, core->slot_count);
}

void core_enter_shutdown(struct core *core, enum core_trigger trigger, int cause)
{
    core->phase = PHASE_ENTERED;
    core->trigger = trigger;
    core->cause = cause;
    core->causes = trigger == TRIGGER_SIGNAL ? (uint64_t)1 << cause : 0;
    core->entered_at = core->effect_at = core->now;
    core->cap = msec_add(core->now, core->config.timeout);
    core_shorten(core);
    core_set_wanted(core, core_slot(core, SLOT_HANDLER), false); /* too late to ask it */
    core_set_wanted(core, core_slot(core, SLOT_CALLBACK), core->config.has_callback);
    core_touch_range(core, 0, core->slot_count);
}
