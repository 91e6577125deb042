/* A new configuration: what goes on moves to its new place in a new block, and is counted there as
 * if it had happened there. */

#include "core/core_private.h"

#include <assert.h>
#include <string.h>

/* ---- the map ---- */

static uint32_t companion_of(const struct core *core, uint32_t instance)
{
    return core_member(core, core_slot(core, instance))->companion;
}

static void map_range(uint32_t *map, uint32_t first, uint32_t count, uint32_t old_first,
                      uint32_t old_count)
{
    for (uint32_t i = 0; i < count; i++)
        map[first + i] = i < old_count ? old_first + i : CORE_NONE;
}

void core_map(const struct core *old, const struct core_config *config,
              const uint32_t *old_worker_of, uint32_t *old_slot_of)
{
    struct core layout;
    bool in_range = core_lay_out(&layout, config);
    assert(in_range);
    map_range(old_slot_of, 0, layout.first_companion, 0, old->first_companion);
    map_range(old_slot_of, layout.first_job, config->job_capacity, old->first_job,
              old->slot_count - old->first_job);
    uint32_t next = layout.first_instance, companion = layout.first_companion;
    for (uint32_t i = 0; i < config->worker_count; i++) {
        const struct core_worker *worker = &config->workers[i];
        uint32_t was = old_worker_of[i];
        uint32_t first = was == CORE_NONE ? 0 : core_teams(old)[was].first;
        uint32_t count = was == CORE_NONE ? 0 : old->config.workers[was].instances;
        map_range(old_slot_of, next, worker->instances, first, count);
        for (uint32_t n = 0; n < worker->instances && core_has_companion(worker); n++)
            old_slot_of[companion++] = n < count ? companion_of(old, first + n) : CORE_NONE;
        next += worker->instances;
    }
}

/* ---- does it fit? ---- */

static bool is_idle_job(const struct core *old, uint32_t index)
{
    if (core_slot(old, index)->life != CORE_DOWN)
        return false;
    for (uint32_t i = old->queue_first; i != NONE; i = core_slot(old, i)->next_job)
        if (i == index)
            return false;
    return true;
}

static bool does_fit(const struct core *old, const struct core_config *config)
{
    uint32_t shields = 0;
    for (uint32_t i = 0; i < old->slot_count; i++)
        shields += shield_count(core_shields(old), core_slot(old, i)->shields);
    for (uint32_t i = old->first_job + config->job_capacity; i < old->slot_count; i++)
        if (!is_idle_job(old, i))
            return false;
    return shields <= config->shield_capacity;
}

/* ---- slots ---- */

/* Where the instance or hook with this place of before is now; 0: nowhere. */
static uint32_t find_slot(const struct core *core, const uint32_t *old_slot_of, uint32_t was)
{
    for (uint32_t i = 0; i < core->slot_count; i++)
        if (old_slot_of[i] == was)
            return i;
    return 0;
}

/* The worker now that had this place before. */
static uint32_t find_worker(const struct core *core, const struct core *old,
                            const uint32_t *old_slot_of, uint32_t was)
{
    for (uint32_t i = core->first_instance; i < core->first_job; i++)
        if (old_slot_of[i] != CORE_NONE && core_slot(old, old_slot_of[i])->owner == was)
            return core_slot(core, i)->owner;
    return CORE_NONE;
}

/* Takes over the state of `from`, all but what is counted. */
static void move_state(struct core *core, const struct core *old, struct core_slot *slot,
                       const struct core_slot *from)
{
    const struct core_slot fresh = *slot;
    assert(fresh.kind == from->kind);
    *slot = *from;
    slot->owner = fresh.owner;
    slot->about = fresh.about;
    slot->next_dirty = fresh.next_dirty;
    slot->next_job = fresh.next_job;
    slot->dirty = fresh.dirty;
    slot->life = CORE_DOWN;
    slot->wanted = false;
    slot->shields = SHIELD_NONE;
    shield_move(core_shields(core), core->config.shield_capacity, &slot->shields, core_shields(old),
                from->shields);
    core_count_holders(core, slot, false);
}

