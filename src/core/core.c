#include "core/core_private.h"

#include <assert.h>
#include <string.h>

/* ---- the block of memory ---- */

static size_t aligned(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

bool core_has_companion(const struct core_worker *worker)
{
    const struct core_rules *rules = worker->rules;
    return rules->has_before_start || rules->has_after_stop || rules->has_health;
}

static bool is_in_range(const struct core_worker *worker, uint32_t index)
{
    bool ordered = index == 0 || worker[-1].wave <= worker->wave;
    for (uint32_t i = 0; i < worker->after_count; i++)
        ordered = ordered && worker->after[i].worker < index;
    const struct core_rules *rules = worker->rules;
    bool healthy = !rules->has_health || rules->health_interval > 0;
    return ordered && healthy && worker->wave < CORE_SLOTS_MAX && rules->rung_count >= 1 &&
           rules->rung_count <= CORE_RUNGS_MAX;
}

bool core_lay_out(struct core *core, const struct core_config *config)
{
    uint64_t instances = 0, companions = 0, dependents = 0;
    uint32_t wave_count = 1;
    for (uint32_t i = 0; i < config->worker_count; i++) {
        const struct core_worker *worker = &config->workers[i];
        if (!is_in_range(worker, i))
            return false;
        instances += worker->instances;
        companions += core_has_companion(worker) ? worker->instances : 0;
        dependents += worker->after_count;
        wave_count = worker->wave + 1;
    }
    uint64_t hooks = SLOT_ERRORS + (uint64_t)config->error_hooks;
    uint64_t total = hooks + companions + instances + config->job_capacity;
    if (total > CORE_SLOTS_MAX || config->shield_capacity > CORE_SLOTS_MAX)
        return false;
    core->first_companion = (uint32_t)hooks;
    core->first_instance = (uint32_t)(hooks + companions);
    core->first_job = core->first_instance + (uint32_t)instances;
    core->slot_count = core->first_job;
    core->slot_limit = (uint32_t)total;
    core->wave_count = wave_count;
    core->members_at = aligned(sizeof *core);
    core->teams_at = aligned(core->members_at + instances * sizeof(struct core_member));
    core->dependents_at = aligned(core->teams_at + config->worker_count * sizeof(struct core_team));
    core->waves_at = aligned(core->dependents_at + dependents * sizeof(struct core_link));
    core->deadlines_at = aligned(core->waves_at + wave_count * sizeof(struct core_wave));
    core->slots_at = aligned(core->deadlines_at + deadline_size((uint32_t)total + 1));
    core->watches_at = aligned(core->slots_at + total * sizeof(struct core_slot));
    core->rolls_at = aligned(core->watches_at + instances * sizeof(struct core_watch));
    core->shields_at = aligned(core->rolls_at + config->worker_count * sizeof(struct core_roll));
    core->size = aligned(core->shields_at + shield_size(config->shield_capacity));
    return true;
}

size_t core_size(const struct core_config *config)
{
    struct core core;
    return core_lay_out(&core, config) ? core.size : 0;
}

uint32_t core_slots(const struct core_config *config)
{
    struct core core;
    return core_lay_out(&core, config) ? core.slot_limit : 0;
}

static void init_hooks(struct core *core)
{
    core_init_slot(core_slot(core, SLOT_ORPHANS), CORE_ORPHANS, 0);
    core_init_slot(core_slot(core, SLOT_HANDLER), CORE_HOOK, HOOK_HANDLER);
    core_init_slot(core_slot(core, SLOT_CALLBACK), CORE_HOOK, HOOK_CALLBACK);
    for (uint32_t i = SLOT_ERRORS; i < core->first_companion; i++)
        core_init_slot(core_slot(core, i), CORE_HOOK, HOOK_ERROR);
}

static void init_instances(struct core *core)
{
    uint32_t next = core->first_instance, companion = core->first_companion;
    for (uint32_t i = 0; i < core->config.worker_count; i++) {
        const struct core_worker *worker = &core->config.workers[i];
        struct core_wave *wave = &core_waves(core)[worker->wave];
        if (wave->first == 0)
            wave->first = next;
        core_teams(core)[i].first = next;
        for (uint32_t n = 0; n < worker->instances; n++, next++) {
            core_init_slot(core_slot(core, next), CORE_WORKER, i);
            core_member(core, core_slot(core, next))->companion = NONE;
            if (!core_has_companion(worker))
                continue;
            core_init_slot(core_slot(core, companion), CORE_COMPANION, i);
            core_slot(core, companion)->about = next;
            core_member(core, core_slot(core, next))->companion = companion++;
        }
        wave->end = next;
    }
}

/* Turns the lists of whom a worker comes after into those of who comes after it. */
static void init_dependents(struct core *core)
{
    struct core_team *teams = core_teams(core);
    uint32_t place = 0;
    for (uint32_t i = 0; i < core->config.worker_count; i++)
        for (uint32_t n = 0; n < core->config.workers[i].after_count; n++)
            teams[core->config.workers[i].after[n].worker].dependent_count++;
    for (uint32_t i = 0; i < core->config.worker_count; i++) {
        teams[i].first_dependent = place;
        place += teams[i].dependent_count;
        teams[i].dependent_count = 0;
    }
    for (uint32_t i = 0; i < core->config.worker_count; i++) {
        const struct core_worker *worker = &core->config.workers[i];
        for (uint32_t n = 0; n < worker->after_count; n++) {
            const struct core_link *link = &worker->after[n];
            struct core_team *team = &teams[link->worker];
            core_dependents(core)[team->first_dependent + team->dependent_count++] =
                (struct core_link){i, link->needs};
            teams[i].unmet += link->needs;
        }
    }
}

struct core *core_init(void *memory, const struct core_config *config, msec now)
{
    struct core layout;
    struct core *core = memory;
    memset(&layout, 0, sizeof layout);
    bool in_range = core_lay_out(&layout, config);
    assert(in_range);
    memcpy(core, &layout, sizeof layout);
    core->config = *config;
    core->now = core->effect_at = now;
    core->cap = core->cap_seen = core->drained_at = core->notice_at = core->limit = NEVER;
    core->length = config->timeout;
    core->reserve = policy_reserve(config->timeout, core->wave_count);
    core->wave_open = core->wave_count;
    core->dirty_first = core->dirty_last = core->team_first = core->team_moved = NONE;
    core->job_free = core->queue_first = core->queue_last = NONE;
    core->outcome.launcher = config->launcher && !config->forever;
    deadline_init(core_deadlines(core), core->slot_limit + 1);
    init_hooks(core);
    init_instances(core);
    init_dependents(core);
    return core;
}

/* ---- questions from outside ---- */

msec core_deadline(const struct core *core)
{
    return core->phase == PHASE_CLOSED ? NEVER : deadline_first(core_deadlines(core));
}

struct run_id core_submitted(const struct core *core)
{
    return core_run(core, core->submitted);
}

uint32_t core_instance(const struct core *core, uint32_t worker, uint32_t n)
{
    return core_teams(core)[worker].first + n;
}

struct run_id core_run(const struct core *core, uint32_t slot)
{
    return (struct run_id){slot, core_slot(core, slot)->generation};
}

bool core_present(const struct core *core, uint32_t slot)
{
    return core_is_present(core_slot(core, slot));
}

const struct shield *core_shield(const struct core *core, uint32_t slot, uint32_t n)
{
    const struct shield_table *table = core_shields(core);
    uint32_t index = core_slot(core, slot)->shields;
    while (index != SHIELD_NONE && n-- > 0)
        index = table->cells[index].next;
    return index == SHIELD_NONE ? NULL : &table->cells[index];
}

msec core_shield_end(const struct core *core, uint32_t slot, const struct shield *shield)
{
    return shield_end(shield, core_undated(core, core_slot(core, slot)));
}

msec core_shielded_until(const struct core *core, uint32_t slot)
{
    const struct core_slot *held = core_slot(core, slot);
    return held->shields == SHIELD_NONE ? 0 : held->shielded_until;
}

msec core_reprieve(const struct core *core, uint32_t slot)
{
    const struct core_slot *kept = core_slot(core, slot);
    msec until = msec_max(core_shielded_until(core, slot), kept->extended_until);
    if (kept->kind == CORE_JOB)
        until = core_spared_until(core, kept);
    return msec_min(until, core->cap);
}

msec core_kill_time(const struct core *core, uint32_t slot)
{
    return core_slot_planned_end(core, core_slot(core, slot));
}

bool core_is_idle(const struct core *core)
{
    return core->jobs_present == 0 && core->holders == 0;
}
