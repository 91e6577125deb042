/* Words into values and back: parse.h, text.h. */
/* cmocka.h needs the four headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "plan/parse.h"
#include "plan/text.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Written before each call: a parser that refuses must leave it alone. */
#define UNTOUCHED (-77)

#define MINUTE (60 * SECOND)
#define HOUR   (3600 * SECOND)

static void test_duration_accepts(void **state)
{
    static const struct {
        const char *text;
        msec value;
    } cases[] = {
        {"0", 0},
        {"10", 10 * SECOND},
        {"10s", 10 * SECOND},
        {"500ms", 500},
        {"0ms", 0},
        {"2m", 2 * MINUTE},
        {"1h", HOUR},
        {"007s", 7 * SECOND},
        {"1.5s", 1500},
        {"1.5", 1500},
        {"0.25m", 15 * SECOND},
        {"0.5h", 30 * MINUTE},
        {"1.5ms", 2},         /* rounded up to a whole millisecond */
        {"0.0001", 1},        /* never down to nothing */
        {"0.0000000001s", 1}, /* nor when the digits run out */
        {"0.0000000000", 0},
        {"1.000000000000", SECOND},
        {"0.001", 1},
        {"0.0010000000001", 2},
        {"876000h", 876000 * HOUR},
        {"infinity", NEVER},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        msec value = UNTOUCHED;
        if (!parse_duration(cases[i].text, &value))
            fail_msg("'%s' is refused", cases[i].text);
        if (value != cases[i].value)
            fail_msg("'%s' is %lld ms", cases[i].text, (long long)value);
    }
}

static void test_duration_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        " ",
        "s",
        "ms",
        "-1",
        "+1",
        "1 s",
        " 1",
        "1 ",
        "1.",
        ".5",
        "1.s",
        "1..5",
        "1,5",
        "1d",
        "1S",
        "1M",
        "1sec",
        "0x10",
        "1e3",
        "soon",
        "Infinity",
        "inf",
        "infinity ",
        "nan",
        "1.5.5",
        "876001h",
        "876000.1h",
        "99999999999999999999",
        "9223372036854775807h",
        "18446744073709551616",
        "3153600000001ms",
        "1\n",
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        msec value = UNTOUCHED;
        if (parse_duration(cases[i], &value))
            fail_msg("'%s' is accepted as %lld ms", cases[i], (long long)value);
        assert_int_equal(value, UNTOUCHED);
    }
}

static void test_delay_range(void **state)
{
    static const struct {
        const char *text;
        msec min, max; /* UNTOUCHED: refused */
    } cases[] = {
        {"100ms..30s", 100, 30 * SECOND},
        {"1.5..2.5", 1500, 2500},
        {"5", 5 * SECOND, 5 * SECOND},
        {"0..0", 0, 0},
        {"2..1", UNTOUCHED, UNTOUCHED},
        {"1...2", UNTOUCHED, UNTOUCHED},
        {"1..2..3", UNTOUCHED, UNTOUCHED},
        {"..", UNTOUCHED, UNTOUCHED},
        {"1..", UNTOUCHED, UNTOUCHED},
        {"..1", UNTOUCHED, UNTOUCHED},
        {"1 .. 2", UNTOUCHED, UNTOUCHED},
        {"1-2", UNTOUCHED, UNTOUCHED},
        {"1..infinity", UNTOUCHED, UNTOUCHED},
        {"infinity", UNTOUCHED, UNTOUCHED},
        {"", UNTOUCHED, UNTOUCHED},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        msec min = UNTOUCHED, max = UNTOUCHED;
        bool accepted = parse_delay_range(cases[i].text, &min, &max);
        if (accepted != (cases[i].min != UNTOUCHED) || min != cases[i].min || max != cases[i].max)
            fail_msg("'%s' is %lld..%lld ms", cases[i].text, (long long)min, (long long)max);
    }
}

