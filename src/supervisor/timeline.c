#include "supervisor/timeline.h"

#include "plan/parse.h"
#include "report/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CAPACITY 1024 /* records; the oldest give way */
#define LIST_MAX 32   /* processes named at a time */

#define TIME_TO_WRITE SECOND /* for a pipe whose reader does not come */

bool timeline_open(struct supervisor *supervisor)
{
    const struct plan *plan = supervisor->plan;
    const struct report_settings settings = {
        .program = "aiorun " AIORUN_VERSION,
        .signal_name = signal_name,
    };
    if (plan->report == NULL)
        return true;
    void *memory = malloc(report_size(CAPACITY));
    if (memory != NULL)
        supervisor->report = report_init(memory, CAPACITY, &settings, platform_now());
    return memory != NULL;
}

void timeline_reload(struct supervisor *supervisor, const uint32_t *old_slot_of)
{
    report_reload(supervisor->report, old_slot_of, supervisor->core->slot_limit);
}

/* ---- records ---- */

static struct report_record make_record(enum report_kind kind)
{
    return (struct report_record){.at = platform_now(), .kind = kind};
}

/* The command line of a hook, or the words of the command's. */
static void copy_command(const struct supervisor *supervisor, uint32_t slot, char *buffer,
                         size_t size)
{
    const struct plan *plan = supervisor->plan;
    const char *const hooks[] = {
        [HOOK_HANDLER] = plan->shutdown_handler,
        [HOOK_CALLBACK] = plan->shutdown_callback,
        [HOOK_ERROR] = plan->on_error,
    };
    uint32_t owner = core_slot(supervisor->core, slot)->owner;
    size_t used = 0;
    switch (narrate_kind(supervisor, slot)) {
    case CORE_HOOK:
        report_copy(buffer, size, hooks[owner]);
        break;
    case CORE_WORKER:
        for (char **word = plan->workers[owner].argv; *word != NULL && used < size; word++)
            used +=
                (size_t)snprintf(buffer + used, size - used, "%s%s", used > 0 ? " " : "", *word);
        break;
    case CORE_ORPHANS:
    case CORE_JOB:
    case CORE_COMPANION:
        break;
    }
}

/* "web:1", or "web:1 after-stop": a command around it is not the instance itself. */
static void copy_name(const struct supervisor *supervisor, uint32_t slot, char *buffer, size_t size)
{
    const char *name = narrate_name(supervisor, slot);
    if (narrate_kind(supervisor, slot) == CORE_COMPANION)
        snprintf(
            buffer, size, "%s %s", name,
            narrate_companion((enum core_companion)core_slot(supervisor->core, slot)->companion));
    else
        report_copy(buffer, size, name);
}

static struct report_record make_run_record(const struct supervisor *supervisor,
                                            enum report_kind kind, struct run_id run)
{
    struct report_record record = make_record(kind);
    record.run = run;
    record.pid = run.slot == 0 ? 0 : notes_of(supervisor, run.slot)->pid;
    record.since = run.slot == 0 ? 0 : core_slot(supervisor->core, run.slot)->up_since;
    copy_name(supervisor, run.slot, record.name, sizeof record.name);
    copy_command(supervisor, run.slot, record.command, sizeof record.command);
    return record;
}

static void add_run(struct supervisor *supervisor, enum report_kind kind, struct run_id run)
{
    struct report_record record = make_run_record(supervisor, kind, run);
    report_add(supervisor->report, &record);
}

/* Names the processes that an action is about. */
static void add_processes(struct supervisor *supervisor, enum report_kind listed_for,
                          enum report_why why, struct run_id run)
{
    struct platform_process list[LIST_MAX];
    struct report_record record = make_run_record(supervisor, REPORT_PROCESS, run);
    size_t count = platform_list(run, list, LIST_MAX);
    /* A run's own process is asked by its ladder. */
    bool spared = listed_for == REPORT_STOP_TREE && run.slot != 0;
    long own = spared ? record.pid : 0;
    record.listed_for = listed_for;
    record.why = why;
    for (size_t i = 0; i < count && i < LIST_MAX; i++) {
        bool dying = listed_for == REPORT_KILL && list[i].killed;
        if (list[i].pid == own || dying) /* dying: of an earlier KILL, which named it */
            continue;
        record.pid = list[i].pid;
        record.since = list[i].age < 0 ? record.at : record.at - list[i].age;
        record.state = narrate_state(list[i].state);
        report_copy(record.where, sizeof record.where, list[i].where);
        report_copy(record.command, sizeof record.command, list[i].command);
        report_add(supervisor->report, &record);
    }
    if (count > LIST_MAX) {
        record = make_run_record(supervisor, REPORT_MORE, run);
        record.count = count - LIST_MAX;
        report_add(supervisor->report, &record);
    }
}

/* ---- facts ---- */

