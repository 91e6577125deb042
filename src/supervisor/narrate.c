#include "supervisor/narrate.h"

#include "plan/parse.h"

#include <stdio.h>

#define LIST_MAX 32 /* processes named in one report */

static const char *const state_words[128] = {
    ['R'] = "running", ['S'] = "sleeping", ['D'] = "in uninterruptible sleep",
    ['T'] = "stopped", ['t'] = "traced",   ['Z'] = "a zombie",
    ['I'] = "idle",    ['X'] = "dead",
};

enum core_kind narrate_kind(const struct supervisor *supervisor, uint32_t slot)
{
    return core_slot(supervisor->core, slot)->kind;
}

const char *narrate_name(const struct supervisor *supervisor, uint32_t slot)
{
    static const char *const hooks[] = {
        [HOOK_HANDLER] = "shutdown-handler",
        [HOOK_CALLBACK] = "shutdown-callback",
        [HOOK_ERROR] = "on-error",
    };
    switch (narrate_kind(supervisor, slot)) {
    case CORE_ORPHANS:
        return "orphans";
    case CORE_HOOK:
        return hooks[core_slot(supervisor->core, slot)->owner];
    case CORE_WORKER:
        if (supervisor->names.first != NULL)
            return supervisor->names.first +
                   (slot - supervisor->core->first_instance) * supervisor->names.size;
        return supervisor->plan->workers[core_slot(supervisor->core, slot)->owner].name;
    case CORE_JOB:
        return supervisor->jobs[slot - supervisor->core->first_job].name;
    case CORE_COMPANION:
        return narrate_name(supervisor, core_slot(supervisor->core, slot)->about);
    }
    return "";
}

const char *narrate_companion(enum core_companion companion)
{
    static const char *const names[] = {
        [COMPANION_NONE] = "",
        [COMPANION_BEFORE_START] = "before-start",
        [COMPANION_AFTER_STOP] = "after-stop",
        [COMPANION_HEALTH] = "health",
    };
    return names[companion];
}

const char *narrate_role(const struct supervisor *supervisor, uint32_t slot)
{
    static const char *const roles[] = {
        [COMPANION_NONE] = "",
        [COMPANION_BEFORE_START] = "before-start of ",
        [COMPANION_AFTER_STOP] = "after-stop of ",
        [COMPANION_HEALTH] = "health check of ",
    };
    const struct core_slot *about = core_slot(supervisor->core, slot);
    return about->kind == CORE_COMPANION ? roles[about->companion] : "";
}

const char *narrate_ending(struct ending end, char *buffer, size_t size)
{
    char name[16];
    switch (end.kind) {
    case ENDING_NONE:
        snprintf(buffer, size, "ended; its parent has its status");
        break;
    case ENDING_EXITED:
        snprintf(buffer, size,
                 end.value > INT32_MAX ? "exited with status 0x%X" : "exited with status %u",
                 (unsigned)end.value); /* Windows' NTSTATUS is known in hexadecimal */
        break;
    case ENDING_KILLED:
        snprintf(buffer, size, "killed by SIG%s", signal_name((int)end.value, name));
        break;
    case ENDING_NOT_STARTED:
        snprintf(buffer, size, "could not be started");
        break;
    }
    return buffer;
}

/* Spans as people read them, in seconds: "0.3", "12"; a short one is not nothing: "0.02". */
const char *narrate_span(msec span, char *buffer, size_t size)
{
    msec tenths = (span + 50) / 100;
    if (tenths == 0 && span > 0)
        snprintf(buffer, size, "0.%02lld", (long long)((span + 9) / 10));
    else if (tenths < 100 && tenths % 10 != 0)
        snprintf(buffer, size, "%lld.%lld", (long long)(tenths / 10), (long long)(tenths % 10));
    else
        snprintf(buffer, size, "%lld", (long long)(tenths / 10));
    return buffer;
}

const char *narrate_state(char state)
{
    return state_words[state & 0x7f];
}

