/* The commands around an instance: before its start, after its end, and its health checks.  They
 * run in the instance's companion, so one at a time; which is due is asked when that is down. */

#include "core/core_private.h"

struct core_slot *core_companion_of(struct core *core, const struct core_slot *slot)
{
    uint32_t index = core_member(core, slot)->companion;
    return index == NONE ? NULL : core_slot(core, index);
}

static const struct core_slot *instance_of(const struct core *core,
                                           const struct core_slot *companion)
{
    return core_slot(core, companion->about);
}

bool core_has_busy_companion(const struct core *core, const struct core_slot *slot)
{
    uint32_t index = core_member(core, slot)->companion;
    return index != NONE && core_slot(core, index)->life != CORE_DOWN;
}

enum core_companion core_beside(const struct core *core, uint32_t slot)
{
    const struct core_member *member = core_member(core, core_slot(core, slot));
    if (member->cleanup_due)
        return COMPANION_AFTER_STOP;
    if (!core_has_busy_companion(core, core_slot(core, slot)))
        return COMPANION_NONE;
    return (enum core_companion)core_slot(core, member->companion)->companion;
}

bool core_is_prepared(const struct core *core, const struct core_slot *slot)
{
    const struct core_member *member = core_member(core, slot);
    bool ready = member->prepared || !core_rules_of(core, slot)->has_before_start;
    return ready && !member->cleanup_due && !core_has_busy_companion(core, slot);
}

bool core_is_moot(const struct core *core, const struct core_slot *companion)
{
    const struct core_slot *slot = instance_of(core, companion);
    switch ((enum core_companion)companion->companion) {
    case COMPANION_BEFORE_START:
        if (core_is_shutdown(core))
            return core->phase >= PHASE_CANCEL;
        return !core_member(core, slot)->wished;
    case COMPANION_HEALTH:
        return core_is_shutdown(core) || slot->life != CORE_UP || slot->requested ||
               !core_member(core, slot)->wished;
    case COMPANION_AFTER_STOP:
    case COMPANION_NONE:
        break;
    }
    return false;
}

/* When the next health check is due; NEVER: the run has none. */
static msec health_time(const struct core *core, const struct core_slot *slot)
{
    bool checked = core->config.workers[slot->owner].rules->has_health && slot->ready;
    return checked && core_is_watched(core, slot) ? core_watch_of(core, slot)->health_at : NEVER;
}

static bool is_start_due(const struct core *core, const struct core_slot *slot)
{
    return slot->life == CORE_DOWN && core_may_start(core, slot) && !slot->retry_untold &&
           core->now >= slot->start_at;
}

enum core_companion core_companion_due(const struct core *core, const struct core_slot *companion)
{
    const struct core_slot *slot = instance_of(core, companion);
    const struct core_member *member = core_member(core, slot);
    bool prepares = core->config.workers[slot->owner].rules->has_before_start && !member->prepared;
    if (member->cleanup_due)
        return core->now < core->cap ? COMPANION_AFTER_STOP : COMPANION_NONE;
    if (prepares && is_start_due(core, slot))
        return COMPANION_BEFORE_START;
    return core->now >= health_time(core, slot) ? COMPANION_HEALTH : COMPANION_NONE;
}

msec core_companion_deadline(const struct core *core, const struct core_slot *companion)
{
    return health_time(core, instance_of(core, companion));
}

void core_set_cleanup_due(struct core *core, const struct core_slot *slot, bool due)
{
    struct core_member *member = core_member(core, slot);
    if (member->cleanup_due == due)
        return;
    member->cleanup_due = due;
    core_count_presence(core, slot, due ? 1 : (uint32_t)-1);
}

static void record_health(struct core *core, struct core_slot *slot, bool success)
{
    const struct core_rules *rules = core_rules_of(core, slot);
    struct core_watch *watch = core_watch_of(core, slot);
    if (!core_is_watched(core, slot))
        return;
    watch->health_at = msec_add(core->now, rules->health_interval);
    watch->misses = success ? 0 : watch->misses + 1;
    if (watch->misses > 0 && watch->misses >= rules->health_retries)
        core_fail(core, slot, WHY_HEALTH);
}

/* A start that was not prepared is a failed one, unless nobody wants it any more. */
static void record_preparation(struct core *core, struct core_slot *slot, struct ending end,
                               bool success)
{
    if (core_is_shutdown(core) || !core_member(core, slot)->wished)
        return;
    core_member(core, slot)->prepared = success;
    if (success)
        return;
    slot->up_since = core->now;
    slot->requested = false;
    slot->why = WHY_NONE;
    core_record_instance_end(core, slot, end, false);
}

void core_record_companion_end(struct core *core, struct core_slot *companion, struct ending end)
{
    struct core_slot *slot = core_slot(core, companion->about);
    bool success = end.kind == ENDING_EXITED && end.value == 0;
    companion->end = end;
    core_touch(core, slot);
    if (companion->requested) /* we have stopped it: that says nothing */
        return;
    switch ((enum core_companion)companion->companion) {
    case COMPANION_BEFORE_START:
        record_preparation(core, slot, end, success);
        break;
    case COMPANION_HEALTH:
        record_health(core, slot, success);
        break;
    case COMPANION_AFTER_STOP:
    case COMPANION_NONE:
        break;
    }
}
