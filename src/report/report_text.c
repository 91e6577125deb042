/* The report as text: what a person reads in a terminal. */

#include "report/report_private.h"

#include <stdio.h>
#include <string.h>

#define LABEL_WIDTH 25
#define BAR_WIDTH   48

/* Where on the bar a moment is, from 0 to BAR_WIDTH. */
static int place_of(const struct report *report, msec when)
{
    msec since = when - report->trigger.at, length = report_length(report);
    if (since <= 0)
        return 0;
    return since >= length ? BAR_WIDTH : (int)(since * BAR_WIDTH / length);
}

/* Fills bar[] from one moment to another, at least one place. */
static void fill(const struct report *report, char *bar, msec from, msec to, char sign)
{
    int first = place_of(report, from), end = place_of(report, to);
    if (to <= report->trigger.at && from != to)
        return;
    if (first == BAR_WIDTH)
        first = BAR_WIDTH - 1;
    if (end <= first)
        end = first + 1;
    memset(bar + first, sign, (size_t)(end - first));
}

static void add_label(struct writer *writer, const char *label, int indent)
{
    char cut[LABEL_WIDTH];
    int columns = indent;
    report_copy(cut, sizeof cut - (size_t)indent, label);
    for (const char *byte = cut; *byte; byte++)
        columns += ((unsigned char)*byte & 0xc0) != 0x80; /* a character's later bytes */
    writer_add(writer, "%*s", indent, "");
    writer_add_escaped(writer, ESCAPE_TEXT, cut);
    writer_add(writer, "%*s", LABEL_WIDTH - columns, "");
}

static void add_axis(struct report *report)
{
    struct writer *writer = &report->writer;
    writer_add(writer, "%*s", LABEL_WIDTH, "");
    for (int quarter = 0; quarter < 4; quarter++) {
        char tick[24];
        msec at = report_length(report) * quarter / 4;
        snprintf(tick, sizeof tick, "%lld.%03lld", (long long)(at / SECOND),
                 (long long)(at % SECOND));
        writer_add(writer, "%-*s", BAR_WIDTH / 4, tick);
    }
    writer_add_seconds(writer, report_length(report));
    writer_add(writer, " s\n");
}

static void add_phases(struct report *report)
{
    static const char letters[] = {
        [PHASE_ENTERED] = 'e', [PHASE_DRAIN] = 'd',  [PHASE_CANCEL] = 'c',
        [PHASE_ORPHANS] = 'o', [PHASE_CLOSED] = ' ',
    };
    char bar[BAR_WIDTH + 1] = "";
    memset(bar, ' ', BAR_WIDTH);
    for (int phase = PHASE_ENTERED; phase < PHASE_CLOSED; phase++) {
        msec from = report->phase_at[phase], to = report_phase_end(report, (enum core_phase)phase);
        if (from != UNKNOWN && from != to)
            fill(report, bar, from, to, letters[phase]);
    }
    add_label(&report->writer, "phase", 0);
    writer_add(&report->writer, "%s\n", bar);
}

static void add_lane(struct report *report, const struct lane *lane)
{
    struct writer *writer = &report->writer;
    char bar[BAR_WIDTH + 1] = "", label[SENTENCE_MAX];
    msec end = lane_end(report, lane);
    memset(bar, ' ', BAR_WIDTH);
    fill(report, bar, msec_min(lane->started, end), end, '-');
    if (lane->asked < end)
        fill(report, bar, lane->asked, end, '=');
    if (lane->killed < end)
        fill(report, bar, lane->killed, end, '#');
    if (lane->ended != UNKNOWN)
        fill(report, bar, end, end, lane->killed != UNKNOWN ? 'K' : '|');
    else if (lane->missing != UNKNOWN)
        fill(report, bar, end, end, '?');
    else
        bar[BAR_WIDTH - 1] = '>';
    add_label(writer, report_describe_lane(lane, label), lane->member ? 2 : 0);
    writer_add(writer, "%s", bar);
    if (lane->ended != UNKNOWN) {
        writer_add(writer, "  ");
        writer_add_seconds(writer, lane->ended - report->trigger.at);
    }
    writer_add(writer, "\n");
}