static void log_process(enum log_level level, const char *worker,
                        const struct platform_process *process)
{
    char age[32] = "unknown";
    const char *state = narrate_state(process->state);
    if (process->age >= 0)
        narrate_span(process->age, age, sizeof age);
    log_about(level, worker, process->pid, "  %s: pid %ld, age %s s, %s%s%s: %s", worker,
              process->pid, age, state ? state : "in an unknown state",
              process->where[0] ? " in " : "", process->where, process->command);
}

static void log_list(const struct supervisor *supervisor, enum log_level level, struct run_id run,
                     const struct platform_process *list, size_t count)
{
    for (size_t i = 0; i < count && i < LIST_MAX; i++)
        log_process(level, narrate_name(supervisor, run.slot), &list[i]);
    if (count > LIST_MAX)
        log_line(level, "  and %zu more", count - LIST_MAX);
}

/* Names the processes of a run; returns how many there are. */
size_t narrate_processes(const struct supervisor *supervisor, enum log_level level,
                         struct run_id run)
{
    struct platform_process list[LIST_MAX];
    size_t count = platform_list(run, list, LIST_MAX);
    log_list(supervisor, level, run, list, count);
    return count;
}

static void narrate_shields(const struct supervisor *supervisor, uint32_t slot)
{
    const struct shield *shield;
    for (uint32_t n = 0; (shield = core_shield(supervisor->core, slot, n)) != NULL; n++)
        log_line(LEVEL_WARNING, "  %s holds the shield '%s'", narrate_name(supervisor, slot),
                 shield->name);
}

/* The seed's words for a task that ignored its cancellation. */
void narrate_refusal(const struct supervisor *supervisor, struct run_id run)
{
    const struct core_slot *slot = core_slot(supervisor->core, run.slot);
    struct platform_process list[LIST_MAX];
    size_t count = platform_list(run, list, LIST_MAX);
    size_t news = 0;
    for (size_t i = 0; i < count && i < LIST_MAX; i++)
        news += !list[i].killed;
    if (count > 0 && news == 0) /* they die of an earlier KILL, which was reported */
        return;
    if (count == 0 && slot->life == CORE_TREE) /* they are gone meanwhile */
        return;
    bool is_beside = slot->kind == CORE_COMPANION && notes_of(supervisor, run.slot)->asked_at == 0;
    if (is_beside && slot->requested) /* nobody waits for it any more */
        return;
    msec asked_at = notes_of(supervisor, run.slot)->asked_at;
    char span[32];
    narrate_span(supervisor->core->now - asked_at, span, sizeof span);
    if (slot->kind == CORE_HOOK || is_beside)
        log_about(LEVEL_WARNING, narrate_name(supervisor, run.slot),
                  notes_of(supervisor, run.slot)->pid, "%s%s is out of time and is killed",
                  narrate_role(supervisor, run.slot), narrate_name(supervisor, run.slot));
    else if (asked_at == 0)
        log_line(LEVEL_WARNING, "These processes were not asked before they are killed:");
    else
        log_line(LEVEL_WARNING,
                 supervisor->core->phase == PHASE_RUNNING
                     ? "The following tasks refused to exit after %s seconds, and are killed:"
                     : "During shutdown, the following tasks refused to exit after %s seconds, "
                       "and are killed:",
                 span);
    log_list(supervisor, LEVEL_WARNING, run, list, count);
    narrate_shields(supervisor, run.slot);
}

/* Nothing is formatted that nobody will read: signals and ends are what latency is measured by. */
void narrate_signal(const struct platform_signal *arrived)
{
    char name[16];
    if (!log_enabled(LEVEL_DEBUG))
        return;
    log_line(LEVEL_DEBUG, "SIG%s arrived%s", signal_name(arrived->signal, name),
             arrived->from_kernel ? " from the kernel" : "");
}

/* Who looks at the log of a fleet wants to see it come up.  A launcher's user has started the
 * command himself. */
static enum log_level progress_level(const struct supervisor *supervisor, uint32_t slot)
{
    bool is_worker = narrate_kind(supervisor, slot) == CORE_WORKER;
    return is_worker && !supervisor_is_launcher(supervisor) ? LEVEL_INFO : LEVEL_DEBUG;
}

