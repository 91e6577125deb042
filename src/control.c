/* What runs say of themselves, and what they are told: the control pipe, sd_notify(3), readiness.
 * The lines are specified in aiorun-protocol(7). */

#include "narrate.h"
#include "timeline.h"

#include <stdio.h>
#include <string.h>

/* ---- answers ---- */

static void answer(struct channel_id channel, const struct control_reply *reply)
{
    char line[CONTROL_LINE_MAX];
    if (channel.index != 0)
        platform_answer(channel, line, control_format_reply(line, reply));
}

static void accept(struct channel_id channel)
{
    answer(channel, &(struct control_reply){.answer = ANSWER_OK});
}

static const struct core_slot *slot_of(const struct supervisor *supervisor, struct run_id run)
{
    return &supervisor->core->slots[run.slot];
}

static bool is_over(const struct supervisor *supervisor, struct run_id run)
{
    return slot_of(supervisor, run)->generation != run.generation;
}

/* A line that cannot be obeyed: its sender is told where it can be, and the log once a run. */
void supervisor_bad_line(struct supervisor *supervisor, struct run_id run,
                         struct channel_id channel, const char *fault)
{
    struct run_notes *notes = &supervisor->notes[run.slot];
    const char *name = narrate_name(supervisor, run.slot);
    answer(channel, &(struct control_reply){.answer = ANSWER_ERROR, .text = fault});
    log_about(notes->scolded ? LEVEL_DEBUG : LEVEL_WARNING, name, notes->pid,
              "%s sent a line on its control pipe that is ignored: %s", name, fault);
    notes->scolded = true;
}

/* ---- upwards ---- */

static bool speaks_for_itself(const struct supervisor *supervisor, struct run_id run)
{
    return supervisor->plan->mode == MODE_LAUNCH && slot_of(supervisor, run)->kind == CORE_WORKER;
}

static void tell_ready(struct supervisor *supervisor)
{
    if (supervisor->told_ready)
        return;
    supervisor->told_ready = true;
    platform_notify(&(struct notify_message){.state = NOTIFY_READY});
}

static void tell_status(struct supervisor *supervisor, struct run_id run, const char *text)
{
    if (speaks_for_itself(supervisor, run))
        platform_notify(&(struct notify_message){.status = text});
}

/* A service manager kills us with everything at its own timeout, unless it is told what there is to
 * wait for. */
static void tell_extension(struct supervisor *supervisor)
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

void control_phase(struct supervisor *supervisor, enum core_phase phase)
{
    if (phase == PHASE_ENTERED)
        platform_notify(&(struct notify_message){.state = NOTIFY_STOPPING});
    tell_extension(supervisor);
}

bool supervisor_is_well(const struct supervisor *supervisor)
{
    return supervisor->core->phase != PHASE_CLOSED;
}

/* ---- readiness ---- */

void supervisor_ready(struct supervisor *supervisor, struct run_id run)
{
    struct run_notes *notes = &supervisor->notes[run.slot];
    if (is_over(supervisor, run) || notes->ready)
        return;
    notes->ready = true;
    log_about(LEVEL_DEBUG, narrate_name(supervisor, run.slot), notes->pid, "%s is ready",
              narrate_name(supervisor, run.slot));
    if (supervisor->plan->mode == MODE_LAUNCH)
        tell_ready(supervisor);
}

void control_begun(struct supervisor *supervisor)
{
    tell_ready(supervisor);
}

static enum plan_ready_kind ready_kind(const struct supervisor *supervisor, struct run_id run)
{
    const struct core_slot *slot = slot_of(supervisor, run);
    if (slot->kind != CORE_WORKER)
        return READY_EXEC;
    return plan_ready_kind(supervisor->plan, &supervisor->plan->workers[slot->owner],
                           supervisor->place.has_manager);
}

void control_started(struct supervisor *supervisor, struct run_id run)
{
    bool is_worker = slot_of(supervisor, run)->kind == CORE_WORKER;
    if (is_worker && ready_kind(supervisor, run) == READY_EXEC)
        supervisor_ready(supervisor, run);
}

/* ---- stop requests ---- */

static const char *reason_of(const struct core_action *action)
{
    if (action->phase == PHASE_RUNNING)
        return "stop";
    switch (action->trigger) {
    case TRIGGER_SIGNAL:
        return "signal";
    case TRIGGER_REQUEST:
        return "request";
    case TRIGGER_ERROR:
        return "error";
    case TRIGGER_NOTHING_LEFT:
        break;
    }
    return "finished";
}

void control_asked(struct supervisor *supervisor, const struct core_action *action)
{
    const struct core *core = supervisor->core;
    char line[CONTROL_LINE_MAX];
    msec until = core_kill_time(core, action->run.slot);
    msec left = until == NEVER ? NEVER : msec_max(until - core->now, 0);
    platform_order(action->run, line, control_format_shutdown(line, reason_of(action), left));
}

