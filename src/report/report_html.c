/* The report as one page: a picture in SVG, and tables.  No script, and nothing from elsewhere. */

#include "report/report_private.h"

#include <stdio.h>

#define CHART_LEFT  240
#define CHART_WIDTH 680
#define PAGE_WIDTH  (CHART_LEFT + CHART_WIDTH + 80)
#define ROW_HEIGHT  24
#define CHART_TOP   44 /* below the axis and the names of the phases */

#define NUMBERS "<th class=\"n\">" /* the heading of a column of them */

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--faint:#59636e;--paper:#fff;--line:#d1d9e0;"
    "--up:#a8b3bf;--asked:#2f74c0;--killed:#cf222e;--held:#8250df;--band1:#f4f6f8;--band2:#e9eef4}"
    "\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9198a1;--paper:#0d1117;"
    "--line:#3d444d;--up:#59636e;--asked:#58a6ff;--killed:#ff7b72;--held:#d2a8ff;--band1:#161b22;"
    "--band2:#1f2630}}\n"
    "body{margin:2rem auto;max-width:66rem;padding:0 1rem;background:var(--paper);"
    "color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
    "svg{width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}\n"
    "svg .faint{fill:var(--faint)}.tick{stroke:var(--line)}\n"
    ".band{fill:var(--band1)}.band.other{fill:var(--band2)}\n"
    ".up{fill:var(--up)}.asked{fill:var(--asked)}.killed{fill:var(--killed)}"
    ".held{fill:var(--held)}\n"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}\n"
    "th,td{text-align:left;vertical-align:top;padding:.2rem .6rem;"
    "border-bottom:1px solid var(--line)}\n"
    "th{white-space:nowrap}th.n,td.n{text-align:right}\n"
    "td.n{font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "td.c{font-family:ui-monospace,monospace;overflow-wrap:anywhere}\n";

static void add_escaped(struct report *report, const char *text)
{
    writer_add_escaped(&report->writer, ESCAPE_HTML, text);
}

/* ---- the picture ---- */

static int x_of(const struct report *report, msec when)
{
    msec since = msec_max(when - report->trigger.at, 0), length = report_length(report);
    return CHART_LEFT + (int)(msec_min(since, length) * CHART_WIDTH / length);
}

static void add_bar(struct report *report, const char *kind, int y, msec from, msec to)
{
    if (from == UNKNOWN || to < from || to < report->trigger.at)
        return;
    int x = x_of(report, from), width = x_of(report, to) - x;
    writer_add(&report->writer,
               "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"2\"/>", kind,
               x, y + 4, width > 2 ? width : 2, ROW_HEIGHT - 8);
}

static void add_bands(struct report *report, int height)
{
    struct writer *writer = &report->writer;
    bool other = false;
    for (int i = PHASE_ENTERED; i < PHASE_CLOSED; i++) {
        enum core_phase phase = (enum core_phase)i;
        msec from = report->phase_at[i], to = report_phase_end(report, phase);
        if (from == UNKNOWN || from == to)
            continue;
        int x = x_of(report, from), width = x_of(report, to) - x;
        const char *name = report_phase_name(phase);
        writer_add(writer,
                   "<g><rect class=\"band%s\" x=\"%d\" y=\"24\" width=\"%d\" height=\"%d\"/>",
                   other ? " other" : "", x, width > 1 ? width : 1, height - 24);
        writer_add(writer, "<title>%s: ", name);
        writer_add_seconds(writer, to - from);
        writer_add(writer, " s</title>");
        if (width > 50)
            writer_add(writer, "<text class=\"faint\" x=\"%d\" y=\"38\">%s</text>", x + 4, name);
        writer_add(writer, "</g>\n");
        other = !other;
    }
}

static void add_axis(struct report *report, int height)
{
    struct writer *writer = &report->writer;
    for (int quarter = 0; quarter <= 4; quarter++) {
        int x = CHART_LEFT + CHART_WIDTH * quarter / 4;
        writer_add(writer, "<line class=\"tick\" x1=\"%d\" y1=\"20\" x2=\"%d\" y2=\"%d\"/>", x, x,
                   height);
        writer_add(writer, "<text class=\"faint\" x=\"%d\" y=\"14\" text-anchor=\"middle\">", x);
        writer_add_seconds(writer, report_length(report) * quarter / 4);
        writer_add(writer, "%s</text>\n", quarter == 4 ? " s" : "");
    }
}

/* A line below the bar, for as long as the run holds a shield. */
static void add_held(struct report *report, const struct lane *lane, int y)
{
    for (uint32_t i = 0; i < report->shield_count; i++) {
        const struct held_shield *shield = &report->shields[i];
        int x = x_of(report, shield->from), end = x_of(report, shield_over(report, shield));
        if (lane->member || shield->run.slot != lane->run.slot ||
            shield->run.generation != lane->run.generation)
            continue;
        writer_add(&report->writer,
                   "<rect class=\"held\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"3\"/>", x,
                   y + ROW_HEIGHT - 3, end - x > 2 ? end - x : 2);
    }
}