/* What an instance has beside its slot; `member` has its place already. */
static void move_member(struct core *core, const struct core *old, struct core_slot *slot,
                        const struct core_slot *from)
{
    const struct core_member *was = core_member(old, from);
    struct core_member *member = core_member(core, slot);
    member->rest = was->rest;
    member->held = was->held;
    member->held_untold = was->held_untold;
    core_set_done(core, slot, was->done);
    core_set_wanted(core, slot, from->wanted);
    if (was->wished && member->wished) {
        member->prepared = was->prepared;
        core_set_awaited(core, slot, was->awaited);
    }
    bool cleans = core->config.workers[slot->owner].rules->has_after_stop;
    core_set_cleanup_due(core, slot, was->cleanup_due && cleans);
}

/* Who does not need it does not touch it. */
static void move_watch(struct core *core, const struct core *old, const struct core_slot *slot,
                       const struct core_slot *from)
{
    const struct core_rules *rules = core_rules_of(core, slot);
    const struct core_watch *was = core_watch_of(old, from);
    if (rules->watchdog == 0 && !rules->has_health && !core_was_restarted(was))
        return;
    struct core_watch *watch = core_watch_of(core, slot);
    *watch = *was;
    watch->in_line = false; /* who has its age lines up again */
    watch->next_due = 0;
}

static void move_slot(struct core *core, const struct core *old, uint32_t index, uint32_t was)
{
    struct core_slot *slot = core_slot(core, index);
    const struct core_slot *from = core_slot(old, was);
    move_state(core, old, slot, from);
    if (from->life != CORE_DOWN)
        core_set_life(core, slot, from->life);
    if (slot->kind != CORE_WORKER) {
        slot->wanted = from->wanted;
        return;
    }
    move_member(core, old, slot, from);
    move_watch(core, old, slot, from);
}

/* What was not there before. */
static void begin_slot(struct core *core, uint32_t index, uint32_t generation)
{
    struct core_slot *slot = core_slot(core, index);
    slot->generation = generation;
    slot->start_at = core->now;
    if (slot->kind == CORE_WORKER && core_rules_of(core, slot)->autostart)
        core_set_wanted(core, slot, true);
}

static uint32_t highest_generation(const struct core *old)
{
    uint32_t highest = old->generation_floor;
    for (uint32_t i = 0; i < old->slot_count; i++)
        if (core_slot(old, i)->generation > highest)
            highest = core_slot(old, i)->generation;
    return highest;
}

/* Workers come in their order: when one's turn comes, it is known who of those it needs stands. */
static void move_slots(struct core *core, const struct core *old, const uint32_t *old_slot_of)
{
    uint32_t generation = highest_generation(old);
    core->generation_floor = generation;
    for (uint32_t i = 0; i < core->slot_count; i++) {
        if (old_slot_of[i] == CORE_NONE)
            begin_slot(core, i, generation);
        else
            move_slot(core, old, i, old_slot_of[i]);
        core_settle_standings(core);
    }
}

/* Whom hooks are about, whose jobs are whose. */
static void move_links(struct core *core, const struct core *old, const uint32_t *old_slot_of)
{
    for (uint32_t i = SLOT_ERRORS; i < core->first_companion; i++) {
        bool tells = core_slot(core, i)->wanted || core_slot(core, i)->life != CORE_DOWN;
        uint32_t about = old_slot_of[i] == CORE_NONE ? 0 : core_slot(old, old_slot_of[i])->about;
        core_slot(core, i)->about = tells ? find_slot(core, old_slot_of, about) : 0;
    }
    for (uint32_t i = core->first_job; i < core->slot_count; i++)
        if (old_slot_of[i] != CORE_NONE) /* of one that is over, too: it may still be spoken for */
            core_slot(core, i)->owner =
                find_worker(core, old, old_slot_of, core_slot(old, old_slot_of[i])->owner);
}

/* ---- jobs ---- */

/* As many slots as were needed before; whoever is the first in another one later is new, too. */
static void make_jobs(struct core *core, uint32_t count)
{
    while (count-- > 0 && core_take_job(core) != NONE)
        ;
}

