/* The report: its ring, its formats, and what becomes of odd strings in them. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "plan/parse.h"
#include "report/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAIN ((struct run_id){5, 1})
#define TERM 15

static struct report *report;
static char written[1 << 20];
static size_t length, pieces, longest, fails_after;
static bool whole_lines;

static bool keep(const char *bytes, size_t count)
{
    assert_true(length + count < sizeof written);
    if (fails_after > 0 && pieces >= fails_after) {
        pieces++;
        return false;
    }
    memcpy(written + length, bytes, count);
    length += count;
    written[length] = '\0';
    pieces++;
    longest = count > longest ? count : longest;
    whole_lines = whole_lines && bytes[count - 1] == '\n';
    return true;
}

/* An empty report that began at 1,000 ms. */
static void begin(uint32_t capacity)
{
    const struct report_settings settings = {"aiorun 1", signal_name};
    free(report);
    void *memory = malloc(report_size(capacity));
    assert_non_null(memory);
    report = report_init(memory, capacity, &settings, 1000);
}

static int end(void **state)
{
    (void)state;
    free(report);
    report = NULL;
    return 0;
}

static struct report_record about_main(enum report_kind kind, msec at)
{
    struct report_record record = {.at = at, .kind = kind, .run = MAIN, .pid = 42};
    report_copy(record.name, sizeof record.name, "main");
    return record;
}

static void add(struct report_record record)
{
    report_add(report, &record);
}

static void add_arrival(msec at, int signal, long sender)
{
    add((struct report_record){.at = at, .kind = REPORT_ARRIVED, .signal = signal, .pid = sender});
}

static void add_phase(msec at, enum core_phase phase)
{
    add((struct report_record){.at = at,
                               .kind = REPORT_PHASE,
                               .phase = phase,
                               .trigger = TRIGGER_SIGNAL,
                               .signal = phase == PHASE_ENTERED ? TERM : 0});
}

static void add_end(msec at, enum ending_kind kind, uint32_t value)
{
    struct report_record record = about_main(REPORT_ENDED, at);
    record.end = (struct ending){kind, value};
    add(record);
}

static void add_process(msec at, enum report_kind listed_for, long pid, const char *command)
{
    struct report_record record = about_main(REPORT_PROCESS, at);
    record.listed_for = listed_for;
    record.pid = pid;
    report_copy(record.command, sizeof record.command, command);
    add(record);
}

/* TERM at 2,000 ms, main's stop request at 2,100, its end at 2,500. */
static void tell_story(void)
{
    add(about_main(REPORT_STARTED, 1001));
    add_arrival(1500, 10, 7);
    add_arrival(2000, TERM, 99);
    add_arrival(2000, 10, 7);
    add_phase(2000, PHASE_ENTERED);
    add_phase(2100, PHASE_DRAIN);
    add_phase(2100, PHASE_CANCEL);
    add(about_main(REPORT_REQUEST, 2100));
    add_end(2500, ENDING_EXITED, 3);
    add_phase(2500, PHASE_ORPHANS);
    add_phase(2500, PHASE_CLOSED);
}

static bool write_at(enum report_format format, msec now)
{
    const struct report_facts facts = {.now = now,
                                       .wall = 951782400123 + (now - 2000),
                                       .timeout = 10 * SECOND,
                                       .end = {ENDING_EXITED, 3}};
    length = pieces = longest = 0;
    whole_lines = true;
    written[0] = '\0';
    return report_write(report, format, &facts, keep);
}

static const char *write_all(enum report_format format)
{
    fails_after = 0;
    assert_true(write_at(format, 2500));
    return written;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in: %s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        fail_msg("'%s' is in: %s", part, text);
}

/* ---- formats ---- */

static void the_ending_of_the_name_says_the_format(void **state)
{
    (void)state;
    assert_int_equal(report_format("a.json"), REPORT_FORMAT_JSON);
    assert_int_equal(report_format("/x/a.trace.json"), REPORT_FORMAT_TRACE);
    assert_int_equal(report_format("a.trace"), REPORT_FORMAT_TRACE);
    assert_int_equal(report_format("a.html"), REPORT_FORMAT_HTML);
    assert_int_equal(report_format("a.b.htm"), REPORT_FORMAT_HTML);
    assert_int_equal(report_format("a.txt"), REPORT_FORMAT_TEXT);
    assert_int_equal(report_format("json"), REPORT_FORMAT_TEXT);
    assert_int_equal(report_format(""), REPORT_FORMAT_TEXT);
}

