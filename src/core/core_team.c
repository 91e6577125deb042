/* Who waits for whom: the instances of a worker together, and workers among each other.  A change
 * is counted where it happens and passed on to those that it concerns, so that nobody searches. */

#include "core/core_private.h"

static uint32_t team_index(const struct core *core, const struct core_team *team)
{
    return (uint32_t)(team - core_teams(core));
}

static const struct core_worker *worker_of(const struct core *core, const struct core_team *team)
{
    return &core->config.workers[team_index(core, team)];
}

static void touch_team(struct core *core, const struct core_team *team)
{
    core_touch_range(core, team->first, team->first + worker_of(core, team)->instances);
}

/* The worker may stand now, or not any more. */
static void note_moved(struct core *core, struct core_team *team)
{
    if (team->moved)
        return;
    team->moved = true;
    team->next_moved = core->team_moved;
    core->team_moved = team_index(core, team);
}

/* ---- questions ---- */

bool core_is_blocked(const struct core *core, const struct core_slot *slot)
{
    return core_member(core, slot)->awaited && core_team_of(core, slot)->blockers > 0;
}

uint32_t core_blocker(const struct core *core, uint32_t slot)
{
    const struct core_worker *worker = core_worker_of(core, core_slot(core, slot));
    if (!core_is_blocked(core, core_slot(core, slot)))
        return CORE_NONE;
    for (uint32_t i = 0; i < worker->after_count; i++)
        if (core_teams(core)[worker->after[i].worker].awaited > 0)
            return worker->after[i].worker;
    return CORE_NONE;
}

bool core_is_in_use(const struct core *core, const struct core_slot *slot)
{
    const struct core_team *team = core_team_of(core, slot);
    return !team->standing && team->needers > 0;
}

/* ---- after ---- */

/* Somebody of this worker is awaited now, or nobody any more. */
static void count_blocker(struct core *core, const struct core_team *team, uint32_t change)
{
    const struct core_link *list = &core_dependents(core)[team->first_dependent];
    for (uint32_t i = 0; i < team->dependent_count; i++) {
        struct core_team *dependent = &core_teams(core)[list[i].worker];
        bool was_blocked = dependent->blockers > 0;
        dependent->blockers += change;
        if ((dependent->blockers > 0) != was_blocked)
            touch_team(core, dependent);
    }
}

void core_set_awaited(struct core *core, const struct core_slot *slot, bool awaited)
{
    struct core_member *member = core_member(core, slot);
    struct core_team *team = core_team_of(core, slot);
    bool was_awaited = team->awaited > 0;
    uint32_t change = (uint32_t)awaited - (uint32_t)member->awaited;
    member->awaited = awaited;
    team->awaited += change;
    if (worker_of(core, team)->rules->autostart)
        core->awaited += change;
    if ((team->awaited > 0) != was_awaited)
        count_blocker(core, team, was_awaited ? (uint32_t)-1 : 1);
}

/* ---- needs ---- */

bool core_is_held(const struct core *core, uint32_t slot)
{
    return core_member(core, core_slot(core, slot))->held;
}

enum core_rest core_rest(const struct core *core, uint32_t slot)
{
    return (enum core_rest)core_member(core, core_slot(core, slot))->rest;
}

bool core_stands(const struct core *core, uint32_t worker)
{
    return core_teams(core)[worker].standing;
}

/* The instance is wished for now, or not any more, when what that depends on has changed. */
static void refresh_wish(struct core *core, struct core_slot *slot)
{
    struct core_member *member = core_member(core, slot);
    struct core_team *team = core_team_of(core, slot);
    bool held = slot->wanted && team->unmet > 0;
    bool wished = slot->wanted && team->unmet == 0;
    member->held_untold = held && (member->held_untold || !member->held);
    member->held = held;
    if (member->wished == wished)
        return;
    bool serves = slot->life == CORE_UP && slot->ready && !slot->requested && !slot->why;
    member->wished = wished;
    member->prepared = member->prepared && wished;
    if (!worker_of(core, team)->attends)
        core->workers_wanted += wished ? 1 : (uint32_t)-1;
    core_set_awaited(core, slot, wished && !serves);
    if (core_roll_of(core, team)->turn == core_index(core, slot))
        core_list_team(core, team);
}

void core_set_instance_wanted(struct core *core, struct core_slot *slot, bool wanted)
{
    struct core_team *team = core_team_of(core, slot);
    team->wanted += (uint32_t)wanted - (uint32_t)slot->wanted;
    slot->wanted = wanted;
    refresh_wish(core, slot);
    note_moved(core, team);
    core_touch(core, slot);
}

void core_set_done(struct core *core, const struct core_slot *slot, bool done)
{
    struct core_member *member = core_member(core, slot);
    struct core_team *team = core_team_of(core, slot);
    team->done += (uint32_t)done - (uint32_t)member->done;
    member->done = done;
    note_moved(core, team);
}

static void meet_need(struct core *core, struct core_team *team, bool met)
{
    uint32_t end = team->first + worker_of(core, team)->instances;
    team->unmet += met ? (uint32_t)-1 : 1;
    for (uint32_t i = team->first; i < end; i++) {
        refresh_wish(core, core_slot(core, i));
        core_touch(core, core_slot(core, i));
    }
    note_moved(core, team);
}

static void settle_standing(struct core *core, struct core_team *team)
{
    const struct core_link *list = &core_dependents(core)[team->first_dependent];
    bool standing = team->wanted + team->done > 0 && team->unmet == 0;
    if (team->standing == standing)
        return;
    team->standing = standing;
    for (uint32_t i = 0; i < team->dependent_count; i++)
        if (list[i].needs)
            meet_need(core, &core_teams(core)[list[i].worker], standing);
    touch_team(core, team);
}

/* Somebody of a worker is there now, or nobody any more: those whom it needs wait for that. */
static void count_needer(struct core *core, const struct core_worker *worker, uint32_t change)
{
    for (uint32_t i = 0; i < worker->after_count; i++) {
        struct core_team *needed = &core_teams(core)[worker->after[i].worker];
        if (!worker->after[i].needs)
            continue;
        needed->needers += change;
        if (needed->needers == 0 && !needed->standing)
            touch_team(core, needed);
    }
}

void core_count_team(struct core *core, struct core_team *team, uint32_t change)
{
    bool was_present = team->present > 0;
    team->present += change;
    if ((team->present > 0) != was_present)
        count_needer(core, worker_of(core, team), was_present ? (uint32_t)-1 : 1);
}

/* ---- what is to be done about them ---- */

void core_list_team(struct core *core, struct core_team *team)
{
    if (team->listed)
        return;
    team->listed = true;
    team->next_listed = core->team_first;
    core->team_first = team_index(core, team);
}

void core_settle_standings(struct core *core)
{
    while (core->team_moved != NONE) {
        struct core_team *team = &core_teams(core)[core->team_moved];
        core->team_moved = team->next_moved;
        team->moved = false;
        settle_standing(core, team);
    }
}

bool core_settle_teams(struct core *core, struct core_action *action)
{
    for (;;) {
        core_settle_standings(core);
        if (core->team_first == NONE)
            return false;
        struct core_team *team = &core_teams(core)[core->team_first];
        core->team_first = team->next_listed;
        team->listed = false;
        if (core_settle_renewals(core, team, action)) {
            core_list_team(core, team); /* there may be more */
            return true;
        }
    }
}
