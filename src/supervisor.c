#include "supervisor.h"

#include "core/core.h"
#include "plan/parse.h"
#include "report/log.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 32 /* processes named in one report */

/* What is remembered of a run beside what the core knows. */
struct run_notes {
    signal_mask sent; /* signals we sent it, KILL not counted */
    msec asked_at;
    long pid;
};

struct supervisor {
    const struct plan *plan;
    struct core *core;
    struct core_worker worker; /* the launcher's one worker */
    struct run_notes *notes;   /* by slot */
    struct platform_surroundings place;
    signal_mask triggers;  /* the shutdown signals that were not ignored when we started */
    signal_mask delivered; /* shutdown signals that the kernel gave to the command itself */
    bool performing;
    struct ending end;
};

static const char *const state_words[128] = {
    ['R'] = "running", ['S'] = "sleeping", ['D'] = "in uninterruptible sleep",
    ['T'] = "stopped", ['t'] = "traced",   ['Z'] = "a zombie",
    ['I'] = "idle",    ['X'] = "dead",
};

/* ---- names and sentences ------------------------------------------------------------------------
 */

static enum core_kind kind_of(const struct supervisor *supervisor, uint32_t slot)
{
    return supervisor->core->slots[slot].kind;
}

static const char *name_of(const struct supervisor *supervisor, uint32_t slot)
{
    static const char *const hooks[] = {
        [HOOK_HANDLER] = "shutdown-handler",
        [HOOK_CALLBACK] = "shutdown-callback",
        [HOOK_ERROR] = "on-error",
    };
    switch (kind_of(supervisor, slot)) {
    case CORE_ORPHANS:
        return "orphans";
    case CORE_HOOK:
        return hooks[supervisor->core->slots[slot].owner];
    case CORE_WORKER:
        return supervisor->plan->worker.name;
    case CORE_JOB:
        return "job";
    }
    return "";
}