static void json_tells_the_story(void **state)
{
    (void)state;
    begin(32);
    tell_story();
    const char *json = write_all(REPORT_FORMAT_JSON);
    assert_has(json, "\"triggered_at\":\"2000-02-29T00:00:00.123Z\"");
    assert_has(json, "\"took_ms\":500,\"timeout_ms\":10000,"
                     "\"end\":{\"kind\":\"exited\",\"status\":3}");
    assert_has(json, "{\"kind\":\"signal\",\"signal\":\"TERM\",\"from_kernel\":false,"
                     "\"sender\":99,");
    assert_has(json, "{\"name\":\"cancel\",\"from_ms\":100,\"to_ms\":500,"
                     "\"waited_for\":{\"worker\":\"main\",\"pid\":42}}");
    assert_has(json, "{\"name\":\"entered\",\"from_ms\":0,\"to_ms\":100,\"waited_for\":null}");
    assert_has(json, "\"started_ms\":-999,\"asked_ms\":100,\"killed_ms\":null,"
                     "\"killed_because\":null,\"ended_ms\":500,\"gone_by_ms\":null,"
                     "\"end\":{\"kind\":\"exited\",\"status\":3}");
    assert_has(json, "\"events_dropped\":0");
}

static void text_draws_what_happened_when(void **state)
{
    (void)state;
    begin(32);
    tell_story();
    const char *text = write_all(REPORT_FORMAT_TEXT);
    assert_has(text, "Shutdown at 2000-02-29T00:00:00Z: SIGTERM from process 99\n"
                     "It took 0.500 s of at most 10.000 s; aiorun's own end: exited with "
                     "status 3\n");
    /* 48 places for 500 ms: the stop request after 100 ms is in the tenth. */
    assert_has(text, "\nmain 42                  "
                     "---------======================================|  0.500\n");
    assert_has(text, "    0.100  main (pid 42): stop request\n");
    assert_lacks(text, "started"); /* that was before the shutdown's story */
    assert_true(whole_lines);
}

static void trace_counts_microseconds_from_the_start(void **state)
{
    (void)state;
    begin(32);
    tell_story();
    const char *trace = write_all(REPORT_FORMAT_TRACE);
    assert_has(trace, "\"ph\":\"X\",\"cat\":\"phase\",\"pid\":1,\"tid\":0,\"ts\":1100000,"
                      "\"dur\":400000,\"name\":\"cancel\"");
    assert_has(trace, "\"tid\":1,\"ts\":1100000,\"dur\":400000,\"name\":\"asked to stop\"");
    assert_has(trace, "\"tid\":1,\"ts\":1000,\"dur\":1099000,\"name\":\"up\"");
}

static void kills_tell_why(void **state)
{
    static const char *const words[] = {
        [REPORT_BY_DEADLINE] = "\"killed_because\":\"deadline\"",
        [REPORT_BY_CAP] = "\"killed_because\":\"cap\"",
        [REPORT_BY_FORCE] = "\"killed_because\":\"forced\"",
    };
    (void)state;
    for (int why = REPORT_BY_DEADLINE; why <= REPORT_BY_FORCE; why++) {
        begin(32);
        add_phase(2000, PHASE_ENTERED);
        struct report_record record = about_main(REPORT_KILL, 2300);
        record.why = (enum report_why)why;
        add(record);
        add_end(2310, ENDING_KILLED, 9);
        assert_has(write_all(REPORT_FORMAT_JSON), words[why]);
        assert_has(written, "\"killed_ms\":300,");
    }
}

static void what_is_left_behind_has_no_end(void **state)
{
    (void)state;
    begin(32);
    add(about_main(REPORT_STARTED, 1001));
    add_phase(2000, PHASE_ENTERED);
    assert_has(write_all(REPORT_FORMAT_JSON), "\"ended_ms\":null,\"gone_by_ms\":null,\"end\":null");
    assert_has(write_all(REPORT_FORMAT_TEXT), "-->\n");
    assert_has(write_all(REPORT_FORMAT_HTML), "left behind");
}

