/* Renewals: runs that have their age, and rolls.  Of one worker one instance at a time has its
 * turn, until it is ready again. */

#include "core/core_private.h"

#include <string.h>

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
    struct core_team *team = core_team_of(core, slot);
    struct core_member *member = core_member(core, slot);
    uint32_t index = core_index(core, slot);
    member->in_line = true;
    member->next_due = NONE;
    if (team->due_first == NONE)
        team->due_first = index;
    else
        core_member(core, core_slot(core, team->due_last))->next_due = index;
    team->due_last = index;
    core_list_team(core, team);
}

static bool has_its_age(const struct core *core, const struct core_slot *slot)
{
    msec max_age = core->config.workers[slot->owner].rules->max_age;
    return core_is_watched(core, slot) && core->now >= msec_add(slot->up_since, max_age);
}

/* Who was restarted while it waited is passed over. */
static void take_from_line(struct core *core, struct core_team *team)
{
    while (team->turn == NONE && team->due_first != NONE) {
        uint32_t index = team->due_first;
        struct core_slot *slot = core_slot(core, index);
        struct core_member *member = core_member(core, slot);
        team->due_first = member->next_due;
        member->in_line = false;
        core_touch(core, slot);
        if (!has_its_age(core, slot))
            continue;
        team->turn = index;
        renew(slot, WHY_AGE);
    }
}

/* ---- rolls ---- */

/* A start that somebody asks for waits for no delay, and counts for no limit. */
static void start_anew(struct core *core, struct core_slot *slot)
{
    slot->start_at = core->now;
    slot->retry_untold = false;
    memset(&slot->history, 0, sizeof slot->history);
    core_touch(core, slot);
}

static void begin_roll(struct core *core, struct core_team *team)
{
    team->rolling = true;
    team->roll_next = 0;
    team->rolled_at = core->now;
    team->roll_fresh = team->present == 0 || team->wanted == 0;
    for (uint32_t n = 0; team->roll_fresh && n < instances(core, team); n++) {
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
    struct core_team *team = &core_teams(core)[worker];
    if (team->rolling || team->rolled_untold)
        team->roll_again = true;
    else
        begin_roll(core, team);
    return true;
}

static void end_roll(struct core_team *team, bool ok)
{
    team->rolling = false;
    team->rolled_untold = true;
    team->rolled_ok = ok;
}

bool core_is_rolling(const struct core *core, uint32_t worker)
{
    const struct core_team *team = &core_teams(core)[worker];
    return team->rolling || team->rolled_untold || team->roll_again;
}

/* The roll comes to the next instance. */
static void roll_on(struct core *core, struct core_team *team)
{
    while (team->rolling && team->turn == NONE) {
        if (team->roll_next == instances(core, team)) {
            end_roll(team, true);
            return;
        }
        struct core_slot *slot = core_slot(core, team->first + team->roll_next++);
        if (!slot->wanted)
            continue;
        team->turn = core_index(core, slot);
        bool is_new = team->roll_fresh || slot->up_since > team->rolled_at;
        if (core_is_watched(core, slot) && !is_new)
            renew(slot, WHY_RESTART);
        core_touch(core, slot);
        core_list_team(core, team);
        return;
    }
}

/* ---- whose turn it is ---- */

static void settle_turn(struct core *core, struct core_team *team)
{
    const struct core_slot *slot = core_slot(core, team->turn);
    bool lost = !core_member(core, slot)->wished;
    if (!lost && !is_renewed(slot))
        return;
    team->turn = NONE;
    if (lost && team->rolling)
        end_roll(team, false);
}

bool core_settle_renewals(struct core *core, struct core_team *team, struct core_action *action)
{
    if (core_is_shutdown(core))
        return false;
    if (team->turn != NONE)
        settle_turn(core, team);
    if (team->turn == NONE)
        roll_on(core, team);
    if (team->rolled_untold) {
        team->rolled_untold = false;
        core_act(core, NULL, ACTION_ROLLED, action);
        action->worker = (uint32_t)(team - core_teams(core));
        action->ok = team->rolled_ok;
        if (team->roll_again)
            begin_roll(core, team);
        team->roll_again = false;
        return true;
    }
    take_from_line(core, team);
    return false;
}
