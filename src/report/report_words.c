/* Records in words. */

#include "report/report_private.h"

#include <stdio.h>
#include <string.h>

#define SIGNAL_KILL 9 /* POSIX gives it this number */

const char *report_phase_name(enum core_phase phase)
{
    static const char *const names[] = {
        [PHASE_RUNNING] = "running", [PHASE_ENTERED] = "entered", [PHASE_DRAIN] = "drain",
        [PHASE_CANCEL] = "cancel",   [PHASE_ORPHANS] = "orphans", [PHASE_CLOSED] = "closed",
    };
    return names[phase];
}

const char *report_fate_name(enum shield_fate fate)
{
    static const char *const names[] = {
        [FATE_HELD] = "held",           [FATE_RELEASED] = "released",  [FATE_EXPIRED] = "expired",
        [FATE_OVERRULED] = "overruled", [FATE_ENDED] = "holder-ended",
    };
    return names[fate];
}

const char *report_why_name(enum report_why why)
{
    static const char *const names[] = {
        [REPORT_BY_DEADLINE] = "deadline",
        [REPORT_BY_CAP] = "cap",
        [REPORT_BY_FORCE] = "forced",
    };
    return names[why];
}

static const char *why_words(enum report_why why)
{
    static const char *const words[] = {
        [REPORT_BY_DEADLINE] = "its time was over",
        [REPORT_BY_CAP] = "the time of the whole shutdown was over",
        [REPORT_BY_FORCE] = "the shutdown was forced",
    };
    return words[why];
}

const char *report_describe_end(const struct report *report, struct ending end, char *buffer)
{
    char name[16];
    switch (end.kind) {
    case ENDING_NONE:
        snprintf(buffer, SENTENCE_MAX, "ended; its parent has its status");
        break;
    case ENDING_EXITED:
        snprintf(buffer, SENTENCE_MAX,
                 end.value > INT32_MAX ? "exited with status 0x%X" : "exited with status %u",
                 (unsigned)end.value); /* Windows' NTSTATUS is known in hexadecimal */
        break;
    case ENDING_KILLED:
        snprintf(buffer, SENTENCE_MAX, "killed by SIG%s",
                 report->settings.signal_name((int)end.value, name));
        break;
    case ENDING_NOT_STARTED:
        snprintf(buffer, SENTENCE_MAX, "could not be started");
        break;
    }
    return buffer;
}

static const char *describe_arrival(const struct report *report, const struct report_record *record,
                                    char *buffer)
{
    char name[16], sender[48] = "";
    report->settings.signal_name(record->signal, name);
    if (record->from_kernel)
        snprintf(sender, sizeof sender, " from the kernel");
    else if (record->pid != 0)
        snprintf(sender, sizeof sender, " from process %ld", record->pid);
    snprintf(buffer, SENTENCE_MAX, "SIG%s%s", name, sender);
    return buffer;
}

const char *report_describe_trigger(const struct report *report, char *buffer)
{
    char name[16], end[SENTENCE_MAX];
    const struct report_record *cause = report->has_cause ? &report->cause : NULL;
    switch (report->trigger.trigger) {
    case TRIGGER_SIGNAL:
        if (cause != NULL)
            return describe_arrival(report, cause, buffer);
        snprintf(buffer, SENTENCE_MAX, "SIG%s",
                 report->settings.signal_name(report->trigger.signal, name));
        return buffer;
    case TRIGGER_REQUEST:
        snprintf(buffer, SENTENCE_MAX, "a request");
        return buffer;
    case TRIGGER_ERROR:
    case TRIGGER_NOTHING_LEFT:
        break;
    }
    bool error = report->trigger.trigger == TRIGGER_ERROR;
    if (cause == NULL)
        snprintf(buffer, SENTENCE_MAX, error ? "an unhandled error" : "nothing was left to run");
    else
        snprintf(buffer, SENTENCE_MAX, "%s %.80s", cause->name,
                 report_describe_end(report, cause->end, end));
    return buffer;
}

static const char *describe_process(const struct report_record *record, char *buffer)
{
    const char *where = record->where;
    const char *state = record->state ? record->state : "in an unknown state";
    if (record->listed_for == REPORT_REQUEST || record->listed_for == REPORT_STOP_TREE)
        snprintf(buffer, SENTENCE_MAX, "  process %ld: %.128s", record->pid, record->command);
    else
        snprintf(buffer, SENTENCE_MAX, "  process %ld, %s%s%.32s: %.128s", record->pid, state,
                 where[0] ? " in " : "", where, record->command);
    return buffer;
}

/* "main (pid 4711)" in front of what is said of a run. */
static void name_run(const struct report_record *record, char *buffer, size_t size)
{
    if (record->pid != 0 && record->run.slot != 0)
        snprintf(buffer, size, "%s (pid %ld)", record->name, record->pid);
    else
        report_copy(buffer, size, record->name);
}