void supervisor_outer_shutdown(struct supervisor *supervisor)
{
    log_line(LEVEL_DEBUG, "the aiorun around us asks for a shutdown");
    supervisor->outer_asked = supervisor->core->phase == PHASE_RUNNING;
    supervisor_post(supervisor,
                    &(struct core_event){.kind = EVENT_TRIGGER, .trigger = TRIGGER_REQUEST});
    supervisor_settle(supervisor);
}

/* ---- jobs ---- */

static struct job_notes *job_of(const struct supervisor *supervisor, struct run_id job)
{
    return &supervisor->jobs[job.slot - supervisor->core->first_job];
}

static void note_job(struct supervisor *supervisor, struct run_id job, const char *name)
{
    struct job_notes *notes = job_of(supervisor, job);
    memset(&supervisor->notes[job.slot], 0, sizeof *supervisor->notes);
    memset(notes, 0, sizeof *notes);
    snprintf(notes->name, sizeof notes->name, "%s", name);
}

static msec deadline_of(const struct control_message *message)
{
    return message->has_time ? msec_add(platform_now(), message->time) : SHIELD_UNDATED;
}

static void refuse_shield(struct supervisor *supervisor, struct run_id run,
                          struct channel_id channel, const char *name, const char *fault)
{
    struct run_notes *notes = &supervisor->notes[run.slot];
    const char *who = narrate_name(supervisor, run.slot);
    answer(channel, &(struct control_reply){.answer = ANSWER_ERROR, .text = fault});
    log_about(notes->refused ? LEVEL_DEBUG : LEVEL_WARNING, who, notes->pid,
              "%s is refused the shield '%s': %s", who, name, fault);
    notes->refused = true;
}

static void join(struct supervisor *supervisor, struct run_id run, struct channel_id channel,
                 const struct control_message *message)
{
    const struct core_event event = {.kind = EVENT_JOIN, .run = run, .until = deadline_of(message)};
    const char *fault = platform_judge_job(run);
    if (fault == NULL && !supervisor_post(supervisor, &event))
        fault = "there are too many jobs, or the shutdown is out of time";
    if (fault != NULL) {
        refuse_shield(supervisor, run, channel, message->name, fault);
        return;
    }
    struct run_id job = core_submitted(supervisor->core);
    note_job(supervisor, job, message->name);
    platform_join(job);
    supervisor->notes[job.slot].pid = platform_pid(job);
    log_about(LEVEL_DEBUG, message->name, platform_pid(job), "job %s (pid %ld) is shielded",
              message->name, platform_pid(job));
    accept(channel);
    tell_extension(supervisor);
    supervisor_settle(supervisor);
}

static void submit(struct supervisor *supervisor, struct run_id run, struct channel_id channel,
                   const struct control_message *message)
{
    const struct core_event event = {.kind = EVENT_SUBMIT, .run = run};
    const char *fault = platform_judge_submission();
    if (fault == NULL && supervisor->core->phase != PHASE_RUNNING)
        fault = "a shutdown has begun, and no job is taken any more";
    if (fault == NULL && !supervisor_post(supervisor, &event))
        fault = "the queue of jobs is full";
    if (fault != NULL) {
        answer(channel, &(struct control_reply){.answer = ANSWER_ERROR, .text = fault});
        log_line(LEVEL_WARNING, "job '%s' is refused: %s", message->name, fault);
        return;
    }
    struct run_id job = core_submitted(supervisor->core);
    note_job(supervisor, job, message->name);
    platform_keep(job);
    if (message->wait)
        job_of(supervisor, job)->waiter = channel;
    log_line(LEVEL_DEBUG, "job %s is queued", message->name);
    accept(channel);
    supervisor_settle(supervisor);
}

void control_job_ended(struct supervisor *supervisor, struct run_id job, struct ending end,
                       bool dropped)
{
    struct control_reply reply = {.answer = ANSWER_DROPPED, .number = end.value};
    if (!dropped && end.kind == ENDING_KILLED)
        reply.answer = ANSWER_KILLED;
    else if (!dropped && end.kind == ENDING_NOT_STARTED)
        reply.answer = ANSWER_FAILED;
    else if (!dropped)
        reply.answer = ANSWER_EXITED;
    else
        platform_drop(job);
    answer(job_of(supervisor, job)->waiter, &reply);
}

/* ---- lines ---- */

