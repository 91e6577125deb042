/* What runs say of themselves, and what they are told: the control pipe, sd_notify(3), readiness.
 * The lines are specified in aiorun-protocol(7). */

#include "supervisor/admin.h"
#include "supervisor/narrate.h"
#include "supervisor/timeline.h"

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
    return core_slot(supervisor->core, run.slot);
}

static bool is_over(const struct supervisor *supervisor, struct run_id run)
{
    return slot_of(supervisor, run)->generation != run.generation;
}

static struct job_notes *job_of(const struct supervisor *supervisor, struct run_id job)
{
    return &supervisor->jobs[job.slot - supervisor->core->first_job];
}

/* A line that cannot be obeyed: its sender is told where it can be, and the log once a run. */
void supervisor_bad_line(struct supervisor *supervisor, struct run_id run,
                         struct channel_id channel, const char *fault)
{
    struct run_notes *notes = notes_of(supervisor, run.slot);
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

static void tell_status(struct supervisor *supervisor, struct run_id run, const char *text)
{
    admin_status(supervisor, run.slot, text);
    if (speaks_for_itself(supervisor, run))
        platform_notify(&(struct notify_message){.status = text});
}

/* ---- readiness ---- */

void supervisor_ready(struct supervisor *supervisor, struct run_id run)
{
    supervisor_step(supervisor, &(struct core_event){.kind = EVENT_READY, .run = run});
}

static enum plan_ready_kind ready_kind(const struct supervisor *supervisor, struct run_id run)
{
    const struct core_slot *slot = slot_of(supervisor, run);
    if (slot->kind != CORE_WORKER)
        return READY_EXEC;
    return plan_ready_kind(supervisor->plan, supervisor->plan->workers[slot->owner].rules,
                           supervisor->place.has_manager);
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

/* ---- reloads ---- */

void control_reloaded(const struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    char line[CONTROL_LINE_MAX];
    size_t length = control_format_reload(line);
    for (uint32_t slot = core->first_instance; slot < core->first_job; slot++)
        if (core_slot(core, slot)->life == CORE_UP && !core_slot(core, slot)->requested)
            platform_remind(core_run(core, slot), line, length);
}

/* ---- jobs ---- */

static void note_job(struct supervisor *supervisor, struct run_id job, const char *name)
{
    struct job_notes *notes = job_of(supervisor, job);
    memset(notes_of(supervisor, job.slot), 0, sizeof(struct run_notes));
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
    struct run_notes *notes = notes_of(supervisor, run.slot);
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
    notes_of(supervisor, job.slot)->pid = platform_pid(job);
    admin_tell(supervisor, FACT_SHIELDED, job.slot, 0, message->name);
    timeline_tell(supervisor, timeline_shielded, job.slot, message->name);
    log_about(LEVEL_DEBUG, message->name, platform_pid(job), "job %s (pid %ld) is shielded",
              message->name, platform_pid(job));
    accept(channel);
    upwards_extend(supervisor);
    supervisor_settle(supervisor);
}

const char *control_submit(struct supervisor *supervisor, struct run_id run, const char *name,
                           struct run_id *job)
{
    const struct core_event event = {.kind = EVENT_SUBMIT, .run = run};
    const char *fault = platform_judge_submission();
    if (fault == NULL && supervisor->core->phase != PHASE_RUNNING)
        fault = "a shutdown has begun, and no job is taken any more";
    if (fault == NULL && supervisor->core->drained)
        fault = "no job is taken: the supervisor is drained";
    if (fault == NULL && !supervisor_post(supervisor, &event))
        fault = "the queue of jobs is full";
    if (fault != NULL) {
        log_line(LEVEL_WARNING, "job '%s' is refused: %s", name, fault);
        return fault;
    }
    *job = core_submitted(supervisor->core);
    note_job(supervisor, *job, name);
    job_of(supervisor, *job)->queued = true;
    platform_keep(*job);
    log_line(LEVEL_DEBUG, "job %s is queued", name);
    admin_tell(supervisor, FACT_QUEUED, job->slot, 0, NULL);
    return NULL;
}

static void submit(struct supervisor *supervisor, struct run_id run, struct channel_id channel,
                   const struct control_message *message)
{
    struct run_id job;
    const char *fault = control_submit(supervisor, run, message->name, &job);
    if (fault != NULL) {
        answer(channel, &(struct control_reply){.answer = ANSWER_ERROR, .text = fault});
        return;
    }
    if (message->wait)
        job_of(supervisor, job)->waiter = channel;
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
    job_of(supervisor, job)->queued = false;
    admin_job_ended(supervisor, job, &reply);
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
    log_about(LEVEL_DEBUG, narrate_name(supervisor, run.slot), notes_of(supervisor, run.slot)->pid,
              "%s holds the shield '%s'", narrate_name(supervisor, run.slot), message->name);
    admin_tell(supervisor, FACT_SHIELDED, run.slot, 0, message->name);
    timeline_tell(supervisor, timeline_shielded, run.slot, message->name);
    accept(channel);
    upwards_extend(supervisor);
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
    if (event->kind == EVENT_RELEASE) {
        admin_tell(supervisor, FACT_UNSHIELDED, event->run.slot, 0, event->name);
        timeline_tell(supervisor, timeline_released, event->run.slot, event->name);
    }
    if (event->kind == EVENT_EXTEND)
        upwards_extend(supervisor);
    supervisor_settle(supervisor);
}

/* May what this run says end everything? */
static bool may_stop(const struct supervisor *supervisor, struct run_id run)
{
    const struct core_slot *slot = slot_of(supervisor, run);
    if (!plan_is_fleet(supervisor->plan))
        return true;
    if (slot->owner >= supervisor->plan->worker_count)
        return false;
    const struct plan_worker *worker = &supervisor->plan->workers[slot->owner];
    return worker->rules->may_stop_set ? worker->rules->may_stop : platform_is_our_user(run);
}

/* A worker's slot is always its own, and its wrappers may outlive a run; the slot of a job that is
 * over may be somebody else's by now, with other rights. */
static bool speaks_for_nobody(const struct supervisor *supervisor, struct run_id run)
{
    return slot_of(supervisor, run)->kind == CORE_JOB && is_over(supervisor, run);
}

void supervisor_message(struct supervisor *supervisor, struct run_id run, struct channel_id channel,
                        const struct control_message *message)
{
    struct core_event event = {.run = run, .name = message->name};
    const char *name = narrate_name(supervisor, run.slot);
    bool needs_answers = message->verb == CONTROL_JOB || message->verb == CONTROL_SUBMIT;
    if (speaks_for_nobody(supervisor, run)) {
        supervisor_bad_line(supervisor, run, channel,
                            "the job that this channel speaks for is over");
        return;
    }
    supervisor->spoken = true;
    timeline_tell(supervisor, timeline_said, run, message);
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
        if (is_over(supervisor, run)) {
            supervisor_bad_line(supervisor, run, channel, "its run is over");
            break;
        }
        log_about(LEVEL_DEBUG, name, notes_of(supervisor, run.slot)->pid, "%s: %s", name,
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
        if (!may_stop(supervisor, run)) {
            supervisor_bad_line(supervisor, run, channel, "this worker may not stop the others");
            break;
        }
        event.kind = EVENT_TRIGGER;
        event.trigger = TRIGGER_REQUEST;
        event.status_given = message->has_status;
        event.status = message->status;
        log_about(LEVEL_DEBUG, name, notes_of(supervisor, run.slot)->pid, "%s asks for a shutdown",
                  name);
        obey(supervisor, channel, &event, "everything is over already");
        break;
    case CONTROL_ERROR:
        event.kind = EVENT_ERROR;
        if (!may_stop(supervisor, run)) {
            supervisor_bad_line(supervisor, run, channel, "this worker's errors are its own");
            break;
        }
        log_about(LEVEL_ERROR, name, notes_of(supervisor, run.slot)->pid, "%s reports an error: %s",
                  name, message->text);
        supervisor->error_slot = run.slot; /* --on-error is called before this is over */
        supervisor->error_text = message->text;
        obey(supervisor, channel, &event, "its run is over");
        supervisor->error_slot = 0;
        break;
    case CONTROL_WATCHDOG:
        event.kind = EVENT_ALIVE;
        supervisor_post(supervisor, &event);
        accept(channel);
        supervisor_settle(supervisor);
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
    if (message->state == NOTIFY_READY && ready_kind(supervisor, run) == READY_NOTIFY)
        supervisor_ready(supervisor, run);
    if (message->status != NULL)
        admin_status(supervisor, run.slot, message->status);
    if (message->watchdog)
        supervisor_post(supervisor, &(struct core_event){.kind = EVENT_ALIVE, .run = run});
    if (message->watchdog_trigger)
        supervisor_post(supervisor, &(struct core_event){
                                        .kind = EVENT_FAILED, .run = run, .why = WHY_WATCHDOG});
    if (message->watchdog || message->watchdog_trigger)
        supervisor_settle(supervisor);
    if (message->has_extend) {
        const struct core_event event = {
            .kind = EVENT_EXTEND, .run = run, .until = msec_add(platform_now(), message->extend)};
        supervisor_step(supervisor, &event);
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
