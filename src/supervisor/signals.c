/* Signals: what is sent to runs, and what those that arrive mean. */
#include "plan/signals.h"

#include "plan/parse.h"
#include "supervisor/admin.h"
#include "supervisor/narrate.h"
#include "supervisor/timeline.h"

/* ---- what is sent ---- */

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

void signals_send(struct supervisor *supervisor, struct run_id run, int signal)
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
int signals_of_tree(const struct supervisor *supervisor, uint32_t slot)
{
    const struct plan_worker *worker = worker_of(supervisor, slot);
    if (worker == NULL && supervisor_is_launcher(supervisor))
        worker = &supervisor->plan->workers[0];
    int signal = worker != NULL ? worker->rules->rungs[0].signal : 0;
    return signal ? signal : SIGTERM;
}

/* Whose writers go on sees no end of its input: that one is asked by its signal. */
static bool ends_by_input(const struct supervisor *supervisor, const struct plan_worker *worker)
{
    return worker != NULL && worker->is_logger &&
           (supervisor->core->phase != PHASE_RUNNING ||
            !admin_is_wanted(supervisor, worker->logger));
}

void signals_stop(struct supervisor *supervisor, const struct core_action *action)
{
    const struct plan_worker *worker = worker_of(supervisor, action->run.slot);
    if (ends_by_input(supervisor, worker)) {
        platform_end_input(action->run); /* what waits in its pipe is still to be written */
        return;
    }
    int signal = rung_signal(supervisor, action);
    bool inherited = worker != NULL && worker->rules->rungs[action->rung].signal == 0;
    if (inherited && (supervisor->delivered & signal_bit(signal))) {
        /* The keyboard was faster: one Ctrl-C is one SIGINT. */
        notes_of(supervisor, action->run.slot)->sent |= signal_bit(signal);
        return;
    }
    send_rewritten(supervisor, action->run, signal, NULL, true);
}

void signals_forward(struct supervisor *supervisor, const struct core_action *action)
{
    int signal = supervisor_cause_signal(action->cause);
    if (!(supervisor->delivered & signal_bit(signal)))
        send_rewritten(supervisor, action->run, signal, NULL, true);
}

bool signals_asked_for(const struct supervisor *supervisor, struct run_id run, struct ending end)
{
    uint32_t signal = end.value;
    if (end.kind == ENDING_EXITED)
        signal = end.value > STATUS_SIGNAL_BASE ? end.value - STATUS_SIGNAL_BASE : 0;
    return signal >= 1 && signal <= PLAN_SIGNAL_MAX &&
           (notes_of(supervisor, run.slot)->sent & signal_bit((int)signal));
}

/* ---- job control ---- */

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

/* ---- what arrives ---- */

static bool main_is_up(const struct supervisor *supervisor)
{
    return supervisor_is_launcher(supervisor) &&
           core_slot(supervisor->core, main_run(supervisor).slot)->life == CORE_UP;
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
    supervisor_step(supervisor, &event);
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