static void who_is_not_listed_any_more_is_gone(void **state)
{
    (void)state;
    begin(32);
    add_phase(2000, PHASE_ENTERED);
    add_process(2000, REPORT_REQUEST, 43, "obeys");
    add_process(2000, REPORT_REQUEST, 44, "refuses");
    add(about_main(REPORT_KILL, 2300));
    add_process(2300, REPORT_KILL, 44, "refuses");
    write_all(REPORT_FORMAT_JSON);
    assert_has(written, "\"command\":\"obeys\",\"state\":null,\"wait_channel\":null,"
                        "\"started_ms\":-2000,\"asked_ms\":null,\"killed_ms\":null,"
                        "\"killed_because\":null,\"ended_ms\":null,\"gone_by_ms\":300,");
    assert_has(written, "\"killed_because\":\"deadline\",\"ended_ms\":null,"
                        "\"gone_by_ms\":null,");
    /* Unless not all were listed. */
    struct report_record more = about_main(REPORT_MORE, 2300);
    more.count = 5;
    add(more);
    assert_lacks(write_all(REPORT_FORMAT_JSON), "\"gone_by_ms\":300");
}

/* ---- shields ---- */

static void add_shield(const char *name, enum report_kind kind, msec at, msec until)
{
    struct report_record record = about_main(kind, at);
    record.since = 1900;
    record.until = until;
    report_copy(record.command, sizeof record.command, name);
    add(record);
}

static void a_shield_has_its_end_and_why(void **state)
{
    (void)state;
    begin(100);
    add_phase(2000, PHASE_ENTERED);
    add_shield("twice", REPORT_SHIELD, 2000, NEVER);
    add_shield("late", REPORT_SHIELD, 2000, 9000);
    add_shield("over", REPORT_SHIELD, 2000, 2200);
    add_shield("twice", REPORT_UNSHIELD, 2100, 0);
    add_shield("late", REPORT_SHIELD, 2150, 2400); /* its time is another now */
    add_shield("over", REPORT_UNSHIELD, 2300, 0);
    add_shield("twice", REPORT_SHIELD, 2300, NEVER);
    add_end(2350, ENDING_EXITED, 0);
    add_phase(2500, PHASE_CLOSED);
    const char *json = write_all(REPORT_FORMAT_JSON);
    assert_has(json, "{\"name\":\"twice\",\"worker\":\"main\",\"pid\":42,\"from_ms\":-100,"
                     "\"until_ms\":null,\"ended_ms\":100,\"fate\":\"released\"}");
    assert_has(json, "\"until_ms\":400,\"ended_ms\":350,\"fate\":\"holder-ended\"}");
    assert_has(json, "\"until_ms\":200,\"ended_ms\":200,\"fate\":\"expired\"}");
    assert_has(json, "\"until_ms\":null,\"ended_ms\":350,\"fate\":\"holder-ended\"}");
}

static void more_shields_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    begin(100);
    add_phase(2000, PHASE_ENTERED);
    for (int i = 0; i < 70; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        add_shield(name, REPORT_SHIELD, 2000, NEVER);
    }
    add_phase(2500, PHASE_CLOSED);
    assert_has(write_all(REPORT_FORMAT_JSON), "\"shields_dropped\":6,");
    assert_has(written, "\"ended_ms\":null,\"fate\":\"held\"}");
    assert_has(write_all(REPORT_FORMAT_TEXT), "and 6 more shields");
}

/* ---- the ring ---- */

static void nothing_of_the_ring_is_touched_before_it_is_used(void **state)
{
    (void)state;
    const struct report_settings settings = {"aiorun 1", signal_name};
    size_t head = report_size(0), size = report_size(100);
    unsigned char *memory = malloc(size);
    assert_non_null(memory);
    memset(memory, 0xaa, size);
    report_init(memory, 100, &settings, 0);
    for (size_t i = head; i < size; i++)
        assert_int_equal(memory[i], 0xaa);
    free(memory);
}

static void a_full_ring_drops_the_oldest_and_counts_them(void **state)
{
    (void)state;
    begin(4);
    tell_story(); /* eleven records */
    assert_has(write_all(REPORT_FORMAT_JSON), "\"events_dropped\":7,");
    assert_has(written, "{\"kind\":\"stop-request\"");
    assert_lacks(written, "{\"kind\":\"started\"");
    /* The trigger and the phases are beside the ring. */
    assert_has(written, "\"signal\":\"TERM\",\"from_kernel\":false,\"sender\":99");
    assert_has(written, "{\"name\":\"entered\",\"from_ms\":0,\"to_ms\":100");
    /* Of the shutdown's own nine the first five. */
    assert_has(write_all(REPORT_FORMAT_TEXT), "the 5 oldest details are lost\n");
    assert_has(write_all(REPORT_FORMAT_HTML), "The 5 oldest details are lost.");
}

