/* Upwards: what a service manager is told by sd_notify(3), and what passes between us and an aiorun
 * around us, whose run we are. */
#include "plan/parse.h"
#include "supervisor/admin.h"
#include "supervisor/narrate.h"

/* ---- a service manager ---- */

void upwards_ready(struct supervisor *supervisor)
{
    if (!supervisor->told_ready)
        platform_notify(&(struct notify_message){.state = NOTIFY_READY});
    supervisor->told_ready = true;
}

/* Whoever is above us waits for the second word after the first, however it ends.  The time, in
 * whole milliseconds, must not be before the request (sd_notify(3)). */
void upwards_reload(const struct supervisor *supervisor, enum notify_state state)
{
    const struct notify_message message = {
        .state = state,
        .has_reload_time = state == NOTIFY_RELOADING,
        .reload_usec = (uint64_t)platform_now() * 1000 + 999,
    };
    if (supervisor->told_ready)
        platform_notify(&message);
}

/* A service manager kills us with everything at its own timeout, unless it is told what there is to
 * wait for. */
void upwards_extend(struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    msec until = 0;
    if (!supervisor->place.has_manager || core->phase == PHASE_RUNNING)
        return;
    for (uint32_t slot = 0; slot < core->slot_count; slot++)
        if (core_present(core, slot))
            until = msec_max(until, core_reprieve(core, slot));
    if (until <= supervisor->extended_until || until <= core->now)
        return;
    supervisor->extended_until = until;
    msec span = until == NEVER ? NEVER : msec_add(until - core->now, core->reserve + SECOND);
    platform_notify(&(struct notify_message){.has_extend = true, .extend = span});
}

void upwards_phase(struct supervisor *supervisor, enum core_phase phase)
{
    if (phase == PHASE_ENTERED)
        platform_notify(&(struct notify_message){.state = NOTIFY_STOPPING});
    upwards_extend(supervisor);
}

/* ---- an aiorun around us ---- */

/* Until when this one is not to be stopped; NEVER: nobody has said. */
static msec busy_until(const struct supervisor *supervisor, uint32_t index)
{
    const struct core_slot *slot = core_slot(supervisor->core, index);
    if (slot->kind != CORE_JOB)
        return core_shielded_until(supervisor->core, index);
    if (!core_present(supervisor->core, index) && !admin_is_queued(supervisor, index))
        return 0;
    return slot->joined && slot->spared_until != SHIELD_UNDATED ? slot->spared_until : NEVER;
}

/* One shield stands for all of ours, and for jobs; it only ever gets a later deadline.  Who holds
 * it once more for that takes one hold back. */
static size_t format_outer(const struct supervisor *supervisor, char *lines, msec until)
{
    struct control_message message = {.verb = CONTROL_SHIELD, .name = "aiorun"};
    size_t length = 0;
    if (until != 0) {
        message.has_time = until != NEVER;
        message.time = until - supervisor->core->now;
        length = control_format(lines, &message);
    }
    message.verb = CONTROL_UNSHIELD;
    if (supervisor->outer_shielded != 0)
        length += control_format(lines + length, &message);
    return length;
}

void upwards_shield(struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    char lines[2 * CONTROL_LINE_MAX];
    msec until = 0;
    for (uint32_t slot = 1; slot < core->slot_count && !core_is_idle(core); slot++)
        until = msec_max(until, busy_until(supervisor, slot));
    until = until > core->now ? until : 0;
    bool later = until > supervisor->outer_shielded;
    bool over = until == 0 && supervisor->outer_shielded != 0;
    if ((later || over) && platform_tell_outer(lines, format_outer(supervisor, lines, until)))
        supervisor->outer_shielded = until;
}

/* It kills us at its end, and asks our children before: ours are to come first. */
void supervisor_outer_limit(struct supervisor *supervisor, msec time)
{
    msec own = msec_before(time, policy_reserve(time, 1));
    const struct core_event event = {.kind = EVENT_LIMIT, .until = msec_add(platform_now(), own)};
    char span[32];
    if (own < supervisor->plan->timeout)
        log_line(LEVEL_INFO, "The aiorun around us lets a shutdown take %s s",
                 narrate_span(own, span, sizeof span));
    supervisor_step(supervisor, &event);
}

void supervisor_outer_shutdown(struct supervisor *supervisor)
{
    log_line(LEVEL_DEBUG, "the aiorun around us asks for a shutdown");
    supervisor->outer_asked = supervisor->core->phase == PHASE_RUNNING;
    supervisor_step(supervisor,
                    &(struct core_event){.kind = EVENT_TRIGGER, .trigger = TRIGGER_REQUEST});
}

/* A launcher has no file of its own: it is its command's affair. */
void supervisor_outer_reload(struct supervisor *supervisor)
{
    log_line(LEVEL_DEBUG, "the aiorun around us asks for a reload");
    if (plan_is_fleet(supervisor->plan))
        reload_by_signal(supervisor);
    else
        control_reloaded(supervisor);
}