static void add_bars(struct report *report)
{
    struct writer *writer = &report->writer;
    add_axis(report);
    add_phases(report);
    for (uint32_t i = 0; i < report->lane_count; i++)
        add_lane(report, &report->lanes[i]);
    if (report->lanes_lost > 0)
        writer_add(writer, "and %u more processes\n", (unsigned)report->lanes_lost);
    writer_add(writer, "phases: e entered, d drain, c cancel, o orphans\n");
    writer_add(writer, "bars: - up, = asked to stop, # killed, | its end, K its end by our KILL, "
                       "? gone by then, > left behind\n");
}

static void add_head(struct report *report)
{
    struct writer *writer = &report->writer;
    char text[SENTENCE_MAX];
    writer_add(writer, "Shutdown at ");
    writer_add_date(writer, report->facts.wall - (report->facts.now - report->trigger.at), false);
    writer_add(writer, ": ");
    writer_add_escaped(writer, ESCAPE_TEXT, report_describe_trigger(report, text));
    writer_add(writer, "\n");
    writer_add_took(report);
    writer_add(writer, "; aiorun's own end: %s\n",
               report_describe_end(report, report->facts.end, text));
}

/* Which phases took time, and for whom. */
static void add_holders(struct report *report)
{
    struct writer *writer = &report->writer;
    if (report->phase_at[PHASE_ENTERED] != report_phase_end(report, PHASE_ORPHANS))
        writer_add(writer, "\n");
    for (int phase = PHASE_ENTERED; phase < PHASE_CLOSED; phase++) {
        char label[SENTENCE_MAX];
        msec from = report->phase_at[phase], to = report_phase_end(report, (enum core_phase)phase);
        long holder = report_phase_holder(report, (enum core_phase)phase);
        if (from == UNKNOWN || from == to)
            continue;
        writer_add(writer, "%s took ", report_phase_name((enum core_phase)phase));
        writer_add_seconds(writer, to - from);
        writer_add(writer, " s");
        if (holder >= 0) {
            writer_add(writer, ", waiting last for ");
            writer_add_escaped(writer, ESCAPE_TEXT,
                               report_describe_lane(&report->lanes[holder], label));
        }
        writer_add(writer, "\n");
    }
}

static void add_shields(struct report *report)
{
    struct writer *writer = &report->writer;
    writer_add(writer, "%s", report->shield_count > 0 ? "\n" : "");
    for (uint32_t i = 0; i < report->shield_count; i++) {
        const struct held_shield *shield = &report->shields[i];
        char text[SENTENCE_MAX];
        writer_add(writer, "shield ");
        writer_add_escaped(writer, ESCAPE_TEXT, report_describe_shield(shield, text));
        writer_add(writer, ": from ");
        writer_add_seconds(writer, shield->from - report->trigger.at);
        writer_add(writer, " to ");
        writer_add_seconds(writer, shield_over(report, shield) - report->trigger.at);
        writer_add(writer, " s, %s", report_fate_name(shield->fate));
        if (shield->until != NEVER && shield->fate != FATE_EXPIRED) {
            writer_add(writer, "; its time was until ");
            writer_add_seconds(writer, shield->until - report->trigger.at);
            writer_add(writer, " s");
        }
        writer_add(writer, "\n");
    }
    if (report->shields_lost > 0)
        writer_add(writer, "and %u more shields\n", (unsigned)report->shields_lost);
}

static void add_events(struct report *report)
{
    struct writer *writer = &report->writer;
    uint64_t lost = report_lost(report), first = report_first(report);
    if (lost > 0)
        writer_add(writer, "the %llu oldest details are lost\n", (unsigned long long)lost);
    for (uint64_t n = lost > 0 ? first : report->story; n < report->added; n++) {
        const struct report_record *record = report_record(report, n);
        char text[SENTENCE_MAX], when[32];
        msec at = record->at - report->trigger.at, size = at < 0 ? -at : at;
        snprintf(when, sizeof when, "%s%lld.%03lld", at < 0 ? "-" : "", (long long)(size / SECOND),
                 (long long)(size % SECOND));
        writer_add(writer, "%9s  ", when);
        writer_add_escaped(writer, ESCAPE_TEXT, report_describe(report, record, text));
        writer_add(writer, "\n");
    }
}

void report_write_text(struct report *report, bool bars_only)
{
    add_head(report);
    if (!bars_only)
        writer_add(&report->writer, "\n");
    add_bars(report);
    if (bars_only)
        return;
    add_holders(report);
    add_shields(report);
    writer_add(&report->writer, "\n");
    add_events(report);
}
