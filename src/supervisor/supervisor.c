#include "supervisor/supervisor.h"

#include "plan/parse.h"
#include "plan/signals.h"
#include "supervisor/admin.h"
#include "supervisor/narrate.h"
#include "supervisor/timeline.h"

#include <string.h>

/* ---- actions ---- */

bool supervisor_post(struct supervisor *supervisor, const struct core_event *event)
{
    return core_step(supervisor->core, platform_now(), event);
}

static enum platform_what companion_of(enum core_companion companion)
{
    switch (companion) {
    case COMPANION_BEFORE_START:
        return PLATFORM_BEFORE_START;
    case COMPANION_AFTER_STOP:
        return PLATFORM_AFTER_STOP;
    case COMPANION_NONE:
    case COMPANION_HEALTH:
        break;
    }
    return PLATFORM_HEALTH;
}

static enum platform_what what_of(const struct supervisor *supervisor, uint32_t slot)
{
    if (narrate_kind(supervisor, slot) == CORE_COMPANION)
        return companion_of((enum core_companion)core_slot(supervisor->core, slot)->companion);
    if (narrate_kind(supervisor, slot) == CORE_JOB)
        return PLATFORM_JOB;
    if (narrate_kind(supervisor, slot) != CORE_HOOK)
        return PLATFORM_COMMAND;
    switch ((enum core_hook)core_slot(supervisor->core, slot)->owner) {
    case HOOK_HANDLER:
        return PLATFORM_HANDLER;
    case HOOK_CALLBACK:
        return PLATFORM_CALLBACK;
    case HOOK_ERROR:
        break;
    }
    return PLATFORM_ON_ERROR;
}

/* Which of its worker's instances has this slot, or is looked after in it? */
static uint32_t instance_of(const struct supervisor *supervisor, uint32_t slot)
{
    const struct core_slot *owned = core_slot(supervisor->core, slot);
    if (owned->kind == CORE_COMPANION)
        slot = owned->about;
    else if (owned->kind != CORE_WORKER)
        return 0;
    return slot - core_instance(supervisor->core, owned->owner, 0);
}

/* Will anything be started after the command? */
static bool starts_more(const struct plan *plan)
{
    return plan->mode != MODE_LAUNCH || plan->forever ||
           plan->worker.rules->restart != RESTART_NEVER || plan->shutdown_handler ||
           plan->shutdown_callback || plan->on_error;
}

static void start_run(struct supervisor *supervisor, const struct core_action *action)
{
    uint32_t slot = action->run.slot;
    uint32_t about = core_slot(supervisor->core, slot)->about;
    struct run_notes *notes = notes_of(supervisor, slot);
    struct platform_program program = {.what = what_of(supervisor, slot)};
    struct platform_started started;
    struct core_event event = {.kind = EVENT_STARTED, .run = action->run};

    program.worker = core_slot(supervisor->core, slot)->owner;
    program.instance = instance_of(supervisor, slot);
    program.error.end = action->end;
    if (core_slot(supervisor->core, slot)->kind == CORE_HOOK && about != 0) {
        program.error.worker = narrate_name(supervisor, about);
        program.error.pid = notes_of(supervisor, about)->pid;
        program.error.text = about == supervisor->error_slot ? supervisor->error_text : NULL;
    }
    platform_start(action->run, &program, &started);
    memset(notes, 0, sizeof *notes);
    notes->pid = started.pid;
    if (started.ok) {
        narrate_start(supervisor, slot);
    } else {
        narrate_no_start(supervisor, slot, started.sentence);
        event.kind = EVENT_NOT_STARTED;
        event.end = started.end;
    }
    timeline_tell(supervisor, timeline_started, action->run, &started);
    supervisor_post(supervisor, &event);
    if (started.ok)
        admin_started(supervisor, slot);
    else
        admin_not_started(supervisor, slot, started.end);
    if (!started.ok && program.what == PLATFORM_JOB)
        control_job_ended(supervisor, action->run, started.end, false);
    if (started.ok && !starts_more(supervisor->plan))
        platform_release();
}

static void stop_tree(struct supervisor *supervisor, const struct core_action *action)
{
    struct run_notes *notes = notes_of(supervisor, action->run.slot);
    if (notes->asked_at == 0)
        notes->asked_at = supervisor->core->now;
    if (log_enabled(LEVEL_DEBUG)) {
        log_line(LEVEL_DEBUG,
                 "Cancelling what is left of %s:", narrate_name(supervisor, action->run.slot));
        narrate_processes(supervisor, LEVEL_DEBUG, action->run);
    }
    int signal = signals_of_tree(supervisor, action->run.slot);
    timeline_tell(supervisor, timeline_stop_tree, action->run, signal);
    platform_stop_tree(action->run, signal);
}

