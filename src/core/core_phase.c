/* What follows for the whole: the shutdown goes from phase to phase, and what is to be said of all
 * is said.  Read core_settle_steps() first. */

#include "core/core_private.h"

/* Asks the next wave when those above it are gone or out of time. */
static bool settle_waves(struct core *core)
{
    uint32_t open = core->wave_open;
    if (open == 0)
        return false;
    bool first = open == core->wave_count;
    bool gone = !first && core_waves(core)[open].present == 0;
    bool over = !first && core->now >= core_wave_limit(core, open);
    if (!first && !gone && !over && !core->forced)
        return false;
    core->wave_open = open - 1;
    struct core_wave *next = &core_waves(core)[open - 1];
    core_touch_range(core, next->first, next->end);
    return true;
}

/* Nobody runs, and nobody will. */
static bool is_work_done(const struct core *core)
{
    return core->begun && core->workers_wanted == 0 && core->workers_up == 0 &&
           (core->config.launcher || core->jobs_present == 0);
}

static bool is_all_gone(const struct core *core)
{
    return core->workers_present == 0 && core->jobs_present == 0 && core->hooks_present == 0 &&
           core->dirty_first == NONE;
}

static bool is_drain_over(const struct core *core)
{
    bool hurried = core->forced || (core->trigger == TRIGGER_SIGNAL && core->keyboard);
    return hurried || core->workers_present == 0 || core->now >= core->drained_at;
}

/* Asks for a census when who is left is not known. */
static bool are_orphans_gone(struct core *core)
{
    core->census_due = core->census_due || !core->orphans_known;
    return !core->census_due && !core_is_present(core_slot(core, SLOT_ORPHANS));
}

static void begin_orphans(struct core *core)
{
    core->phase = core_orphans_stay(core) ? PHASE_CLOSED : PHASE_ORPHANS;
    core->orphans_known = false;
    core_touch(core, core_slot(core, SLOT_ORPHANS));
}

static msec late_time(const struct core *core)
{
    return msec_before(core->cap, core->reserve);
}

/* From now on orphans have no more than the reserve, runs or no runs. */
static void begin_late(struct core *core)
{
    core->late = core->census_due = true;
    core_touch(core, core_slot(core, SLOT_ORPHANS));
}

static bool settle_running(struct core *core)
{
    if (core->config.forever || !is_work_done(core))
        return false;
    if (core->config.orphans == CORE_ORPHANS_WAIT && !are_orphans_gone(core))
        return false;
    core_enter_shutdown(core, TRIGGER_NOTHING_LEFT, 0);
    return true;
}

static bool settle_cancel(struct core *core)
{
    if (settle_waves(core))
        return true;
    if (core->wave_open > 0 || !is_all_gone(core))
        return false;
    begin_orphans(core);
    return true;
}

bool core_settle_steps(struct core *core)
{
    if (!core->late && core->now >= late_time(core)) {
        begin_late(core);
        return true;
    }
    switch (core->phase) {
    case PHASE_RUNNING:
        return settle_running(core);
    case PHASE_ENTERED:
        if (core_is_busy(core_slot(core, SLOT_CALLBACK)))
            return false;
        core->phase = PHASE_DRAIN;
        /* A limit may have set it already: most of what it leaves may be over. */
        core->drained_at =
            msec_min(core->drained_at,
                     msec_add(core->now, msec_min(core->config.drain_delay, core->length / 4)));
        return true;
    case PHASE_DRAIN:
        if (!is_drain_over(core))
            return false;
        core->phase = PHASE_CANCEL;
        core->notice_at = core->now + NOTICE_AFTER;
        core_touch_range(core, 0, core->slot_count);
        return true;
    case PHASE_CANCEL:
        return settle_cancel(core);
    case PHASE_ORPHANS:
        if (!is_all_gone(core) || !are_orphans_gone(core))
            return false;
        core->phase = PHASE_CLOSED;
        return true;
    case PHASE_CLOSED:
        return false;
    }
    return false;
}

bool core_settle_phase(struct core *core, struct core_action *action)
{
    if (core->phase_told < core->phase) {
        core->phase_told++;
        core_act(core, NULL, ACTION_PHASE, action);
        action->phase = core->phase_told;
        return true;
    }
    if (core->phase == PHASE_CLOSED) {
        if (core->exit_told)
            return false;
        core->exit_told = true;
        core_act(core, NULL, ACTION_EXIT, action);
        action->end = policy_outcome(&core->outcome);
        return true;
    }
    if (core->forced_untold) {
        core->forced_untold = false;
        return core_act(core, NULL, ACTION_FORCED, action);
    }
    if (core->census_due) {
        core->census_due = false;
        return core_act(core, NULL, ACTION_CENSUS, action);
    }
    if (core->now >= core->notice_at) {
        core->notice_at = NEVER;
        return core_act(core, NULL, ACTION_WAITING, action);
    }
    return false;
}

msec core_phase_deadline(const struct core *core)
{
    msec when = core->notice_at;
    if (core->phase == PHASE_DRAIN)
        when = msec_min(when, core->drained_at);
    if (!core->late)
        when = msec_min(when, late_time(core));
    if (core->phase == PHASE_CANCEL && core->wave_open > 0)
        when = msec_min(when, core_wave_limit(core, core->wave_open));
    if (core->queue_first != NONE)
        when = msec_min(when, core->cap);
    return when;
}

bool core_settle_all_ready(struct core *core, struct core_action *action)
{
    bool lasts = core->config.forever || !is_work_done(core);
    if (core->all_ready_told || !core->begun || core_is_shutdown(core) || core->awaited > 0 ||
        !lasts)
        return false;
    core->all_ready_told = true;
    return core_act(core, NULL, ACTION_ALL_READY, action);
}
