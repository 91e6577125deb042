/* Renewals: runs that have their age, and rolls.  Of one worker one instance at a time has its
 * turn, until it is ready again. */

#include "core/core_private.h"

static uint32_t instances(const struct core *core, const struct core_team *team)
{
    return core->config.workers[team - core_teams(core)].instances;
}

/* Does a new run of it serve, or the one that was spared? */
static bool is_renewed(const struct core_slot *slot)
{
    return slot->life == CORE_UP && slot->ready && !slot->requested && !slot->why;
}

static void renew(struct core_slot *slot, enum core_why why)
{
    slot->why = (uint8_t)why;
}

/* ---- ages ---- */

void core_line_up(struct core *core, struct core_slot *slot)
{
    struct core_roll *roll = core_roll(core, slot->owner);
    struct core_watch *watch = core_watch_of(core, slot);
    uint32_t index = core_index(core, slot);
    watch->in_line = true;
    watch->next_due = 0;
    if (roll->due_first == 0)
        roll->due_first = index;
    else
        core_watch_of(core, core_slot(core, roll->due_last))->next_due = index;
    roll->due_last = index;
    core_list_team(core, core_team_of(core, slot));
}

static bool has_its_age(const struct core *core, const struct core_slot *slot)
{
    msec max_age = core->config.workers[slot->owner].rules->max_age;
    return core_is_watched(core, slot) && core->now >= msec_add(slot->up_since, max_age);
}

/* Who was restarted while it waited is passed over. */
static void take_from_line(struct core *core, struct core_roll *roll)
{
    while (roll->turn == 0 && roll->due_first != 0) {
        uint32_t index = roll->due_first;
        struct core_slot *slot = core_slot(core, index);
        struct core_watch *watch = core_watch_of(core, slot);
        roll->due_first = watch->next_due;
        watch->in_line = false;
        core_touch(core, slot);
        if (!has_its_age(core, slot))
            continue;
        roll->turn = index;
        renew(slot, WHY_AGE);
    }
}

/* ---- rolls ---- */

bool core_was_restarted(const struct core_watch *watch)
{
    return watch->history.delay > 0 || watch->history.window_count > 0;
}

void core_forget_restarts(struct core *core, struct core_slot *slot)
{
    struct core_watch *watch = core_watch_of(core, slot);
    if (core_was_restarted(watch))
        watch->history = (struct policy_history){0};
}

/* A start that somebody asks for waits for no delay, and counts for no limit. */
static void start_anew(struct core *core, struct core_slot *slot)
{
    slot->start_at = core->now;
    slot->retry_untold = false;
    core_forget_restarts(core, slot);
    core_touch(core, slot);
}

static void begin_roll(struct core *core, struct core_team *team)
{
    struct core_roll *roll = core_roll_of(core, team);
    roll->rolling = true;
    roll->next = 0;
    roll->began_at = core->now;
    roll->fresh = team->present == 0 || team->wanted == 0;
    for (uint32_t n = 0; roll->fresh && n < instances(core, team); n++) {
        struct core_slot *slot = core_slot(core, team->first + n);
        start_anew(core, slot);
        core_set_done(core, slot, false);
        core_set_wanted(core, slot, true);
        if (core_is_watched(core, slot)) /* it was to stop, and was not asked yet */
            renew(slot, WHY_RESTART);
    }
    core_list_team(core, team);
}

bool core_record_restart(struct core *core, uint32_t worker)
{
    if (!core->begun || core_is_shutdown(core) || worker >= core->config.worker_count)
        return false;
    struct core_roll *roll = core_roll(core, worker);
    if (roll->rolling || roll->untold)
        roll->again = true;
    else
        begin_roll(core, &core_teams(core)[worker]);
    return true;
}

static void end_roll(struct core_roll *roll, bool ok)
{
    roll->rolling = false;
    roll->untold = true;
    roll->ok = ok;
}

bool core_is_rolling(const struct core *core, uint32_t worker)
{
    const struct core_roll *roll = core_roll(core, worker);
    return roll->rolling || roll->untold || roll->again;
}

/* The roll comes to the next instance. */
static void roll_on(struct core *core, struct core_team *team)
{
    struct core_roll *roll = core_roll_of(core, team);
    while (roll->rolling && roll->turn == 0) {
        if (roll->next == instances(core, team)) {
            end_roll(roll, true);
            return;
        }
        struct core_slot *slot = core_slot(core, team->first + roll->next++);
        if (!slot->wanted)
            continue;
        roll->turn = core_index(core, slot);
        bool is_new = roll->fresh || slot->up_since > roll->began_at;
        if (core_is_watched(core, slot) && !is_new)
            renew(slot, WHY_RESTART);
        core_touch(core, slot);
        core_list_team(core, team);
        return;
    }
}

/* ---- whose turn it is ---- */

static void settle_turn(struct core *core, struct core_roll *roll)
{
    const struct core_slot *slot = core_slot(core, roll->turn);
    bool lost = !core_member(core, slot)->wished;
    if (!lost && !is_renewed(slot))
        return;
    roll->turn = 0;
    if (lost && roll->rolling)
        end_roll(roll, false);
}

bool core_settle_renewals(struct core *core, struct core_team *team, struct core_action *action)
{
    struct core_roll *roll = core_roll_of(core, team);
    if (core_is_shutdown(core))
        return false;
    if (roll->turn != 0)
        settle_turn(core, roll);
    if (roll->turn == 0)
        roll_on(core, team);
    if (roll->untold) {
        roll->untold = false;
        core_act(core, NULL, ACTION_ROLLED, action);
        action->worker = (uint32_t)(team - core_teams(core));
        action->ok = roll->ok;
        if (roll->again)
            begin_roll(core, team);
        roll->again = false;
        return true;
    }
    take_from_line(core, roll);
    return false;
}