/* A queued job, or the after-stop of an instance. */
static void drop(struct supervisor *supervisor, const struct core_action *action)
{
    const char *name = narrate_name(supervisor, action->run.slot);
    if (action->companion != COMPANION_NONE) {
        log_about(LEVEL_WARNING, name, 0, "the after-stop of %s is out of time, and not run", name);
        return;
    }
    log_about(LEVEL_WARNING, name, 0, "job %s was not started in time and is dropped", name);
    admin_tell(supervisor, FACT_DROPPED, action->run.slot, 0, NULL);
    control_job_ended(supervisor, action->run, action->end, true);
}

/* Loggers that are down now are not started again: what waits in their pipes, and what still
 * comes, goes on without them. */
static void replace_loggers(struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    for (uint32_t i = 0; i < supervisor->plan->worker_count; i++) {
        uint32_t slot = core_instance(core, i, 0);
        enum core_life life = core_slot(core, slot)->life;
        if (supervisor->plan->workers[i].is_logger && (life == CORE_DOWN || life == CORE_TREE))
            platform_end_input(core_run(core, slot));
    }
}

static void perform(struct supervisor *supervisor, const struct core_action *action)
{
    uint32_t slot = action->run.slot;
    const char *name = narrate_name(supervisor, slot);
    long pid = notes_of(supervisor, slot)->pid;
    timeline_tell(supervisor, timeline_action, action);
    switch (action->kind) {
    case ACTION_START:
        start_run(supervisor, action);
        break;
    case ACTION_REQUEST:
        notes_of(supervisor, slot)->asked_at = supervisor->core->now;
        log_about(LEVEL_DEBUG, name, pid, "Cancelling task: %s (pid %ld)", name, pid);
        admin_tell(supervisor, FACT_ASKED, slot, 0, NULL);
        control_asked(supervisor, action);
        break;
    case ACTION_SIGNAL:
        signals_stop(supervisor, action);
        timeline_tell(supervisor, timeline_asked, action);
        break;
    case ACTION_FORWARD:
        signals_forward(supervisor, action);
        break;
    case ACTION_STOP_TREE:
        stop_tree(supervisor, action);
        break;
    case ACTION_KILL:
        narrate_refusal(supervisor, action->run);
        admin_tell(supervisor, FACT_KILLED, slot, 0, NULL);
        platform_kill(action->run);
        break;
    case ACTION_ABANDON:
        admin_tell(supervisor, FACT_ABANDONED, slot, 0, NULL);
        log_line(LEVEL_ERROR, "%s outlived SIGKILL and is left behind:", name);
        if (narrate_processes(supervisor, LEVEL_ERROR, action->run) == 0)
            log_line(LEVEL_ERROR, "  what remains of it cannot be listed");
        break;
    case ACTION_CENSUS:
        platform_census();
        break;
    case ACTION_DROP:
        drop(supervisor, action);
        break;
    case ACTION_RETRY:
        narrate_retry(supervisor, action);
        notes_of(supervisor, slot)->ended = false;
        admin_tell(supervisor, FACT_PLANNED, slot, action->until - supervisor->core->now, NULL);
        break;
    case ACTION_ERROR:
        narrate_error(supervisor, action);
        admin_tell_end(supervisor, FACT_FAILED, slot, action->end);
        break;
    case ACTION_READY:
        narrate_ready(supervisor, slot);
        admin_tell(supervisor, FACT_READY, slot, 0, NULL);
        break;
    case ACTION_ALL_READY:
        upwards_ready(supervisor);
        break;
    case ACTION_ROLLED:
        narrate_rolled(supervisor, action);
        break;
    case ACTION_FAILED:
        narrate_failed(supervisor, action);
        admin_tell(supervisor, FACT_UNWELL, slot, action->why, NULL);
        break;
    case ACTION_HELD:
        admin_tell(supervisor, FACT_HELD, slot, 0, NULL);
        log_about(LEVEL_WARNING, name, pid, "%s is held: what it needs is not there", name);
        break;
    case ACTION_PHASE:
        narrate_phase(supervisor, action);
        if (action->phase == PHASE_ENTERED)
            replace_loggers(supervisor);
        admin_tell(supervisor, FACT_PHASE, 0, action->phase, NULL);
        upwards_phase(supervisor, action->phase);
        break;
    case ACTION_FORCED:
        log_line(LEVEL_WARNING, "Asked again: going on at once");
        admin_tell(supervisor, FACT_FORCED, 0, 0, NULL);
        break;
    case ACTION_WAITING:
        narrate_waiting(supervisor);
        break;
    case ACTION_EXIT:
        supervisor->end = action->end;
        platform_finish();
        break;
    }
}

