#include "supervisor/supervisor.h"

#include "plan/parse.h"
#include "plan/signals.h"
#include "supervisor/admin.h"
#include "supervisor/narrate.h"
#include "supervisor/timeline.h"

#include <string.h>

/* ---- signals to send ---- */

/* The worker whose run this slot has; NULL: it is no worker's. */
static const struct plan_worker *worker_of(const struct supervisor *supervisor, uint32_t slot)
{
    const struct core_slot *owned = core_slot(supervisor->core, slot);
    return owned->kind == CORE_WORKER ? &supervisor->plan->workers[owned->owner] : NULL;
}

static struct run_id main_run(const struct supervisor *supervisor)
{
    return core_run(supervisor->core, core_instance(supervisor->core, 0, 0));
}

static bool main_is_up(const struct supervisor *supervisor)
{
    return supervisor_is_launcher(supervisor) &&
           core_slot(supervisor->core, main_run(supervisor).slot)->life == CORE_UP;
}

/* Sends `signal`, rewritten, and remembers it: a death by it was asked for. */
static void send_rewritten(struct supervisor *supervisor, struct run_id run, int signal,
                           const struct platform_signal *arrived, bool wake)
{
    int sent = supervisor->plan->rewrite[signal];
    if (sent == 0)
        return;
    if (sent != SIGKILL)
        notes_of(supervisor, run.slot)->sent |= signal_bit(sent);
    admin_tell(supervisor, FACT_SIGNALLED, run.slot, sent, NULL);
    timeline_tell(supervisor, timeline_sent, run, sent);
    const struct plan_worker *worker = worker_of(supervisor, run.slot);
    platform_send(run, sent, worker != NULL && worker->rules->group, arrived, wake);
}

void supervisor_send(struct supervisor *supervisor, struct run_id run, int signal)
{
    send_rewritten(supervisor, run, signal, NULL, false);
}

/* The signal of a rung: its own, or the shutdown signal that arrived, else TERM. */
static int rung_signal(const struct supervisor *supervisor, const struct core_action *action)
{
    const struct plan_worker *worker = worker_of(supervisor, action->run.slot);
    int signal = worker != NULL ? worker->rules->rungs[action->rung].signal : SIGTERM;
    if (signal != 0)
        return signal;
    return action->trigger == TRIGGER_SIGNAL ? supervisor_cause_signal(action->cause) : SIGTERM;
}

/* What asks leftovers: an explicit stop signal or TERM, never an inherited INT, which background
 * children ignore. */
static int tree_signal(const struct supervisor *supervisor, uint32_t slot)
{
    const struct plan_worker *worker = worker_of(supervisor, slot);
    if (worker == NULL && supervisor_is_launcher(supervisor))
        worker = &supervisor->plan->workers[0];
    int signal = worker != NULL ? worker->rules->rungs[0].signal : 0;
    return signal ? signal : SIGTERM;
}

static void stop_by_signal(struct supervisor *supervisor, const struct core_action *action)
{
    const struct plan_worker *worker = worker_of(supervisor, action->run.slot);
    int signal = rung_signal(supervisor, action);
    bool inherited = worker != NULL && worker->rules->rungs[action->rung].signal == 0;
    if (worker != NULL && worker->is_logger) {
        platform_end_input(action->run); /* what waits in its pipe is still to be written */
        return;
    }
    if (inherited && (supervisor->delivered & signal_bit(signal))) {
        /* The keyboard was faster: one Ctrl-C is one SIGINT. */
        notes_of(supervisor, action->run.slot)->sent |= signal_bit(signal);
        return;
    }
    send_rewritten(supervisor, action->run, signal, NULL, true);
}

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
        log_about(LEVEL_ERROR, narrate_name(supervisor, slot), 0, "%s", started.sentence);
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
    timeline_tell(supervisor, timeline_stop_tree, action->run,
                  tree_signal(supervisor, action->run.slot));
    platform_stop_tree(action->run, tree_signal(supervisor, action->run.slot));
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
        stop_by_signal(supervisor, action);
        timeline_tell(supervisor, timeline_asked, action);
        break;
    case ACTION_FORWARD:
        if (!(supervisor->delivered & signal_bit(supervisor_cause_signal(action->cause))))
            send_rewritten(supervisor, action->run, supervisor_cause_signal(action->cause), NULL,
                           true);
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
        control_all_ready(supervisor);
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
        admin_tell(supervisor, FACT_PHASE, 0, action->phase, NULL);
        control_phase(supervisor, action->phase);
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
        control_shield_outer(supervisor);
}