static void obey_shield(struct supervisor *supervisor, struct run_id run, struct channel_id channel,
                        const struct control_message *message)
{
    const struct core_event event = {
        .kind = EVENT_HOLD, .run = run, .name = message->name, .until = deadline_of(message)};
    if (!supervisor_post(supervisor, &event)) {
        refuse_shield(supervisor, run, channel, message->name,
                      "there are too many shields, or its time for one is over");
        return;
    }
    log_about(LEVEL_DEBUG, narrate_name(supervisor, run.slot), supervisor->notes[run.slot].pid,
              "%s holds the shield '%s'", narrate_name(supervisor, run.slot), message->name);
    accept(channel);
    tell_extension(supervisor);
    supervisor_settle(supervisor);
}

/* Records the fact; a refusal is the sender's mistake. */
static void obey(struct supervisor *supervisor, struct channel_id channel,
                 const struct core_event *event, const char *fault)
{
    if (!supervisor_post(supervisor, event)) {
        supervisor_bad_line(supervisor, event->run, channel, fault);
        return;
    }
    accept(channel);
    if (event->kind == EVENT_EXTEND)
        tell_extension(supervisor);
    supervisor_settle(supervisor);
}

void supervisor_message(struct supervisor *supervisor, struct run_id run, struct channel_id channel,
                        const struct control_message *message)
{
    struct core_event event = {.run = run, .name = message->name};
    const char *name = narrate_name(supervisor, run.slot);
    bool needs_answers = message->verb == CONTROL_JOB || message->verb == CONTROL_SUBMIT;
    supervisor->spoken = true;
    if (supervisor->report != NULL)
        timeline_said(supervisor, run, message);
    if (needs_answers && channel.index == 0) {
        supervisor_bad_line(supervisor, run, channel, "it needs a private channel");
        return;
    }
    switch (message->verb) {
    case CONTROL_READY:
        if (ready_kind(supervisor, run) == READY_CONTROL)
            supervisor_ready(supervisor, run);
        accept(channel);
        break;
    case CONTROL_STATUS:
        log_about(LEVEL_DEBUG, name, supervisor->notes[run.slot].pid, "%s: %s", name,
                  message->text);
        tell_status(supervisor, run, message->text);
        accept(channel);
        break;
    case CONTROL_SHIELD:
        obey_shield(supervisor, run, channel, message);
        break;
    case CONTROL_UNSHIELD:
        event.kind = EVENT_RELEASE;
        obey(supervisor, channel, &event, "it holds no shield of that name");
        break;
    case CONTROL_EXTEND:
        event.kind = EVENT_EXTEND;
        event.until = deadline_of(message);
        obey(supervisor, channel, &event, "extend is for a run that was asked to stop");
        break;
    case CONTROL_SHUTDOWN:
        event.kind = EVENT_TRIGGER;
        event.trigger = TRIGGER_REQUEST;
        event.status_given = message->has_status;
        event.status = message->status;
        log_about(LEVEL_DEBUG, name, supervisor->notes[run.slot].pid, "%s asks for a shutdown",
                  name);
        obey(supervisor, channel, &event, "everything is over already");
        break;
    case CONTROL_ERROR:
        event.kind = EVENT_ERROR;
        log_about(LEVEL_ERROR, name, supervisor->notes[run.slot].pid, "%s reports an error: %s",
                  name, message->text);
        obey(supervisor, channel, &event, "its run is over");
        break;
    case CONTROL_WATCHDOG:
        accept(channel);
        break;
    case CONTROL_JOB:
        join(supervisor, run, channel, message);
        break;
    case CONTROL_SUBMIT:
        submit(supervisor, run, channel, message);
        break;
    case CONTROL_ATTACH: /* the driver's */
        break;
    }
}

/* ---- sd_notify(3) ---- */

void supervisor_notified(struct supervisor *supervisor, struct run_id run,
                         const struct notify_message *message)
{
    struct notify_message upwards = {0};
    if (is_over(supervisor, run))
        return;
    supervisor->spoken = true;
    if (message->state == NOTIFY_READY)
        supervisor_ready(supervisor, run);
    if (message->has_extend) {
        const struct core_event event = {
            .kind = EVENT_EXTEND, .run = run, .until = msec_add(platform_now(), message->extend)};
        supervisor_post(supervisor, &event);
        supervisor_settle(supervisor);
    }
    if (!speaks_for_itself(supervisor, run))
        return;
    /* What the command says of itself holds for us, but for which process is the main one.  Ready
     * again is news after a reload only. */
    upwards = *message;
    upwards.has_main_pid = upwards.barrier = false;
    if (upwards.state == NOTIFY_READY)
        upwards.state = supervisor->reloading ? NOTIFY_READY : NOTIFY_NO_STATE;
    supervisor->reloading = message->state == NOTIFY_RELOADING ||
                            (supervisor->reloading && message->state != NOTIFY_READY);
    platform_notify(&upwards);
}
