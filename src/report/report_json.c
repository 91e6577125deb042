/* The report as JSON (RFC 8259); aiorun(1) documents its members. */

#include "report/report_private.h"

#include <stdio.h>

static const char *const kind_names[] = {
    [REPORT_ARRIVED] = "signal-arrived",
    [REPORT_STARTED] = "started",
    [REPORT_NOT_STARTED] = "not-started",
    [REPORT_RETRY] = "retry",
    [REPORT_ERROR] = "error",
    [REPORT_PHASE] = "phase",
    [REPORT_REQUEST] = "stop-request",
    [REPORT_SENT] = "signal-sent",
    [REPORT_STOP_TREE] = "stop-tree",
    [REPORT_KILL] = "kill",
    [REPORT_PROCESS] = "process",
    [REPORT_MORE] = "more-processes",
    [REPORT_WAITING] = "waiting",
    [REPORT_FORCED] = "forced",
    [REPORT_SHIELD] = "shield",
    [REPORT_UNSHIELD] = "unshield",
    [REPORT_SAID] = "said",
    [REPORT_ENDED] = "ended",
    [REPORT_ADOPTED] = "adopted-ended",
    [REPORT_GONE] = "gone",
    [REPORT_DROPPED] = "dropped",
    [REPORT_ABANDONED] = "abandoned",
};

static void add_key(struct writer *writer, const char *key, const char *text)
{
    writer_add(writer, ",\"%s\":", key);
    writer_add_json(writer, text);
}

static void add_number(struct writer *writer, const char *key, long long number)
{
    writer_add(writer, ",\"%s\":%lld", key, number);
}

static void add_pid(struct writer *writer, const char *key, long pid)
{
    if (pid == 0)
        writer_add(writer, ",\"%s\":null", key);
    else
        add_number(writer, key, pid);
}

/* Milliseconds after the trigger. */
static void add_time(struct report *report, const char *key, msec when)
{
    if (when == UNKNOWN)
        writer_add(&report->writer, ",\"%s\":null", key);
    else
        add_number(&report->writer, key, (long long)(when - report->trigger.at));
}

static void add_signal(struct report *report, int signal)
{
    char name[16];
    add_key(&report->writer, "signal",
            signal != 0 ? report->settings.signal_name(signal, name) : NULL);
}

static void add_end(struct report *report, struct ending end)
{
    struct writer *writer = &report->writer;
    writer_add(writer, ",\"end\":");
    switch (end.kind) {
    case ENDING_NONE:
        writer_add(writer, "null");
        return;
    case ENDING_EXITED:
        writer_add(writer, "{\"kind\":\"exited\",\"status\":%u}", (unsigned)end.value);
        return;
    case ENDING_KILLED:
        writer_add(writer, "{\"kind\":\"killed\"");
        add_signal(report, (int)end.value);
        writer_add(writer, "}");
        return;
    case ENDING_NOT_STARTED:
        writer_add(writer, "{\"kind\":\"not-started\",\"status\":%u}", (unsigned)end.value);
        return;
    }
}

static void add_trigger(struct report *report)
{
    static const char *const names[] = {
        [TRIGGER_SIGNAL] = "signal",
        [TRIGGER_REQUEST] = "request",
        [TRIGGER_ERROR] = "error",
        [TRIGGER_NOTHING_LEFT] = "nothing-left",
    };
    struct writer *writer = &report->writer;
    const struct report_record *cause = report->has_cause ? &report->cause : NULL;
    bool is_signal = report->trigger.trigger == TRIGGER_SIGNAL;
    char text[SENTENCE_MAX];
    writer_add(writer, "{\"kind\":\"%s\"", names[report->trigger.trigger]);
    add_signal(report, is_signal ? report->trigger.signal : 0);
    writer_add(writer, ",\"from_kernel\":%s", cause && cause->from_kernel ? "true" : "false");
    add_pid(writer, "sender", is_signal && cause ? cause->pid : 0);
    add_key(writer, "worker", !is_signal && cause ? cause->name : NULL);
    add_pid(writer, "pid", !is_signal && cause ? cause->pid : 0);
    add_end(report, !is_signal && cause ? cause->end : (struct ending){ENDING_NONE, 0});
    add_key(writer, "text", report_describe_trigger(report, text));
    writer_add(writer, "}");
}

/* The process a phase waited for last. */
static void add_holder(struct report *report, enum core_phase phase)
{
    struct writer *writer = &report->writer;
    long holder = report_phase_holder(report, phase);
    if (holder < 0) {
        writer_add(writer, ",\"waited_for\":null");
        return;
    }
    writer_add(writer, ",\"waited_for\":{\"worker\":");
    writer_add_json(writer, report->lanes[holder].name);
    add_pid(writer, "pid", report->lanes[holder].pid);
    writer_add(writer, "}");
}