static const char *describe_ending(struct ending end, char *buffer, size_t size)
{
    char name[16];
    switch (end.kind) {
    case ENDING_NONE:
        snprintf(buffer, size, "not ended");
        break;
    case ENDING_EXITED:
        snprintf(buffer, size, "exited with status %u", (unsigned)end.value);
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

/* Spans as people read them, in seconds: "0.3", "12". */
static const char *describe_span(msec span, char *buffer, size_t size)
{
    msec tenths = (span + 50) / 100;
    if (tenths < 100 && tenths % 10 != 0)
        snprintf(buffer, size, "%lld.%lld", (long long)(tenths / 10), (long long)(tenths % 10));
    else
        snprintf(buffer, size, "%lld", (long long)(tenths / 10));
    return buffer;
}

static void log_process(enum log_level level, const char *worker,
                        const struct platform_process *process)
{
    char age[32] = "unknown";
    const char *state = state_words[process->state & 0x7f];
    if (process->age >= 0)
        describe_span(process->age, age, sizeof age);
    log_about(level, worker, process->pid, "  %s: pid %ld, age %s s, %s%s%s: %s", worker,
              process->pid, age, state ? state : "in an unknown state",
              process->where[0] ? " in " : "", process->where, process->command);
}

static void log_list(const struct supervisor *supervisor, enum log_level level, struct run_id run,
                     const struct platform_process *list, size_t count)
{
    for (size_t i = 0; i < count && i < LIST_MAX; i++)
        log_process(level, name_of(supervisor, run.slot), &list[i]);
    if (count > LIST_MAX)
        log_line(level, "  and %zu more", count - LIST_MAX);
}

/* Names the processes of a run; returns how many there are. */
static size_t log_processes(const struct supervisor *supervisor, enum log_level level,
                            struct run_id run)
{
    struct platform_process list[LIST_MAX];
    size_t count = platform_list(run, list, LIST_MAX);
    log_list(supervisor, level, run, list, count);
    return count;
}

/* ---- signals to send
 * ------------------------------------------------------------------------------ */

static bool is_forever_alone(const struct supervisor *supervisor)
{
    return supervisor->plan->worker.argv == NULL;
}

static struct run_id main_run(const struct supervisor *supervisor)
{
    return core_run(supervisor->core, core_instance(supervisor->core, 0, 0));
}

static bool main_is_up(const struct supervisor *supervisor)
{
    return !is_forever_alone(supervisor) &&
           supervisor->core->slots[main_run(supervisor).slot].life == CORE_UP;
}

/* Sends `signal`, rewritten, and remembers it: a death by it was asked for. */
static void send_rewritten(struct supervisor *supervisor, struct run_id run, int signal,
                           const struct platform_signal *arrived, bool wake)
{
    int sent = supervisor->plan->rewrite[signal];
    if (sent == 0)
        return;
    if (sent != SIGKILL)
        supervisor->notes[run.slot].sent |= signal_bit(sent);
    platform_send(run, sent, supervisor->plan->worker.group, arrived, wake);
}

/* The core's causes are 0..63, signals 1..64. */
static int signal_of(int cause)
{
    return cause + 1;
}

/* The signal of a rung: its own, or the shutdown signal that arrived, else TERM. */
static int rung_signal(const struct supervisor *supervisor, uint32_t rung,
                       const struct core_action *action)
{
    int signal = supervisor->plan->worker.rungs[rung].signal;
    if (signal != 0)
        return signal;
    return action->trigger == TRIGGER_SIGNAL ? signal_of(action->cause) : SIGTERM;
}

/* What asks leftovers: an explicit stop signal or TERM, never an inherited INT, which background
 * children ignore. */
static int tree_signal(const struct supervisor *supervisor)
{
    int signal = is_forever_alone(supervisor) ? 0 : supervisor->plan->worker.rungs[0].signal;
    return signal ? signal : SIGTERM;
}

static void stop_by_signal(struct supervisor *supervisor, const struct core_action *action)
{
    int signal = rung_signal(supervisor, action->rung, action);
    bool inherited = supervisor->plan->worker.rungs[action->rung].signal == 0;
    if (action->rung == 0)
        supervisor->notes[action->run.slot].asked_at = supervisor->core->now;
    if (inherited && (supervisor->delivered & signal_bit(signal))) {
        /* The keyboard was faster: one Ctrl-C is one SIGINT. */
        supervisor->notes[action->run.slot].sent |= signal_bit(signal);
        return;
    }
    send_rewritten(supervisor, action->run, signal, NULL, true);
}

/* ---- actions
 * ---------------------------------------------------------------------------------------- */

static void post(struct supervisor *supervisor, const struct core_event *event)
{
    core_step(supervisor->core, platform_now(), event);
}

static enum platform_what what_of(const struct supervisor *supervisor, uint32_t slot)
{
    if (kind_of(supervisor, slot) != CORE_HOOK)
        return PLATFORM_COMMAND;
    switch ((enum core_hook)supervisor->core->slots[slot].owner) {
    case HOOK_HANDLER:
        return PLATFORM_HANDLER;
    case HOOK_CALLBACK:
        return PLATFORM_CALLBACK;
    case HOOK_ERROR:
        break;
    }
    return PLATFORM_ON_ERROR;
}

/* Will anything be started after the command? */
static bool starts_more(const struct plan *plan)
{
    return plan->forever || plan->worker.restart != RESTART_NEVER || plan->shutdown_handler ||
           plan->shutdown_callback || plan->on_error;
}

static void start_run(struct supervisor *supervisor, const struct core_action *action)
{
    uint32_t slot = action->run.slot;
    uint32_t about = supervisor->core->slots[slot].about;
    struct run_notes *notes = &supervisor->notes[slot];
    struct platform_error error = {0};
    struct platform_started started;
    struct core_event event = {.kind = EVENT_STARTED, .run = action->run};

    error.end = action->end;
    if (about != 0) {
        error.worker = name_of(supervisor, about);
        error.pid = supervisor->notes[about].pid;
    }
    platform_start(action->run, what_of(supervisor, slot), &error, &started);
    memset(notes, 0, sizeof *notes);
    notes->pid = started.pid;
    if (started.ok) {
        log_about(LEVEL_DEBUG, name_of(supervisor, slot), started.pid, "started %s (pid %ld)",
                  name_of(supervisor, slot), started.pid);
    } else {
        log_about(LEVEL_ERROR, name_of(supervisor, slot), 0, "%s", started.sentence);
        event.kind = EVENT_NOT_STARTED;
        event.end = started.end;
    }
    post(supervisor, &event);
    if (started.ok && !starts_more(supervisor->plan))
        platform_release();
}

/* The seed's words for a task that ignored its cancellation. */
static void log_refusal(struct supervisor *supervisor, struct run_id run)
{
    const struct core_slot *slot = &supervisor->core->slots[run.slot];
    struct platform_process list[LIST_MAX];
    size_t count = platform_list(run, list, LIST_MAX);
    size_t news = 0;
    for (size_t i = 0; i < count && i < LIST_MAX; i++)
        news += !list[i].killed;
    if (count > 0 && news == 0) /* they die of an earlier KILL, which was reported */
        return;
    msec asked_at = supervisor->notes[run.slot].asked_at;
    char span[32];
    describe_span(supervisor->core->now - asked_at, span, sizeof span);
    if (slot->kind == CORE_HOOK)
        log_about(LEVEL_WARNING, name_of(supervisor, run.slot), supervisor->notes[run.slot].pid,
                  "%s is out of time and is killed", name_of(supervisor, run.slot));
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
}

static void stop_tree(struct supervisor *supervisor, const struct core_action *action)
{
    struct run_notes *notes = &supervisor->notes[action->run.slot];
    if (notes->asked_at == 0)
        notes->asked_at = supervisor->core->now;
    if (log_enabled(LEVEL_DEBUG)) {
        log_line(LEVEL_DEBUG,
                 "Cancelling what is left of %s:", name_of(supervisor, action->run.slot));
        log_processes(supervisor, LEVEL_DEBUG, action->run);
    }
    platform_stop_tree(action->run, tree_signal(supervisor));
}

static void log_phase(struct supervisor *supervisor, const struct core_action *action)
{
    char name[16];
    switch (action->phase) {
    case PHASE_RUNNING:
        break;
    case PHASE_ENTERED:
        if (action->trigger == TRIGGER_SIGNAL)
            log_line(LEVEL_DEBUG, "SIG%s asks for a shutdown",
                     signal_name(signal_of(action->cause), name));
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

static void log_waiting(struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    for (uint32_t slot = 0; slot < core->slot_count; slot++) {
        char passed[32], rest[64] = "no deadline";
        msec kill_at = core_kill_time(core, slot);
        if (!core_present(core, slot))
            continue;
        if (kill_at != NEVER) {
            char left[32];
            describe_span(msec_max(kill_at - core->now, 0), left, sizeof left);
            snprintf(rest, sizeof rest, "%s s left", left);
        }
        msec asked_at = supervisor->notes[slot].asked_at;
        describe_span(core->now - asked_at, passed, sizeof passed);
        log_line(LEVEL_WARNING, "Waiting for %s, %s%s%s, %s:", name_of(supervisor, slot),
                 asked_at ? "asked " : "not asked yet", asked_at ? passed : "",
                 asked_at ? " s ago" : "", rest);
        log_processes(supervisor, LEVEL_WARNING, core_run(core, slot));
    }
}

/* The command's failure is news only where the exit status does not tell it. */
static enum log_level error_level(const struct supervisor *supervisor,
                                  const struct core_action *action)
{
    const struct plan *plan = supervisor->plan;
    bool told_by_status = !plan->forever && plan->worker.restart == RESTART_NEVER &&
                          kind_of(supervisor, action->run.slot) == CORE_WORKER && action->first;
    return told_by_status ? LEVEL_INFO : LEVEL_ERROR;
}

static void log_error(struct supervisor *supervisor, const struct core_action *action)
{
    char text[64];
    const char *name = name_of(supervisor, action->run.slot);
    bool gave_up = kind_of(supervisor, action->run.slot) == CORE_WORKER &&
                   supervisor->plan->worker.restart != RESTART_NEVER &&
                   action->phase == PHASE_RUNNING;
    if (action->end.kind != ENDING_NOT_STARTED)
        log_about(error_level(supervisor, action), name, supervisor->notes[action->run.slot].pid,
                  "%s %s%s%s", name, describe_ending(action->end, text, sizeof text),
                  gave_up ? ", and has used up its restarts" : "",
                  action->first ? "" : "; an earlier error is the exit status");
    if (action->hookless)
        log_line(LEVEL_WARNING, "every on-error command is busy: none is told of this error");
}

static void perform(struct supervisor *supervisor, const struct core_action *action)
{
    uint32_t slot = action->run.slot;
    const char *name = name_of(supervisor, slot);
    long pid = supervisor->notes[slot].pid;
    char span[32];
    switch (action->kind) {
    case ACTION_START:
        start_run(supervisor, action);
        break;
    case ACTION_REQUEST:
        log_about(LEVEL_DEBUG, name, pid, "Cancelling task: %s (pid %ld)", name, pid);
        break;
    case ACTION_SIGNAL:
        stop_by_signal(supervisor, action);
        break;
    case ACTION_FORWARD:
        if (!(supervisor->delivered & signal_bit(signal_of(action->cause))))
            send_rewritten(supervisor, action->run, signal_of(action->cause), NULL, true);
        break;
    case ACTION_STOP_TREE:
        stop_tree(supervisor, action);
        break;
    case ACTION_KILL:
        log_refusal(supervisor, action->run);
        platform_kill(action->run);
        break;
    case ACTION_ABANDON:
        log_line(LEVEL_ERROR, "%s outlived SIGKILL and is left behind:", name);
        if (log_processes(supervisor, LEVEL_ERROR, action->run) == 0)
            log_line(LEVEL_ERROR, "  what remains of it cannot be listed");
        break;
    case ACTION_CENSUS:
        platform_census();
        break;
    case ACTION_DROP:
        log_about(LEVEL_WARNING, name, 0, "%s was not started in time and is dropped", name);
        break;
    case ACTION_RETRY:
        describe_span(action->until - supervisor->core->now, span, sizeof span);
        log_about(LEVEL_INFO, name, pid, "%s starts again in %s s", name, span);
        break;
    case ACTION_ERROR:
        log_error(supervisor, action);
        break;
    case ACTION_PHASE:
        log_phase(supervisor, action);
        break;
    case ACTION_FORCED:
        log_line(LEVEL_WARNING, "Asked again: going on at once");
        break;
    case ACTION_WAITING:
        log_waiting(supervisor);
        break;
    case ACTION_EXIT:
        supervisor->end = action->end;
        platform_finish();
        break;
    }
}

/* Records a fact, and does what follows from it; facts that this brings are recorded on the way. */
static void step(struct supervisor *supervisor, const struct core_event *event)
{
    struct core_action action;
    post(supervisor, event);
    if (supervisor->performing)
        return;
    supervisor->performing = true;
    while (core_next(supervisor->core, &action))
        perform(supervisor, &action);
    supervisor->performing = false;
    platform_arm(core_deadline(supervisor->core));
}

/* ---- reports
 * ------------------------------------------------------------------------------------------ */

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
    bool by_terminal = is_terminal_stop(signal);
    bool ending = supervisor->core->phase >= PHASE_CANCEL; /* and must not stand still */
    /* The shell stops, and later continues, the whole job. */
    bool wants_terminal = signal == SIGTTIN || signal == SIGTTOU;
    bool handed = wants_terminal && platform_hand_over(run); /* ours to give: no need to stop */
    bool continued = !ending && !handed && platform_stop(by_terminal ? signal : SIGTSTP);
    if (continued)
        platform_hand_over(run);
    if ((continued || ending || by_terminal) && platform_stopped(run))
        platform_send(run, SIGCONT, true, NULL, false);
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
    bool outlives = plan->forever || plan->worker.restart != RESTART_NEVER;
    return is_key && delivered && main_is_up(supervisor) && !outlives &&
           !plan->shutdown_signals_given;
}

static bool is_key(const struct supervisor *supervisor, const struct platform_signal *arrived)
{
    return arrived->from_kernel && (supervisor->place.keyboard & signal_bit(arrived->signal));
}

static void trigger(struct supervisor *supervisor, const struct platform_signal *arrived,
                    bool delivered)
{
    struct core_event event = {.kind = EVENT_TRIGGER, .trigger = TRIGGER_SIGNAL};
    signal_mask bit = signal_bit(arrived->signal);
    event.cause = arrived->signal - 1;
    event.keyboard = is_key(supervisor, arrived);
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
#endif
#ifdef SIGCONT
    if (arrived->signal == SIGCONT && !platform_stopped(run))
        return;
#endif
    send_rewritten(supervisor, run, arrived->signal, arrived, false);
}

void supervisor_signal(struct supervisor *supervisor, const struct platform_signal *arrived)
{
    char name[16];
    bool delivered = platform_shares(arrived);
    bool running = supervisor->core->phase == PHASE_RUNNING;
    bool is_trigger = supervisor->triggers & signal_bit(arrived->signal);
    log_line(LEVEL_DEBUG, "SIG%s arrived%s", signal_name(arrived->signal, name),
             arrived->from_kernel ? " from the kernel" : "");
    if (running && belongs_to_command(supervisor, delivered, arrived->signal))
        return;
    if (is_key(supervisor, arrived) && main_is_up(supervisor) &&
        platform_hand_over(main_run(supervisor))) {
        pass_on(supervisor, arrived); /* the command would have got it a moment later */
        return;
    }
    if (is_trigger)
        trigger(supervisor, arrived, delivered);
    else if (!delivered && main_is_up(supervisor))
        pass_on(supervisor, arrived);
}

void supervisor_ended(struct supervisor *supervisor, struct run_id run, struct ending end,
                      bool left)
{
    struct core_event event = {.kind = EVENT_EXITED, .run = run, .end = end, .left = left};
    signal_mask sent = supervisor->notes[run.slot].sent;
    uint32_t signal = end.value;
    char text[64];
    if (end.kind == ENDING_EXITED && end.value > STATUS_SIGNAL_BASE)
        signal = end.value - STATUS_SIGNAL_BASE;
    else if (end.kind == ENDING_EXITED)
        signal = 0;
    event.requested = signal >= 1 && signal <= PLAN_SIGNAL_MAX && (sent & signal_bit((int)signal));
    log_about(LEVEL_DEBUG, name_of(supervisor, run.slot), supervisor->notes[run.slot].pid,
              "%s (pid %ld) %s", name_of(supervisor, run.slot), supervisor->notes[run.slot].pid,
              describe_ending(end, text, sizeof text));
    step(supervisor, &event);
}

void supervisor_adopted_ended(struct supervisor *supervisor, long pid, struct ending end)
{
    char text[64];
    enum log_level level = supervisor->plan->warn_on_reap ? LEVEL_WARNING : LEVEL_DEBUG;
    if (log_enabled(level))
        log_about(level, "orphans", pid, "reaped adopted process %ld: %s", pid,
                  describe_ending(end, text, sizeof text));
}

void supervisor_reaped(struct supervisor *supervisor)
{
    step(supervisor, &(struct core_event){.kind = EVENT_REAPED});
}

void supervisor_tree(struct supervisor *supervisor, struct run_id run, bool left, bool fresh)
{
    step(supervisor,
         &(struct core_event){.kind = EVENT_TREE, .run = run, .left = left, .fresh = fresh});
}

void supervisor_time(struct supervisor *supervisor)
{
    step(supervisor, &(struct core_event){.kind = EVENT_TIME});
}

/* ---- from plan to core
 * ---------------------------------------------------------------------------------- */

static void convert_worker(const struct plan_worker *plan, struct core_worker *worker)
{
    worker->instances = 1;
    worker->restart = plan->restart;
    worker->backoff = plan->backoff;
    worker->success = plan->success;
    worker->rung_count = plan->rung_count;
    worker->shield_timeout = NEVER;
    for (uint32_t i = 0; i < plan->rung_count; i++)
        worker->rung_time[i] = plan->rungs[i].time;
}

static void convert(struct supervisor *supervisor, struct core_config *config)
{
    static const enum core_repeat repeats[] = {
        [REPEAT_AUTO] = CORE_REPEAT_KEYBOARD,
        [REPEAT_IGNORE] = CORE_REPEAT_IGNORE,
        [REPEAT_ESCALATE] = CORE_REPEAT_ESCALATE,
    };
    static const enum core_orphans orphans[] = {
        [ORPHANS_AUTO] = CORE_ORPHANS_STOP,
        [ORPHANS_STOP] = CORE_ORPHANS_STOP,
        [ORPHANS_WAIT] = CORE_ORPHANS_WAIT,
        [ORPHANS_LEAVE] = CORE_ORPHANS_LEAVE,
    };
    const struct plan *plan = supervisor->plan;
    bool launches = plan->worker.argv != NULL;
    bool lenient = !supervisor->place.is_init && !supervisor->place.is_unit;
    convert_worker(&plan->worker, &supervisor->worker);
    config->workers = &supervisor->worker;
    config->worker_count = launches ? 1 : 0;
    config->timeout = plan->timeout;
    config->drain_delay = plan->drain_delay;
    config->orphan_time = NEVER;
    for (uint32_t i = 0; i < plan->worker.rung_count; i++)
        config->orphan_time = i == 0 ? plan->worker.rungs[i].time
                                     : msec_add(config->orphan_time, plan->worker.rungs[i].time);
    config->repeat = repeats[plan->repeat];
    config->orphans = orphans[plan->orphans];
    config->launcher = launches;
    config->daemons_stay = plan->orphans == ORPHANS_AUTO && launches && lenient;
    config->forever = plan->forever;
    config->has_handler = plan->shutdown_handler != NULL;
    config->has_callback = plan->shutdown_callback != NULL;
    config->has_on_error = plan->on_error != NULL;
    config->stop_on_unhandled_errors = plan->stop_on_unhandled_errors;
    config->error_hooks = plan->on_error != NULL ? 4 : 0;
}

static void open_log(const struct plan *plan)
{
    static const enum log_style styles[] = {
        [LOG_TEXT] = LOG_STYLE_TEXT,
        [LOG_JSON] = LOG_STYLE_JSON,
        [LOG_JOURNAL] = LOG_STYLE_JOURNAL,
    };
    int threshold = LEVEL_WARNING - plan->verbosity;
    bool terminal = false;
    enum plan_log_format format = plan->log_format;
    if (format == LOG_AUTO)
        format = platform_log_format(&terminal);
    if (threshold < LEVEL_DEBUG)
        threshold = LEVEL_DEBUG;
    if (threshold > LEVEL_CRITICAL)
        threshold = LEVEL_CRITICAL;
    log_open((enum log_level)threshold, terminal ? LOG_STYLE_COLOUR : styles[format],
             platform_write_log);
}

/* --success-status: an end that counts as success becomes status 0. */
static struct ending apply_success(const struct supervisor *supervisor, struct ending end)
{
    const struct plan_worker *worker = &supervisor->plan->worker;
    bool requested = false;
    uint32_t signal = end.kind == ENDING_EXITED ? end.value - STATUS_SIGNAL_BASE : end.value;
    if (end.kind == ENDING_NOT_STARTED)
        return (struct ending){ENDING_EXITED, end.value};
    if (!is_forever_alone(supervisor) && signal >= 1 && signal <= PLAN_SIGNAL_MAX)
        requested = supervisor->notes[main_run(supervisor).slot].sent & signal_bit((int)signal);
    if (policy_is_success(&worker->success, end, requested))
        return (struct ending){ENDING_EXITED, 0};
    return end;
}

static struct ending run_until_over(struct supervisor *supervisor)
{
    const struct ending failed = {ENDING_EXITED, STATUS_OWN_FAILURE};
    if (platform_open(supervisor, supervisor->plan, supervisor->core->slot_count) < 0)
        return failed;
    step(supervisor, &(struct core_event){.kind = EVENT_BEGIN});
    platform_loop();
    platform_close();
    log_line(LEVEL_INFO, "Leaving. Bye!");
    return apply_success(supervisor, supervisor->end);
}

struct ending supervisor_run(const struct plan *plan)
{
    struct ending end = {ENDING_EXITED, STATUS_OWN_FAILURE};
    struct supervisor supervisor = {.plan = plan, .place = platform_surroundings()};
    struct core_config config = {0};

    open_log(plan);
    log_line(LEVEL_DEBUG, "Entering run()");
    supervisor.triggers = plan->shutdown_signals & ~supervisor.place.ignored;
    convert(&supervisor, &config);
    size_t size = core_size(&config);
    assert(size > 0);
    void *memory = malloc(size);
    if (memory == NULL) {
        log_line(LEVEL_CRITICAL, "cannot allocate %zu bytes", size);
        return end;
    }
    supervisor.core = core_init(memory, &config, platform_now());
    supervisor.notes = calloc(supervisor.core->slot_count, sizeof *supervisor.notes);
    if (supervisor.notes != NULL)
        end = run_until_over(&supervisor);
    else
        log_line(LEVEL_CRITICAL, "cannot allocate the table of runs");
    free(supervisor.notes);
    free(memory);
    return end;
}