static void a_start_that_fell_out_is_known_from_later(void **state)
{
    (void)state;
    begin(2);
    struct report_record record = about_main(REPORT_REQUEST, 2100);
    record.since = 1001;
    add_phase(2000, PHASE_ENTERED);
    add(record);
    add_end(2500, ENDING_EXITED, 0);
    assert_has(write_all(REPORT_FORMAT_JSON), "\"started_ms\":-999,\"asked_ms\":100");
}

static void of_many_restarts_the_last_run_is_shown(void **state)
{
    (void)state;
    begin(64);
    for (uint32_t life = 1; life <= 20; life++) {
        struct report_record record = about_main(REPORT_STARTED, 1000 + life * 10);
        record.run.generation = life;
        record.pid = 100 + (long)life;
        add(record);
        record.kind = REPORT_ENDED;
        record.at += 5;
        record.end = (struct ending){ENDING_EXITED, 1};
        if (life < 20)
            add(record);
    }
    add_phase(2000, PHASE_ENTERED);
    const char *text = write_all(REPORT_FORMAT_TEXT);
    assert_has(text, "main 120");
    assert_lacks(text, "main 119");
}

static void too_many_processes_are_counted(void **state)
{
    (void)state;
    begin(1000);
    add_phase(2000, PHASE_ENTERED);
    for (long pid = 1; pid <= 300; pid++)
        add_process(2100, REPORT_STOP_TREE, 1000 + pid, "sleep 9");
    assert_has(write_all(REPORT_FORMAT_JSON), "\"processes_dropped\":44,");
    assert_has(write_all(REPORT_FORMAT_TEXT), "and 44 more processes\n");
    assert_has(write_all(REPORT_FORMAT_HTML), "And 44 more processes.");
}

/* ---- odd strings ---- */

static const char odd[] = "a\"b\\c\n\x1b[31m\x7f<script>&'\xff\xc3\xa9\xc2\x9b\xe2\x82";

static void tell_oddly(void)
{
    begin(16);
    add(about_main(REPORT_STARTED, 1001));
    add_phase(2000, PHASE_ENTERED);
    add_process(2100, REPORT_KILL, 43, odd);
}

