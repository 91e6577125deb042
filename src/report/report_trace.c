/* The report in the trace event format, which Perfetto and chrome://tracing open: one process,
 * whose threads are the phases and a lane for each process and each shield. */

#include "report/report_private.h"

#include <stdio.h>

#define TRACE_PID   1
#define PHASE_TRACK 0

/* Microseconds since aiorun's start.  What was there before it counts from there: the format has no
 * time before 0. */
static long long micros(const struct report *report, msec when)
{
    return (long long)msec_max(when - report->began, 0) * 1000;
}

static void add_process(struct report *report, const char *name)
{
    struct writer *writer = &report->writer;
    writer_add(writer, "{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"ts\":0", TRACE_PID, PHASE_TRACK);
    writer_add(writer, ",\"name\":\"process_name\",\"args\":{\"name\":");
    writer_add_json(writer, name);
    writer_add(writer, "}}");
}

/* Names a thread, and gives it its place. */
static void add_thread(struct report *report, long thread, const char *name)
{
    struct writer *writer = &report->writer;
    writer_add(writer, ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%ld,\"ts\":0", TRACE_PID, thread);
    writer_add(writer, ",\"name\":\"thread_name\",\"args\":{\"name\":");
    writer_add_json(writer, name);
    writer_add(writer, "}},\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%ld,\"ts\":0", TRACE_PID, thread);
    writer_add(writer, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%ld}}", thread);
}

/* A span from one moment to another, with its arguments still open. */
static void begin_span(struct report *report, const char *category, long thread, const char *name,
                       msec from, msec to)
{
    struct writer *writer = &report->writer;
    writer_add(writer, ",\n{\"ph\":\"X\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%ld", category,
               TRACE_PID, thread);
    writer_add(writer, ",\"ts\":%lld,\"dur\":%lld", micros(report, from),
               micros(report, to) - micros(report, from));
    writer_add(writer, ",\"name\":");
    writer_add_json(writer, name);
    writer_add(writer, ",\"args\":{");
}

static void add_phase(struct report *report, enum core_phase phase)
{
    struct writer *writer = &report->writer;
    long holder = report_phase_holder(report, phase);
    begin_span(report, "phase", PHASE_TRACK, report_phase_name(phase), report->phase_at[phase],
               report_phase_end(report, phase));
    if (holder >= 0) {
        char name[SENTENCE_MAX];
        writer_add(writer, "\"waited_for\":");
        writer_add_json(writer, report_describe_lane(&report->lanes[holder], name));
    }
    writer_add(writer, "}}");
}

static void add_part(struct report *report, long thread, const char *name, msec from, msec to)
{
    const struct lane *lane = &report->lanes[thread - 1];
    struct writer *writer = &report->writer;
    char text[SENTENCE_MAX];
    if (from == UNKNOWN || from > to)
        return;
    begin_span(report, "process", thread, name, from, to);
    writer_add(writer, "\"pid\":%ld,\"worker\":", lane->pid);
    writer_add_json(writer, lane->name);
    writer_add(writer, ",\"command\":");
    writer_add_json(writer, lane->command);
    writer_add(writer, ",\"fate\":");
    writer_add_json(writer, report_describe_fate(report, lane, text));
    writer_add(writer, "}}");
}

static void add_lane(struct report *report, uint32_t index)
{
    const struct lane *lane = &report->lanes[index];
    long thread = (long)index + 1;
    char name[SENTENCE_MAX];
    msec end = lane_end(report, lane);
    add_thread(report, thread, report_describe_lane(lane, name));
    msec asked = msec_min(lane->asked, msec_min(lane->killed, end));
    add_part(report, thread, "up", lane->started, asked);
    if (lane->asked != UNKNOWN)
        add_part(report, thread, "asked to stop", lane->asked, msec_min(lane->killed, end));
    add_part(report, thread, "killed", lane->killed, end);
}

/* Behind the processes: those of one process may overlap. */
static void add_shield(struct report *report, uint32_t index)
{
    const struct held_shield *shield = &report->shields[index];
    long thread = (long)report->lane_count + 1 + (long)index;
    struct writer *writer = &report->writer;
    char words[SENTENCE_MAX], name[SENTENCE_MAX];
    snprintf(name, sizeof name, "shield %.200s", report_describe_shield(shield, words));
    add_thread(report, thread, name);
    begin_span(report, "shield", thread, shield->name, shield->from, shield_over(report, shield));
    writer_add(writer, "\"pid\":%ld,\"worker\":", shield->pid);
    writer_add_json(writer, shield->holder);
    writer_add(writer, ",\"fate\":\"%s\"}}", report_fate_name(shield->fate));
}

static void add_event(struct report *report, const struct report_record *record)
{
    struct writer *writer = &report->writer;
    char text[SENTENCE_MAX];
    writer_add(writer, ",\n{\"ph\":\"i\",\"cat\":\"event\",\"s\":\"t\",\"pid\":%d,\"tid\":%ld",
               TRACE_PID, report_lane_of(report, record) + 1);
    writer_add(writer, ",\"ts\":%lld,\"name\":", micros(report, record->at));
    writer_add_json(writer, report_describe(report, record, text));
    writer_add(writer, "}");
}

void report_write_trace(struct report *report)
{
    struct writer *writer = &report->writer;
    char text[SENTENCE_MAX];
    writer_add(writer, "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"program\":");
    writer_add_json(writer, report->settings.program);
    writer_add(writer, ",\"trigger\":");
    writer_add_json(writer, report_describe_trigger(report, text));
    writer_add(writer, ",\"events_dropped\":%llu},\n\"traceEvents\":[\n",
               (unsigned long long)report_first(report));
    add_process(report, "aiorun");
    add_thread(report, PHASE_TRACK, "phases");
    for (int phase = PHASE_ENTERED; phase < PHASE_COUNT; phase++)
        if (report->phase_at[phase] != UNKNOWN)
            add_phase(report, (enum core_phase)phase);
    for (uint32_t i = 0; i < report->lane_count; i++)
        add_lane(report, i);
    for (uint32_t i = 0; i < report->shield_count; i++)
        add_shield(report, i);
    for (uint64_t n = report_first(report); n < report->added; n++)
        add_event(report, report_record(report, n));
    writer_add(writer, "\n]}\n");
}