static void test_rate(void **state)
{
    static const struct {
        const char *text;
        uint32_t times; /* 0: refused */
        msec window;
    } cases[] = {
        {"5/1m", 5, MINUTE},
        {"1/500ms", 1, 500},
        {"4294967295/1", UINT32_MAX, SECOND},
        {"0/1m", 0, UNTOUCHED},
        {"5", 0, UNTOUCHED},
        {"5/", 0, UNTOUCHED},
        {"/1m", 0, UNTOUCHED},
        {"5/0", 0, UNTOUCHED},
        {"5/infinity", 0, UNTOUCHED},
        {"-5/1m", 0, UNTOUCHED},
        {"5 /1m", 0, UNTOUCHED},
        {"5/1m/1m", 0, UNTOUCHED},
        {"4294967296/1", 0, UNTOUCHED},
        {"", 0, UNTOUCHED},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        uint32_t times = 0;
        msec window = UNTOUCHED;
        bool accepted = parse_rate(cases[i].text, &times, &window);
        if (accepted != (cases[i].times != 0) || times != cases[i].times ||
            window != cases[i].window)
            fail_msg("'%s' is %u in %lld ms", cases[i].text, (unsigned)times, (long long)window);
    }
}

static void test_integer(void **state)
{
    static const struct {
        const char *text;
        int base;
        int64_t min, max, value;
        bool accepted;
    } cases[] = {
        {"0", 10, 0, 9, 0, true},
        {"9", 10, 0, 9, 9, true},
        {"10", 10, 0, 9, 0, false},
        {"-20", 10, -20, 19, -20, true},
        {"-21", 10, -20, 19, 0, false},
        {"-0", 10, 0, 9, 0, true},
        {"022", 8, 0, 0777, 18, true},
        {"777", 8, 0, 0777, 511, true},
        {"1000", 8, 0, 0777, 0, false},
        {"8", 8, 0, 0777, 0, false},
        {"9223372036854775807", 10, 0, INT64_MAX, INT64_MAX, true},
        {"9223372036854775808", 10, INT64_MIN, INT64_MAX, 0, false},
        {"", 10, -9, 9, 0, false},
        {"-", 10, -9, 9, 0, false},
        {"--1", 10, -9, 9, 0, false},
        {"+1", 10, -9, 9, 0, false},
        {" 1", 10, -9, 9, 0, false},
        {"1 ", 10, -9, 9, 0, false},
        {"1a", 10, -9, 9, 0, false},
        {"0x1", 10, -9, 9, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        int64_t value = UNTOUCHED;
        bool accepted =
            parse_integer(cases[i].text, cases[i].base, cases[i].min, cases[i].max, &value);
        if (accepted != cases[i].accepted || value != (accepted ? cases[i].value : UNTOUCHED))
            fail_msg("'%s' is %lld", cases[i].text, (long long)value);
    }
}

static void test_signal_accepts(void **state)
{
    const struct {
        const char *text;
        int signal;
    } cases[] = {
        {"TERM", SIGTERM},
        {"SIGTERM", SIGTERM},
        {"term", SIGTERM},
        {"SigTerm", SIGTERM},
        {"15", SIGTERM},
        {"015", SIGTERM},
        {"INT", SIGINT},
        {"KILL", SIGKILL},
        {"9", SIGKILL},
        {"CLD", SIGCHLD},
        {"IOT", SIGABRT},
        {"USR1", SIGUSR1},
        {"WINCH", SIGWINCH},
        {"1", SIGHUP},
        {"RTMIN", SIGRTMIN},
        {"RTMIN+0", SIGRTMIN},
        {"RTMIN+3", SIGRTMIN + 3},
        {"SIGRTMIN+3", SIGRTMIN + 3},
        {"rtmin+10", SIGRTMIN + 10},
        {"RTMAX", SIGRTMAX},
        {"RTMAX-1", SIGRTMAX - 1},
        {"RTMAX-0", SIGRTMAX},
        {"64", SIGRTMAX},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        int signal = UNTOUCHED;
        if (!parse_signal(cases[i].text, &signal))
            fail_msg("'%s' is refused", cases[i].text);
        if (signal != cases[i].signal)
            fail_msg("'%s' is %d", cases[i].text, signal);
    }
}

static void test_signal_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        "0",
        "-1",
        "65",
        "99999999999",
        "SIG",
        "SIG15",
        "SIGSIGTERM",
        "TERMS",
        "TER",
        " TERM",
        "TERM ",
        "RTMIN-1",
        "RTMAX+1",
        "RTMIN+",
        "RTMAX-",
        "RTMIN+31",
        "RTMAX-31",
        "RTMIN+-1",
        "RTMIN+1x",
        "RTMIN3",
        "RT",
        "RTMI",
        "15x",
        "none",
        "32",
        "33", /* the C library's own */
        "RTMIN+99999999999999999999",
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        int signal = UNTOUCHED;
        if (parse_signal(cases[i], &signal))
            fail_msg("'%s' is accepted as %d", cases[i], signal);
        assert_int_equal(signal, UNTOUCHED);
    }
}