/* Starts take long, and more may fall due meanwhile: where a fleet cannot be started at all, there
 * is no end to it.  So signals are looked at between so many. */
#define STARTS_AT_A_TIME 64

/* Facts that come up on the way are recorded, and dealt with by the loop that is running. */
void supervisor_settle(struct supervisor *supervisor)
{
    struct core_action action;
    uint32_t starts = 0;
    if (supervisor->performing)
        return;
    supervisor->performing = true;
    if (supervisor->reload != NULL)
        reload_holds_down(supervisor); /* before it is started for nothing */
    do {
        while (starts < STARTS_AT_A_TIME && core_next(supervisor->core, &action)) {
            starts += action.kind == ACTION_START;
            perform(supervisor, &action);
        }
    } while (supervisor->reload != NULL && reload_holds_down(supervisor) &&
             starts < STARTS_AT_A_TIME);
    platform_flush();
    supervisor->performing = false;
    supervisor->unsettled = starts == STARTS_AT_A_TIME;
    bool due = supervisor->reload != NULL && reload_is_due(supervisor);
    platform_arm(supervisor->unsettled || due ? supervisor->core->now
                                              : core_deadline(supervisor->core));
    admin_look(supervisor);
    if (supervisor->place.has_outer)
        upwards_shield(supervisor);
}

void supervisor_step(struct supervisor *supervisor, const struct core_event *event)
{
    supervisor_post(supervisor, event);
    supervisor_settle(supervisor);
}

/* ---- reports ---- */

void supervisor_limit(struct supervisor *supervisor, msec until)
{
    supervisor_step(supervisor, &(struct core_event){.kind = EVENT_LIMIT, .until = until});
}

void supervisor_ended(struct supervisor *supervisor, struct run_id run, struct ending end,
                      bool left)
{
    struct core_event event = {.kind = EVENT_EXITED, .run = run, .end = end, .left = left};
    event.requested = signals_asked_for(supervisor, run, end);
    notes_of(supervisor, run.slot)->ended = true;
    narrate_end(supervisor, run, end);
    admin_ended(supervisor, run.slot, end);
    if (narrate_kind(supervisor, run.slot) == CORE_JOB)
        control_job_ended(supervisor, run, end, false);
    const struct plan_worker *worker = worker_of(supervisor, run.slot);
    if (worker != NULL && worker->is_logger && supervisor->core->phase != PHASE_RUNNING)
        platform_end_input(run); /* it will not be started again */
    timeline_tell(supervisor, timeline_ended, run, end, left);
    supervisor_step(supervisor, &event);
}

/* --success-status: an end that counts as success becomes status 0. */
struct ending supervisor_outcome(const struct supervisor *supervisor)
{
    struct ending end = supervisor->end;
    const struct plan_worker *worker = &supervisor->plan->worker;
    bool requested = false;
    if (end.kind == ENDING_NOT_STARTED)
        return (struct ending){ENDING_EXITED, end.value};
    if (supervisor_is_launcher(supervisor))
        requested = signals_asked_for(supervisor, main_run(supervisor), end);
    if (policy_is_success(&worker->rules->success, end, requested))
        return (struct ending){ENDING_EXITED, 0};
    return end;
}

void supervisor_adopted_ended(struct supervisor *supervisor, long pid, struct ending end)
{
    char text[64];
    enum log_level level = supervisor->plan->warn_on_reap ? LEVEL_WARNING : LEVEL_DEBUG;
    if (log_enabled(level))
        log_about(level, "orphans", pid, "reaped adopted process %ld: %s", pid,
                  narrate_ending(end, text, sizeof text));
    timeline_tell(supervisor, timeline_adopted_ended, pid, end);
}

void supervisor_reaped(struct supervisor *supervisor)
{
    supervisor_step(supervisor, &(struct core_event){.kind = EVENT_REAPED});
}

void supervisor_tree(struct supervisor *supervisor, struct run_id run, bool left, bool fresh)
{
    if (!left && core_present(supervisor->core, run.slot))
        timeline_tell(supervisor, timeline_gone, run);
    /* At the time at which it was asked: a look through /proc may take seconds, and whose end has
     * come meanwhile is not given up before that is heard. */
    core_step(supervisor->core, supervisor->core->now,
              &(struct core_event){.kind = EVENT_TREE, .run = run, .left = left, .fresh = fresh});
    supervisor_settle(supervisor);
}

void supervisor_time(struct supervisor *supervisor)
{
    supervisor_step(supervisor, &(struct core_event){.kind = EVENT_TIME});
    if (supervisor->reload != NULL && reload_is_due(supervisor))
        reload_switch(supervisor);
}