static void step(struct supervisor *supervisor, const struct core_event *event)
{
    supervisor_post(supervisor, event);
    supervisor_settle(supervisor);
}

/* ---- reports ---- */

static bool is_terminal_stop(int signal)
{
#ifdef SIGTSTP
    return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
#else
    (void)signal;
    return false;
#endif
}

void supervisor_stopped(struct supervisor *supervisor, struct run_id run, int signal)
{
#ifdef SIGCONT
    if (!supervisor_is_launcher(supervisor) || run.slot != main_run(supervisor).slot) {
        /* One that was asked to stop obeys only when it runs. */
        if (core_slot(supervisor->core, run.slot)->requested && platform_stopped(run))
            platform_send(run, SIGCONT, true, NULL, false);
        return;
    }
    bool by_terminal = is_terminal_stop(signal);
    bool ending = supervisor->core->phase >= PHASE_CANCEL; /* and must not stand still */
    bool wants_terminal = signal == SIGTTIN || signal == SIGTTOU;
    bool handed = wants_terminal && platform_hand_over(run); /* ours to give: no need to stop */
    /* Else the shell stops, and later continues, the whole job. */
    bool continued = !ending && !handed && platform_stop(by_terminal ? signal : SIGTSTP);
    if (continued)
        platform_hand_over(run);
    if ((continued || ending || by_terminal) && platform_stopped(run)) {
        timeline_tell(supervisor, timeline_sent, run, SIGCONT);
        platform_send(run, SIGCONT, true, NULL, false);
    }
#else
    (void)supervisor, (void)run, (void)signal;
#endif
}

/* Keys belong to the command that shares the terminal with us: a REPL survives Ctrl-C as usual.
 * They are a shutdown trigger only where the command's end would not end us. */
static bool belongs_to_command(const struct supervisor *supervisor, bool delivered, int signal)
{
    const struct plan *plan = supervisor->plan;
    bool is_key = signal == SIGINT;
#ifdef SIGQUIT
    is_key = is_key || signal == SIGQUIT;
#endif
    bool outlives = plan->forever || plan->worker.rules->restart != RESTART_NEVER;
    return is_key && delivered && main_is_up(supervisor) && !outlives &&
           !plan->shutdown_signals_given && !supervisor->spoken;
}

static bool is_key(const struct supervisor *supervisor, const struct platform_signal *arrived)
{
    return arrived->from_kernel && (supervisor->place.keyboard & signal_bit(arrived->signal));
}

/* A fleet ends with the terminal that it was started on.  A HUP that a program sends is another. */
static bool has_lost_terminal(const struct supervisor *supervisor,
                              const struct platform_signal *arrived)
{
#ifdef SIGHUP
    return plan_is_fleet(supervisor->plan) && arrived->from_kernel && arrived->signal == SIGHUP;
#else
    return false;
#endif
}

static void trigger(struct supervisor *supervisor, const struct platform_signal *arrived,
                    bool delivered)
{
    struct core_event event = {.kind = EVENT_TRIGGER, .trigger = TRIGGER_SIGNAL};
    signal_mask bit = signal_bit(arrived->signal);
    event.cause = arrived->signal - 1;
    /* Signals are not passed on to a fleet: one more, of whatever kind, is the same again. */
    if (plan_is_fleet(supervisor->plan) && supervisor->core->phase != PHASE_RUNNING)
        event.cause = supervisor->core->cause;
    event.keyboard = is_key(supervisor, arrived) && !has_lost_terminal(supervisor, arrived);
    if (delivered)
        supervisor->delivered |= bit;
    else
        supervisor->delivered &= ~bit;
    step(supervisor, &event);
}

/* Is this a stop that the command has sent to its whole group, ours too (an editor on Ctrl-Z)? */
static bool is_echo(const struct supervisor *supervisor, const struct platform_signal *arrived)
{
    return is_terminal_stop(arrived->signal) && arrived->sender != 0 &&
           arrived->sender == platform_pid(main_run(supervisor));
}