void timeline_signal(struct supervisor *supervisor, const struct platform_signal *arrived)
{
    struct report_record record = make_record(REPORT_ARRIVED);
    record.signal = arrived->signal;
    record.from_kernel = arrived->from_kernel;
    record.pid = arrived->sender;
    report_add(supervisor->report, &record);
}

/* In the words of aiorun-protocol(7), so far as they matter to a shutdown. */
void timeline_said(struct supervisor *supervisor, struct run_id run,
                   const struct control_message *message)
{
    struct report_record record = make_run_record(supervisor, REPORT_SAID, run);
    char line[CONTROL_LINE_MAX];
    size_t length = control_format(line, message);
    if (length == 0 || message->verb == CONTROL_WATCHDOG)
        return;
    line[length - 1] = '\0';
    report_copy(record.command, sizeof record.command, line);
    report_add(supervisor->report, &record);
}

void timeline_started(struct supervisor *supervisor, struct run_id run,
                      const struct platform_started *started)
{
    struct report_record record =
        make_run_record(supervisor, started->ok ? REPORT_STARTED : REPORT_NOT_STARTED, run);
    record.end = started->end;
    record.since = 0;
    if (!started->ok)
        report_copy(record.command, sizeof record.command, started->sentence);
    report_add(supervisor->report, &record);
}

void timeline_ended(struct supervisor *supervisor, struct run_id run, struct ending end, bool left)
{
    struct report_record record = make_run_record(supervisor, REPORT_ENDED, run);
    record.end = end;
    record.tree_left = left || plan_leaves_orphans(supervisor->plan);
    report_add(supervisor->report, &record);
}

void timeline_adopted_ended(struct supervisor *supervisor, long pid, struct ending end)
{
    struct report_record record = make_record(REPORT_ADOPTED);
    record.pid = pid;
    record.end = end;
    report_add(supervisor->report, &record);
}

void timeline_gone(struct supervisor *supervisor, struct run_id run)
{
    add_run(supervisor, REPORT_GONE, run);
}

/* ---- shields ---- */

static void add_shield(struct supervisor *supervisor, uint32_t slot, const char *name, msec since,
                       msec until)
{
    const struct core *core = supervisor->core;
    struct report_record record = make_run_record(supervisor, REPORT_SHIELD, core_run(core, slot));
    record.since = since;
    record.until = msec_min(until, core->cap);
    report_copy(record.command, sizeof record.command, name);
    if (record.until > core->now) /* else it was over before, and nobody has said so */
        report_add(supervisor->report, &record);
}

void timeline_shielded(struct supervisor *supervisor, uint32_t slot, const char *name)
{
    const struct core *core = supervisor->core;
    const struct core_slot *holder = core_slot(core, slot);
    const struct shield *shield;
    if (core->phase == PHASE_RUNNING)
        return;
    for (uint32_t n = 0; (shield = core_shield(core, slot, n)) != NULL; n++)
        if (name == NULL || strcmp(shield->name, name) == 0)
            add_shield(supervisor, slot, shield->name, shield->since,
                       core_shield_end(core, slot, shield));
    if (holder->kind == CORE_JOB && holder->joined && core_present(core, slot))
        add_shield(supervisor, slot, narrate_name(supervisor, slot), holder->up_since,
                   core_reprieve(core, slot));
}

void timeline_released(struct supervisor *supervisor, uint32_t slot, const char *name)
{
    const struct core *core = supervisor->core;
    const struct shield *shield;
    for (uint32_t n = 0; (shield = core_shield(core, slot, n)) != NULL; n++)
        if (strcmp(shield->name, name) == 0)
            return; /* held more than once */
    if (core->phase == PHASE_RUNNING)
        return;
    struct report_record record =
        make_run_record(supervisor, REPORT_UNSHIELD, core_run(core, slot));
    report_copy(record.command, sizeof record.command, name);
    report_add(supervisor->report, &record);
}

/* Now that the run is asked, its shields without a deadline have one. */
static void date_shields(struct supervisor *supervisor, uint32_t slot)
{
    const struct core *core = supervisor->core;
    const struct shield *shield;
    for (uint32_t n = 0; (shield = core_shield(core, slot, n)) != NULL; n++)
        if (shield->undated && core_shield_end(core, slot, shield) < core->cap)
            timeline_shielded(supervisor, slot, shield->name);
}

/* ---- actions ---- */

void timeline_sent(struct supervisor *supervisor, struct run_id run, int signal)
{
    struct report_record record = make_run_record(supervisor, REPORT_SENT, run);
    record.signal = signal;
    report_add(supervisor->report, &record);
}

void timeline_asked(struct supervisor *supervisor, const struct core_action *action)
{
    /* A fleet is too many to look at one by one: the next run waits for its signal meanwhile. */
    if (action->rung == 0 && supervisor->core->config.launcher)
        add_processes(supervisor, REPORT_REQUEST, REPORT_BY_DEADLINE, action->run);
}

