/* The state of one instance, in a word that people know from elsewhere, and why it is not up. */
#include "supervisor/admin.h"
#include "supervisor/narrate.h"

#include <stdio.h>

bool admin_is_delayed(const struct supervisor *supervisor, uint32_t index)
{
    const struct core *core = supervisor->core;
    const struct core_slot *slot = core_slot(core, index);
    return slot->life == CORE_DOWN && slot->wanted && core->phase == PHASE_RUNNING &&
           slot->start_at > core->now;
}

bool admin_is_held(const struct supervisor *supervisor, uint32_t index)
{
    const struct core *core = supervisor->core;
    const struct core_slot *slot = core_slot(core, index);
    return slot->kind == CORE_WORKER && slot->life == CORE_DOWN && core->phase == PHASE_RUNNING &&
           core_is_held(core, index) && core_beside(core, index) != COMPANION_AFTER_STOP;
}

bool admin_is_queued(const struct supervisor *supervisor, uint32_t slot)
{
    return core_slot(supervisor->core, slot)->kind == CORE_JOB &&
           supervisor->jobs[slot - supervisor->core->first_job].queued;
}

/* ---- what holds it ---- */

static uint32_t missing_need(const struct supervisor *supervisor, uint32_t worker)
{
    const struct plan_worker *plan = &supervisor->plan->workers[worker];
    for (uint32_t i = 0; i < plan->after_count; i++)
        if (plan->after[i].needs && !core_stands(supervisor->core, plan->after[i].worker))
            return plan->after[i].worker;
    return CORE_NONE;
}

bool admin_is_wanted(const struct supervisor *supervisor, uint32_t worker)
{
    uint32_t first = core_instance(supervisor->core, worker, 0);
    for (uint32_t n = 0; n < supervisor->workers[worker].instances; n++)
        if (core_slot(supervisor->core, first + n)->wanted)
            return true;
    return false;
}

uint32_t admin_holder(const struct supervisor *supervisor, uint32_t worker)
{
    uint32_t holder = missing_need(supervisor, worker);
    while (holder != CORE_NONE && admin_is_wanted(supervisor, holder))
        holder = missing_need(supervisor, holder);
    return holder;
}

/* ---- words ---- */

static const char *rest_name(enum core_rest rest)
{
    switch (rest) {
    case REST_STOPPED:
        break;
    case REST_FINISHED:
        return "finished";
    case REST_FAILED:
        return "failed";
    case REST_GIVEN_UP:
        return "given-up";
    }
    return "stopped";
}

static const char *down_name(const struct supervisor *supervisor, uint32_t index)
{
    const struct core *core = supervisor->core;
    if (core_beside(core, index) == COMPANION_AFTER_STOP)
        return "stopping";
    if (!core_slot(core, index)->wanted)
        return rest_name(core_rest(core, index));
    if (core->phase != PHASE_RUNNING)
        return "stopped"; /* it would have been started */
    if (admin_is_held(supervisor, index))
        return "held";
    bool waits = admin_is_delayed(supervisor, index) || core_blocker(core, index) != CORE_NONE;
    return waits ? "waiting" : "starting";
}

const char *admin_state_name(const struct supervisor *supervisor, uint32_t index)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    bool is_worker = slot->kind == CORE_WORKER;
    switch (slot->life) {
    case CORE_DOWN:
        return is_worker ? down_name(supervisor, index) : "queued";
    case CORE_STARTING:
        return "starting";
    case CORE_TREE:
        return "leftovers";
    case CORE_UP:
        break;
    }
    if (slot->requested || slot->rungs_sent > 0 || slot->killed || (is_worker && !slot->wanted))
        return "stopping";
    return is_worker && slot->ready ? "ready" : "up";
}

/* Why nobody wants it any more. */
static const char *rest_reason(const struct supervisor *supervisor, uint32_t index)
{
    const struct admin_life *life = &supervisor->admin->lives[index];
    if (core_rest(supervisor->core, index) == REST_GIVEN_UP)
        return "its restarts are used up";
    return life->tried_at == 0 && !life->ended ? "it was never started" : NULL;
}

/* What it waits for. */
static const char *wait_reason(const struct supervisor *supervisor, uint32_t index, char *buffer)
{
    const struct core *core = supervisor->core;
    const struct plan_worker *workers = supervisor->plan->workers;
    uint32_t holder = admin_holder(supervisor, core_slot(core, index)->owner);
    uint32_t blocker = core_blocker(core, index);
    if (core_is_held(core, index) && holder != CORE_NONE)
        snprintf(buffer, ADMIN_REASON_MAX, "needs %s, which is %s", workers[holder].name,
                 admin_state_name(supervisor, core_instance(core, holder, 0)));
    else if (core_beside(core, index) == COMPANION_BEFORE_START)
        return "its before-start runs";
    else if (blocker != CORE_NONE)
        snprintf(buffer, ADMIN_REASON_MAX, "comes after %s, which is not ready",
                 workers[blocker].name);
    else
        return NULL;
    return buffer;
}

const char *admin_state_reason(const struct supervisor *supervisor, uint32_t index, char *buffer)
{
    const struct core *core = supervisor->core;
    const struct core_slot *slot = core_slot(core, index);
    const struct admin_life *life = &supervisor->admin->lives[index];
    const char *reason = NULL;
    char end[64];
    if (slot->kind != CORE_WORKER || slot->life != CORE_DOWN)
        return NULL;
    if (core_beside(core, index) == COMPANION_AFTER_STOP)
        return "its after-stop runs";
    if (!slot->wanted)
        reason = rest_reason(supervisor, index);
    else if (core->phase == PHASE_RUNNING)
        reason = wait_reason(supervisor, index, buffer);
    if (!admin_is_unprepared(life) || (reason != NULL && slot->wanted))
        return reason;
    snprintf(buffer, ADMIN_REASON_MAX, "%s%sits before-start %s", reason != NULL ? reason : "",
             reason != NULL ? "; " : "", narrate_ending(life->failure, end, sizeof end));
    return buffer;
}
