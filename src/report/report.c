#include "report/report_private.h"

#include <assert.h>
#include <string.h>

/* ---- the ring ---- */

size_t report_size(uint32_t capacity)
{
    return sizeof(struct report) + capacity * sizeof(struct report_record);
}

struct report *report_init(void *memory, uint32_t capacity, const struct report_settings *settings,
                           msec now)
{
    struct report *report = memory;
    assert(capacity > 0);
    memset(report, 0, offsetof(struct report, lanes));
    report->settings = *settings;
    report->capacity = capacity;
    report->began = now;
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        report->phase_at[phase] = UNKNOWN;
    return report;
}

uint64_t report_first(const struct report *report)
{
    return report->added > report->capacity ? report->added - report->capacity : 0;
}

const struct report_record *report_record(const struct report *report, uint64_t number)
{
    return &report->records[number % report->capacity];
}

uint64_t report_lost(const struct report *report)
{
    uint64_t first = report_first(report);
    return first > report->story ? first - report->story : 0;
}

msec report_length(const struct report *report)
{
    return msec_max(report->facts.now - report->trigger.at, 1);
}

/* Is `record` what the trigger speaks of? */
static bool is_cause(const struct report_record *trigger, const struct report_record *record)
{
    switch (trigger->trigger) {
    case TRIGGER_SIGNAL:
        return record->kind == REPORT_ARRIVED && record->signal == trigger->signal;
    case TRIGGER_ERROR:
    case TRIGGER_NOTHING_LEFT:
        return record->kind == REPORT_ENDED || record->kind == REPORT_NOT_STARTED;
    case TRIGGER_REQUEST:
        break;
    }
    return false;
}

static void keep_trigger(struct report *report, const struct report_record *record)
{
    report->triggered = true;
    report->trigger = *record;
    report->story = report->added;
    for (uint64_t number = report->added; number > report_first(report); number--) {
        const struct report_record *earlier = report_record(report, number - 1);
        if (!is_cause(record, earlier))
            continue;
        report->has_cause = true;
        report->cause = *earlier;
        report->story = number - 1;
        return;
    }
}

void report_add(struct report *report, const struct report_record *record)
{
    if (record->kind == REPORT_PHASE) {
        report->phase_at[record->phase] = record->at;
        if (record->phase == PHASE_ENTERED)
            keep_trigger(report, record);
    }
    report->records[report->added++ % report->capacity] = *record;
}

/* Generations never come again, so that these names stay apart, too. */
#define OVER (UINT32_C(1) << 31)

static uint32_t moved_slot(uint32_t was, const uint32_t *old_slot_of, uint32_t slots)
{
    for (uint32_t slot = 0; slot < slots; slot++)
        if (old_slot_of[slot] == was)
            return slot;
    return was | OVER;
}

void report_reload(struct report *report, const uint32_t *old_slot_of, uint32_t slots)
{
    for (uint64_t n = report_first(report); n < report->added; n++) {
        struct run_id *run = &report->records[n % report->capacity].run;
        if ((run->slot & OVER) == 0)
            run->slot = moved_slot(run->slot, old_slot_of, slots);
    }
}

void report_copy(char *string, size_t size, const char *text)
{
    size_t length = strlen(text);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--; /* not in the middle of a character */
    }
    memcpy(string, text, length);
    string[length] = '\0';
}

/* ---- writing ---- */

static bool ends_in(const char *path, const char *ending)
{
    size_t length = strlen(path), wanted = strlen(ending);
    return length >= wanted && strcmp(path + length - wanted, ending) == 0;
}

enum report_format report_format(const char *path)
{
    static const struct {
        const char *ending;
        enum report_format format;
    } endings[] = {
        {".trace.json", REPORT_FORMAT_TRACE}, {".trace", REPORT_FORMAT_TRACE},
        {".json", REPORT_FORMAT_JSON},        {".html", REPORT_FORMAT_HTML},
        {".htm", REPORT_FORMAT_HTML},
    };
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (ends_in(path, endings[i].ending))
            return endings[i].format;
    return REPORT_FORMAT_TEXT;
}

bool report_is_notable(const struct report *report, const struct report_facts *facts)
{
    if (!report->triggered)
        return false;
    if (facts->now - report->trigger.at >= NOTICE_AFTER)
        return true;
    uint64_t first = report_first(report);
    for (uint64_t n = first > report->story ? first : report->story; n < report->added; n++) {
        enum report_kind kind = report_record(report, n)->kind;
        if (kind == REPORT_KILL || kind == REPORT_FORCED || kind == REPORT_DROPPED ||
            kind == REPORT_ABANDONED)
            return true;
    }
    return false;
}

bool report_write(struct report *report, enum report_format format,
                  const struct report_facts *facts, report_sink *sink)
{
    assert(report->triggered);
    report->facts = *facts;
    report->writer.sink = sink;
    report->writer.by_line = format == REPORT_FORMAT_TEXT || format == REPORT_FORMAT_BARS;
    report->writer.failed = false;
    report->writer.length = 0;
    report_make_lanes(report);
    report_make_shields(report);
    switch (format) {
    case REPORT_FORMAT_TEXT:
    case REPORT_FORMAT_BARS:
        report_write_text(report, format == REPORT_FORMAT_BARS);
        break;
    case REPORT_FORMAT_JSON:
        report_write_json(report);
        break;
    case REPORT_FORMAT_TRACE:
        report_write_trace(report);
        break;
    case REPORT_FORMAT_HTML:
        report_write_html(report);
        break;
    }
    writer_flush(&report->writer);
    return !report->writer.failed;
}