static void pass_on(struct supervisor *supervisor, const struct platform_signal *arrived)
{
    struct run_id run = main_run(supervisor);
    if (is_echo(supervisor, arrived))
        return;
#ifdef SIGCONT
    if (arrived->signal == SIGCONT)
        platform_hand_over(run); /* `fg` has given it to us */
    if (arrived->signal == SIGCONT && !platform_stopped(run))
        return;
#endif
    send_rewritten(supervisor, run, arrived->signal, arrived, false);
}

/* Has a key reached us that the command would have got a moment later?  `fg` gives the foreground
 * to our group, and the user may be faster than we are at handing it on. */
static bool catches_up(const struct supervisor *supervisor)
{
    return platform_hand_over(main_run(supervisor)) || platform_yields_keys();
}

/* The hangup of a terminal is none: a fleet has nothing to do with one. */
static bool is_reload(const struct supervisor *supervisor, const struct platform_signal *arrived)
{
#ifdef SIGHUP
    return plan_is_fleet(supervisor->plan) && arrived->signal == SIGHUP && !arrived->from_kernel;
#else
    (void)supervisor, (void)arrived;
    return false;
#endif
}

void supervisor_signal(struct supervisor *supervisor, const struct platform_signal *arrived)
{
    bool delivered = platform_shares(arrived);
    bool running = supervisor->core->phase == PHASE_RUNNING;
    bool is_trigger = (supervisor->triggers & signal_bit(arrived->signal)) ||
                      has_lost_terminal(supervisor, arrived);
    narrate_signal(arrived);
    timeline_tell(supervisor, timeline_signal, arrived);
    if (running && belongs_to_command(supervisor, delivered, arrived->signal))
        return;
    if (is_key(supervisor, arrived) && main_is_up(supervisor) && catches_up(supervisor)) {
        pass_on(supervisor, arrived);
        return;
    }
    if (is_trigger && supervisor->outer_asked && !arrived->from_kernel) {
        supervisor->outer_asked = false; /* the one that follows its message */
        return;
    }
    if (is_trigger)
        trigger(supervisor, arrived, delivered);
    else if (is_reload(supervisor, arrived))
        reload_by_signal(supervisor);
    else if (!delivered && main_is_up(supervisor))
        pass_on(supervisor, arrived);
}

void supervisor_limit(struct supervisor *supervisor, msec until)
{
    step(supervisor, &(struct core_event){.kind = EVENT_LIMIT, .until = until});
}

/* Was the end by, or by 128 plus, a signal that we sent? */
static bool was_requested(const struct supervisor *supervisor, struct run_id run, struct ending end)
{
    uint32_t signal = end.value;
    if (end.kind == ENDING_EXITED)
        signal = end.value > STATUS_SIGNAL_BASE ? end.value - STATUS_SIGNAL_BASE : 0;
    return signal >= 1 && signal <= PLAN_SIGNAL_MAX &&
           (notes_of(supervisor, run.slot)->sent & signal_bit((int)signal));
}

void supervisor_ended(struct supervisor *supervisor, struct run_id run, struct ending end,
                      bool left)
{
    struct core_event event = {.kind = EVENT_EXITED, .run = run, .end = end, .left = left};
    event.requested = was_requested(supervisor, run, end);
    notes_of(supervisor, run.slot)->ended = true;
    narrate_end(supervisor, run, end);
    admin_ended(supervisor, run.slot, end);
    if (narrate_kind(supervisor, run.slot) == CORE_JOB)
        control_job_ended(supervisor, run, end, false);
    const struct plan_worker *worker = worker_of(supervisor, run.slot);
    if (worker != NULL && worker->is_logger && supervisor->core->phase != PHASE_RUNNING)
        platform_end_input(run); /* it will not be started again */
    timeline_tell(supervisor, timeline_ended, run, end, left);
    step(supervisor, &event);
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
        requested = was_requested(supervisor, main_run(supervisor), end);
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
    step(supervisor, &(struct core_event){.kind = EVENT_REAPED});
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
    step(supervisor, &(struct core_event){.kind = EVENT_TIME});
    if (supervisor->reload != NULL && reload_is_due(supervisor))
        reload_switch(supervisor);
}