static void test_signal_names(void **state)
{
    char name[SIGNAL_NAME_MAX];
    (void)state;
    assert_string_equal(signal_name(SIGTERM, name), "TERM");
    assert_string_equal(signal_name(SIGCHLD, name), "CHLD");
    assert_string_equal(signal_name(SIGABRT, name), "ABRT");
    assert_string_equal(signal_name(SIGRTMIN, name), "RTMIN");
    assert_string_equal(signal_name(SIGRTMIN + 3, name), "RTMIN+3");
    assert_string_equal(signal_name(33, name), "33");
    assert_ptr_equal(signal_name(1, name), name);
    for (int signal = 1; signal <= PLAN_SIGNAL_MAX; signal++) {
        int back = 0;
        if (signal == 32 || signal == 33)
            continue; /* the C library's own have no name, and cannot be asked for */
        assert_true(parse_signal(signal_name(signal, name), &back));
        assert_int_equal(back, signal);
    }
}

static void test_signals(void **state)
{
    const signal_mask both = signal_bit(SIGINT) | signal_bit(SIGTERM);
    const struct {
        const char *text;
        signal_mask value; /* 0: refused */
    } cases[] = {
        {"INT TERM", both},
        {"TERM,INT", both},
        {" INT ,\tTERM, ", both},
        {"2 15 INT", both},
        {"HUP", signal_bit(SIGHUP)},
        {"RTMAX", signal_bit(64)},
        {"", 0},
        {" , ", 0},
        {"INT;TERM", 0},
        {"INT TERMINATE", 0},
        {"INT none", 0},
        {"INT XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", 0},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        signal_mask mask = 0;
        bool accepted = parse_signals(cases[i].text, &mask);
        if (accepted != (cases[i].value != 0) || mask != cases[i].value)
            fail_msg("'%s' is %llx", cases[i].text, (unsigned long long)mask);
    }
}

static void test_rewrite(void **state)
{
    static const struct {
        const char *text;
        int from, to; /* UNTOUCHED: refused */
    } cases[] = {
        {"TERM:QUIT", SIGTERM, SIGQUIT},
        {"15:3", SIGTERM, SIGQUIT},
        {"HUP:0", SIGHUP, 0},
        {"TERM:", UNTOUCHED, UNTOUCHED},
        {":TERM", UNTOUCHED, UNTOUCHED},
        {"TERM", UNTOUCHED, UNTOUCHED},
        {"0:TERM", UNTOUCHED, UNTOUCHED},
        {"TERM:none", UNTOUCHED, UNTOUCHED},
        {"TERM:00", UNTOUCHED, UNTOUCHED},
        {"1:2:3", UNTOUCHED, UNTOUCHED},
        {"TERM: QUIT", UNTOUCHED, UNTOUCHED},
        {"", UNTOUCHED, UNTOUCHED},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        int from = UNTOUCHED, to = UNTOUCHED;
        bool accepted = parse_rewrite(cases[i].text, &from, &to);
        if (accepted != (cases[i].from != UNTOUCHED) || from != cases[i].from || to != cases[i].to)
            fail_msg("'%s' is %d:%d", cases[i].text, from, to);
    }
}

