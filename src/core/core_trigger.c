/* Triggers: what asks for a shutdown, and what a shutdown signal does once there is one. */

#include "core/core_private.h"

#include <assert.h>

static void force_slot(const struct core *core, struct core_slot *slot)
{
    if (!core_is_present(slot) || slot->killed)
        return;
    bool tree = slot->life == CORE_TREE;
    bool asked = tree ? slot->tree_asked : slot->rungs_sent > 0;
    bool last_rung = slot->rungs_sent == core_rules_of(core, slot)->rung_count;
    if (slot->kind == CORE_HOOK || slot->kind == CORE_COMPANION || (asked && tree))
        slot->kill_at = core->now;
    else if (asked && last_rung && !core_is_shielded(core, slot))
        slot->kill_at = core->now;
    else if (asked && !last_rung)
        slot->rung_until = core->now;
    slot->shields_overruled = true;
    slot->extended_until = 0;
    slot->spared_until = core->now;
}

/* Everything goes on by one step: who was shielded is asked, who was asked is asked harder, and
 * killed at last. */
static void force(struct core *core)
{
    core->forced = core->forced_untold = true;
    core->effect_at = core->now;
    for (uint32_t i = 0; i < core->slot_count; i++)
        force_slot(core, core_slot(core, i));
    core_touch_range(core, 0, core->slot_count);
}

static void forward(struct core *core, int cause)
{
    core->causes |= (uint64_t)1 << cause;
    core->effect_at = core->now;
    for (uint32_t i = core->first_instance; i < core->first_job; i++) {
        struct core_slot *slot = core_slot(core, i);
        if (slot->life != CORE_UP || core_is_shielded(core, slot))
            continue;
        slot->forwards |= (uint64_t)1 << cause;
        core_touch(core, slot);
    }
}

/* Does a repeated shutdown signal have an effect now? */
static bool escalates(const struct core *core, const struct core_event *event)
{
    bool counts = core->config.repeat == CORE_REPEAT_ESCALATE ||
                  (core->config.repeat == CORE_REPEAT_KEYBOARD && event->keyboard);
    return counts && core->now >= core->effect_at + REPEAT_AFTER;
}

/* A shutdown signal goes to the handler first, where there is one. */
static void ask_handler(struct core *core, const struct core_event *event)
{
    struct core_slot *handler = core_slot(core, SLOT_HANDLER);
    if (!core_is_busy(handler)) {
        core->cause = event->cause;
        core->keyboard = event->keyboard;
        core->effect_at = core->now;
        core_set_wanted(core, handler, true);
    } else if (escalates(core, event)) {
        core->effect_at = core->now;
        handler->kill_at = core->now;
        core_touch(core, handler);
    }
}

void core_record_trigger(struct core *core, const struct core_event *event)
{
    bool is_signal = event->trigger == TRIGGER_SIGNAL;
    assert(event->cause >= 0 && event->cause < 64);
    if (event->status_given && !core->outcome.status_given) {
        core->outcome.status_given = true;
        core->outcome.status = event->status;
    }
    if (!core_is_shutdown(core)) {
        if (is_signal && core->config.has_handler) {
            ask_handler(core, event);
            return;
        }
        core->keyboard = event->keyboard;
        core_enter_shutdown(core, event->trigger, event->cause);
        return;
    }
    bool seen = core->causes >> event->cause & 1;
    if (is_signal && !seen && core->workers_up > 0)
        forward(core, event->cause);
    else if (is_signal && escalates(core, event))
        force(core);
}