const char *report_describe(const struct report *report, const struct report_record *record,
                            char *buffer)
{
    char name[sizeof record->name + 32], text[SENTENCE_MAX], signal[16];
    name_run(record, name, sizeof name);
    buffer[0] = '\0';
    switch (record->kind) {
    case REPORT_ARRIVED:
        describe_arrival(report, record, text);
        snprintf(buffer, SENTENCE_MAX, "%.200s arrived", text);
        break;
    case REPORT_STARTED:
        snprintf(buffer, SENTENCE_MAX, "%s started", name);
        break;
    case REPORT_NOT_STARTED:
        snprintf(buffer, SENTENCE_MAX, "%s could not be started: %.128s", name, record->command);
        break;
    case REPORT_RETRY:
        snprintf(buffer, SENTENCE_MAX, "%s starts again in %lld.%03lld s", name,
                 (long long)(record->span / SECOND), (long long)(record->span % SECOND));
        break;
    case REPORT_ERROR:
        snprintf(buffer, SENTENCE_MAX, "%s failed: %.80s", name,
                 report_describe_end(report, record->end, text));
        break;
    case REPORT_PHASE:
        if (record->phase == PHASE_ENTERED)
            snprintf(buffer, SENTENCE_MAX, "phase entered: %.200s",
                     report_describe_trigger(report, text));
        else
            snprintf(buffer, SENTENCE_MAX, "phase %s", report_phase_name(record->phase));
        break;
    case REPORT_REQUEST:
        snprintf(buffer, SENTENCE_MAX, "%s: stop request", name);
        break;
    case REPORT_SENT:
        snprintf(buffer, SENTENCE_MAX, "%s: SIG%s sent", name,
                 report->settings.signal_name(record->signal, signal));
        break;
    case REPORT_STOP_TREE:
        snprintf(buffer, SENTENCE_MAX, "%s: SIG%s sent to its processes", name,
                 report->settings.signal_name(record->signal, signal));
        break;
    case REPORT_KILL:
        snprintf(buffer, SENTENCE_MAX, "%s: killed, because %s", name, why_words(record->why));
        break;
    case REPORT_PROCESS:
        describe_process(record, buffer);
        break;
    case REPORT_MORE:
        snprintf(buffer, SENTENCE_MAX, "and %zu more processes of %s", record->count, name);
        break;
    case REPORT_WAITING:
        snprintf(buffer, SENTENCE_MAX, "waiting for %s", name);
        break;
    case REPORT_FORCED:
        snprintf(buffer, SENTENCE_MAX, "asked again: going on at once");
        break;
    case REPORT_SHIELD:
        snprintf(buffer, SENTENCE_MAX, "%s: holds the shield %.63s", name, record->command);
        break;
    case REPORT_UNSHIELD:
        snprintf(buffer, SENTENCE_MAX, "%s: has released the shield %.63s", name, record->command);
        break;
    case REPORT_SAID:
        snprintf(buffer, SENTENCE_MAX, "%s: says %.100s", name, record->command);
        break;
    case REPORT_ENDED:
        snprintf(buffer, SENTENCE_MAX, "%s %.80s", name,
                 report_describe_end(report, record->end, text));
        break;
    case REPORT_ADOPTED:
        snprintf(buffer, SENTENCE_MAX, "adopted process %ld %.80s", record->pid,
                 report_describe_end(report, record->end, text));
        break;
    case REPORT_GONE:
        snprintf(buffer, SENTENCE_MAX, "%s: nothing is left of it", name);
        break;
    case REPORT_DROPPED:
        snprintf(buffer, SENTENCE_MAX, "%s was not started in time and is dropped", name);
        break;
    case REPORT_ABANDONED:
        snprintf(buffer, SENTENCE_MAX, "%s outlived SIGKILL and is left behind", name);
        break;
    }
    return buffer;
}

const char *report_describe_shield(const struct held_shield *shield, char *buffer)
{
    snprintf(buffer, SENTENCE_MAX, "%.63s of %s %ld", shield->name, shield->holder, shield->pid);
    return buffer;
}

const char *report_describe_lane(const struct lane *lane, char *buffer)
{
    if (lane->member && lane->command != NULL)
        snprintf(buffer, SENTENCE_MAX, "%ld %.128s", lane->pid, lane->command);
    else
        snprintf(buffer, SENTENCE_MAX, "%s %ld", lane->name, lane->pid);
    return buffer;
}

const char *report_describe_fate(const struct report *report, const struct lane *lane, char *buffer)
{
    char end[SENTENCE_MAX], killed[96] = "", waited[80] = "";
    bool by_kill = lane->end.kind == ENDING_KILLED && lane->end.value == SIGNAL_KILL;
    if (lane->killed != UNKNOWN)
        snprintf(killed, sizeof killed, "%s because %s", by_kill ? "," : "; was killed",
                 why_words(lane->why));
    if (lane->ended == UNKNOWN) {
        const char *fate = lane->missing != UNKNOWN ? "gone by then, its end was not seen"
                           : lane->member           ? "its end was not seen"
                                                    : "left behind";
        snprintf(buffer, SENTENCE_MAX, "%s%s", fate, killed);
        return buffer;
    }
    if (lane->asked != UNKNOWN && lane->ended >= lane->asked)
        snprintf(waited, sizeof waited, " %lld.%03lld s after its stop request",
                 (long long)((lane->ended - lane->asked) / SECOND),
                 (long long)((lane->ended - lane->asked) % SECOND));
    snprintf(buffer, SENTENCE_MAX, "%.80s%s%s", report_describe_end(report, lane->end, end), waited,
             killed);
    return buffer;
}