static void add_row(struct report *report, const struct lane *lane, int y)
{
    struct writer *writer = &report->writer;
    char label[SENTENCE_MAX], text[SENTENCE_MAX], cut[34];
    msec end = lane_end(report, lane), killed = msec_min(lane->killed, end);
    report_describe_lane(lane, label);
    report_copy(cut, lane->member ? sizeof cut - 3 : sizeof cut, label);
    writer_add(writer, "<g><title>");
    add_escaped(report, label);
    writer_add(writer, ": ");
    add_escaped(report, report_describe_fate(report, lane, text));
    writer_add(writer, "</title><text x=\"%d\" y=\"%d\">", lane->member ? 20 : 4, y + 16);
    add_escaped(report, cut);
    writer_add(writer, "</text>");
    add_bar(report, "up", y, lane->started, msec_min(lane->asked, killed));
    if (lane->asked != UNKNOWN)
        add_bar(report, "asked", y, lane->asked, killed);
    add_bar(report, "killed", y, lane->killed, end);
    add_held(report, lane, y);
    writer_add(writer, "<text x=\"%d\" y=\"%d\">", x_of(report, end) + 6, y + 16);
    if (lane->ended != UNKNOWN)
        writer_add_seconds(writer, lane->ended - report->trigger.at);
    writer_add(writer, "%s</text></g>\n",
               lane->ended != UNKNOWN     ? " s"
               : lane->missing != UNKNOWN ? "gone by then"
                                          : "left behind");
}

static void add_picture(struct report *report)
{
    struct writer *writer = &report->writer;
    int height = CHART_TOP + ROW_HEIGHT * (int)report->lane_count + 4;
    writer_add(writer,
               "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"processes over time\">\n",
               PAGE_WIDTH, height);
    add_bands(report, height);
    add_axis(report, height);
    for (uint32_t i = 0; i < report->lane_count; i++)
        add_row(report, &report->lanes[i], CHART_TOP + ROW_HEIGHT * (int)i);
    writer_add(writer, "</svg>\n<p><svg viewBox=\"0 0 %d 20\" aria-hidden=\"true\">", PAGE_WIDTH);
    static const char *const legend[][2] = {{"up", "up"},
                                            {"asked", "asked to stop"},
                                            {"killed", "killed, not yet gone"},
                                            {"held", "holds a shield"}};
    for (int i = 0; i < 4; i++) {
        writer_add(writer,
                   "<rect class=\"%s\" x=\"%d\" y=\"4\" width=\"14\" height=\"12\" rx=\"2\"/>",
                   legend[i][0], CHART_LEFT + 180 * i);
        writer_add(writer, "<text x=\"%d\" y=\"14\">%s</text>", CHART_LEFT + 180 * i + 20,
                   legend[i][1]);
    }
    writer_add(writer, "</svg></p>\n");
}

/* ---- the tables ---- */

static void add_time_cell(struct report *report, msec when)
{
    struct writer *writer = &report->writer;
    writer_add(writer, "<td class=\"n\">");
    if (when != UNKNOWN)
        writer_add_seconds(writer, when - report->trigger.at);
    writer_add(writer, "</td>");
}

static void add_process(struct report *report, const struct lane *lane)
{
    struct writer *writer = &report->writer;
    char text[SENTENCE_MAX];
    writer_add(writer, "<tr><td>");
    add_escaped(report, lane->name);
    writer_add(writer, "</td><td class=\"n\">%ld</td>", lane->pid);
    add_time_cell(report, lane->asked);
    add_time_cell(report, lane->killed);
    add_time_cell(report, lane->ended);
    writer_add(writer, "<td>");
    add_escaped(report, report_describe_fate(report, lane, text));
    if (lane->state != NULL && lane->killed != UNKNOWN) {
        writer_add(writer, "; it was %s%s", lane->state, lane->where ? " in " : "");
        add_escaped(report, lane->where ? lane->where : "");
    }
    writer_add(writer, "</td><td class=\"c\">");
    add_escaped(report, lane->command ? lane->command : "");
    writer_add(writer, "</td></tr>\n");
}

static void add_processes(struct report *report)
{
    struct writer *writer = &report->writer;
    writer_add(writer,
               "<h2>Processes</h2>\n<table><thead><tr><th>of</th>" NUMBERS "pid</th>" NUMBERS
               "asked, s</th>" NUMBERS "killed, s</th>" NUMBERS "ended, s</th><th>how</th>"
               "<th>command</th></tr></thead>\n<tbody>\n");
    for (uint32_t i = 0; i < report->lane_count; i++)
        add_process(report, &report->lanes[i]);
    writer_add(writer, "</tbody></table>\n");
    if (report->lanes_lost > 0)
        writer_add(writer, "<p>And %u more processes.</p>\n", (unsigned)report->lanes_lost);
}