void narrate_start(const struct supervisor *supervisor, uint32_t slot)
{
    const char *name = narrate_name(supervisor, slot);
    long pid = notes_of(supervisor, slot)->pid;
    log_about(progress_level(supervisor, slot), name, pid, "started %s%s (pid %ld)",
              narrate_role(supervisor, slot), name, pid);
}

void narrate_no_start(const struct supervisor *supervisor, uint32_t slot, const char *sentence)
{
    const char *name = narrate_name(supervisor, slot);
    if (supervisor_is_launcher(supervisor)) /* there is one command, which the sentence names */
        log_about(LEVEL_ERROR, name, 0, "%s", sentence);
    else
        log_about(LEVEL_ERROR, name, 0, "%s%s: %s", narrate_role(supervisor, slot), name, sentence);
}

/* Who is ready as soon as it runs was just started. */
void narrate_ready(const struct supervisor *supervisor, uint32_t slot)
{
    const char *name = narrate_name(supervisor, slot);
    bool told = supervisor->workers[core_slot(supervisor->core, slot)->owner].rules->ready_told;
    log_about(told ? progress_level(supervisor, slot) : LEVEL_DEBUG, name,
              notes_of(supervisor, slot)->pid, "%s is ready", name);
}

void narrate_retry(const struct supervisor *supervisor, const struct core_action *action)
{
    const char *name = narrate_name(supervisor, action->run.slot);
    const struct run_notes *notes = notes_of(supervisor, action->run.slot);
    char span[32], text[64];
    narrate_span(action->until - supervisor->core->now, span, sizeof span);
    if (notes->ended)
        log_about(
            LEVEL_INFO, name, notes->pid, "%s %s, and starts again in %s s", name,
            narrate_ending(core_slot(supervisor->core, action->run.slot)->end, text, sizeof text),
            span);
    else
        log_about(LEVEL_INFO, name, notes->pid, "%s starts again in %s s", name, span);
}

/* What stands around a worker and fails says so: nobody else tells. */
static enum log_level end_level(const struct supervisor *supervisor, uint32_t slot,
                                struct ending end)
{
    const struct core_slot *about = core_slot(supervisor->core, slot);
    bool failed = end.kind != ENDING_EXITED || end.value != 0;
    bool counts = about->kind == CORE_COMPANION && about->companion != COMPANION_HEALTH;
    return counts && failed && !about->requested ? LEVEL_WARNING : LEVEL_DEBUG;
}

void narrate_end(const struct supervisor *supervisor, struct run_id run, struct ending end)
{
    char text[64];
    const char *name = narrate_name(supervisor, run.slot);
    long pid = notes_of(supervisor, run.slot)->pid;
    enum log_level level = end_level(supervisor, run.slot, end);
    if (!log_enabled(level))
        return;
    log_about(level, name, pid, "%s%s (pid %ld) %s", narrate_role(supervisor, run.slot), name, pid,
              narrate_ending(end, text, sizeof text));
}

void narrate_phase(const struct supervisor *supervisor, const struct core_action *action)
{
    char name[16];
    switch (action->phase) {
    case PHASE_RUNNING:
        break;
    case PHASE_ENTERED:
        if (action->trigger == TRIGGER_SIGNAL)
            log_line(LEVEL_DEBUG, "SIG%s asks for a shutdown",
                     signal_name(supervisor_cause_signal(action->cause), name));
        if (action->trigger == TRIGGER_ERROR)
            log_line(LEVEL_ERROR, "Unhandled error; stopping the loop");
        log_line(LEVEL_INFO, "Stopping the loop");
        log_line(LEVEL_INFO, "Entering shutdown phase");
        if (supervisor->plan->shutdown_callback)
            log_line(LEVEL_INFO, "Executing the shutdown callback");
        break;
    case PHASE_DRAIN:
        if (supervisor->plan->drain_delay > 0)
            log_line(LEVEL_INFO, "Waiting for the drain delay");
        break;
    case PHASE_CANCEL:
        log_line(LEVEL_INFO, "Cancelling pending tasks");
        log_line(LEVEL_INFO, "Running pending tasks till complete");
        break;
    case PHASE_ORPHANS:
        log_line(LEVEL_INFO, "Waiting for executor shutdown");
        break;
    case PHASE_CLOSED:
        log_line(LEVEL_INFO, "Closing the loop");
        break;
    }
}