static bool has_code(const struct success_set *set, unsigned code)
{
    return set->codes[code / 64] >> (code % 64) & 1;
}

static void test_statuses(void **state)
{
    struct success_set set = {{0}, 0, false};
    (void)state;
    assert_true(parse_statuses("143 SIGTERM, 0,255", &set));
    assert_true(has_code(&set, 143) && has_code(&set, 0) && has_code(&set, 255));
    assert_false(has_code(&set, 15));
    assert_int_equal(set.signals, signal_bit(SIGTERM));
    assert_false(set.requested);

    /* A bare number is an exit status, never a signal; lists add up. */
    assert_true(parse_statuses("15", &set));
    assert_true(has_code(&set, 15) && has_code(&set, 143));
    assert_true(parse_statuses("requested", &set));
    assert_true(set.requested && has_code(&set, 15));

    static const char *const refused[] = {
        "",    " ",       "256",       "-1",     "1 256",
        "1;2", "SIGNOPE", "Requested", "1 junk", "99999999999999999999"};
    for (size_t i = 0; i < LENGTH(refused); i++) {
        struct success_set copy = set;
        if (parse_statuses(refused[i], &copy))
            fail_msg("'%s' is accepted", refused[i]);
        assert_memory_equal(copy.codes, set.codes, sizeof set.codes);
        assert_int_equal(copy.signals, set.signals);
    }
}

static void test_ladder_accepts(void **state)
{
    static const struct {
        const char *text, *shown;
        uint32_t count;
        struct plan_rung rungs[3];
    } cases[] = {
        {"TERM 20s, QUIT 5s, KILL",
         "TERM 20s, QUIT 5s, KILL",
         2,
         {{SIGTERM, 20 * SECOND}, {SIGQUIT, 5 * SECOND}}},
        {"TERM 20s,QUIT 5s",
         "TERM 20s, QUIT 5s, KILL",
         2,
         {{SIGTERM, 20 * SECOND}, {SIGQUIT, 5 * SECOND}}},
        {"INT", "INT, KILL", 1, {{SIGINT, NEVER}}},
        {"INT, KILL", "INT, KILL", 1, {{SIGINT, NEVER}}},
        {"INT infinity", "INT, KILL", 1, {{SIGINT, NEVER}}},
        {"  INT\t1 ,SIGKILL ", "INT 1s, KILL", 1, {{SIGINT, SECOND}}},
        {"HUP 0, TERM 1m, QUIT",
         "HUP 0s, TERM 1m, QUIT, KILL",
         3,
         {{SIGHUP, 0}, {SIGTERM, MINUTE}, {SIGQUIT, NEVER}}},
        {"KILL", "KILL", 1, {{SIGKILL, NEVER}}}, /* at once: the whole ladder */
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct plan_rung rungs[PLAN_RUNGS_MAX];
        uint32_t count = 0;
        if (!parse_ladder(cases[i].text, rungs, &count) || count != cases[i].count)
            fail_msg("'%s' has %u rungs", cases[i].text, (unsigned)count);
        for (uint32_t n = 0; n < count; n++) {
            assert_int_equal(rungs[n].signal, cases[i].rungs[n].signal);
            assert_int_equal(rungs[n].time, cases[i].rungs[n].time);
        }
        char buffer[100];
        struct text text = {.buffer = buffer, .size = sizeof buffer};
        text_add_ladder(&text, rungs, count);
        assert_string_equal(buffer, cases[i].shown);
    }
}