/* The queue in its order, and the free ones as they come. */
static void move_jobs(struct core *core, const struct core *old)
{
    uint32_t shift = core->first_job - old->first_job;
    uint32_t *link = &core->queue_first;
    for (uint32_t i = old->queue_first; i != NONE; i = core_slot(old, i)->next_job) {
        core->queue_last = *link = i + shift;
        link = &core_slot(core, i + shift)->next_job;
    }
    *link = NONE;
    core->jobs_present = old->jobs_present;
    core->submitted = old->submitted + shift;
    core->job_free = NONE;
    for (uint32_t i = core->slot_count; i-- > core->first_job;) {
        bool known = i - shift < old->slot_count;
        if (known && !is_idle_job(old, i - shift))
            continue;
        core_slot(core, i)->next_job = core->job_free;
        core->job_free = i;
    }
}

/* ---- rolls ---- */

static void move_roll(struct core *core, const struct core *old, const uint32_t *old_slot_of,
                      struct core_team *team, uint32_t instances)
{
    uint32_t end = team->first + instances, first = NONE;
    for (uint32_t i = team->first; i < end && first == NONE; i++)
        if (old_slot_of[i] != CORE_NONE)
            first = old_slot_of[i];
    if (first == NONE)
        return;
    uint32_t worker = core_slot(old, first)->owner;
    const struct core_roll *was = core_roll(old, worker);
    if (was->turn == 0 && !core_is_rolling(old, worker))
        return;
    struct core_roll *roll = core_roll_of(core, team);
    *roll = *was;
    roll->turn = roll->due_first = roll->due_last = 0;
    roll->next = was->next < instances ? was->next : instances;
    for (uint32_t i = team->first; i < end && was->turn != 0; i++)
        if (old_slot_of[i] == was->turn)
            roll->turn = i;
    core_list_team(core, team);
}

static void move_rolls(struct core *core, const struct core *old, const uint32_t *old_slot_of)
{
    for (uint32_t i = 0; i < core->config.worker_count; i++)
        move_roll(core, old, old_slot_of, &core_teams(core)[i], core->config.workers[i].instances);
}

/* ---- the whole ---- */

static void move_whole(struct core *core, const struct core *old)
{
    core->begun = true;
    core->keyboard = old->keyboard;
    core->cause = old->cause;
    core->effect_at = old->effect_at;
    core->census_due = old->census_due;
    core->orphans_known = old->orphans_known;
    core->all_ready_told = old->all_ready_told;
    core->drained = old->drained;
    core->limit = old->limit;
    bool launcher = core->outcome.launcher;
    core->outcome = old->outcome;
    core->outcome.launcher = launcher;
}

static bool is_left_behind(const struct core *old, const struct core *core,
                           const uint32_t *old_slot_of)
{
    uint32_t there = 0, moved = 0;
    for (uint32_t i = 1; i < old->first_job; i++)
        there += core_slot(old, i)->life != CORE_DOWN || core_slot(old, i)->error_untold;
    for (uint32_t i = 1; i < core->first_job; i++) {
        const struct core_slot *from =
            core_slot(old, old_slot_of[i] == CORE_NONE ? 0 : old_slot_of[i]);
        bool counts = old_slot_of[i] != CORE_NONE;
        moved += counts && (from->life != CORE_DOWN || from->error_untold);
    }
    return moved != there;
}

struct core *core_reload(void *memory, const struct core *old, const struct core_config *config,
                         const uint32_t *old_slot_of, msec now)
{
    assert(old->begun && old->phase == PHASE_RUNNING && old->phase_told == PHASE_RUNNING);
    if (!does_fit(old, config))
        return NULL;
    struct core *core = core_init(memory, config, msec_max(now, old->now));
    assert(!is_left_behind(old, core, old_slot_of));
    make_jobs(core, old->slot_count - old->first_job);
    move_whole(core, old);
    move_slots(core, old, old_slot_of);
    move_links(core, old, old_slot_of);
    move_jobs(core, old);
    move_rolls(core, old, old_slot_of);
    core_touch_range(core, 0, core->slot_count);
    return core;
}