static void add_phases(struct report *report)
{
    struct writer *writer = &report->writer;
    const char *between = "";
    for (int i = PHASE_ENTERED; i < PHASE_COUNT; i++) {
        enum core_phase phase = (enum core_phase)i;
        if (report->phase_at[i] == UNKNOWN)
            continue;
        writer_add(writer, "%s\n  {\"name\":\"%s\"", between, report_phase_name(phase));
        add_time(report, "from_ms", report->phase_at[i]);
        add_time(report, "to_ms", report_phase_end(report, phase));
        add_holder(report, phase);
        writer_add(writer, "}");
        between = ",";
    }
}

static void add_lane(struct report *report, const struct lane *lane)
{
    struct writer *writer = &report->writer;
    bool killed = lane->killed != UNKNOWN;
    const char *role = !lane->member ? "run" : lane->run.slot == 0 ? "orphan" : "member";
    writer_add(writer, "\n  {\"worker\":");
    writer_add_json(writer, lane->name);
    add_pid(writer, "pid", lane->pid);
    add_key(writer, "role", role);
    add_key(writer, "command", lane->command);
    add_key(writer, "state", lane->state);
    add_key(writer, "wait_channel", lane->where);
    add_time(report, "started_ms", lane->started);
    add_time(report, "asked_ms", lane->asked);
    add_time(report, "killed_ms", lane->killed);
    add_key(writer, "killed_because", killed ? report_why_name(lane->why) : NULL);
    add_time(report, "ended_ms", lane->ended);
    add_time(report, "gone_by_ms", lane->ended == UNKNOWN ? lane->missing : UNKNOWN);
    add_end(report, lane->end);
    writer_add(writer, "}");
}

static void add_shields(struct report *report)
{
    struct writer *writer = &report->writer;
    for (uint32_t i = 0; i < report->shield_count; i++) {
        const struct held_shield *shield = &report->shields[i];
        writer_add(writer, "%s\n  {\"name\":", i > 0 ? "," : "");
        writer_add_json(writer, shield->name);
        add_key(writer, "worker", shield->holder);
        add_pid(writer, "pid", shield->pid);
        add_time(report, "from_ms", shield->from);
        add_time(report, "until_ms", shield->until);
        add_time(report, "ended_ms", shield->ended);
        add_key(writer, "fate", report_fate_name(shield->fate));
        writer_add(writer, "}");
    }
}

static void add_event(struct report *report, const struct report_record *record)
{
    struct writer *writer = &report->writer;
    char text[SENTENCE_MAX];
    writer_add(writer, "\n  {\"kind\":\"%s\"", kind_names[record->kind]);
    add_time(report, "ms", record->at);
    add_key(writer, "worker", record->name[0] ? record->name : NULL);
    add_pid(writer, "pid", record->pid);
    add_signal(report, record->signal);
    add_key(writer, "text", report_describe(report, record, text));
    writer_add(writer, "}");
}

void report_write_json(struct report *report)
{
    struct writer *writer = &report->writer;
    const struct report_facts *facts = &report->facts;
    msec took = facts->now - report->trigger.at;
    writer_add(writer, "{\"format\":\"aiorun-report\",\"version\":1");
    add_key(writer, "program", report->settings.program);
    writer_add(writer, ",\"triggered_at\":\"");
    writer_add_date(writer, facts->wall - took, true);
    writer_add(writer, "\"");
    add_number(writer, "took_ms", (long long)took);
    if (report->facts.timeout == NEVER)
        writer_add(writer, ",\"timeout_ms\":null");
    else
        add_number(writer, "timeout_ms", (long long)report->facts.timeout);
    add_end(report, facts->end);
    writer_add(writer, ",\n \"trigger\":");
    add_trigger(report);
    writer_add(writer, ",\n \"phases\":[");
    add_phases(report);
    writer_add(writer, "],\n \"processes\":[");
    for (uint32_t i = 0; i < report->lane_count; i++) {
        writer_add(writer, "%s", i > 0 ? "," : "");
        add_lane(report, &report->lanes[i]);
    }
    writer_add(writer, "],\n \"processes_dropped\":%u", (unsigned)report->lanes_lost);
    writer_add(writer, ",\n \"shields\":[");
    add_shields(report);
    writer_add(writer, "],\n \"shields_dropped\":%u", (unsigned)report->shields_lost);
    add_number(writer, "events_dropped", (long long)report_first(report));
    writer_add(writer, ",\n \"events\":[");
    for (uint64_t n = report_first(report); n < report->added; n++) {
        writer_add(writer, "%s", n > report_first(report) ? "," : "");
        add_event(report, report_record(report, n));
    }
    writer_add(writer, "]}\n");
}