static void test_ladder_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        ",",
        " ",
        "TERM,",
        ",TERM",
        "TERM 1s,,QUIT 1s",
        "20s",
        "TERM 1s QUIT",
        "TERM 1s; QUIT",
        "TERM, QUIT 5s",       /* only the last may lack a time */
        "TERM infinity, QUIT", /* or have none that ends */
        "KILL, TERM",
        "TERM 1s, KILL, QUIT",
        "KILL, KILL",
        "TERM 1s, KILL 5s",
        "KILL 0",
        "TERM 1s, NOPE",
        "TERM soon",
        "TERM -1",
        "1 1,1 1,1 1,1 1,1 1,1 1,1 1,1 1,1 1", /* nine */
        "1 1,1 1,1 1,1 1,1 1,1 1,1 1,1 1,1 1,KILL",
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct plan_rung rungs[PLAN_RUNGS_MAX] = {{0}};
        uint32_t count = 99;
        if (parse_ladder(cases[i], rungs, &count))
            fail_msg("'%s' is accepted", cases[i]);
        assert_int_equal(count, 99);
        assert_int_equal(rungs[0].signal, 0);
    }
}

static void test_ladder_of_eight_and_kill(void **state)
{
    struct plan_rung rungs[PLAN_RUNGS_MAX];
    uint32_t count;
    (void)state;
    assert_true(parse_ladder("1 1,1 2,1 3,1 4,1 5,1 6,1 7,1 8,KILL", rungs, &count));
    assert_int_equal(count, 8);
    assert_int_equal(rungs[7].time, 8 * SECOND);
}

static void test_limit(void **state)
{
    static const struct {
        const char *text;
        bool accepted;
        uint64_t soft, hard;
    } cases[] = {
        {"1024", true, 1024, 1024},
        {"1024:4096", true, 1024, 4096},
        {"64K", true, 65536, 65536},
        {"1M:2G", true, 1048576, UINT64_C(2147483648)},
        {"1T", true, UINT64_C(1) << 40, UINT64_C(1) << 40},
        {"0", true, 0, 0},
        {"infinity", true, PLAN_UNLIMITED, PLAN_UNLIMITED},
        {"100:infinity", true, 100, PLAN_UNLIMITED},
        {"18446744073709551614", true, UINT64_MAX - 1, UINT64_MAX - 1},
        {"18446744073709551615", false, 0, 0}, /* infinity has a name */
        {"18446744073709551616", false, 0, 0},
        {"16777216T", false, 0, 0},
        {"infinity:100", false, 0, 0},
        {"2:1", false, 0, 0},
        {":", false, 0, 0},
        {"1:", false, 0, 0},
        {":1", false, 0, 0},
        {"1:2:3", false, 0, 0},
        {"1k", false, 0, 0},
        {"1KB", false, 0, 0},
        {"K", false, 0, 0},
        {"-1", false, 0, 0},
        {"1 ", false, 0, 0},
        {"", false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct plan_limit_value limit = {false, 0, 0};
        bool accepted = parse_limit(cases[i].text, &limit);
        if (accepted != cases[i].accepted || limit.set != accepted || limit.soft != cases[i].soft ||
            limit.hard != cases[i].hard)
            fail_msg("'%s' is %llu:%llu", cases[i].text, (unsigned long long)limit.soft,
                     (unsigned long long)limit.hard);
    }
}

static void test_command_accepts(void **state)
{
    static const struct {
        const char *text;
        const char *words[6];
    } cases[] = {
        {"ls", {"ls"}},
        {"  ls\t-l\n/tmp ", {"ls", "-l", "/tmp"}},
        {"sh -c 'echo \"$HOME\"'", {"sh", "-c", "echo \"$HOME\""}},
        {"a \"b c\" d", {"a", "b c", "d"}},
        {"a'b'\"c\"d", {"abcd"}},
        {"''", {""}},
        {"a '' \"\"", {"a", "", ""}},
        {"a\\ b", {"a b"}},
        {"\\'", {"'"}},
        {"'a\\b'", {"a\\b"}},               /* single quotes keep everything */
        {"\"a\\b\"", {"a\\b"}},             /* double quotes keep a backslash that quotes nothing */
        {"\"\\\"\\\\\\$\\`\"", {"\"\\$`"}}, /* and drop one that does */
        {"a\\\nb", {"ab"}},                 /* joined lines */
        {"\"a\\\nb\"", {"ab"}},
        {"a \\\n b", {"a", "b"}},
        {"a;b $x *.c # >f", {"a;b", "$x", "*.c", "#", ">f"}}, /* nothing is expanded */
        {"'it'\\''s'", {"it's"}},
        {"a\xc3\xa4 b", {"a\xc3\xa4", "b"}},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char **argv = NULL;
        if (!parse_command(cases[i].text, &argv))
            fail_msg("'%s' is refused", cases[i].text);
        size_t n = 0;
        for (; cases[i].words[n] != NULL; n++) {
            assert_non_null(argv[n]);
            assert_string_equal(argv[n], cases[i].words[n]);
        }
        assert_null(argv[n]);
        free(argv);
    }
}

static void test_command_refuses(void **state)
{
    static const char *const cases[] = {"",          " \t\n", "'",  "\"",  "a 'b",
                                        "a \"b\\\"", "a\\",   "\\", "\\\n"};
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char **argv = NULL;
        if (parse_command(cases[i], &argv))
            fail_msg("'%s' is accepted", cases[i]);
        assert_null(argv);
    }
}