void timeline_stop_tree(struct supervisor *supervisor, struct run_id run, int signal)
{
    struct report_record record = make_run_record(supervisor, REPORT_STOP_TREE, run);
    record.signal = signal;
    report_add(supervisor->report, &record);
    add_processes(supervisor, REPORT_STOP_TREE, REPORT_BY_DEADLINE, run);
}

static void add_phase(struct supervisor *supervisor, const struct core_action *action)
{
    const struct core *core = supervisor->core;
    struct report_record record = make_record(REPORT_PHASE);
    record.phase = action->phase;
    record.trigger = action->trigger;
    if (action->phase == PHASE_ENTERED && action->trigger == TRIGGER_SIGNAL)
        record.signal = supervisor_cause_signal(action->cause);
    report_add(supervisor->report, &record);
    for (uint32_t slot = 1; slot < core->slot_count && action->phase == PHASE_ENTERED; slot++)
        timeline_shielded(supervisor, slot, NULL);
}

/* A forced shutdown kills in the very step that forces it. */
static enum report_why why_killed(const struct core *core)
{
    if (core->now >= core->cap)
        return REPORT_BY_CAP;
    return core->forced && core->effect_at == core->now ? REPORT_BY_FORCE : REPORT_BY_DEADLINE;
}

static void add_kill(struct supervisor *supervisor, struct run_id run)
{
    struct report_record record = make_run_record(supervisor, REPORT_KILL, run);
    record.why = why_killed(supervisor->core);
    report_add(supervisor->report, &record);
    add_processes(supervisor, REPORT_KILL, record.why, run);
}

static void add_waiting(struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    for (uint32_t slot = 0; slot < core->slot_count; slot++)
        if (core_present(core, slot))
            add_run(supervisor, REPORT_WAITING, core_run(core, slot));
}

void timeline_action(struct supervisor *supervisor, const struct core_action *action)
{
    struct report_record record;
    switch (action->kind) {
    case ACTION_REQUEST:
        add_run(supervisor, REPORT_REQUEST, action->run);
        date_shields(supervisor, action->run.slot);
        break;
    case ACTION_KILL:
        add_kill(supervisor, action->run);
        break;
    case ACTION_ABANDON:
        add_run(supervisor, REPORT_ABANDONED, action->run);
        add_processes(supervisor, REPORT_ABANDONED, REPORT_BY_DEADLINE, action->run);
        break;
    case ACTION_DROP:
        if (action->companion == COMPANION_NONE)
            add_run(supervisor, REPORT_DROPPED, action->run);
        break;
    case ACTION_RETRY:
        record = make_run_record(supervisor, REPORT_RETRY, action->run);
        record.span = action->until - supervisor->core->now;
        report_add(supervisor->report, &record);
        break;
    case ACTION_ERROR:
        record = make_run_record(supervisor, REPORT_ERROR, action->run);
        record.end = action->end;
        report_add(supervisor->report, &record);
        break;
    case ACTION_PHASE:
        add_phase(supervisor, action);
        break;
    case ACTION_FORCED:
        record = make_record(REPORT_FORCED);
        report_add(supervisor->report, &record);
        break;
    case ACTION_WAITING:
        add_waiting(supervisor);
        break;
    case ACTION_START:     /* timeline_started() */
    case ACTION_SIGNAL:    /* timeline_sent() */
    case ACTION_FORWARD:   /* timeline_sent() */
    case ACTION_STOP_TREE: /* timeline_stop_tree() */
    case ACTION_READY:
    case ACTION_ALL_READY:
    case ACTION_FAILED:
    case ACTION_HELD:
    case ACTION_ROLLED:
    case ACTION_CENSUS:
    case ACTION_EXIT:
        break;
    }
}

/* ---- the end ---- */

static bool log_bars(const char *line, size_t length)
{
    log_line(LEVEL_INFO, "%.*s", (int)length - 1, line);
    return true;
}

/* All pieces together. */
static msec file_until;

static bool write_to_file(const char *bytes, size_t length)
{
    return platform_write_report(bytes, length, file_until);
}

void timeline_write(struct supervisor *supervisor, struct ending end)
{
    struct report *report = supervisor->report;
    const char *path = supervisor->plan->report;
    bool to_stderr = strcmp(path, "-") == 0;
    struct report_facts facts = {
        .now = platform_now(), .timeout = supervisor->core->length, .end = end};
    struct timespec wall;
    timespec_get(&wall, TIME_UTC);
    facts.wall = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    if (to_stderr) {
        report_write(report, REPORT_FORMAT_TEXT, &facts, platform_write_log);
        return;
    }
    if (log_enabled(LEVEL_INFO) && report_is_notable(report, &facts))
        report_write(report, REPORT_FORMAT_BARS, &facts, log_bars);
    errno = 0;
    file_until = msec_add(platform_now(), TIME_TO_WRITE);
    if (!report_write(report, report_format(path), &facts, write_to_file))
        log_line(LEVEL_ERROR, "cannot write the report to '%s': %s", path, strerror(errno));
}