static void add_shields(struct report *report)
{
    struct writer *writer = &report->writer;
    if (report->shield_count == 0)
        return;
    writer_add(writer, "<h2>Shields</h2>\n<table><thead><tr><th>shield</th><th>of</th>" NUMBERS
                       "pid</th>" NUMBERS "from, s</th>" NUMBERS "until, s</th>" NUMBERS
                       "ended, s</th><th>how</th></tr></thead>\n<tbody>\n");
    for (uint32_t i = 0; i < report->shield_count; i++) {
        const struct held_shield *shield = &report->shields[i];
        writer_add(writer, "<tr><td>");
        add_escaped(report, shield->name);
        writer_add(writer, "</td><td>");
        add_escaped(report, shield->holder);
        writer_add(writer, "</td><td class=\"n\">%ld</td>", shield->pid);
        add_time_cell(report, shield->from);
        add_time_cell(report, shield->until);
        add_time_cell(report, shield->ended);
        writer_add(writer, "<td>%s</td></tr>\n", report_fate_name(shield->fate));
    }
    writer_add(writer, "</tbody></table>\n");
    if (report->shields_lost > 0)
        writer_add(writer, "<p>And %u more shields.</p>\n", (unsigned)report->shields_lost);
}

static void add_phase_table(struct report *report)
{
    struct writer *writer = &report->writer;
    writer_add(writer,
               "<h2>Phases</h2>\n<table><thead><tr><th>phase</th>" NUMBERS "from, s</th>" NUMBERS
               "to, s</th><th>waited last for</th></tr></thead>\n<tbody>\n");
    for (int i = PHASE_ENTERED; i < PHASE_COUNT; i++) {
        char text[SENTENCE_MAX];
        enum core_phase phase = (enum core_phase)i;
        long holder = report_phase_holder(report, phase);
        if (report->phase_at[i] == UNKNOWN)
            continue;
        writer_add(writer, "<tr><td>%s</td>", report_phase_name(phase));
        add_time_cell(report, report->phase_at[i]);
        add_time_cell(report, report_phase_end(report, phase));
        writer_add(writer, "<td>");
        if (holder >= 0)
            add_escaped(report, report_describe_lane(&report->lanes[holder], text));
        writer_add(writer, "</td></tr>\n");
    }
    writer_add(writer, "</tbody></table>\n");
}

static void add_events(struct report *report)
{
    struct writer *writer = &report->writer;
    uint64_t lost = report_lost(report), first = report_first(report);
    writer_add(writer, "<h2>What happened</h2>\n");
    if (lost > 0)
        writer_add(writer, "<p>The %llu oldest details are lost.</p>\n", (unsigned long long)lost);
    writer_add(writer, "<table><thead><tr>" NUMBERS "s</th><th>what</th></tr></thead>\n<tbody>\n");
    for (uint64_t n = lost > 0 ? first : report->story; n < report->added; n++) {
        const struct report_record *record = report_record(report, n);
        char text[SENTENCE_MAX];
        writer_add(writer, "<tr>");
        add_time_cell(report, record->at);
        writer_add(writer, "<td>");
        add_escaped(report, report_describe(report, record, text));
        writer_add(writer, "</td></tr>\n");
    }
    writer_add(writer, "</tbody></table>\n");
}

/* ---- the page ---- */

static void add_head(struct report *report)
{
    struct writer *writer = &report->writer;
    char text[SENTENCE_MAX];
    writer_add(writer, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
                       "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
                       "<title>Shutdown by ");
    add_escaped(report, report_describe_trigger(report, text));
    writer_add(writer, "</title>\n<style>\n%s</style></head><body>\n<h1>Shutdown by ", style);
    add_escaped(report, text);
    writer_add(writer, "</h1>\n<p>");
    writer_add_date(writer, report->facts.wall - (report->facts.now - report->trigger.at), true);
    writer_add(writer, ". ");
    writer_add_took(report);
    writer_add(writer, ". aiorun's own end: %s. Times are seconds after the trigger.</p>\n",
               report_describe_end(report, report->facts.end, text));
}

void report_write_html(struct report *report)
{
    add_head(report);
    add_picture(report);
    add_processes(report);
    add_shields(report);
    add_phase_table(report);
    add_events(report);
    writer_add(&report->writer, "<p>");
    add_escaped(report, report->settings.program);
    writer_add(&report->writer, "</p>\n</body></html>\n");
}
