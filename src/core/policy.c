#include "core/policy.h"

#include <assert.h>
#include <stddef.h>

void success_add_code(struct success_set *set, unsigned code)
{
    assert(code <= 255);
    set->codes[code / 64] |= (uint64_t)1 << (code % 64);
}

void success_add_signal(struct success_set *set, unsigned signal)
{
    assert(signal >= 1 && signal <= 64);
    set->signals |= (uint64_t)1 << (signal - 1);
}

static bool has_code(const struct success_set *set, uint32_t code)
{
    return code <= 255 && (set->codes[code / 64] >> (code % 64) & 1);
}

bool policy_is_success(const struct success_set *set, struct ending end, bool requested)
{
    switch (end.kind) {
    case ENDING_NONE:
    case ENDING_NOT_STARTED:
        return false;
    case ENDING_EXITED:
        return end.value == 0 || has_code(set, end.value) || (requested && set->requested);
    case ENDING_KILLED:
        return (set->signals >> (end.value - 1) & 1) ||
               has_code(set, STATUS_SIGNAL_BASE + end.value) || (requested && set->requested);
    }
    return false;
}

bool policy_wants_restart(enum policy_restart restart, bool success)
{
    switch (restart) {
    case RESTART_NEVER:
        return false;
    case RESTART_ON_FAILURE:
        return !success;
    case RESTART_ALWAYS:
        return true;
    }
    return false;
}

msec policy_next_start(const struct policy_backoff *backoff, struct policy_history *history,
                       msec now, msec uptime)
{
    if (backoff->limit > 0) {
        bool window_over = now >= msec_add(history->window_start, backoff->limit_window);
        if (history->window_count == 0 || window_over) {
            history->window_start = now;
            history->window_count = 0;
        }
        if (history->window_count >= backoff->limit)
            return NEVER;
        history->window_count++;
    }
    if (uptime >= STABLE_AFTER || history->delay == 0)
        history->delay = backoff->min;
    else
        history->delay = msec_min(msec_add(history->delay, history->delay), backoff->max);
    return msec_add(now, history->delay);
}

msec policy_reserve(msec cap, uint32_t waves)
{
    /* The last wave to be asked keeps none of its own: it shares the cap's end with the trees. */
    msec users = (msec)(waves ? waves - 1 : 0) + 2;
    return msec_min(2 * SECOND, cap / (2 * users));
}

struct ending policy_outcome(const struct policy_outcome *outcome)
{
    const struct ending success = {ENDING_EXITED, 0};
    const struct ending given = {ENDING_EXITED, outcome->status};

    if (outcome->launcher && outcome->never_started.kind == ENDING_NOT_STARTED)
        return outcome->never_started;
    if (outcome->status_given)
        return given;
    if (outcome->first_error.kind != ENDING_NONE)
        return outcome->first_error;
    if (outcome->launcher && outcome->command.kind != ENDING_NONE)
        return outcome->command;
    return success;
}
