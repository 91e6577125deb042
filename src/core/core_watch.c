/* Readiness, and what a run fails of: its time to get ready, its watchdog, its health.  And its
 * age, which is no failure. */

#include "core/core_private.h"

bool core_why_is_failure(enum core_why why)
{
    switch (why) {
    case WHY_READY:
    case WHY_WATCHDOG:
    case WHY_HEALTH:
        return true;
    case WHY_NONE:
    case WHY_AGE:
    case WHY_RESTART:
        break;
    }
    return false;
}

bool core_is_replaced(const struct core_slot *slot)
{
    return slot->why != WHY_NONE;
}

bool core_is_watched(const struct core *core, const struct core_slot *slot)
{
    return slot->kind == CORE_WORKER && slot->life == CORE_UP && !slot->requested &&
           !core_is_replaced(slot) && core_member(core, slot)->wished && !core_is_shutdown(core);
}

/* ---- facts ---- */

static void restart_watchdog(struct core *core, struct core_slot *slot)
{
    msec watchdog = core_rules_of(core, slot)->watchdog;
    if (watchdog > 0)
        core_watch_of(core, slot)->alive_until = msec_add(core->now, watchdog);
}

static void restart_health(struct core *core, struct core_slot *slot)
{
    const struct core_rules *rules = core_rules_of(core, slot);
    struct core_watch *watch = core_watch_of(core, slot);
    if (!rules->has_health)
        return;
    watch->health_at = msec_add(core->now, rules->health_interval);
    watch->misses = 0;
}

void core_set_ready(struct core *core, struct core_slot *slot)
{
    struct core_team *team = core_team_of(core, slot);
    slot->ready = slot->ready_untold = true;
    restart_watchdog(core, slot);
    restart_health(core, slot);
    core_touch(core, slot); /* it is told before those start that have waited for it */
    core_set_awaited(core, slot, false);
    if (core_roll_of(core, team)->turn == core_index(core, slot))
        core_list_team(core, team);
}

bool core_record_ready(struct core *core, struct core_slot *slot)
{
    bool open = slot->kind == CORE_WORKER && slot->life == CORE_UP && !slot->requested;
    bool replaced = core_is_replaced(slot) && !core_is_shutdown(core);
    if (!open || replaced || slot->ready)
        return false;
    core_set_ready(core, slot);
    return true;
}

bool core_record_alive(struct core *core, struct core_slot *slot)
{
    if (slot->kind != CORE_WORKER || slot->life != CORE_UP)
        return false;
    if (slot->ready)
        restart_watchdog(core, slot);
    return true;
}

bool core_fail(struct core *core, struct core_slot *slot, enum core_why why)
{
    if (!core_is_watched(core, slot))
        return false;
    slot->why = (uint8_t)why;
    slot->why_untold = true;
    core_touch(core, slot);
    return true;
}

/* ---- what follows ---- */

/* When it fails of not being ready. */
static msec ready_limit(const struct core *core, const struct core_slot *slot)
{
    return slot->ready ? NEVER : msec_add(slot->up_since, core_rules_of(core, slot)->ready_timeout);
}

static msec alive_limit(const struct core *core, const struct core_slot *slot)
{
    bool watched = slot->ready && core_rules_of(core, slot)->watchdog > 0;
    return watched ? core_watch_of(core, slot)->alive_until : NEVER;
}

/* When it has its age; who is in line for that waits for a turn, not for time. */
static msec age_limit(const struct core *core, const struct core_slot *slot)
{
    msec max_age = core_rules_of(core, slot)->max_age;
    bool ages = max_age > 0 && !core_watch_of(core, slot)->in_line;
    return ages ? msec_add(slot->up_since, max_age) : NEVER;
}

static void look_at(struct core *core, struct core_slot *slot)
{
    if (core->now >= ready_limit(core, slot))
        core_fail(core, slot, WHY_READY);
    else if (core->now >= alive_limit(core, slot))
        core_fail(core, slot, WHY_WATCHDOG);
    else if (core->now >= age_limit(core, slot))
        core_line_up(core, slot);
}

bool core_settle_watch(struct core *core, struct core_slot *slot, struct core_action *action)
{
    struct core_member *member = core_member(core, slot);
    if (core_is_watched(core, slot))
        look_at(core, slot);
    if (slot->why_untold) {
        slot->why_untold = false;
        return core_act(core, slot, ACTION_FAILED, action);
    }
    if (slot->ready_untold) {
        slot->ready_untold = false;
        return core_act(core, slot, ACTION_READY, action);
    }
    if (member->held_untold && !core_is_shutdown(core)) {
        member->held_untold = false;
        return core_act(core, slot, ACTION_HELD, action);
    }
    return false;
}

msec core_watch_deadline(const struct core *core, const struct core_slot *slot)
{
    if (!core_is_watched(core, slot))
        return NEVER;
    msec when = msec_min(ready_limit(core, slot), alive_limit(core, slot));
    return msec_min(when, age_limit(core, slot));
}