static void test_quoted_words_are_read_back(void **state)
{
    static const char *const words[] = {"",      "plain", "a b",  "it's", "'",         "\"",
                                        "\\",    "$x",    "a\nb", "*",    "~user",     "\xc3\xa4",
                                        "x=1;y", "''",    "-",    "#",    "tab\there", "!"};
    (void)state;
    for (size_t i = 0; i < LENGTH(words); i++) {
        char buffer[64];
        char **argv;
        struct text text = {.buffer = buffer, .size = sizeof buffer};
        text_add_quoted(&text, words[i]);
        assert_true(parse_command(buffer, &argv));
        assert_string_equal(argv[0], words[i]);
        assert_null(argv[1]);
        free(argv);
    }
}

static void test_durations_are_shown_in_the_largest_whole_unit(void **state)
{
    static const struct {
        msec value;
        const char *shown;
    } cases[] = {{0, "0s"},
                 {1, "1ms"},
                 {1500, "1500ms"},
                 {SECOND, "1s"},
                 {90 * SECOND, "90s"},
                 {2 * MINUTE, "2m"},
                 {90 * MINUTE, "90m"},
                 {24 * HOUR, "24h"},
                 {NEVER, "infinity"}};
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char buffer[32];
        msec back = UNTOUCHED;
        struct text text = {.buffer = buffer, .size = sizeof buffer};
        text_add_duration(&text, cases[i].value);
        assert_string_equal(buffer, cases[i].shown);
        assert_true(parse_duration(buffer, &back));
        assert_int_equal(back, cases[i].value);
    }
}

static void test_text_counts_what_does_not_fit(void **state)
{
    char buffer[4] = "xxx";
    struct text text = {.buffer = buffer, .size = sizeof buffer};
    (void)state;
    text_add(&text, "ab");
    text_add(&text, "%s", "cdef");
    text_add(&text, "%d", 42);
    assert_string_equal(buffer, "abc");
    assert_int_equal(text.length, 8);

    struct text nowhere = {0};
    text_add(&nowhere, "five%c", '5');
    assert_int_equal(nowhere.length, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration_accepts),
        cmocka_unit_test(test_duration_refuses),
        cmocka_unit_test(test_delay_range),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_integer),
        cmocka_unit_test(test_signal_accepts),
        cmocka_unit_test(test_signal_refuses),
        cmocka_unit_test(test_signal_names),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_ladder_accepts),
        cmocka_unit_test(test_ladder_refuses),
        cmocka_unit_test(test_ladder_of_eight_and_kill),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_command_accepts),
        cmocka_unit_test(test_command_refuses),
        cmocka_unit_test(test_quoted_words_are_read_back),
        cmocka_unit_test(test_durations_are_shown_in_the_largest_whole_unit),
        cmocka_unit_test(test_text_counts_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