void narrate_waiting(const struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    for (uint32_t slot = 0; slot < core->slot_count; slot++) {
        char passed[32], rest[64] = "no deadline";
        msec kill_at = core_kill_time(core, slot);
        if (!core_present(core, slot))
            continue;
        if (kill_at != NEVER) {
            char left[32];
            narrate_span(msec_max(kill_at - core->now, 0), left, sizeof left);
            snprintf(rest, sizeof rest, "%s s left", left);
        }
        msec asked_at = notes_of(supervisor, slot)->asked_at;
        narrate_span(core->now - asked_at, passed, sizeof passed);
        const char *spared =
            core_slot(core, slot)->kind == CORE_JOB ? "a shielded job" : "not asked yet";
        log_line(LEVEL_WARNING, "Waiting for %s%s, %s%s%s, %s:", narrate_role(supervisor, slot),
                 narrate_name(supervisor, slot), asked_at ? "asked " : spared,
                 asked_at ? passed : "", asked_at ? " s ago" : "", rest);
        narrate_shields(supervisor, slot);
        narrate_processes(supervisor, LEVEL_WARNING, core_run(core, slot));
    }
}

/* The command's failure is news only where the exit status does not tell it. */
static enum log_level error_level(const struct supervisor *supervisor,
                                  const struct core_action *action)
{
    const struct plan *plan = supervisor->plan;
    bool is_worker = narrate_kind(supervisor, action->run.slot) == CORE_WORKER;
    bool told_by_status = plan->mode == MODE_LAUNCH && !plan->forever &&
                          plan->worker.rules->restart == RESTART_NEVER && is_worker &&
                          action->first;
    return told_by_status ? LEVEL_INFO : LEVEL_ERROR;
}

void narrate_error(const struct supervisor *supervisor, const struct core_action *action)
{
    char text[64];
    enum log_level level = error_level(supervisor, action);
    const char *name = narrate_name(supervisor, action->run.slot);
    const struct core_slot *slot = core_slot(supervisor->core, action->run.slot);
    bool gave_up = slot->kind == CORE_WORKER &&
                   supervisor->plan->workers[slot->owner].rules->restart != RESTART_NEVER &&
                   action->phase == PHASE_RUNNING;
    bool lives = slot->life == CORE_UP; /* an `error` line, which was logged in its own words */
    bool told = action->end.kind == ENDING_NOT_STARTED && !gave_up; /* by the start's own words */
    if (!told && !lives && log_enabled(level))
        log_about(level, name, notes_of(supervisor, action->run.slot)->pid, "%s %s%s%s", name,
                  narrate_ending(action->end, text, sizeof text),
                  gave_up ? ", and has used up its restarts" : "",
                  action->first ? "" : "; an earlier error is the exit status");
    if (action->hookless)
        log_line(LEVEL_WARNING, "every on-error command is busy: none is told of this error");
}

/* Why the core has stopped a run by itself. */
void narrate_failed(const struct supervisor *supervisor, const struct core_action *action)
{
    static const char *const reasons[] = {
        [WHY_NONE] = "has failed",
        [WHY_READY] = "was not ready in time",
        [WHY_WATCHDOG] = "has missed its watchdog",
        [WHY_HEALTH] = "has failed its health checks",
        [WHY_AGE] = "has its age",
        [WHY_RESTART] = "is to start anew",
    };
    const char *name = narrate_name(supervisor, action->run.slot);
    log_about(LEVEL_ERROR, name, notes_of(supervisor, action->run.slot)->pid,
              "%s %s, and is stopped", name, reasons[action->why]);
}

void narrate_rolled(const struct supervisor *supervisor, const struct core_action *action)
{
    const char *name = supervisor->plan->workers[action->worker].name;
    if (action->ok)
        log_about(LEVEL_INFO, name, 0, "%s is restarted", name);
    else
        log_about(LEVEL_ERROR, name, 0, "the restart of %s has stopped: not all of it is ready",
                  name);
}