static void json_escapes_what_is_no_text(void **state)
{
    (void)state;
    tell_oddly();
    const char *json = write_all(REPORT_FORMAT_JSON);
    assert_has(json, "\"command\":\"a\\\"b\\\\c\\u000a\\u001b[31m\\u007f<script>&'"
                     "\xef\xbf\xbd\xc3\xa9\xc2\x9b\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_has(write_all(REPORT_FORMAT_TRACE), "c\\u000a\\u001b[31m");
}

static void html_escapes_what_would_be_markup(void **state)
{
    (void)state;
    tell_oddly();
    const char *page = write_all(REPORT_FORMAT_HTML);
    assert_has(page, "a&quot;b\\c\xef\xbf\xbd\xef\xbf\xbd[31m\xef\xbf\xbd&lt;script&gt;&amp;&#39;"
                     "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd<");
    assert_lacks(page, "<script");
    assert_lacks(page, "://");
}

static void text_shows_no_control_characters(void **state)
{
    (void)state;
    tell_oddly();
    const char *text = write_all(REPORT_FORMAT_TEXT);
    assert_has(text, "a\"b\\c??[31m?<script>&'?\xc3\xa9???");
    for (const char *byte = text; *byte; byte++)
        assert_true((unsigned char)*byte >= 0x20 || *byte == '\n');
}

static void copies_are_cut_between_characters(void **state)
{
    (void)state;
    char small[4];
    report_copy(small, sizeof small, "ab\xc3\xa9z");
    assert_string_equal(small, "ab");
    report_copy(small, sizeof small, "a\xc3\xa9z");
    assert_string_equal(small, "a\xc3\xa9");
    report_copy(small, sizeof small, "\x80\x80\x80\x80\x80");
    assert_string_equal(small, "");
}

static void full_strings_fit_everywhere(void **state)
{
    (void)state;
    begin(16);
    add_phase(2000, PHASE_ENTERED);
    struct report_record record = about_main(REPORT_PROCESS, 2100);
    record.listed_for = REPORT_KILL;
    record.pid = 2147483647;
    record.state = "in uninterruptible sleep";
    memset(record.name, 'n', sizeof record.name - 1);
    memset(record.where, 'w', sizeof record.where - 1);
    memset(record.command, '"', sizeof record.command - 1);
    add(record);
    for (int format = REPORT_FORMAT_TEXT; format <= REPORT_FORMAT_HTML; format++)
        assert_has(write_all((enum report_format)format), "2147483647");
}

/* ---- writing ---- */

static void pieces_are_small(void **state)
{
    (void)state;
    begin(1000);
    add_phase(2000, PHASE_ENTERED);
    for (long pid = 1; pid <= 300; pid++)
        add_process(2100, REPORT_STOP_TREE, 1000 + pid, "sleep 9");
    for (int format = REPORT_FORMAT_TEXT; format <= REPORT_FORMAT_HTML; format++) {
        write_all((enum report_format)format);
        assert_true(longest <= 4096);
        assert_int_equal(written[length - 1], '\n');
    }
}

static void a_sink_that_fails_is_left_alone(void **state)
{
    (void)state;
    begin(1000);
    add_phase(2000, PHASE_ENTERED);
    for (long pid = 1; pid <= 300; pid++)
        add_process(2100, REPORT_STOP_TREE, 1000 + pid, "sleep 9");
    for (int format = REPORT_FORMAT_TEXT; format <= REPORT_FORMAT_HTML; format++) {
        if (format == REPORT_FORMAT_BARS)
            continue;
        fails_after = 2;
        assert_false(write_at((enum report_format)format, 2500));
        assert_int_equal(pieces, 3);
    }
}

static void dates_are_right(void **state)
{
    (void)state;
    static const struct {
        int64_t wall;
        const char *date;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {951868800000, "2000-03-01T00:00:00.000Z"},
        {1735689599999, "2024-12-31T23:59:59.999Z"},
        {1735689600000, "2025-01-01T00:00:00.000Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct report_facts facts = {.now = 2000, .wall = rows[i].wall};
        begin(4);
        add_phase(2000, PHASE_ENTERED);
        length = pieces = fails_after = 0;
        assert_true(report_write(report, REPORT_FORMAT_JSON, &facts, keep));
        assert_has(written, rows[i].date);
    }
}

static void quick_and_peaceful_is_not_notable(void **state)
{
    (void)state;
    struct report_facts facts = {.now = 2500};
    begin(32);
    assert_false(report_is_notable(report, &facts));
    tell_story();
    assert_false(report_is_notable(report, &facts));
    facts.now = 2000 + NOTICE_AFTER;
    assert_true(report_is_notable(report, &facts));
}

static void a_kill_is_notable(void **state)
{
    static const enum report_kind kinds[] = {REPORT_KILL, REPORT_FORCED, REPORT_ABANDONED};
    const struct report_facts facts = {.now = 2500};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        begin(32);
        add(about_main(kinds[i], 1500)); /* of a restart, long ago */
        tell_story();
        assert_false(report_is_notable(report, &facts));
        add(about_main(kinds[i], 2500));
        assert_true(report_is_notable(report, &facts));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_ending_of_the_name_says_the_format, end),
        cmocka_unit_test_teardown(json_tells_the_story, end),
        cmocka_unit_test_teardown(text_draws_what_happened_when, end),
        cmocka_unit_test_teardown(trace_counts_microseconds_from_the_start, end),
        cmocka_unit_test_teardown(kills_tell_why, end),
        cmocka_unit_test_teardown(what_is_left_behind_has_no_end, end),
        cmocka_unit_test_teardown(who_is_not_listed_any_more_is_gone, end),
        cmocka_unit_test_teardown(nothing_of_the_ring_is_touched_before_it_is_used, end),
        cmocka_unit_test_teardown(a_full_ring_drops_the_oldest_and_counts_them, end),
        cmocka_unit_test_teardown(a_start_that_fell_out_is_known_from_later, end),
        cmocka_unit_test_teardown(of_many_restarts_the_last_run_is_shown, end),
        cmocka_unit_test_teardown(too_many_processes_are_counted, end),
        cmocka_unit_test_teardown(json_escapes_what_is_no_text, end),
        cmocka_unit_test_teardown(html_escapes_what_would_be_markup, end),
        cmocka_unit_test_teardown(text_shows_no_control_characters, end),
        cmocka_unit_test_teardown(copies_are_cut_between_characters, end),
        cmocka_unit_test_teardown(full_strings_fit_everywhere, end),
        cmocka_unit_test_teardown(pieces_are_small, end),
        cmocka_unit_test_teardown(a_sink_that_fails_is_left_alone, end),
        cmocka_unit_test_teardown(dates_are_right, end),
        cmocka_unit_test_teardown(quick_and_peaceful_is_not_notable, end),
        cmocka_unit_test_teardown(a_shield_has_its_end_and_why, end),
        cmocka_unit_test_teardown(more_shields_than_there_is_room_for_are_counted, end),
        cmocka_unit_test_teardown(a_kill_is_notable, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
